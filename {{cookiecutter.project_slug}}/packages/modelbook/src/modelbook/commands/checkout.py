"""`model checkout`: the whole workspace at a version, and back."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingError, ProjectError, counted
from ..progress import Say, silent
from ..registry import derive
from ..registry.derive import Source
from ..store import dvc_repo
from ..store.git import GitError, last_line
from ..times import day
from ..workspace.project import Project, listed
from ..workspace.restore import read_json, write_json

#: There while a checkout is under way; after a crash it tells that what is half there was saved before.
JOURNAL = Path(".dvc/tmp/model-checkout.json")
BACK = "-"


@dataclass(frozen=True)
class CheckedOut:
    """Where the workspace is now.

    Attributes
    ----------
    name : str
        The version, branch or commit.
    commit : str
    before : str
        Where it was.
    outputs : int
        Tracked paths that were checked.
    """

    name: str
    commit: str
    before: str
    outputs: int


def checkout(project: Project, name: str, say: Say = silent) -> CheckedOut:
    """Put code, configuration, data, model and metrics of a version into the workspace.

    Parameters
    ----------
    project : Project
    name : str
        A version, or `-` for where the workspace was before.
    say : callable

    Raises
    ------
    ProjectError
        If something unsaved would be lost, or an object is nowhere to be had.
        The workspace is as it was then.
    """
    git = project.git
    with project.lock():
        journal = _journal(project)
        # After a crash the files may be neither here nor there, but they were safe when the journal was written.
        target = _target(project, name, journal)
        commit = git.commit(target)
        here = journal["before"] if journal else git.branch() or git.commit("HEAD")
        problems = _unsaved(project, after_crash=journal is not None)
        if problems:
            raise ProjectError(
                f"you have unsaved changes:\n{listed(problems)}",
                "a checkout would overwrite them",
                "commit them (after dvc repro or dvc add), or git stash; then run it again",
            )
        source = derive.source(git, project.store, commit, project.model_path)
        _bring(project, source, target.removeprefix(f"{project.name}@"), say)
        say(f"checking out {name}")
        write_json(project.root / JOURNAL, {"before": here, "target": target})
        try:
            _switch(project, target, commit)
        except ProjectError:
            if journal is None:
                (project.root / JOURNAL).unlink(missing_ok=True)
            raise
        dvc_repo.run(project.root, "checkout", "--force")
        (project.root / JOURNAL).unlink(missing_ok=True)
        there = target.removeprefix(f"{project.name}@")
        return CheckedOut(there, commit, project.registry().by_commit.get(here, here), len(source.outs))


def _bring(project: Project, source: Source, name: str, say: Say) -> None:
    """Have every object of a commit in the cache, whole."""
    try:
        wanted = project.store.objects(source.outs)
        bad = project.store.unsound(wanted, say(f"checking {counted(len(wanted), 'object')} of {name}", len(wanted)))
        if bad:
            project.store.fetch(bad, say(f"fetching {counted(len(bad), 'object')}", len(bad)))
    except MissingError as error:
        note = project.registry().pruned(name)
        if note is None:
            raise
        raise ProjectError(
            f"{name} was pruned: {note.by} had what is stored for it deleted on {day(note.at)}",
            error.what,
            f"to make it again from its inputs: git switch --detach {project.name}@{name} && dvc repro --pull",
        ) from None


def _journal(project: Project) -> dict[str, str] | None:
    try:
        found = read_json(project.root / JOURNAL)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"before", "target"} <= found.keys() else None


def _target(project: Project, name: str, journal: dict[str, str] | None) -> str:
    if name != BACK:
        return f"{project.name}@{project.registry().get(name).name}"
    if journal:
        # The command was killed: back is where it came from, or where it went if it was going back.
        return journal["target"] if journal["target"] == _previous(project) else journal["before"]
    before = _previous(project)
    if before is None:
        raise ProjectError(
            "there is no place to go back to",
            "this workspace has only been where it is now",
            "git switch main && dvc checkout",
        )
    return before


def _previous(project: Project) -> str | None:
    """Return the branch or commit that was checked out before; git keeps it in HEAD's log."""
    name = project.git.try_run("rev-parse", "--symbolic-full-name", "@{-1}")
    if name and name.startswith("refs/heads/"):
        return name.removeprefix("refs/heads/")
    return project.git.try_run("rev-parse", "--verify", "--quiet", "@{-1}")


def _unsaved(project: Project, after_crash: bool) -> list[str]:
    """Return what a checkout would lose; after a crash, outputs of either version are no loss: the cache has them."""
    changed = dvc_repo.unsaved(project.root)
    if after_crash:
        changed = [path for path in changed if not project.store.has_content(project.root / path)]
    lost = [f"{path} was changed since it was made" for path in changed]
    return [f"{entry[3:]} is not committed" for entry in project.git.changes()] + lost


def _switch(project: Project, target: str, commit: str) -> None:
    git = project.git
    is_version = target.startswith(f"{project.name}@")  # a branch may have the same name
    is_branch = not is_version and git.try_run("show-ref", "--verify", "--quiet", f"refs/heads/{target}") is not None
    where = [target] if is_branch else ["--detach", commit]
    try:
        if (git.branch() or git.commit("HEAD")) != (target if is_branch else commit):
            git.run("-c", "core.hooksPath=/dev/null", "switch", "--quiet", *where)
    except GitError as error:
        raise ProjectError(
            f"git could not switch to {target}: {last_line(error.stderr)}",
            "nothing was changed",
            "git status says more; fix that, then run it again",
        ) from None
