"""`model promote` and `model rollback`: prove that a version works, then move the stage to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ..errors import ProjectError, UnavailableError
from ..progress import Say, silent
from ..registry import event, interface
from ..registry.event import Move, MoveEvent
from ..registry.registry import STAGE_NAME, Event, Pruned, Registry, Version
from ..times import day, utc
from ..workspace import restore
from ..workspace.project import Project, one_line
from ..workspace.publish import NewTag, publish
from ..workspace.restore import Release
from . import card, push


@dataclass(frozen=True)
class Moved:
    """A stage that holds another version now.

    Attributes
    ----------
    stage, kind : str
    source : str or None
        The version that it held before.
    target : str
    tag : str
        Name of the new stage tag.
    checks : tuple of str
        What was proven.
    folder, python : str
        The release directory, and the interpreter that has its packages.
    remote : str or None
        The git remote that has the tag; None if it is only here.
    notes : tuple of str
    """

    stage: str
    kind: str
    source: str | None
    target: str
    tag: str
    checks: tuple[str, ...]
    folder: str
    python: str
    remote: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proof:
    """What was proven before a move.

    Attributes
    ----------
    release : Release
        The release directory that answered.
    checks : tuple of str
        What was proven.
    notes : tuple of str
        What whoever moves the stage is told.
    """

    release: Release
    checks: tuple[str, ...]
    notes: tuple[str, ...] = ()


def promote(project: Project, name: str, stage: str, reason: str = "", force: bool = False, say: Say = silent) -> Moved:
    """Make a version live in a stage.

    Parameters
    ----------
    project : Project
    name : str
        The version.
    stage : str
    reason : str
        Needed with `force`.
    force : bool
        Also a quarantined version, one that skips the order of stages, or one
        that may not serve the requests that the live one serves. What cannot
        be restored, or answers differently, is refused even so.
    say : callable

    Raises
    ------
    ProjectError
        If the version may not be live there. The stage is as it was then.
    """
    if not STAGE_NAME.fullmatch(stage):
        raise ProjectError(
            f"{stage!r} cannot name a stage", "it becomes part of a tag", "letters, digits, - and _, such as prod"
        )
    reason = one_line(reason)
    if force and not reason:
        raise ProjectError(
            "--force needs a reason", "the audit log must say why a rule was passed over", 'add --reason "why"'
        )
    with project.lock():
        remote, registry = _latest(project)
        version = registry.get(name)
        source = registry.live(stage)
        if not force:
            _known(project, registry, stage)
        if source == version.name:
            since = registry.live_since(stage)
            assert since is not None
            raise ProjectError(
                f"{version.name} is live in {stage} already, since {utc(since.at)}",
                f"by {since.by}",
                "model history",
            )
        move = Move("promote", stage, source, version.name, reason, force)
        _may_enter(project, registry, version, move)
        if registry.pruned(version.name):
            push.everything(project, project.store.outs(version.commit), say)
        release = restore.materialise(project, version, say)
        proof = Proof(release, (*release.checks, *_serves(project, registry, release, move)))
        return _move(project, remote, registry, move, proof)


def rollback(
    project: Project,
    stage: str,
    reason: str,
    to: str | None = None,
    say: Say = silent,
) -> Moved:
    """Put the last good version back that was live before; quarantine the one that is left.

    Only what is certain to fail is refused: a version that cannot be restored,
    or that answers its golden rows differently. Callers of the version that was
    live before may still send what it needs, so an interface that differs is a
    note, in the event, too.

    Parameters
    ----------
    project : Project
    stage : str
    reason : str
    to : str, optional
        A version that was live in the stage; left out: the last one that is
        not quarantined and can be restored.
    say : callable

    Raises
    ------
    ProjectError
        If there is nothing to go back to. The stage is as it was then.
    """
    reason = one_line(reason)
    if not reason:
        raise ProjectError("a roll-back needs a reason", "the audit log must say why", 'add --reason "why"')
    with project.lock():
        remote, registry = _latest(project)
        source = registry.live(stage)
        if source is None:
            raise ProjectError(
                f"nothing is live in {stage}",
                "there is nothing to roll back from",
                "model promote VERSION --to " + stage,
            )
        proof = _last_good(project, registry, stage, to, say)
        move = Move("rollback", stage, source, proof.release.version.name, reason)
        return _move(project, remote, registry, move, _compared(project, registry, source, stage, proof))


def _last_good(project: Project, registry: Registry, stage: str, to: str | None, say: Say) -> Proof:
    """Materialise the first version to go back to that works; note those that were passed over."""

    def restored(version: Version, older: list[str], notes: list[str]) -> Proof:
        try:
            release = restore.materialise(project, version, say)
        except UnavailableError as error:
            # What is busy or away now may be good: nobody but a person takes an older version for that.
            raise UnavailableError(error.what, error.why, error.fix + _or_choose(stage, older)) from None
        return Proof(release, release.checks, tuple(notes))

    *newer, last = _candidates(registry, stage, to)
    notes: list[str] = []
    for number, version in enumerate(newer, 1):
        try:
            return restored(version, [other.name for other in (*newer[number:], last)], notes)
        except UnavailableError:
            raise
        except ProjectError as error:
            notes.append(f"{version.name} was passed over: {one_line(error.what)}")
            say(notes[-1])
    others = [] if to is None else [name for name in registry.good_before(stage) if name != last.name]
    try:
        return restored(last, others, notes)
    except UnavailableError:
        raise
    except ProjectError as error:
        why = "; ".join([error.why, *notes])
        raise ProjectError(error.what, why, error.fix + _or_choose(stage, others)) from None


def _compared(project: Project, registry: Registry, source: str, stage: str, proof: Proof) -> Proof:
    """Add to a proof how the version that comes back differs from the one that is left."""
    release, checks, notes = proof.release, proof.checks, proof.notes
    warning = _warning(project, registry, release, stage, source)
    if warning:
        notes = (warning, *notes)
    else:
        checks = (*checks, f"serves the requests of {source}")
    if _same_model(project, registry, release.version, [source]):
        name = release.version.name
        notes = (*notes, f"{name} has the same model as {source}: if the model is at fault, choose with --to")
    return Proof(release, checks, notes)


def _latest(project: Project) -> tuple[str | None, Registry]:
    """Return the git remote and the registry with all that is known there."""
    remote = project.git.remote()
    if remote:
        project.git.fetch_tags(remote)
    return remote, project.registry()


def _candidates(registry: Registry, stage: str, to: str | None) -> list[Version]:
    """Return the versions to go back to, the one that was live last first."""
    before = registry.previously_live(stage)
    live = registry.live(stage)
    if to is not None:
        version = registry.get(to)
        if version.name == live:
            raise ProjectError(f"{live} is live in {stage} already", "there is nothing to do", "model history")
        if version.name not in before:
            raise ProjectError(
                f"{version.name} was never live in {stage}",
                "a roll-back goes to what was live before",
                f"model promote {version.name} --to {stage}",
            )
        quarantine = registry.quarantined_by(version.name)
        if quarantine:
            raise _quarantined(version.name, quarantine, stage)
        note = registry.pruned(version.name)
        if note:
            raise _pruned(version.name, note, stage)
        return [version]
    good = [registry.versions[name] for name in registry.good_before(stage)]
    if not good:
        tried = f": {', '.join(f'{name} {_why_not(registry, name)}' for name in before)}" if before else ""
        raise ProjectError(
            f"nothing good was live in {stage} before {live}{tried}",
            "a roll-back goes to what was live before and is not quarantined",
            f"model promote VERSION --to {stage}   (model history lists them)",
        )
    return good


def _why_not(registry: Registry, name: str) -> str:
    if name not in registry.versions:
        return "has no tag here"
    if registry.versions[name].withdrawn:
        return "was withdrawn"
    return "was left by a roll-back" if registry.quarantined_by(name) else "was pruned"


def _known(project: Project, registry: Registry, stage: str) -> None:
    """Refuse a new stage that is named almost as one that is there: no rule would hold in it."""
    rules: dict[str, Any] = project.rules("stages")
    stages = {*registry.events, *(rules.get("order") or []), *(rules.get("need_card") or [])}
    if stage in stages:
        return
    near = {name.casefold(): name for name in stages}
    meant = get_close_matches(stage.casefold(), near, n=1, cutoff=0.8)
    if meant:
        raise ProjectError(
            f"there is no stage {stage}; did you mean {near[meant[0]]}?",
            f"the rules for {near[meant[0]]} do not hold in another stage",
            f'--to {near[meant[0]]}; if a new stage is meant: the same command with --force --reason "why"',
        )


def _same_model(project: Project, registry: Registry, version: Version, others: Iterable[str]) -> str | None:
    """Return the first of other versions whose model has the same bytes."""
    names = [name for name in others if name in registry.versions and name != version.name]
    kept = project.records([version, *(registry.versions[name] for name in names)], lenient=True)
    mine = kept.get(version.name)
    return next((name for name in names if mine and name in kept and kept[name].model.md5 == mine.model.md5), None)


def _quarantined(version: str, events: dict[str, Event], stage: str) -> ProjectError:
    left = next(iter(events.values()))
    return ProjectError(
        f"{version} is quarantined: {left.by} rolled {left.stage} back from it on {day(left.at)}",
        f"reason given: {left.reason or 'none'}",
        f'if it is good after all: model promote {version} --to {stage} --force --reason "why"',
    )


def _pruned(version: str, note: Pruned, stage: str) -> ProjectError:
    return ProjectError(
        f"{version} was pruned: {note.by} had what is stored for it deleted on {day(note.at)}",
        note.reason or "no rule of conf/retention/ kept it",
        f"where the cache still has it, or dvc repro at its tag made it again: "
        f'model promote {version} --to {stage} --force --reason "why"',
    )


def _may_enter(project: Project, registry: Registry, version: Version, move: Move) -> None:
    """Refuse a version that the rules keep out of a stage."""
    stage, force = move.stage, move.forced
    if version.withdrawn:
        raise ProjectError(f"{version.name} was withdrawn", "its tag was cancelled", "promote another version")
    rules = project.rules_in_force("stages")
    if not force:
        quarantine = registry.quarantined_by(version.name)
        if quarantine:
            raise _quarantined(version.name, quarantine, stage)
        note = registry.pruned(version.name)
        if note:
            raise _pruned(version.name, note, stage)
        left = [name for name in registry.versions if registry.quarantined_by(name)]
        same = _same_model(project, registry, version, left)
        if same:
            error = _quarantined(same, registry.quarantined_by(same), stage)
            raise ProjectError(
                f"{version.name} has the same model as {same}, which is quarantined",
                f"{error.what}; {error.why}",
                f'if the model was not at fault: model promote {version.name} --to {stage} --force --reason "why"',
            )
        order = rules.get("order") or []
        if stage in order and order.index(stage) > 0:
            needed = order[order.index(stage) - 1]
            if version.name not in [held.target for held in registry.events.get(needed, [])]:
                raise ProjectError(
                    f"{version.name} was never in {needed}",
                    f"{project.place('stages', str(rules.get('name')))}: a version enters {stage} from {needed}",
                    f"model promote {version.name} --to {needed}",
                )
    if stage in (rules.get("need_card") or []):
        todo = card.placeholders(project.git, version.commit)
        if todo and not force:
            raise ProjectError(
                f"the model card of {version.name} is not written: {', '.join(todo)} still hold the template's text",
                f"{project.place('stages', str(rules.get('name')))}: {stage} needs a model card",
                f"write {card.CARD}, git commit, model release (a patch version), and promote that",
            )


def _interfaces(
    project: Project, registry: Registry, release: Release, source: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the interface of the live version and that of the one which is to follow it."""
    live = interface.of(project.store, project.record(registry.get(source)))
    return live, restore.read_json(release.folder / project.model_path / "interface.json")


def _serves(project: Project, registry: Registry, release: Release, move: Move) -> list[str]:
    """Refuse a version that may not serve the requests that the live one serves."""
    stage, source, force = move.stage, move.source, move.forced
    if source is None:
        return ["nothing was live before"]
    try:
        live, new = _interfaces(project, registry, release, source)
    except ProjectError as error:
        unknown = f"the interface of {source} is not known: {one_line(error.what)}"
        if force:
            return [unknown]
        raise ProjectError(
            unknown,
            f"{release.version.name} must serve the requests that {source} serves",
            error.fix + "; or the same command with --force --reason",
        ) from None
    broken = interface.breaks(live, new)
    if not broken:
        return [f"serves the requests of {source}"]
    if force:
        return [f"forced although {reason}" for reason in broken]
    raise ProjectError(
        f"{release.version.name} may not serve the requests that {source} serves: {_some(broken)}",
        f"whoever calls {stage} may send what it does not understand",
        "change the callers first, then the same command with --force --reason",
    )


def _warning(project: Project, registry: Registry, release: Release, stage: str, source: str) -> str | None:
    """Return what callers of the version that is left may meet at the one that comes back."""
    name = release.version.name
    try:
        live, new = _interfaces(project, registry, release, source)
    except ProjectError as error:
        return (
            f"WARNING: whether {name} serves the requests of {source} is not known ({one_line(error.what)}); "
            f"ask whoever calls {stage}"
        )
    different = [*interface.breaks(live, new), *interface.classes(live, new)]
    if not different:
        return None
    return (
        f"WARNING: {name} may not serve every request that {source} served: {_some(different)}; "
        f"tell whoever calls {stage}"
    )


def _some(sentences: list[str]) -> str:
    more = len(sentences) - interface.NAMED
    return "; ".join(sentences[: interface.NAMED]) + (f"; and {more} more" if more > 0 else "")


def _or_choose(stage: str, names: list[str]) -> str:
    """Return how to go back to a version that was live earlier, to go on a fix with."""
    if not names:
        return ""
    others = f" (or {', '.join(names[1:4])})" if names[1:] else ""
    return (
        "\n       or choose one that was live earlier: "
        f'model rollback --stage {stage} --to {names[0]}{others} --reason "why"'
    )


def _move(project: Project, remote: str | None, registry: Registry, move: Move, proof: Proof) -> Moved:
    """Write a proven move into the audit log; `registry` is the one that it was proven against."""
    release, stage = proof.release, move.stage
    if remote:
        project.git.fetch_tags(remote)  # proving took a while
        noted, known = project.registry().prunes, registry.prunes
        note = next((note for note in noted if note not in known and move.target in note.versions), None)
        if note:
            raise _pruned(move.target, note, stage)
    # The number is the one that was free before the proof: if somebody moved the stage since, this one is refused.
    tag = NewTag(
        name=f"{project.name}#{stage}#{registry.next_counter(stage)}",
        commit=release.version.commit,
        message=event.message(
            _line(project, move),
            MoveEvent(move, proof.checks, proof.notes, release.version.tag, project.git.identity(), event.here()),
        ),
        still=f"{stage} still holds {move.source or 'nothing'}, here" + (" and there" if remote else ""),
    )
    if not publish(project, remote, tag):
        now = project.registry().live_since(stage)
        raise ProjectError(
            f"{stage} was moved meanwhile" + (f": {now.by} made {now.target} live" if now else ""),
            "two moves at once must not overwrite each other; this one did nothing",
            "model history, then the same command again if it is still right",
        )
    return Moved(
        stage, move.kind, move.source, move.target, tag.name, proof.checks,
        str(release.folder.relative_to(project.root)), release.python, remote, proof.notes,
    )  # fmt: skip


def _line(project: Project, move: Move) -> str:
    """Return the line of a move's tag that people read."""
    after = f" after {move.source}" if move.source else ""
    what = f"rolled back from {move.source}" if move.kind == "rollback" else f"promoted{after}"
    why = f": {move.reason}" if move.reason else ""
    return f"{project.name} {move.target} is live in {move.stage}, {what}{why}"
