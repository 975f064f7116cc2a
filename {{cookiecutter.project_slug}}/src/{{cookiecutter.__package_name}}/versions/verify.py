"""`model verify`: derive a version's record again and compare it with the tag, field by field."""

from dataclasses import dataclass
from typing import Any

from ..errors import ProjectError
from . import derive, gate
from .git import GitError, last_line
from .interface import differences
from .project import Project
from .record import Record, canonical
from .registry import Registry, Version
from .restore import Say

#: Known only to the machine that trained; elsewhere there is nothing to compare them with.
NOTED = ("environment.platform", "environment.blas", "governance.trained")


@dataclass(frozen=True)
class Verified:
    """What was found about one version.

    Attributes
    ----------
    version : str
    faults : tuple of (str, str)
        What is wrong, and how to mend it.
    proven : tuple of str
        What was checked and found right.
    """

    version: str
    faults: tuple[tuple[str, str], ...]
    proven: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.faults


def verify(project: Project, version: Version, registry: Registry, say: Say = lambda _: None) -> Verified:
    """Verify one version: its tag, its objects in cache and remote, every field of its record.

    Parameters
    ----------
    project : Project
    version : Version
    registry : Registry
    say : callable
    """
    faults: list[tuple[str, str]] = []
    proven: list[str] = []
    _tag(project, version, registry, faults, proven)
    try:
        kept = project.record(version)
    except ProjectError as error:
        return Verified(version.name, (*faults, (error.what, error.fix)), tuple(proven))
    try:
        source = derive.source(project.git, project.store, version.commit, project.model_path)
        _objects(project, source, faults, proven)
        _fields(project, source, version, kept, registry, faults, proven, say)
    except ProjectError as error:
        faults.append((error.what, error.fix))
    return Verified(version.name, tuple(faults), tuple(proven))


def _tag(project: Project, version: Version, registry: Registry, faults: list[Any], proven: list[str]) -> None:
    """Check the tag against its witnesses: the remote, later versions, stage tags, its signature."""
    git, name = project.git, f"{project.name}@{version.name}"
    witnesses = 0
    remote = git.remote()
    if remote:
        there = git.remote_tags(remote)
        if there and there.get(name) is None:
            faults.append((f"{remote} does not have the tag {name}", f"git push {remote} 'refs/tags/{name}'"))
        elif there and there[name] != version.tag:
            fix = f"ask who changed it; to take the remote's: git fetch {remote} '+refs/tags/{name}:refs/tags/{name}'"
            faults.append((f"the tag {name} here is not the one in {remote}: one of them was edited or moved", fix))
        witnesses += bool(there)
    for event in (event for moves in registry.events.values() for event in moves if event.target == version.name):
        if event.version_tag is not None:
            witnesses += 1
            if event.version_tag != version.tag:
                fix = (
                    f"the version that was promoted was tag object {event.version_tag[:12]} (git cat-file tag shows it)"
                )
                faults.append((f"the tag {name} was edited or moved after {event.tag_name} promoted it", fix))
    for other in registry.versions.values():
        try:
            parent = project.record(other).identity.parent if other.key > version.key else None
        except ProjectError:
            continue  # its own verification tells
        if parent and parent.version == version.name:
            witnesses += 1
            if parent.tag != version.tag:
                fix = f"the tag that {other.name} followed was {parent.tag[:12]} (git cat-file tag shows it)"
                faults.append((f"the tag {name} was edited or moved after {other.name} was released", fix))
    if not faults and witnesses:
        proven.append(f"the tag is the one that {witnesses} witness{'es' * (witnesses != 1)} saw")
    message = git.run("cat-file", "tag", version.tag)
    if "-----BEGIN" in message:
        try:
            git.run("verify-tag", version.tag)
            proven.append("the signature is good")
        except GitError as error:
            fix = "git verify-tag says more; import the signer's key, or ask who made the tag"
            faults.append((f"the signature of {name} is not good: {last_line(error.stderr)}", fix))
    elif project.rules("stages").get("sign_tags"):
        faults.append(
            (f"the tag {name} is not signed, and sign_tags is true in conf/stages/", "release the next version signed")
        )


def _objects(project: Project, source: derive.Source, faults: list[Any], proven: list[str]) -> None:
    """Check the version's objects: right in the cache if they are there, and listed in the remote."""
    store = project.store
    wanted = store.objects(source.outs)
    present = [oid for oid in wanted if store.path(oid).exists()]
    damaged = store.unsound(present)
    for oid in damaged:
        path = store.path(oid)
        faults.append((f"the cache holds other bytes for {wanted[oid]}", f"rm -f '{path}' && dvc fetch"))
    lacking = store.lacking(wanted)
    for oid in lacking:
        here = oid in present and oid not in damaged
        fix = "dvc push --all-tags" if here else "in a clone that still has it: dvc push --all-tags"
        faults.append((f"the DVC remote lacks {wanted[oid]}", fix))
    if not damaged:
        proven.append(f"{len(present)} objects in the cache have the bytes that their names say")
    if not lacking:
        proven.append(f"{len(wanted)} objects are in the DVC remote")


def _fields(
    project: Project,
    source: derive.Source,
    version: Version,
    kept: Record,
    registry: Registry,
    faults: list[Any],
    proven: list[str],
    say: Say,
) -> None:
    """Derive every field again."""
    identity = kept.identity
    if (identity.name, identity.version) != (project.name, version.name):
        faults.append((f"the record calls itself {identity.name} {identity.version}", "the tag was copied or edited"))
    if identity.title != version.title.partition(": ")[2] and canonical(identity.title) not in canonical(version.title):
        faults.append(("the title line and the record differ", "the tag was edited"))
    parent = identity.parent
    if parent and (parent.version not in registry.versions or registry.versions[parent.version].key >= version.key):
        faults.append((f"its parent {parent.version} is no earlier version", "git fetch --tags, then again"))
    if kept.code.commit != version.commit:
        faults.append(
            (
                f"the tag is at {version.commit[:10]}, its record is of {kept.code.commit[:10]}: the tag was moved",
                "git fetch --tags --force",
            )
        )
        return
    verdict = gate.judge(project, source, registry, say, kept.governance.gate.against)
    now = derive.derive(source, identity, verdict).as_dict()
    before = kept.as_dict()
    compared = 0
    for key, old, new in differences(before, now):
        if new is None and key in NOTED:
            continue
        if key == "governance.trained" or (key in NOTED and old is None):
            continue  # released elsewhere; trained again here
        faults.append(
            (
                f"{key}: the record says {_short(old)}, it is {_short(new)}",
                "the tag was edited: see who made it with git cat-file tag",
            )
        )
    compared = sum(1 for _ in _leaves(before))
    if len(proven) and not faults:
        proven.append(f"{compared} fields of the record derived again")


def _short(value: Any) -> str:
    text = canonical(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _leaves(value: Any) -> Any:
    if isinstance(value, dict) and value:
        for part in value.values():
            yield from _leaves(part)
    else:
        yield value
