"""Release directories: a version as it was, with the proof that it works.

`.releases/v1.2.0/` is a git worktree at the tag with the model in place, every
hash checked, the golden rows replayed. It is built beside its place and moved
there when all is proven, so what a stage holds is never rebuilt in place.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from . import dvc_repo, interpreter
from .git import Git, GitError
from .project import Project, code_of, failure
from .record import Record, digest
from .registry import Version

#: Said while something takes time.
Say = Callable[[str], None]


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


def materialise(project: Project, version: Version, say: Say = lambda _: None) -> Release:
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
    if (
        kept.code.commit != version.commit
        or kept.identity.version != version.name
        or kept.identity.name != project.name
    ):
        raise ProjectError(
            f"the tag {project.name}@{version.name} was moved or edited: it is at {version.commit[:10]}, "
            f"its record is of {kept.identity.name} {kept.identity.version} at {kept.code.commit[:10]}",
            "a version is trusted because its tag never changes",
            f"git fetch --tags --force brings the remote's tag back; compare with: model verify {version.name}",
        )
    with project.lock(f"release-{version.name}"):
        folder = project.releases / version.name
        proof = project.releases / f"{version.name}.json"
        known = _still_proven(version, kept, folder, proof)
        if known:
            return Release(version, kept, folder, known["python"], _checks(kept, f"replayed at {known['at']}"))
        say(f"materialising {version.name} in {folder.relative_to(project.root)}")
        sound_objects(project, kept, say)
        building = project.releases / f".building-{version.name}"
        proof.unlink(missing_ok=True)
        discard(project, building)
        try:
            python = _build(project, version, kept, building, say)
            _move_into_place(project, building, folder)
        except BaseException:
            discard(project, building)
            raise
        from datetime import UTC, datetime

        at = datetime.now(UTC).isoformat(timespec="seconds")
        noted = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        files = {path.relative_to(folder).as_posix(): _sha256(path) for path in _files(folder / project.model_path)}
        found = {"tag": version.tag, "at": at, "files": files}
        found |= {"python": python, "environment": interpreter.fingerprint(python, noted)}
        write_json(proof, found)
        return Release(version, kept, folder, python, _checks(kept, "replayed now"))


def _checks(kept: Record, replayed: str) -> tuple[str, ...]:
    return (
        f"model sha256 {kept.model.sha256[:12]}",
        f"{kept.interface.golden.rows} golden rows {replayed}",
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _still_proven(version: Version, kept: Record, folder: Path, proof: Path) -> dict[str, Any] | None:
    """Return the proof of a release directory if nothing that it rests on has changed since.

    The replay is a pure function of code, model and packages: with the same
    commit checked out unchanged, the same bytes of the model and the same
    installed packages, it would answer the same again.
    """
    try:
        found = json.loads(proof.read_text(encoding="utf-8"))
        noted = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        sound = (
            found["tag"] == version.tag
            and found["environment"] == interpreter.fingerprint(found["python"], noted)
            and found["files"][kept.model.path] == kept.model.sha256
            and all(_sha256(folder / name) == sha256 for name, sha256 in found["files"].items())
            and _is_clean(folder, version.commit)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if sound else None


def _is_clean(folder: Path, commit: str) -> bool:
    git = Git(folder)
    try:
        return (
            git.run("rev-parse", "--show-toplevel", "HEAD").splitlines() == [str(folder), commit] and not git.changes()
        )
    except (GitError, FileNotFoundError):
        return False


def sound_objects(project: Project, kept: Record, say: Say = lambda _: None) -> None:
    """Make sure that the cache has the model's objects with the right bytes; fetch what it has not."""
    store = project.store
    bad = store.unsound([kept.model.md5])
    if not bad:
        bad = store.unsound(store.members(kept.model.md5).values())
    else:
        _fetch(project, bad, say)
        bad = store.unsound(store.members(kept.model.md5).values())
    if bad:
        _fetch(project, bad, say)


def _fetch(project: Project, bad: list[str], say: Say) -> None:
    say(f"fetching {len(bad)} object{'s' * (len(bad) != 1)} that the cache lacks or has damaged")
    project.store.fetch(bad)


def _build(project: Project, version: Version, kept: Record, building: Path, say: Say) -> str:
    worktree(project, building, version.commit)
    python = interpreter.find(project, building)
    command = [python, "-m", f"{package_of(building)}.pipeline.replay", "--wait"]
    # Imports take longer than the checkout, so they start now.
    with subprocess.Popen(  # noqa: S603 (an argument list)
        command,
        cwd=building,
        env=code_of(building),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as replay:
        try:
            dvc_repo.run(building, "checkout", project.model_path)
            _check_files(project, version, kept, building)
            say("replaying the golden rows")
            _, stderr = replay.communicate("go\n")
        except BaseException:
            replay.kill()
            raise
    if replay.returncode:
        raise failure(f"the replay of {version.name}", stderr)
    return python


def _check_files(project: Project, version: Version, kept: Record, folder: Path) -> None:
    wrong = wrong_files(project, kept, folder)
    if wrong:
        raise ProjectError(
            f"{wrong[0]} is not the file that the record of {version.name} names",
            "the checkout ended with other bytes",
            f"model verify {version.name}",
        )


def package_of(folder: Path) -> str:
    """Return the name of the package in a worktree; it may have been another one then."""
    found = sorted((folder / "src").glob("*/pipeline/replay.py"))
    if not found:
        raise ProjectError(
            f"{folder.name} has no module pipeline/replay.py",
            "the version is older than release directories, and cannot prove that it works",
            "promote a newer version",
        )
    return found[0].parents[1].name


def worktree(project: Project, folder: Path, commit: str) -> None:
    """Make a worktree at a commit whose DVC uses this project's cache."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The user's hooks (`dvc install` sets one that checks everything out) are for the user's worktree.
    project.git.run("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(folder), commit)
    local = folder / ".dvc" / "config.local"
    local.write_text(f"[cache]\n    dir = {project.store.cache.parents[1]}\n", encoding="utf-8")


def wrong_files(project: Project, kept: Record, folder: Path) -> list[str]:
    """Return the files of a checked-out model that are not what the record names."""
    wrong = []
    if _sha256(folder / kept.model.path) != kept.model.sha256:
        wrong.append(kept.model.path)
    if not project.store.is_sound(kept.model.md5):
        return [*wrong, project.model_path]
    for name, oid in project.store.members(kept.model.md5).items():
        path = folder / project.model_path / name
        if str(path.relative_to(folder)) != kept.model.path and not _has_md5(path, oid):
            wrong.append(f"{project.model_path}/{name}")
    return wrong


def _sha256(path: Path) -> str | None:
    try:
        return digest(path.read_bytes())
    except OSError:
        return None


def _has_md5(path: Path, expected: str) -> bool:
    from hashlib import md5

    try:
        return md5(path.read_bytes(), usedforsecurity=False).hexdigest() == expected
    except OSError:
        return False


def _move_into_place(project: Project, building: Path, folder: Path) -> None:
    """Give a proven directory its name; one that is there and broken is set aside first, not changed."""
    if folder.exists():
        aside = project.releases / f".broken-{folder.name}"
        discard(project, aside)
        _rename(project, folder, aside)
        _rename(project, building, folder)
        discard(project, aside)
    else:
        _rename(project, building, folder)


def _rename(project: Project, old: Path, new: Path) -> None:
    old.rename(new)
    try:
        project.git.run("worktree", "repair", str(new))
    except GitError:
        if new.name.startswith("."):
            return  # what is set aside only to be removed need not work
        raise


def discard(project: Project, folder: Path) -> None:
    """Remove a worktree, whatever state it is in."""
    if folder.exists() or folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise ProjectError(f"{folder} cannot be removed", "a file in it is in use or protected", f"rm -r '{folder}'")
    project.git.try_run("worktree", "prune")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a small file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")  # whoever writes holds a lock, and a killed one leaves it to the next
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
