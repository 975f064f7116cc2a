"""Release directories: a version as it was, with the proof that it works.

`.releases/v1.2.0/` is a git worktree at the tag with the model in place, every
hash checked, the golden rows replayed. It is built beside its place and moved
there when all is proven, so what a stage holds is never rebuilt in place.
"""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ..errors import ProjectError, counted
from ..progress import Say, silent
from ..registry.record import Record, digest
from ..registry.registry import Version
from ..store import dvc_repo
from ..store.git import AS_COMMITTED, Git, GitError
from . import interpreter
from .project import Project, code_of, failure

#: A model that needs longer than this for its few golden rows has hung.
REPLAY_SECONDS = 1800
#: What a replaying Python runs: imports first, then the module of the folder that one line of JSON names, as
#: `python -m` there would. No line: whoever started it is gone. Imports leave no garbage to look for, and skops is
#: imported as `model_file.skops_io` does.
REPLAY = """
import gc, importlib, json, os, runpy, sys
gc.disable()
import pandas, sklearn.utils
every, sklearn.utils.all_estimators = sklearn.utils.all_estimators, list
import skops.io
sklearn.utils.all_estimators = every
gc.enable()
line = sys.stdin.readline()
if not line:
    sys.exit(1)
folder, path, module = json.loads(line)
os.chdir(folder)
sys.path[:] = [folder, *path, *(entry for entry in sys.path if entry)]
sys.argv[1:] = []
importlib.invalidate_caches()
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Release:
    """A version that is there and works.

    Attributes
    ----------
    version : Version
    record : Record
    folder : Path
        The release directory.
    python : str
        The interpreter that has its packages.
    checks : tuple of str
        What was proven, for the audit log.
    """

    version: Version
    record: Record
    folder: Path
    python: str
    checks: tuple[str, ...]


def materialise(project: Project, version: Version, say: Say = silent) -> Release:
    """Make sure that a version's release directory is there, whole and proven.

    Parameters
    ----------
    project : Project
    version : Version
    say : callable
        Told what is being done.

    Returns
    -------
    Release

    Raises
    ------
    ProjectError
        If an object is nowhere to be had, a hash is wrong, or the model
        answers its golden rows differently. Nothing else has changed then.
    """
    kept = project.record(version)
    mismatch = project.mismatch(version, kept)
    if mismatch:
        raise ProjectError(
            mismatch,
            "a version is trusted because its tag never changes",
            f"git fetch --tags --force brings the remote's tag back; compare with: model verify {version.name}",
        )
    with project.lock(f"release-{version.name}"):
        folder = project.releases / version.name
        proof = project.releases / f"{version.name}.json"
        known = _proof(project, version, kept, proof)
        if known is None or not _is_whole(folder, version.commit, project.model_path, known["files"]):
            say(f"materialising {version.name} in {folder.relative_to(project.root)}")
            discard(project, "building", version)
            building = scratch(project, "building", version)
            try:
                made = _build(project, version, kept, building, known, say)
                _move_into_place(project, version, building, folder)
            finally:
                discard(project, "building", version)
            if made is not known:
                write_json(proof, made)
                return Release(version, kept, folder, made["python"], _checks(kept, "replayed now"))
        return Release(version, kept, folder, known["python"], _checks(kept, f"replayed at {known['at']}"))


def _checks(kept: Record, replayed: str) -> tuple[str, ...]:
    return (
        f"model sha256 {kept.model.sha256[:12]}",
        f"{counted(kept.interface.golden.rows, 'golden row')} {replayed}",
    )


def _model_name(project: Project, kept: Record) -> str:
    return kept.model.path.removeprefix(f"{project.model_path}/")


def _proof(project: Project, version: Version, kept: Record, file: Path) -> dict[str, Any] | None:
    """Return the note of a replay here, if it was of the recorded model and would end the same way now.

    A replay is a pure function of code, model and packages: with the same
    commit, the same bytes and the same installed packages it need not run
    again, whether its directory is still there or must be built anew.
    """
    try:
        found = read_json(file)
        noted = json.loads(project.git.file(version.commit, "environment.json") or b"")
        holds = (
            found["tag"] == version.tag
            and found["files"][_model_name(project, kept)] == kept.model.sha256
            and found["environment"] == interpreter.fingerprint(found["python"], noted)
        )
        return found if holds and found["at"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_whole(folder: Path, commit: str, model_path: str, files: dict[str, str]) -> bool:
    """Tell whether a release directory has its commit, unchanged, and the model's files."""
    git = Git(folder)
    try:
        return (
            git.run("rev-parse", "--show-toplevel", "HEAD").splitlines() == [str(folder), commit]
            and not git.changes()
            and digests(folder / model_path) == files
        )
    except (GitError, OSError):
        return False


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file in a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in files}


def _sound_objects(project: Project, kept: Record, say: Say) -> None:
    """Make sure that the cache has the model's objects with the right bytes; fetch what it has not."""
    store = project.store
    for objects in ([kept.model.md5], store.members(kept.model.md5).values()):
        bad = store.unsound(objects)
        if bad:
            what = f"fetching {counted(len(bad), 'object')} missing or damaged in the cache"
            store.fetch(bad, say(what, len(bad)))


def _build(
    project: Project, version: Version, kept: Record, building: Path, known: dict[str, Any] | None, say: Say
) -> dict[str, Any]:
    """Build a release directory and prove it; without a replay if one is known that would end the same way."""
    # Imports take longer than all the rest, so they start before there is a folder to run in.
    replay = None if known else _start_replay(project, sys.executable)
    try:
        worktree(project, building, version.commit)
        if known and _check_out(project, version, kept, building, say) == known["files"]:
            return known
        python = interpreter.find(project, building)
        if replay is None or python != sys.executable:
            _stop(replay)
            replay = _start_replay(project, python)
        files = _check_out(project, version, kept, building, say)
        say("replaying the golden rows")
        _, stderr = replay.communicate(_where_to_replay(building), timeout=REPLAY_SECONDS)
    except subprocess.TimeoutExpired:
        raise ProjectError(
            f"the replay of {version.name} did not end within {REPLAY_SECONDS} s",
            "a version that is live must answer",
            "try it: model checkout " + version.name + ", then load the model and predict some rows",
        ) from None
    finally:
        _stop(replay)
    if replay.returncode:
        raise failure(f"the replay of {version.name}", stderr)
    return {
        "tag": version.tag,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "files": files,
        "python": python,
        "environment": interpreter.fingerprint(python, read_json(building / "environment.json")),
    }


def _start_replay(project: Project, python: str) -> "subprocess.Popen[str]":
    """Start a Python that imports what any model needs, and waits to be told which folder's replay to run."""
    project.releases.mkdir(parents=True, exist_ok=True)
    variables = {**code_of(project.releases), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.Popen(  # noqa: S603 (an argument list)
        [python, "-c", REPLAY],
        cwd=project.releases,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _where_to_replay(folder: Path) -> str:
    """Return the line that tells a waiting Python where to go: the folder, its code, its module."""
    path = code_of(folder)["PYTHONPATH"].split(os.pathsep)
    return json.dumps([str(folder), path, "modelbook.training.replay"]) + "\n"


def _stop(replay: "subprocess.Popen[str] | None") -> None:
    """End a replay, whether it is at work, waits, or has ended."""
    if replay is not None:
        with replay:
            replay.kill()


def _check_out(project: Project, version: Version, kept: Record, folder: Path, say: Say) -> dict[str, str]:
    """Put the model into a worktree; return the sha256 of its files, which are those of the record."""
    _sound_objects(project, kept, say)
    dvc_repo.checkout(folder, project.model_path)
    files = digests(folder / project.model_path)
    model = _model_name(project, kept)
    wrong = [] if files.get(model) == kept.model.sha256 else [model]
    wrong += [
        name
        for name, oid in project.store.members(kept.model.md5).items()
        if name != model and dvc_repo.name_of((folder / project.model_path / name).read_bytes()) != oid
    ]
    if wrong:
        raise ProjectError(
            f"{project.model_path}/{wrong[0]} is not the file that the record of {version.name} names",
            "the checkout ended with other bytes",
            f"model verify {version.name}",
        )
    return files


def worktree(project: Project, folder: Path, commit: str) -> None:
    """Make a worktree at a commit whose DVC uses this project's cache."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    project.git.run(*AS_COMMITTED, "worktree", "add", "--quiet", "--detach", str(folder), commit)
    cache = str(project.store.cache.parents[1])
    quote = "'" if '"' in cache else '"'
    configure(folder, f"[cache]\n    dir = {quote}{cache}{quote}\n")


def configure(folder: Path, settings: str = "") -> None:
    """Write the settings of a worktree's own DVC.

    It need not look at git, and cannot everywhere: its reader of git takes the worktree of a submodule for another one.
    """
    (folder / ".dvc" / "config.local").write_text(f"[core]\n    no_scm = true\n{settings}", encoding="utf-8")


def _move_into_place(project: Project, version: Version, building: Path, folder: Path) -> None:
    """Give a proven directory its name; one that is there and broken is set aside first, not changed."""
    if folder.exists():
        discard(project, "broken", version)
        folder.rename(scratch(project, "broken", version))
    _forget(project, folder.name)
    building.rename(folder)
    project.git.run("worktree", "repair", str(folder))
    discard(project, "broken", version)


def remove(project: Project, version: Version) -> None:
    """Remove a version's release directory and the note of its replay."""
    with project.lock(f"release-{version.name}"):
        shutil.rmtree(project.releases / version.name, ignore_errors=True)
        _forget(project, version.name)
        (project.releases / f"{version.name}.json").unlink(missing_ok=True)


def scratch(project: Project, purpose: str, version: Version) -> Path:
    """Return the name of a directory of this process: what a killed one had started may still write in its own."""
    return project.releases / f".{purpose}-{os.getpid()}@{version.name}"


def discard(project: Project, purpose: str, version: Version) -> None:
    """Remove the directories that this process, or a killed one, made for a purpose."""
    pattern = f".{purpose}-*@{version.name}"
    for folder in project.releases.glob(pattern):
        shutil.rmtree(folder, ignore_errors=True)
    _forget(project, pattern)


def _forget(project: Project, pattern: str) -> None:
    """Remove git's notes of release directories that are gone.

    `git worktree prune` would also drop a worktree of the user's that is not mounted now.
    """
    common = Path(project.git.run("rev-parse", "--path-format=absolute", "--git-common-dir"))
    for note in (common / "worktrees").glob("*/gitdir"):
        folder = (note.parent / note.read_text(encoding="utf-8").strip()).parent
        if folder.parent == project.releases and fnmatch(folder.name, pattern) and not folder.exists():
            shutil.rmtree(note.parent, ignore_errors=True)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a small file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")  # whoever writes holds a lock, and a killed one leaves it to the next
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
