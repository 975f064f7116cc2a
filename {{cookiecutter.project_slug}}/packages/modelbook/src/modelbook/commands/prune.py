"""`model prune`: free what is stored for versions that no rule keeps.

Rules stand in `conf/retention/`. A version that goes loses only the objects
that nothing else needs: no version that is kept, no branch, no other tag, no
experiment, no worktree, here or in the git remote. Its tag and record stay.

The order makes it safe. First a tag notes which versions go, so that whoever
promotes or rolls back from then on knows. Then all refs are read again; only
then objects are deleted, in the remote first. Then refs are read once more: what
somebody released or promoted meanwhile gets its objects back from the cache.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..errors import ProjectError, counted
from ..progress import Say, silent
from ..registry import event
from ..registry.event import PruneEvent
from ..registry.registry import PRUNED, Registry
from ..workspace import restore
from ..workspace.project import Project, one_line
from ..workspace.publish import NewTag, publish_next
from . import needs
from .needs import Needs


@dataclass(frozen=True)
class Fate:
    """What becomes of a version.

    Attributes
    ----------
    version : str
    at : datetime
        When it was released.
    kept_by : tuple of str
        What needs it; nothing: its objects go.
    objects, bytes : int
        What only it and others that go need, and is still stored; an object of several counts for the first.
    """

    version: str
    at: dt.datetime
    kept_by: tuple[str, ...]
    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Stored:
    """How many bytes a place holds, and how many of them go."""

    place: str
    bytes: int
    frees: int

    @property
    def after(self) -> int:
        return self.bytes - self.frees


@dataclass(frozen=True)
class Plan:
    """What a prune deletes, or has deleted.

    Attributes
    ----------
    fates : tuple of Fate
        Of every version.
    objects : frozenset of str
        What goes.
    rules : dict
        What was asked for.
    stored : tuple of Stored
        Remote and cache.
    tag : str or None
        The note in the audit log; None if nothing was deleted, or an earlier note says it.
    done : bool
    sent_back : int
        Objects that kept versions need and the remote lacked: deleted by a prune that knew nothing of them, or lost.
    lost : int
        The same, but they are not here either.
    notes : tuple of str
    """

    fates: tuple[Fate, ...]
    objects: frozenset[str]
    rules: dict[str, Any]
    stored: tuple[Stored, ...]
    tag: str | None = None
    done: bool = False
    sent_back: int = 0
    lost: int = 0
    notes: tuple[str, ...] = ()

    @property
    def goes(self) -> list[str]:
        return [fate.version for fate in self.fates if not fate.kept_by]

    @property
    def complete(self) -> bool:
        """Tell whether all that kept versions need is stored."""
        return not self.lost


def prune(project: Project, reason: str = "", yes: bool = False, say: Say = silent) -> Plan:
    """Find what no rule keeps, and delete what is stored for it alone.

    Parameters
    ----------
    project : Project
    reason : str
        For the audit log; left out: the rules.
    yes : bool
        Delete. Without it nothing changes.
    say : callable

    Returns
    -------
    Plan

    Raises
    ------
    ProjectError
        If it cannot be known what is needed: the git remote is away, or a
        version that is kept is damaged. Nothing has been deleted then.
    """
    with project.lock():
        rules = needs.rules_of(project)
        look = partial(needs.find, project, rules, {}, say)
        first = _plan(project, rules, look, say)
        if not yes:
            return first
        tag = _note(project, first, reason, say) if first.objects else None
        plan = _only(first, _plan(project, rules, look, say)) if first.objects else first
        objects = sorted(plan.objects)
        if objects:
            project.store.remove_from_remote(objects, say(f"deleting {counted(len(objects), 'object')}", len(objects)))
        back, lost = _give_back(project, plan, look, say)
        registry = project.registry()
        for name in plan.goes:
            restore.remove(project, registry.versions[name])
        return replace(plan, objects=plan.objects - back, tag=tag, done=bool(objects), sent_back=len(back), lost=lost)


def _only(first: Plan, second: Plan) -> Plan:
    """Return what both plans delete: what was noted, and what nobody needs since."""
    noted = set(first.goes)
    fates = tuple(
        fate if fate.kept_by or fate.version in noted else replace(fate, kept_by=("was kept when this began",))
        for fate in second.fates
    )
    return replace(second, fates=fates, objects=first.objects & second.objects)


def _plan(project: Project, rules: dict[str, Any], look: Callable[[], Needs], say: Say) -> Plan:
    """Say what goes and what that frees."""
    needed = look()
    say("looking at what is stored")
    store, notes = project.store, []
    places = {store.place: store.stored()}
    if store.is_shared:
        notes.append(f"the cache {store.cache} is not this clone's alone, so only the remote is pruned")
    else:
        places["the cache"] = store.cached()
    sizes = {oid: size for there in places.values() for oid, size in there.items()}
    counted: set[str] = set()
    fates = []
    for name, version in needed.registry.versions.items():
        alone = needed.own.get(name, frozenset()) - needed.objects
        reasons = needed.reasons[name] or (() if alone else ("has nothing of its own",))
        mine = (alone - counted) & sizes.keys()
        counted |= mine
        fates.append(Fate(name, version.at, reasons, len(mine), sum(sizes[oid] for oid in mine)))
    stored = tuple(
        Stored(place, sum(there.values()), sum(size for oid, size in there.items() if oid in counted))
        for place, there in places.items()
    )
    asked = {key: rules[key] for key in needs.RULES}
    goes = {fate.version for fate in fates if not fate.kept_by}
    for stage in needed.registry.events:
        good = needed.registry.good_before(stage)
        if good and goes.issuperset(good):
            notes.append(f"{stage} could not be rolled back any more: {', '.join(good)} would go")
    return Plan(tuple(fates), frozenset(counted), asked, stored, notes=tuple(notes))


def _note(project: Project, plan: Plan, reason: str, say: Say) -> str | None:
    """Write to the audit log which versions go; None if it says so already."""
    git = project.git

    def propose(registry: Registry) -> NewTag | None:
        goes = tuple(name for name in plan.goes if registry.pruned(name) is None)
        if not goes:
            return None
        frees = sum(fate.bytes for fate in plan.fates if fate.version in goes)
        line = f"{project.name}: what is stored for {counted(len(goes), 'version')} was pruned: {_range(goes)}"
        said = PruneEvent(goes, frees, plan.rules, one_line(reason), git.identity(), event.here())
        say(f"noting {counted(len(goes), 'version')} as pruned")
        return NewTag(
            name=f"{project.name}{PRUNED}{max((note.counter for note in registry.prunes), default=0) + 1}",
            commit=git.commit("HEAD"),
            message=event.message(line, said),
            still="nothing is deleted that the history does not say; nothing has been",
        )

    taken = ProjectError("others prune at the same time", "each took the number of this note", "try again")
    tag = publish_next(project, git.remote(), propose, taken)
    return tag.name if tag else None


def _range(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _give_back(project: Project, plan: Plan, look: Callable[[], Needs], say: Say) -> tuple[frozenset[str], int]:
    """Send what kept versions need and the remote lacks, by whatever came between; then free the cache of the rest.

    Returns
    -------
    frozenset of str
        What was sent.
    int
        How many objects are not here either.
    """
    store = project.store
    needed = look()
    lacking = needed.by_versions - store.stored().keys()
    back = frozenset(oid for oid in lacking if store.is_sound(oid))
    if back:
        store.push(back, say(f"sending {counted(len(back), 'needed object')}", len(back)))
    if not store.is_shared:
        store.remove_from_cache(plan.objects - needed.objects)
    return back, len(lacking - back)
