"""The Python that runs a version: one that has exactly the packages that the version was trained with."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..contract import TOOL_FOLDER, tool_in
from ..errors import UnavailableError
from ..store.git import environment
from ..training import packages
from .project import Project

#: An environment that takes longer to install than this has no connection.
INSTALL_SECONDS = 1800


def find(project: Project, folder: Path) -> str:
    """Return the Python of a release directory: this one if it has the noted packages, else one of its own.

    Parameters
    ----------
    project : Project
    folder : Path
        A worktree with `environment.json`, `pyproject.toml` and `uv.lock`.

    Returns
    -------
    str
        Path of the interpreter. Environments are kept by the hashes of the lock
        file and of the tool, so versions with the same lock and the same tool share one.
    """
    noted = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    if not differences(folder):
        return sys.executable
    lock = (folder / "uv.lock").read_bytes()
    key = hashlib.sha256(lock + f"{noted['python']} {noted['tool']}".encode()).hexdigest()[:16]
    home = project.releases / "environments" / key
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = home / "ready"
    with project.lock(f"environment-{key}"):
        if not (ready.exists() and python.exists()):
            _install(home, folder, noted["python"])
            ready.touch()
    return str(python)


def differences(folder: Path) -> list[str]:
    """Return how this interpreter differs from the environment of a worktree: Python's minor version, packages."""
    noted = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    needed = _needed(folder)
    here = packages.python_version()
    changes = [] if noted["python"] == here else [f"Python {here}, noted {noted['python']}"]
    if not (folder / TOOL_FOLDER).is_dir() and noted["tool"] != tool_in(Path(__file__).parents[1]):
        changes.append("another modelbook is installed than the noted one")
    return changes + [
        f"{found.name} {found.installed or 'is not installed'}, noted {found.noted}"
        for found in packages.mismatches(noted["packages"])
        if found.installed is not None or found.name in needed  # a lock file also names what only other platforms need
    ]


def _needed(folder: Path) -> set[str]:
    """Return the packages that the project of a worktree names for this platform."""
    lines = [] if (folder / TOOL_FOLDER).is_dir() else metadata.requires("modelbook") or []
    for file in (folder / "pyproject.toml", (folder / TOOL_FOLDER).parents[1] / "pyproject.toml"):
        if file.is_file():
            project = tomllib.loads(file.read_text(encoding="utf-8-sig"))["project"]
            lines += [*project["dependencies"], *project.get("optional-dependencies", {}).get("train", [])]
    wanted = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": "train"})
    }


def _install(home: Path, folder: Path, python: str) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise UnavailableError(
            "uv is not installed, and this version needs other packages than the installed ones",
            "a version runs with exactly the packages that it was trained with",
            "pip install uv, or install what the version's uv.lock names, then the same command again",
        )
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    # The code of the release directory is not installed: it goes on the path, and the tool that it carries, too.
    command = [
        uv,
        "sync",
        "--quiet",
        "--frozen",
        "--no-dev",
        "--no-install-workspace",
        "--compile-bytecode",
        "--python",
        python,
    ]
    variables = {key: value for key, value in environment().items() if key != "VIRTUAL_ENV"}
    variables["UV_PROJECT_ENVIRONMENT"] = str(home)
    try:
        done = subprocess.run(  # noqa: S603 (an argument list)
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        reason = done.stderr.strip()
    except subprocess.TimeoutExpired:
        reason = "no answer from the package index"
    else:
        if done.returncode == 0:
            return
    shutil.rmtree(home, ignore_errors=True)
    raise UnavailableError(
        f"the version's environment cannot be installed: {reason}",
        "it runs with exactly the packages that its uv.lock names",
        f"fix that (try: cd {folder} && uv sync --frozen), then the same command again",
    )


def fingerprint(python: str, noted: dict[str, object]) -> str:
    """Return a hash that changes when a noted package of an interpreter is installed anew, changed or removed."""
    if python == sys.executable:
        paths = None
    else:
        paths = [str(path) for path in Path(python).parents[1].glob("lib/python*/site-packages")]
    assert isinstance(noted["packages"], dict)
    wanted = set(noted["packages"])
    lines = [python, str(Path(python).resolve().stat().st_mtime_ns)]
    for folder in paths if paths is not None else [p for p in sys.path if p.endswith("-packages")]:
        for info in sorted(Path(folder).glob("*.dist-info")):
            name = canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0])
            record = info / "RECORD"
            if name in wanted and record.exists():
                lines.append(f"{info.name} {record.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
