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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ..errors import MissingError, ProjectError
from . import restore
from .dvc_repo import Out
from .git import GitError, TakenError, last_line
from .progress import Say, silent
from .project import Project, event_message, one_line, where
from .registry import PRUNED, Registry

#: A hundred years.
MOST_DAYS = 36_500
#: The rules, and what each takes. They are checked here, too: without conf/ somebody wrote them by hand.
RULES: dict[str, Callable[[Any], bool]] = {
    "ever_live": lambda value: isinstance(value, bool),
    "last": lambda value: type(value) is int and value >= 1,
    "days": lambda value: type(value) is int and 0 <= value <= MOST_DAYS,
    "versions": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
}
#: How often a lost race for the number of the note is tried again.
RACES = 5


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
    stored: tuple[Stored, ...]
    tag: str | None = None
    done: bool = False
    sent_back: int = 0
    lost: int = 0
    notes: tuple[str, ...] = ()

    @property
    def goes(self) -> list[str]:
        return [fate.version for fate in self.fates if not fate.kept_by]


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
        known: dict[str, frozenset[str]] = {}
        first = _plan(project, known, say)
        if not yes:
            return first
        tag = _note(project, first, reason, say) if first.objects else None
        plan = _only(first, _plan(project, known, say)) if first.objects else first
        objects = sorted(plan.objects)
        if objects:
            project.store.remove_from_remote(objects, say(f"deleting {len(objects)} objects", len(objects)))
        back, lost = _give_back(project, plan, known, say)
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


def kept(registry: Registry, rules: dict[str, Any], now: dt.datetime) -> dict[str, tuple[str, ...]]:
    """Return why each version is kept; an empty tuple where no rule keeps it.

    Parameters
    ----------
    registry : Registry
    rules : dict
        The config group `retention`.
    now : datetime
    """
    found: dict[str, tuple[str, ...]] = {}
    usable = [name for name, version in registry.versions.items() if not version.withdrawn]
    last = usable[-rules["last"] :]
    ever = {event.target for moves in registry.events.values() for event in moves}
    for name, version in registry.versions.items():
        why = [f"live in {stage}" for stage in registry.stages_of(name)]
        if name in ever and rules["ever_live"] and not why:
            why.append("was live")
        if name in last:
            why.append(f"one of the last {rules['last']}")
        if not version.withdrawn and now - version.at < dt.timedelta(days=rules["days"]):
            why.append(f"released within {rules['days']} days")
        if any(fnmatchcase(name, pattern) for pattern in rules["versions"]):
            why.append("named")
        found[name] = tuple(why)
    return found


def _rules(project: Project) -> dict[str, Any]:
    rules = project.rules("retention")
    file = project.place("retention", str(rules.get("name", "default")))
    if not RULES.keys() <= rules.keys():
        how = (
            "add `- retention: default` to the defaults in conf/config.yaml and write conf/retention/default.yaml"
            if project.has_conf
            else "write a block retention: ever_live: true, last: 10, days: 90, versions: []"
        )
        raise ProjectError(
            "there are no rules for what is kept: params.yaml of this commit has no block retention",
            "nothing is deleted without a rule",
            f"{how}, then dvc repro and commit",
        )
    for key, fits in RULES.items():
        if not fits(rules[key]):
            raise ProjectError(
                f"retention.{key} is {rules[key]!r}",
                "nothing is deleted by a rule that cannot be understood",
                f"correct it in {file} (ever_live: true or false, last: 1 or more, days: 0 to {MOST_DAYS}, "
                "versions: [names]), then dvc repro and commit",
            )
    return rules


@dataclass(frozen=True)
class Needs:
    """Which objects are needed at all, which by versions that are kept, and which are those of the others."""

    needed: frozenset[str]
    by_versions: frozenset[str]
    own: dict[str, frozenset[str]]
    reasons: dict[str, tuple[str, ...]]


def _needs(project: Project, registry: Registry, known: dict[str, frozenset[str]], say: Say) -> Needs:
    """Find out what every version and every other ref needs; `known` keeps what a commit does, which never changes."""
    reasons = kept(registry, _rules(project), dt.datetime.now(dt.UTC))
    versions = registry.versions.values()
    refs = dict(_other_refs(project, registry))
    count = len(versions) + len(refs)
    tick = say(f"looking at what {len(versions)} versions and {len(refs)} other refs need", count)
    needed = set(_of_outs(project, project.store.outs(), "the workspace", strict=True)[0])
    by_versions, own = set[str](), {}
    for commit, name in refs.items():
        needed |= _objects(project, commit, name, known, strict=False)
        tick()
    for version in versions:
        mine = _objects(project, version.commit, version.name, known, strict=bool(reasons[version.name]))
        if version.commit in refs:
            reasons[version.name] += (refs[version.commit],)
        if reasons[version.name]:
            by_versions |= mine
        else:
            own[version.name] = mine
        tick()
    return Needs(frozenset(needed | by_versions), frozenset(by_versions), own, reasons)


def _plan(project: Project, known: dict[str, frozenset[str]], say: Say) -> Plan:
    """Say what goes and what that frees."""
    registry = _latest(project)
    needs = _needs(project, registry, known, say)
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
    for name, version in registry.versions.items():
        alone = needs.own.get(name, frozenset()) - needs.needed
        reasons = needs.reasons[name] or (() if alone else ("has nothing of its own",))
        mine = (alone - counted) & sizes.keys()
        counted |= mine
        fates.append(Fate(name, version.at, reasons, len(mine), sum(sizes[oid] for oid in mine)))
    stored = tuple(
        Stored(place, sum(there.values()), sum(size for oid, size in there.items() if oid in counted))
        for place, there in places.items()
    )
    return Plan(tuple(fates), frozenset(counted), stored, notes=tuple(notes))


def _latest(project: Project) -> Registry:
    remote = project.git.remote()
    if remote:
        project.git.fetch_tags(remote)
    elif project.git.remotes():
        raise ProjectError(
            "this clone has several git remotes, and none is the one that versions are shared through",
            "the note of what goes must be there before anything is deleted",
            "git push --set-upstream REMOTE BRANCH, then the same command again",
        )
    return project.registry()


def _other_refs(project: Project, registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield each commit that something else than a version's own tags names, here and in the remotes, with its name."""
    git, remotes = project.git, project.git.remotes()
    mirrored = tuple(f"refs/remotes/{remote}/" for remote in remotes)
    own: dict[str, str] = {}
    names = _own_tags(registry)
    for line in git.run("for-each-ref", "--format=%(refname) %(objectname)").splitlines():
        ref, value = line.split()
        if ref in names:
            own[ref] = value
        elif not ref.startswith(mirrored):  # a remote itself is asked for its branches, as they are now
            commit = git.commit_of(value)
            if commit:
                yield commit, _words(ref)
    for commit in git.stashes():
        yield commit, "a stash"
    for remote in remotes:
        # A tag of ours that is another one there is not ours.
        there = {
            ref: value
            for ref, value in git.remote_refs(remote, "refs/heads/*", "refs/tags/*", "refs/exps/*").items()
            if own.get(ref) != value
        }
        git.fetch_objects(remote, there)
        for ref, value in there.items():
            commit = git.commit_of(value)
            if commit:
                yield commit, f"{_words(ref)} in {remote}"
    for folder, commit in git.worktrees().items():
        if folder.parent != project.releases:
            yield commit, f"the worktree {folder.name}"


def _own_tags(registry: Registry) -> set[str]:
    """Return the tags that keep nothing by themselves: the rules say what they keep. One that does not count does."""
    name = registry.name
    found = {f"{name}@{version}{mark}" for version in registry.versions for mark in ("", "!")}
    found |= {event.tag_name for moves in registry.events.values() for event in moves}
    found |= {note.tag_name for note in registry.prunes}
    return {f"refs/tags/{tag}" for tag in found}


def _words(ref: str) -> str:
    """Return a ref as people name it."""
    for prefix, what in (("refs/heads/", "branch"), ("refs/tags/", "tag"), ("refs/remotes/", "branch")):
        if ref.startswith(prefix):
            return f"{what} {ref.removeprefix(prefix)}"
    return f"experiment {ref.rpartition('/')[2]}" if ref.startswith("refs/exps/") else ref


def _objects(
    project: Project, commit: str, name: str, known: dict[str, frozenset[str]], strict: bool
) -> frozenset[str]:
    """Return the objects that a commit needs."""
    if commit in known:
        return known[commit]
    try:
        # A branch of another kind, such as one of pages, has no DVC.
        outs = project.store.outs(commit) if project.git.run("ls-tree", commit, "--", ".dvc/config") else []
    except ProjectError as error:
        raise ProjectError(
            f"it cannot be known what {name} needs: {error.what}",
            "nothing is deleted that it may need",
            "mend it there, or delete it if nobody needs it",
        ) from None
    found, whole = _of_outs(project, outs, name, strict)
    if whole:
        known[commit] = found
    return found


def _of_outs(project: Project, outs: Iterable[Out], name: str, strict: bool) -> tuple[frozenset[str], bool]:
    """Return the objects of outputs, and whether they are all.

    Of a folder whose list is nowhere to be had nothing is stored as a whole;
    only what is kept must not be in that state.
    """
    found, whole = set[str](), True
    for out in outs:
        try:
            found |= project.store.objects([out]).keys()
        except MissingError as error:
            if strict:
                raise ProjectError(
                    f"it cannot be known what {name} needs: {error.what}",
                    "nothing is deleted that it may need",
                    f"{error.fix}; or change the rule that keeps it",
                ) from None
            found.add(out.md5)
            whole = False
    return frozenset(found), whole


def _note(project: Project, plan: Plan, reason: str, say: Say) -> str | None:
    """Write to the audit log which versions go; None if it says so already."""
    git, remote = project.git, project.git.remote()
    for _ in range(RACES):
        registry = project.registry()
        goes = [name for name in plan.goes if registry.pruned(name) is None]
        if not goes:
            return None
        counter = max((note.counter for note in registry.prunes), default=0) + 1
        name = f"{project.name}{PRUNED}{counter}"
        frees = sum(fate.bytes for fate in plan.fates if fate.version in goes)
        rules = _rules(project)
        event = {
            "schema": 1,
            "kind": "prune",
            "versions": goes,
            "bytes": frees,
            "rules": rules,
            "reason": one_line(reason),
            "actor": git.identity(),
            "where": where(),
        }
        line = f"{project.name}: what is stored for {len(goes)} versions was pruned: {_range(goes)}"
        say(f"noting {len(goes)} versions as pruned")
        try:
            sign = bool(project.rules("stages").get("sign_tags"))
            tag = git.tag_object(name, git.commit("HEAD"), event_message(line, event), sign=sign)
            git.publish({name: tag}, remote)
        except TakenError:
            if remote:
                git.fetch_tags(remote)
            continue
        except GitError as error:
            raise ProjectError(
                f"the note of what goes could not be made: {last_line(error.stderr)}",
                "nothing is deleted that the history does not say; nothing has been",
                "mend that, then the same command again",
            ) from None
        return name
    raise ProjectError("others prune at the same time", "each took the number of this note", "try again")


def _range(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _give_back(project: Project, plan: Plan, known: dict[str, frozenset[str]], say: Say) -> tuple[frozenset[str], int]:
    """Send what kept versions need and the remote lacks, by whatever came between; then free the cache of the rest.

    Returns
    -------
    frozenset of str
        What was sent.
    int
        How many objects are not here either.
    """
    store = project.store
    needs = _needs(project, _latest(project), known, say)
    lacking = needs.by_versions - store.stored().keys()
    back = frozenset(oid for oid in lacking if store.is_sound(oid))
    if back:
        store.push(back, say(f"sending {len(back)} objects that are needed", len(back)))
    if not store.is_shared:
        store.remove_from_cache(plan.objects - needs.needed)
    return back, len(lacking - back)
