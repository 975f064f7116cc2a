"""`model status`: what is live, what is newer, and what is wrong with the exact fix."""

import shlex
from dataclasses import dataclass

from ..errors import ProjectError, UnavailableError, counted
from ..progress import Say, silent
from ..registry import registry
from ..registry.registry import Event, Registry
from ..workspace import checks
from ..workspace.checks import Problem
from ..workspace.project import Project


@dataclass(frozen=True)
class Live:
    """A stage and what it holds."""

    stage: str
    version: str | None
    event: Event
    newer: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """The state of a project.

    Attributes
    ----------
    name : str
        The model's name.
    latest : str or None
        The highest version.
    here : str or None
        The version of the commit that is checked out.
    live : tuple of Live
    problems : tuple of Problem
    """

    name: str
    latest: str | None
    here: str | None
    live: tuple[Live, ...]
    problems: tuple[Problem, ...]


def status(project: Project, say: Say = silent) -> Status:
    """Look at everything that a release, a promotion or a restore could stumble over, remotes included."""
    say("looking at tags, files and remotes")
    known = project.registry()
    here = known.by_commit.get(project.git.commit("HEAD"))
    live = []
    for stage, moves in known.events.items():
        held = known.live(stage)
        newer = [
            version.name
            + (" (quarantined)" if known.quarantined_by(version.name) else "")
            + (" (pruned)" if known.pruned(version.name) else "")
            for version in known.versions.values()
            if held and version.key > registry.version_key(held) and not version.withdrawn
        ]
        live.append(Live(stage, held, moves[-1], tuple(newer)))
    remote = project.git.remote()
    there = project.git.remote_tags(remote) if remote else {}
    mine = project.git.tag_names("refs/tags")
    late = [name for name in there if name.startswith((f"{project.name}@", f"{project.name}#")) and name not in mine]
    # A tag that seems wrong may only lack what was not fetched yet.
    problems = [_late(remote, late)] if remote and late else _tags(known)
    problems += checks.repository(project)
    if project.git.branch() is None and here is None:
        problems.append(
            Problem("HEAD is detached: new commits would belong to no branch", "git switch main, or model checkout -")
        )
    if not any(isinstance(problem, checks.Conflict) for problem in problems):
        try:
            problems += checks.pipeline(project)
        except ProjectError as error:
            problems.append(Problem(error.what, error.fix))
    problems += _unpushed(project, known, remote, there) + _unrestorable(project, known)
    unique = {problem.what: problem for problem in problems}
    return Status(project.name, next(reversed(known.versions), None), here, tuple(live), tuple(unique.values()))


def _tags(known: Registry) -> list[Problem]:
    return [
        Problem(
            f"the tag {tag.name} does not count: {tag.why}",
            f"git tag -d {shlex.quote(tag.name)} (and in the remote: git push --delete), then use the model command",
        )
        for tag in known.odd
    ]


def _late(remote: str, late: list[str]) -> Problem:
    many = f"{len(late)} tags that are" if len(late) > 1 else "a tag that is"
    return Problem(f"{remote} has {many} not here, such as {late[0]}", f"git fetch --tags {remote}")


def _unpushed(project: Project, known: Registry, remote: str | None, there: dict[str, str]) -> list[Problem]:
    if remote is None:
        return [
            Problem(
                "there is no git remote: versions and stages are known to this clone alone",
                "git remote add origin URL && git push origin main --tags",
            )
        ]
    if not there:
        if known.versions:
            return [
                Problem(
                    f"{remote} lists no tags: it has none yet, or does not answer",
                    f"git fetch {remote}; if it has none: git push {remote} --tags",
                )
            ]
        return []
    mine = {f"{project.name}@{v.name}": v.tag for v in known.versions.values()}
    ours = [*mine, *(event.tag_name for moves in known.events.values() for event in moves)]
    ours += [note.tag_name for note in known.prunes]
    lacking = [name for name in ours if name not in there]
    problems = []
    if lacking:
        names = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
        pushes = " ".join(shlex.quote(f"refs/tags/{name}") for name in lacking)
        what = f"{names} {'is' if len(lacking) == 1 else 'are'} not in {remote}"
        problems.append(Problem(what, f"git push {remote} {pushes if len(lacking) <= 3 else '--tags'}"))
    problems += [
        Problem(f"{name} in {remote} is another tag than the one here", f"model verify {name.rpartition('@')[2]}")
        for name, tag in mine.items()
        if there.get(name, tag) != tag
    ]
    return problems


def _unrestorable(project: Project, known: Registry) -> list[Problem]:
    """Find live versions, and the latest, whose model the DVC remote does not have."""
    wanted = dict.fromkeys([v for stage in known.events if (v := known.live(stage))] + list(known.versions)[-1:])
    problems: list[Problem] = []
    if not project.store.has_remote():
        return problems
    try:
        folder = project.store.absent_folder()
    except ProjectError as error:
        return [Problem(error.what, error.fix)]
    if wanted and folder:
        fix = "mount it, or say where it is now: dvc remote modify storage url FOLDER"
        return [Problem(f"the storage folder {folder} is not there: no version can be restored elsewhere", fix)]
    for name in wanted:
        try:
            kept = project.record(known.versions[name])
            store = project.store
            objects = {kept.model.md5, *store.members(kept.model.md5).values()}
            lacking = store.lacking(objects)
        except UnavailableError as error:
            return [Problem(error.what, error.fix)]  # so it would be with each
        except ProjectError as error:
            problems.append(Problem(f"{name} cannot be restored: {error.what}", error.fix))
            continue
        if lacking:
            problems.append(
                Problem(
                    f"{name} cannot be restored elsewhere: the DVC remote lacks "
                    f"{counted(len(lacking), 'object')} of its model",
                    f"model push {name}",
                )
            )
    return problems
