"""What must be in order before a version gets a name; each fault with the command that fixes it."""

import shlex
import tomllib
from dataclasses import dataclass
from typing import Any

from ..errors import ProjectError
from ..mappings import differences
from ..registry import derive
from ..registry.derive import Source
from ..settings import parse_rules
from ..store import dvc_repo
from ..store.dvc_repo import Out
from ..store.yaml_file import read_yaml
from .project import Project

#: What a commit must hold for a version to be explained and rebuilt.
NEEDED = ("dvc.yaml", "dvc.lock", "params.yaml", "evaluation.json", "environment.json", "uv.lock")
#: git's own notes of work that is not finished.
UNFINISHED = {
    "MERGE_HEAD": "a merge", "REBASE_HEAD": "a rebase", "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert",
}  # fmt: skip


#: What tools make; a merge of two of them is neither, so they are made again.
MADE = ("dvc.lock", "params.yaml", "environment.json", "metrics.json", "evaluation.json", "uv.lock")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, and what to type."""

    what: str
    fix: str


class Conflict(Problem):
    """A merge with conflicts: what is half merged cannot be judged any further."""


def repository(project: Project) -> list[Problem]:
    """Check the work tree: nothing unfinished, nothing uncommitted."""
    git = project.git
    found = []
    try:
        git.identity()
    except ProjectError as error:
        found.append(Problem(error.what, error.fix))
    for ref, what in UNFINISHED.items():
        if git.try_run("rev-parse", "--verify", "--quiet", ref):
            found.append(Problem(f"{what} is not finished", "git status says how to finish or undo it"))
    changes = git.changes()
    conflicts = [entry[3:] for entry in changes if entry[:2] in ("UU", "AA", "DU", "UD", "AU", "UA", "DD")]
    if conflicts:
        found.append(Conflict(f"merge conflicts in {', '.join(conflicts[:5])}", _resolve(project, conflicts)))
    elif changes:
        names = [entry[3:] for entry in changes]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        found.append(Problem(f"not committed: {shown}", "git add --all && git commit, or git stash"))
    hidden = git.hidden()
    if hidden:
        fix = f"git update-index --no-assume-unchanged --no-skip-worktree {' '.join(map(shlex.quote, hidden[:5]))}"
        found.append(Problem(f"git was told to ignore changes of {', '.join(hidden[:5])}", f"{fix}, then git status"))
    rejected = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.rej").split("\0")[:-1]
    if rejected:
        found.append(
            Problem(
                f"an update of the template did not fit: {', '.join(rejected[:5])}",
                "make the changes that each .rej file shows by hand, delete it, then commit",
            )
        )
    if git.is_shallow():
        found.append(Problem("this clone is shallow: it does not know its own history", "git fetch --unshallow"))
    return found


def _resolve(project: Project, conflicts: list[str]) -> str:
    """Return what ends a merge: people choose between texts, `dvc repro` makes what is made."""
    made = [name for name in conflicts if name in MADE]
    steps = []
    by_hand = [name for name in conflicts if name not in MADE]
    if by_hand:
        steps.append(f"resolve {', '.join(by_hand[:5])}")
    if any(name.endswith(".dvc") for name in by_hand):
        steps.append("for theirs of data: git checkout --theirs FILE.dvc && dvc checkout")
    torn = [name for name in made if b"<<<<<<<" in _content(project, name)]
    if torn:  # merged line by line, without the template's .gitattributes
        steps.append(f"git checkout --ours {' '.join(torn)}")
    if "uv.lock" in made:
        steps.append("uv lock")
    return ", then ".join([*steps, "dvc repro", "git add --all && git commit --no-edit"])


def _content(project: Project, name: str) -> bytes:
    try:
        return (project.root / name).read_bytes()
    except OSError:
        return b""


def branch(project: Project, remote: str | None) -> list[Problem]:
    """Check that the branch can be pushed."""
    git = project.git
    name = git.branch()
    if name is None:
        # A commit that a branch of the remote has needs no branch to be pushed: so CI releases.
        contained = git.try_run("branch", "--remotes", "--contains", "HEAD")
        if remote and contained:
            return []
        return [
            Problem(
                "HEAD is detached: the released commit would be on no branch", "git switch main, or git switch -c NAME"
            )
        ]
    if remote:
        there = git.try_run("rev-parse", "--verify", "--quiet", f"refs/remotes/{remote}/{name}")
        if there and not git.is_ancestor(there, "HEAD"):
            return [
                Problem(
                    f"{remote}/{name} has commits that are not here", "git pull, then dvc repro and commit what changes"
                )
            ]
    return []


def pipeline(project: Project) -> list[Problem]:
    """Check that what is committed is what `conf/`, data and code make."""
    absent = [name for name in NEEDED if project.git.file("HEAD", name) is None]
    if absent:
        names = ", ".join(absent)
        return [Problem(f"not committed: {names}", "dvc repro, then git add --all && git commit")]
    found = lock_file(project)
    problem = stale_params(project)
    if problem:
        found.append(Problem(problem.what, f"{problem.fix}, then git add --all && git commit"))
    try:
        found += _stale(project)
    except ProjectError as error:
        return [*found, Problem(error.what, error.fix)]
    if not project.store.has_remote():
        found.append(
            Problem("there is no DVC remote", "dvc remote add --default storage FOLDER-OR-URL, then commit .dvc/config")
        )
    return found + _untracked_inputs(project)


def lock_file(project: Project) -> list[Problem]:
    """Check that `uv.lock` locks the environment, and that git has what it takes from this folder."""
    content = project.git.file("HEAD", "uv.lock") or b""
    try:
        locked = tomllib.loads(content.decode("utf-8-sig")).get("package", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return [Problem("uv.lock cannot be read", "git checkout uv.lock, or uv lock")]
    if locked:
        sources = [source for entry in locked for source in _local(entry.get("source", {})) if source != "."]
        in_git = project.git.files("HEAD") if sources else []
        return [
            Problem(
                f"{source}, from which uv.lock installs a package, is not in git",
                f"git add --force {shlex.quote(source)}, then commit; what lies elsewhere must be copied here first",
            )
            for source in sources
            if not any(f"{name}/".startswith(f"{source}/") for name in in_git)
        ]
    return [
        Problem(
            "uv.lock locks no versions, so the environment cannot be rebuilt",
            "uv lock && uv sync (with pip: pip install uv && uv lock), then dvc repro and commit",
        )
    ]


def _local(source: dict[str, str]) -> list[str]:
    """Return the file or folder of a source in `uv.lock`, if it is one."""
    return [source[kind] for kind in ("path", "directory", "editable", "virtual") if kind in source]


def stale_params(project: Project) -> Problem | None:
    """Return why `params.yaml` is not what `conf/` composes to, or None; without `conf/` it is written by hand."""
    try:
        if not project.has_conf:
            return _by_hand(project)
        composed = project.composed
    except ProjectError as error:
        return Problem(error.what, error.fix)
    try:
        present = (project.root / "params.yaml").read_bytes()
    except FileNotFoundError:
        return Problem("there is no params.yaml", "dvc repro")
    if composed.encode() == present:
        return None
    try:
        old, new = read_yaml(present, "params.yaml"), read_yaml(composed.encode(), "conf")
    except ProjectError as error:
        return Problem(error.what, "rm params.yaml && dvc repro")
    changed = [f"{key} is {a!r}, conf/ says {b!r}" for key, a, b in differences(old, new)]
    what = f"params.yaml is not what conf/ composes to ({'; '.join(changed[:3]) or 'other layout'})"
    return Problem(what, _keep_or_drop(project, present))


def _by_hand(project: Project) -> Problem | None:
    """Return what is wrong in a `params.yaml` that nothing composes."""
    try:
        # In this process: it takes no package of the extra `train`.
        parse_rules(read_yaml((project.root / "params.yaml").read_bytes(), "params.yaml"))
    except FileNotFoundError:
        return Problem("there is no params.yaml", "model init")
    except ProjectError as error:
        return Problem(error.what, "correct params.yaml, then dvc repro")
    return None


def _keep_or_drop(project: Project, params: bytes) -> str:
    """Return what to type so that nobody's values get lost: an experiment's, an edit by hand, or those of conf/."""
    if _recorded_params(project) != dvc_repo.name_of(params):
        return "write the values that you want to keep into the files of conf/, then rm params.yaml && dvc repro"
    # Forced: after `dvc exp apply` DVC finds nothing to do, for conf/ has not changed.
    compose = "dvc repro --force compose, then dvc repro"
    experiments = _experiments_with(project, params)
    if experiments:
        return f"to keep this experiment: model adopt {experiments[0]}, then dvc repro; to drop it: {compose}"
    return f"{compose} (drops an experiment's values; to keep them: model adopt EXPERIMENT, then dvc repro)"


def _recorded_params(project: Project) -> str | None:
    """Return the md5 of `params.yaml` that `dvc.lock` has, whatever is wrong with DVC's other files."""
    file = project.root / "dvc.lock"
    stages = (read_yaml(file.read_bytes(), "dvc.lock").get("stages") or {}) if file.exists() else {}
    outs = [out for entry in stages.values() for out in entry.get("outs", [])]
    return next((out.get("md5") for out in outs if out["path"] == "params.yaml"), None)


def _experiments_with(project: Project, params: bytes) -> list[str]:
    """Return the names of the experiments that have this `params.yaml`."""
    refs = project.git.run("for-each-ref", "--format=%(refname)", "refs/exps/").splitlines()
    refs = [ref for ref in refs if "/exec/" not in ref]
    return [ref.rpartition("/")[2] for ref in refs if project.git.file(ref, "params.yaml") == params]


def _stale(project: Project) -> list[Problem]:
    """Name the stages that are out of date; where only `dvc checkout` or `dvc pull` was forgotten, say that alone."""
    stale = dvc_repo.stale(project.root)
    tracked = {out.path: out for out in project.store.outs() if out.cached}
    named = [entry for reasons in stale.values() for entry in _paths(reasons)]
    outs = {path: tracked[path] for kind, path in named if kind == "changed outs" and path in tracked}
    # An input that is as its .dvc file says, and other than it was trained on, is a reason to train.
    if outs and all(_is_in(outs, path) for _, path in named) and not dvc_repo.unsaved(project.root):
        first = sorted(outs, key=lambda path: not outs[path].is_input)[:5]
        names = ", ".join(first) + (f" and {len(outs) - 5} more" if len(outs) > 5 else "")
        here = all(project.store.path(out.md5).exists() for out in outs.values())
        what = f"missing in the workspace, or from another commit: {names}"
        return [Problem(what, "dvc checkout" if here else "dvc pull")]
    return [Problem(f"{stage} is out of date: {_words(why)}", _fix(stage)) for stage, why in stale.items()]


def _is_in(outs: dict[str, Out], path: str) -> bool:
    return path in outs or any(path.startswith(f"{name}/") for name in outs)


def _paths(reasons: Any) -> list[tuple[str, str]]:
    """Return the kind and the path of each of DVC's reasons; a reason of another form counts as a path."""
    found = []
    for reason in reasons if isinstance(reasons, list) else [reasons]:
        for kind, paths in reason.items() if isinstance(reason, dict) else [("", reason)]:
            found += [(kind, path) for path in (paths if isinstance(paths, dict) else [str(paths)])]
    return found


def _words(reasons: Any) -> str:
    """Put DVC's reasons into words."""
    said = []
    for reason in reasons if isinstance(reasons, list) else [reasons]:
        if isinstance(reason, str):
            said.append(reason)
            continue
        for kind, paths in reason.items():
            changes = [f"{path} {state}" for path, state in paths.items()] if isinstance(paths, dict) else [str(paths)]
            said.append(f"{kind.replace('changed ', '')}: {', '.join(changes[:3])}")
    return "; ".join(said[:3])


def _fix(stage: str) -> str:
    if stage.endswith(".dvc"):
        data = stage.removesuffix(".dvc")
        return f"dvc add {data} (takes the change) or dvc checkout {stage} (drops it), then dvc repro and commit"
    return "dvc repro, then git add --all && git commit"


def _untracked_inputs(project: Project) -> list[Problem]:
    """Check that everything that a stage reads is kept by DVC or by git."""
    source = derive.source(project.git, project.store, "HEAD", project.model_path)
    tracked = [out.path for out in source.outs]
    in_git, submodules = project.git.files("HEAD"), project.git.submodules("HEAD")
    found = []
    for stage, deps in derive.stage_deps(source).items():
        for path in deps:
            by_dvc = any(path == t or path.startswith(f"{t}/") for t in tracked)
            inside = next((name for name in submodules if path == name or path.startswith(f"{name}/")), None)
            if inside:
                found.append(
                    Problem(
                        f"{path}, which {stage} reads, is in the submodule {inside}: git leaves it out of worktrees, "
                        "so no release directory would have it",
                        "put its files into the project, or install it as a package (uv add git+URL)",
                    )
                )
            elif not by_dvc and path not in in_git and not any(name.startswith(f"{path}/") for name in in_git):
                found.append(
                    Problem(
                        f"{path}, which {stage} reads, is tracked by neither DVC nor git",
                        f"dvc add {path}, then commit",
                    )
                )
    return found


def objects(project: Project, source: Source) -> list[Problem]:
    """Check that files of git which stages made are those that they made, and that no folder's list is lost."""
    found = []
    for out in source.outs:
        if not out.cached and out.md5:
            content = project.git.file(source.commit, out.path) or b""
            if dvc_repo.name_of(content) != out.md5:
                found.append(
                    Problem(f"{out.path} is not what {out.source} made", "dvc repro, then git add --all && git commit")
                )
        elif not out.md5:
            found.append(Problem(f"dvc.lock does not name {out.path}", "dvc repro, then commit"))
    try:
        project.store.objects(source.outs)
    except ProjectError as error:
        found.append(Problem(error.what, "dvc pull, or dvc repro --force"))
    return found
