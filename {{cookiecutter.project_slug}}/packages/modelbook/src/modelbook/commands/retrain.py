"""`model retrain`: train on fresh data, and put what passes the gate on a branch for review."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError
from ..progress import Say, silent
from ..store import dvc_repo
from ..store.yaml_file import read_yaml
from ..workspace import checks
from ..workspace.project import Project, listed
from . import report
from .gate import failed_rules

#: The branch belongs to this command: each time it is made anew from the branch that is checked out.
BRANCH = "retrain"
TITLE = "Retrain on fresh data"


@dataclass(frozen=True)
class Retrained:
    """What came of it.

    Attributes
    ----------
    what : str
        In a sentence.
    branch : str or None
        What was pushed; None if there is nothing to review.
    page : Path or None
        The report.
    """

    what: str
    branch: str | None = None
    page: Path | None = None


def retrain(project: Project, folder: Path, scheduled: bool = False, say: Say = silent) -> Retrained:
    """Bring imported data up to date, train, judge, commit and push.

    Parameters
    ----------
    project : Project
    folder : Path
        For the report.
    scheduled : bool
        Do nothing unless `conf/retraining/` says `weekly: true`.
    say : callable

    Raises
    ------
    ProjectError
        If something is not committed, nothing is imported, or the new model
        does not pass the gate. Nothing has been pushed then.
    """
    git = project.git
    if scheduled and not project.rules("retraining").get("weekly"):
        return Retrained("nothing to do: conf/retraining/ says weekly: false")
    wrong = checks.repository(project)
    if wrong:
        raise ProjectError(f"nothing was done: {wrong[0].what}", "a retraining starts from a commit", wrong[0].fix)
    remote = git.remote()
    if remote is None:
        raise ProjectError("there is no git remote", "the branch is for others to review", "git remote add origin URL")
    imports = [
        path
        for path in git.files("HEAD")
        if path.endswith(".dvc") and read_yaml((git.root / path).read_bytes(), path).get("deps")
    ]
    if not imports:
        raise ProjectError(
            "no data is imported, so none can be updated",
            "`dvc add` does not note where data came from; dvc import-url and dvc import do",
            "dvc import-url URL data/raw (or dvc import), commit; or weekly: false in conf/retraining/",
        )
    say(f"bringing {', '.join(imports)} up to date")
    dvc_repo.run(git.root, "update", *imports)
    say("training")
    dvc_repo.run(git.root, "repro", "--pull", "--allow-missing")
    if not git.changes():
        return Retrained("the data has not changed, so nothing was trained")
    written = report.report(project, folder, None, say)
    if not written.verdict.passed:
        problems = [
            problem.what for problem in failed_rules(written.verdict, project.place("gate", written.verdict.name))
        ]
        raise ProjectError(
            f"the model of the fresh data does not pass:\n{listed(problems)}",
            "nothing was committed or pushed; what is live is as it was",
            f"read {written.page}, then try another model or other data",
        )
    say("storing")
    dvc_repo.run(git.root, "push")
    git.run("switch", "--quiet", "--force-create", BRANCH)
    git.run("commit", "--quiet", "--all", "--message", TITLE)
    git.push(remote, f"HEAD:refs/heads/{BRANCH}", options=("--force",))
    return Retrained("a model of the fresh data passes the gate", BRANCH, written.page)
