"""Which objects are needed, and by what: what `model prune` must not delete.

Rules in `conf/retention/` say which versions are kept. Whatever else somebody
named is kept, too: every branch, tag, stash, experiment and worktree, here and
in each git remote, as they are now.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..errors import MissingError, ProjectError, counted
from ..progress import Say
from ..registry.registry import Registry
from ..store.dvc_repo import Store
from ..workspace.project import Project

#: A hundred years.
MOST_DAYS = 36_500
#: The rules, and what each takes. They are checked here, too: without conf/ somebody wrote them by hand.
RULES: dict[str, Callable[[Any], bool]] = {
    "ever_live": lambda value: isinstance(value, bool),
    "last": lambda value: type(value) is int and value >= 1,
    "days": lambda value: type(value) is int and 0 <= value <= MOST_DAYS,
    "versions": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
}


@dataclass(frozen=True)
class Needs:
    """What is needed, and why.

    Attributes
    ----------
    registry : Registry
        As it was when this was found.
    objects : frozenset of str
        Everything that is needed.
    by_versions : frozenset of str
        The part that versions need which are kept.
    own : dict
        The objects of each version that nothing keeps; others may need some of them.
    reasons : dict
        What keeps each version; an empty tuple: nothing.
    """

    registry: Registry
    objects: frozenset[str]
    by_versions: frozenset[str]
    own: dict[str, frozenset[str]]
    reasons: dict[str, tuple[str, ...]]


def find(project: Project, rules: dict[str, Any], known: dict[str, frozenset[str]], say: Say) -> Needs:
    """Find out what every version and everything else needs, here and in the git remotes, as they are now.

    Parameters
    ----------
    project : Project
    rules : dict
        The config group `retention`.
    known : dict
        Filled with what each commit needs, which never changes: for the next look.
    say : callable

    Raises
    ------
    ProjectError
        If it cannot be known: a git remote is away, or a version that is kept is damaged.
    """
    registry = _latest(project)
    reasons = kept(registry, rules, dt.datetime.now(dt.UTC))
    versions = registry.versions.values()
    refs = dict(_other_refs(project, registry))
    count = len(versions) + len(refs)
    tick = say(f"looking at what {counted(len(versions), 'version')} and {counted(len(refs), 'other ref')} need", count)
    needed = set(_of_outs(project.store, "the workspace", "", strict=True)[0])
    for folder in _worktrees(project):
        # What is not committed there counts, too, and may be in no other cache than its own.
        if folder.resolve() != project.root.resolve() and (folder / ".dvc" / "config").is_file():
            needed |= _of_outs(Store(folder), f"the worktree {folder.name}", "", strict=False)[0]
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
    return Needs(registry, frozenset(needed | by_versions), frozenset(by_versions), own, reasons)


def kept(registry: Registry, rules: dict[str, Any], now: dt.datetime) -> dict[str, tuple[str, ...]]:
    """Return why each version is kept; an empty tuple where no rule keeps it.

    Parameters
    ----------
    registry : Registry
    rules : dict
        The config group `retention`.
    now : datetime
    """
    reasons: dict[str, tuple[str, ...]] = {}
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
        reasons[name] = tuple(why)
    return reasons


def rules_of(project: Project) -> dict[str, Any]:
    """Return the config group `retention` of the commit that is checked out, checked."""
    rules = project.rules_in_force("retention")
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
    for folder, commit in _worktrees(project).items():
        yield commit, f"the worktree {folder.name}"


def _worktrees(project: Project) -> dict[Path, str]:
    """Return the commit of each worktree that is no release directory."""
    ours = project.releases.resolve()
    return {folder: commit for folder, commit in project.git.worktrees().items() if folder.parent.resolve() != ours}


def _own_tags(registry: Registry) -> set[str]:
    """Return the tags that keep nothing by themselves: the rules say what they keep. One that does not count does."""
    name = registry.name
    names = {f"{name}@{version}{mark}" for version in registry.versions for mark in ("", "!")}
    names |= {event.tag_name for moves in registry.events.values() for event in moves}
    names |= {note.tag_name for note in registry.prunes}
    return {f"refs/tags/{tag}" for tag in names}


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
    # A branch of another kind, such as one of pages, has no DVC.
    if not project.git.run("ls-tree", commit, "--", ".dvc/config"):
        return frozenset()
    needed, whole = _of_outs(project.store, name, commit, strict)
    if whole:
        known[commit] = needed
    return needed


def _of_outs(store: Store, name: str, rev: str, strict: bool) -> tuple[frozenset[str], bool]:
    """Return the objects of the outputs of a commit, or of the workspace, and whether they are all.

    Of a folder whose list is nowhere to be had nothing is stored as a whole;
    only what is kept must not be in that state. A damaged list stops the prune:
    its files may be there.
    """
    needed, whole = set[str](), True
    try:
        for out in store.outs(rev):
            try:
                needed |= store.objects([out]).keys()
            except MissingError:
                if strict:
                    raise
                needed.add(out.md5)
                whole = False
    except ProjectError as error:
        raise ProjectError(
            f"it cannot be known what {name} needs: {error.what}",
            "nothing is deleted that it may need",
            f"{error.fix}; or {'change the rule that keeps it' if strict else 'delete it if nobody needs it'}",
        ) from None
    return frozenset(needed), whole
