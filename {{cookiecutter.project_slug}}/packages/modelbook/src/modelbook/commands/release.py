"""`model release`: check all, push, prove, tag. Data is in the remote before a tag names it."""

from dataclasses import dataclass
from typing import Any

from ..errors import ProjectError, counted
from ..progress import Say, silent
from ..registry import derive, interface, record
from ..registry.registry import PRUNED, Registry, Version
from ..workspace import checks
from ..workspace.checks import Problem
from ..workspace.project import Project, listed, one_line
from ..workspace.publish import RACES, NewTag, publish_next
from . import gate, push

FIRST = "v1.0.0"


@dataclass(frozen=True)
class Candidate:
    """A commit that is to become a version.

    Attributes
    ----------
    source : derive.Source
        The commit, and what it makes.
    title : str
    part : {'major', 'minor', 'patch'} or None
        Which part of the number rises; None: worked out.
    remote, branch : str or None
        Where the tag is pushed, and the branch that is pushed with it.
    """

    source: derive.Source
    title: str
    part: interface.Bump | None
    remote: str | None
    branch: str | None


@dataclass(frozen=True)
class Released:
    """What a release made.

    Attributes
    ----------
    version, tag : str
        The number, and the name of the git tag.
    reason : str
        Why it has this number.
    verdict : record.Gate
    sent, objects : int
        Objects that were sent, and that were seen in the remote.
    remote : str or None
        The git remote that has the tag; None if it is only here.
    notes : tuple of str
    refused_by : tuple of str
        The stages whose rules refuse the version as it is.
    enters : str or None
        The deployment stage to promote it to now; None if that one refuses it.
    """

    version: str
    tag: str
    reason: str
    verdict: record.Gate
    sent: int
    objects: int
    remote: str | None
    notes: tuple[str, ...]
    refused_by: tuple[str, ...] = ()
    enters: str | None = None


def release(
    project: Project, title: str | None = None, part: interface.Bump | None = None, say: Say = silent
) -> Released:
    """Release the commit that is checked out.

    Parameters
    ----------
    project : Project
    title : str, optional
        One line; left out: the subject of the commit.
    part : {'major', 'minor', 'patch'}, optional
        Which part of the number rises; left out: worked out.
    say : callable

    Raises
    ------
    ProjectError
        With everything that is wrong at once. Nothing has been tagged then.
    """
    git = project.git
    with project.lock():
        remote = git.remote()
        before = project.registry()
        say("checking")
        problems = checks.repository(project)
        if remote:
            try:
                git.fetch_tags(remote)
            except ProjectError as error:
                problems.append(Problem(error.what, error.fix))
        registry = project.registry()
        commit, branch = git.commit("HEAD"), git.branch()
        problems += _not_yet(registry, before, commit)
        problems += checks.branch(project, remote)
        problems += checks.pipeline(project)
        source = verdict = None
        if not problems:
            source = derive.source(git, project.store, commit, project.model_path)
            problems += checks.objects(project, source)
        if not problems and source:
            verdict = gate.judge(project, source, registry, say)
            problems += gate.failed_rules(verdict, project.place("gate", verdict.name))
        if problems:
            lines = [f"{problem.what}\n    fix: {problem.fix}" for problem in problems]
            count = f"{counted(len(problems), 'thing')} must be mended first"
            raise ProjectError(
                f"nothing was released; {count}:\n{listed(lines, most=30)}",
                "a version must be complete, explained and good enough before it has a name",
                "mend these, then the same command again",
            )
        assert source
        assert verdict
        line = one_line(title or git.run("log", "-1", "--format=%s", commit)) or "untitled"
        chosen = Candidate(source, line, part, remote, branch)
        stored = push.everything(project, source.outs, say)
        return _tag(project, chosen, verdict, stored, say)


def _not_yet(registry: Registry, before: Registry, commit: str) -> list[Problem]:
    name = registry.by_commit.get(commit)
    if name is None:
        return []
    if name not in before.versions:
        what = f"this commit is {name} already: the tag came with the fetch just now"
    else:
        what = f"this commit is {name} already"
    return [Problem(what, f"model show {name}, or commit a change first")]


def parent_of(project: Project, registry: Registry, commit: str) -> Version | None:
    """Return the version that a commit follows: the highest among its ancestors, else the highest of all."""
    ancestors = set(project.git.run("rev-list", commit).split())
    known = [version for version in registry.versions.values() if not version.withdrawn and version.commit != commit]
    mine = [version for version in known if version.commit in ancestors]
    chosen = mine or known
    return chosen[-1] if chosen else None


@dataclass(frozen=True, kw_only=True)
class _NewVersion(NewTag):
    """The tag of a version that is made if its number is free."""

    number: str
    reason: str
    kept: record.Record


def _tag(project: Project, chosen: Candidate, verdict: record.Gate, stored: tuple[int, int], say: Say) -> Released:
    """Publish the tag of a candidate whose data is in the remote."""
    source, remote = chosen.source, chosen.remote
    first = record.Identity(name=project.name, version=FIRST, parent=None, title=chosen.title)
    kept = derive.derive(source, first, verdict)

    def propose(registry: Registry) -> _NewVersion:
        proposed = _propose(project, chosen, kept, registry)
        say(f"tagging {proposed.number}")
        return proposed

    taken = ProjectError(
        f"{RACES} version numbers were taken while they were tried", "others release at the same time", "try again"
    )
    made = publish_next(project, remote, propose, taken)
    rules = project.rules("stages")
    unwritten = tuple(rules.get("need_card") or ()) if _lacks_card(project, source) else ()
    notes = _notes(remote, made.kept, unwritten)
    if remote and _may_be_pruned(project, remote):
        again, _ = push.everything(project, source.outs, say)
        if again:
            notes.append(f"someone pruned meanwhile; {counted(again, 'object')} sent again")
    entry = entry_stage(rules, unwritten)
    return Released(made.number, made.name, made.reason, verdict, *stored, remote, tuple(notes), unwritten, entry)


def entry_stage(rules: dict[str, Any], refused_by: tuple[str, ...]) -> str | None:
    """Return the deployment stage that a version enters first; None if that one refuses it."""
    first: str = (rules.get("order") or ["prod"])[0]
    return None if first in refused_by else first


def _propose(project: Project, chosen: Candidate, kept: record.Record, registry: Registry) -> _NewVersion:
    """Return the version that follows what the registry says; a commit that has one already is a `ProjectError`."""
    commit = chosen.source.commit
    taken = registry.by_commit.get(commit)
    if taken:
        raise ProjectError(f"this commit is {taken} already", "somebody released it meanwhile", f"model show {taken}")
    parent = parent_of(project, registry, commit)
    number, reason = next_number(project, kept, registry, parent, chosen.part)
    follows = record.Parent(version=parent.name, tag=parent.tag) if parent else None
    identity = record.Identity(name=project.name, version=number, parent=follows, title=chosen.title)
    made = kept.model_copy(update={"identity": identity})
    return _NewVersion(
        name=f"{project.name}@{number}",
        commit=commit,
        message=f"{project.name} {number}: {chosen.title}\n\n{made.to_json()}\n",
        still=f"nothing was tagged, here{' or there' if chosen.remote else ''}; "
        "the data that was sent is kept and will not be sent again",
        branch=chosen.branch,
        number=number,
        reason=reason,
        kept=made,
    )


def _may_be_pruned(project: Project, remote: str) -> bool:
    """Tell whether a prune may be at work that could not know of this version when it looked."""
    there = project.git.remote_tags(remote)  # nothing: it does not answer, for it has the new tag
    return not there or any(name.startswith(f"{project.name}{PRUNED}") for name in there)


def next_number(
    project: Project, kept: record.Record, registry: Registry, parent: Version | None, part: interface.Bump | None
) -> tuple[str, str]:
    """Return a free version number for a record, and why it is this one."""
    if parent is None:
        return FIRST, "the first version"
    if part:
        why = "asked for"
    else:
        try:
            part, why = interface.bump(project.record(parent), kept, project.store)
        except ProjectError as error:
            part, why = "major", f"{parent.name} cannot be compared with ({one_line(error.what)})"
    number = interface.raise_number(parent.name, part)
    reason = f"{part} after {parent.name}: {why}"
    taken = {*registry.versions, *(tag.name.partition("@")[2] for tag in registry.odd)}
    while number in taken:
        reason += f"; {number} is taken"
        number = interface.raise_number(number, part)
    return number, reason


def _lacks_card(project: Project, source: derive.Source) -> bool:
    from . import card

    return bool(card.placeholders(project.git, source.commit))


def _notes(remote: str | None, made: record.Record, refused_by: tuple[str, ...]) -> list[str]:
    notes = []
    if remote is None:
        notes.append(
            "there is no git remote: the tag is only in this clone (git remote add origin URL; git push origin --tags)"
        )
    if made.governance.trained is None:
        notes.append(
            "this clone has no note of the training, so the record says null for when, where and with which BLAS"
        )
    if refused_by:
        notes.append(
            f"docs/model_card.md is not written yet, so {', '.join(refused_by)} will refuse this version: "
            "write it, git commit, and model release makes the next one"
        )
    return notes
