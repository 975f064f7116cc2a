"""`model verify`: derive a version's record again and compare it with the tag, field by field."""

import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import extras
from ..errors import ProjectError, counted
from ..mappings import differences
from ..progress import Say, silent
from ..registry import derive
from ..registry.record import Gate, Record, canonical
from ..registry.registry import Registry, Version
from ..store.git import SIGNED, GitError, last_line
from ..times import day
from ..workspace.checks import Problem
from ..workspace.project import Project
from . import gate

#: Known only to the machine that trained; elsewhere there is nothing to compare them with.
NOTED = ("environment.platform", "environment.blas", "governance.trained")


@dataclass(frozen=True)
class Verified:
    """What was found about one version.

    Attributes
    ----------
    version : str
    faults : tuple of Problem
    proven : tuple of str
        What was checked and found right.
    pruned : bool
        What was stored for it was deleted on purpose, so only tag and record could be checked.
    """

    version: str
    faults: tuple[Problem, ...]
    proven: tuple[str, ...]
    pruned: bool

    @property
    def sound(self) -> bool:
        return not self.faults


class Findings:
    """Collects what is found about one version."""

    def __init__(self, version: str, pruned: bool) -> None:
        self.version, self.pruned = version, pruned
        self.faults: list[Problem] = []
        self.proven: list[str] = []

    def fault(self, what: str, fix: str) -> None:
        self.faults.append(Problem(what, fix))

    def verified(self) -> Verified:
        return Verified(self.version, tuple(self.faults), tuple(self.proven), self.pruned)


@dataclass(frozen=True)
class Witnesses:
    """Who else knows what the tags of versions were: none of them can be edited without the others.

    Attributes
    ----------
    registry : Registry
        Its stage tags name the tag of the version that they made live.
    remote : str or None
        The git remote.
    there : dict of str to str
        The hash of each tag in the remote.
    followers : dict of str to list of (str, str)
        By version: the versions that follow it, and the hash that its tag had for them.
    """

    registry: Registry
    remote: str | None
    there: dict[str, str]
    followers: dict[str, list[tuple[str, str]]]


def verify(
    project: Project,
    name: str = "latest",
    every: bool = False,
    remote: bool = False,
    count: int | None = None,
    say: Say = silent,
) -> list[Verified]:
    """Verify a version, every one or some of them.

    Parameters
    ----------
    project : Project
    name : str
        A version; `every` and `count` choose others.
    every : bool
    remote : bool
        Restore them from the remote alone.
    count : int, optional
        So many: what is live, and others at random.
    say : callable
    """
    registry = project.registry()
    if count is not None:
        chosen = sample(registry, count)
    else:
        chosen = list(registry.versions.values()) if every else [registry.get(name)]
    # A drill tells of its objects, one by one; a version at a time would hide those.
    tick = say(f"verifying {counted(len(chosen), 'version')}", None if remote else len(chosen))
    results = []
    for result in drill(project, chosen, registry, say) if remote else derived_again(project, chosen, registry):
        results.append(result)
        tick()
    return results


def derived_again(project: Project, versions: Sequence[Version], registry: Registry) -> Iterator[Verified]:
    """Verify versions: their tags, their objects in cache and remote, every field of their records.

    Parameters
    ----------
    project : Project
    versions : sequence of Version
    registry : Registry
    """
    extras.need_train()  # the gate compares predictions
    witnesses = _witnesses(project, registry)
    for version in versions:
        findings = Findings(version.name, registry.pruned(version.name) is not None)
        with _faults_of(findings):
            kept = _tag(project, version, witnesses, findings)
            if kept and not findings.pruned:
                source = derive.source(project.git, project.store, version.commit, project.model_path)
                _objects(project, source, findings)
                against = kept.governance.gate.against
                if against in registry.versions and registry.pruned(against):
                    verdict = kept.governance.gate
                    findings.proven.append(
                        f"the gate's verdict was not checked: {against}, which it compares with, was pruned"
                    )
                else:
                    verdict = gate.judge(project, source, registry, against=against)
                _fields(source, kept, verdict, findings)
        yield findings.verified()


def drill(project: Project, versions: Sequence[Version], registry: Registry, say: Say = silent) -> Iterator[Verified]:
    """Restore versions from the remote into an empty cache, and derive their records from what came.

    Nothing of this clone's cache is used, and nothing is left behind. What no
    later version needs is deleted at once, so the disk holds little more than
    one version. The gate's verdicts are taken from the records.

    Parameters
    ----------
    project : Project
    versions : sequence of Version
    registry : Registry
    say : callable
        Told of each object.
    """
    witnesses = _witnesses(project, registry)
    parent = project.root / ".dvc" / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="drill-") as folder:
        empty = replace(project, cache=Path(folder, "files", "md5"))
        store = empty.store
        collected = {v.name: Findings(v.name, registry.pruned(v.name) is not None) for v in versions}
        needs: dict[str, dict[str, str]] = {}
        tick = say("looking at what they consist of", len(versions))
        for version in versions:
            with _faults_of(collected[version.name]):
                if not collected[version.name].pruned:
                    needs[version.name] = store.objects(store.outs(version.commit))
            tick()
        later = Counter(oid for objects in needs.values() for oid in objects)
        tick = say(f"restoring {counted(len(later), 'object')}", len(later))
        for version in versions:
            findings, objects = collected[version.name], needs.get(version.name, {})
            with _faults_of(findings):
                kept = _tag(project, version, witnesses, findings)
                missing = [oid for oid in objects if not store.path(oid).exists()]
                store.fetch(missing, tick)
                if kept and objects:
                    findings.proven.append(f"{counted(len(objects), 'object')} came from the DVC remote as named")
                    source = derive.source(project.git, store, version.commit, project.model_path)
                    _fields(source, kept, kept.governance.gate, findings)
            later.subtract(list(objects))
            store.remove_from_cache(oid for oid in objects if not later[oid])
            yield findings.verified()


def sample(registry: Registry, count: int) -> list[Version]:
    """Return what is live, and others at random up to a number: each drill tries other ones."""
    live = [version for version in registry.versions.values() if registry.stages_of(version.name)]
    rest = [
        version for version in registry.versions.values() if version not in live and not registry.pruned(version.name)
    ]
    drawn = random.SystemRandom().sample(rest, min(len(rest), max(0, count - len(live))))
    return sorted([*live, *drawn], key=lambda version: version.key)


def _witnesses(project: Project, registry: Registry) -> Witnesses:
    remote = project.git.remote()
    followers: dict[str, list[tuple[str, str]]] = {}
    for name, kept in project.records(list(registry.versions.values()), lenient=True).items():
        parent = kept.identity.parent
        if parent:
            followers.setdefault(parent.version, []).append((name, parent.tag))
    return Witnesses(registry, remote, project.git.remote_tags(remote) if remote else {}, followers)


@contextlib.contextmanager
def _faults_of(findings: Findings) -> Iterator[None]:
    """Make an error a fault of the version that is looked at, and go on with the next."""
    try:
        yield
    except ProjectError as error:
        findings.fault(error.what, error.fix)


def _tag(project: Project, version: Version, witnesses: Witnesses, findings: Findings) -> Record | None:
    """Check the tag against its witnesses, its signature, and its record's identity; return the record if it fits."""
    _seen(project, version, witnesses, findings)
    kept, registry = project.record(version), witnesses.registry
    fits = _identity(project, version, kept, registry, findings)
    note = registry.pruned(version.name)
    if note:
        findings.proven.append(f"pruned on {day(note.at)} by {note.by}: nothing else can be derived again")
    return kept if fits else None


def _seen(project: Project, version: Version, witnesses: Witnesses, findings: Findings) -> None:
    git, name = project.git, f"{project.name}@{version.name}"
    seen = [
        (f"{event.tag_name} promoted it", event.version_tag)
        for moves in witnesses.registry.events.values()
        for event in moves
        if event.target == version.name and event.version_tag is not None
    ]
    seen += [(f"{other} was released", tag) for other, tag in witnesses.followers.get(version.name, [])]
    for moves in witnesses.registry.events.values():
        for event in moves:
            if event.target == version.name and event.commit != version.commit:
                findings.fault(
                    f"the tag {event.tag_name} is at {event.commit[:10]}, its version at {version.commit[:10]}",
                    "one of the two tags was moved or made by hand: ask who did, and compare with the remote's",
                )
    for when, tag in seen:
        if tag != version.tag:
            findings.fault(
                f"the tag {name} was edited or moved after {when}",
                f"it was the tag object {tag[:12]} then (git cat-file tag {tag[:12]} shows it)",
            )
    remote, there = witnesses.remote, witnesses.there
    if remote and there and name not in there:
        findings.fault(f"{remote} does not have the tag {name}", f"git push {remote} 'refs/tags/{name}'")
    elif remote and there and there[name] != version.tag:
        findings.fault(
            f"the tag {name} here is not the one in {remote}: one of them was edited or moved",
            f"ask who changed it; to take the remote's: git fetch {remote} '+refs/tags/{name}:refs/tags/{name}'",
        )
    count = len(seen) + bool(there)
    if remote and not there:
        findings.proven.append(f"not compared with {remote}: it lists no tags, or does not answer")
    if not findings.faults and count:
        findings.proven.append(f"the tag is the one that {count} witness{'es' * (count != 1)} saw")
    if SIGNED.search(git.tags([version.tag])[0]):
        try:
            git.run("verify-tag", version.tag)
            findings.proven.append("the signature is good")
        except GitError as error:
            findings.fault(
                f"the signature of {name} is not good: {last_line(error.stderr)}",
                "git verify-tag says more; import the signer's key, or ask who made the tag",
            )
    elif project.rules("stages", version.commit).get("sign_tags"):
        findings.fault(
            f"the tag {name} is not signed, and its commit says sign_tags: true",
            "ask who made the tag; release the next version signed",
        )


def _objects(project: Project, source: derive.Source, findings: Findings) -> None:
    """Check the version's objects: right in the cache if they are there, and listed in the remote."""
    store = project.store
    wanted = store.objects(source.outs)
    present = [oid for oid in wanted if store.path(oid).exists()]
    damaged = store.unsound(present)
    for oid in damaged:
        findings.fault(f"the cache holds other bytes for {wanted[oid]}", f"rm -f '{store.path(oid)}' && dvc fetch")
    lacking = store.lacking(wanted)
    for oid in lacking:
        here = oid in present and oid not in damaged
        push = f"model push {findings.version}"
        fix = push if here else f"in a clone that still has it: {push}"
        findings.fault(f"{wanted[oid]} is missing in the DVC remote", fix)
    if not damaged:
        findings.proven.append(f"{counted(len(present), 'object')} in the cache with the bytes that the name says")
    if not lacking:
        findings.proven.append(f"{counted(len(wanted), 'object')} seen in the DVC remote")


def _identity(project: Project, version: Version, kept: Record, registry: Registry, findings: Findings) -> bool:
    """Compare the record's identity with its tag; tell whether the record is of this version at all."""
    mismatch = project.mismatch(version, kept)
    if mismatch:
        findings.fault(mismatch, "git fetch --tags --force takes the remote's tag; ask who changed this one")
        return False
    parent = kept.identity.parent
    if version.title != f"{project.name} {version.name}: {kept.identity.title}":
        findings.fault("the tag's first line and the title in the record differ", "the tag was edited: ask who made it")
    if parent and (parent.version not in registry.versions or registry.versions[parent.version].key >= version.key):
        findings.fault(f"its parent {parent.version} is not an earlier version", "git fetch --tags, then again")
    return True


def _fields(source: derive.Source, kept: Record, verdict: Gate, findings: Findings) -> None:
    """Derive every field again."""
    before, now = kept.as_dict(), derive.derive(source, kept.identity, verdict).as_dict()
    found = differences(before, now)
    if _trained_at(before) != _trained_at(now):  # elsewhere, or once more here: this machine cannot tell
        found = [entry for entry in found if not entry[0].startswith(NOTED)]
    for key, old, new in found:
        findings.fault(
            f"{key}: the record says {_short(old)}, it is {_short(new)}",
            "the tag was edited: see who made it with git cat-file tag",
        )
    if not found:
        findings.proven.append(f"{sum(1 for _ in _leaves(before))} fields of the record derived again")


def _trained_at(kept: dict[str, Any]) -> Any:
    return (kept["governance"]["trained"] or {}).get("at")


def _short(value: Any) -> str:
    text = canonical(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and value:
        for part in value.values():
            yield from _leaves(part)
    else:
        yield value
