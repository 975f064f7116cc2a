"""The environment as an input: which versions of the runtime packages count.

`uv.lock` decides where it locks anything; it reads the same on every operating
system. Without it the installed versions count. Only the packages that the
training needs are looked at: a new version of a development tool, or of DVC,
which moves bytes but does not make them, changes nothing.
"""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..contract import TOOL_FOLDER, tool_in
from ..errors import ProjectError
from ..settings import ENVIRONMENT_FILE, PYPROJECT, named_class
from . import inputs, packages

UV_LOCK = Path("uv.lock")

#: Runtime dependencies that run the pipeline but have no part in a model's bytes.
TOOLS = frozenset({"dvc", "dvc-s3", "filelock", "rich", "ruamel-yaml-clib", "typer", "wrapt"})
#: The tool itself is noted by its code, not as a package.
TOOL = "modelbook"


@dataclass(frozen=True)
class Environment:
    """The versions that a model was trained with.

    Attributes
    ----------
    source : str
        `uv.lock` or `installed`.
    python : str
        Minor version of the interpreter, such as `3.11`.
    packages : dict of str to str
        Version by normalised package name, with its source where that is no
        package index; ` or ` joins the versions where a lock file holds several,
        for different platforms.
    tool : str
        Hash of the part of this tool that trains: an edit there trains again.
    settings : str or None
        Import path of the project's own class of settings.
    """

    source: str
    python: str
    packages: dict[str, str]
    tool: str
    settings: str | None = None


def locked_packages(lock: Path = UV_LOCK) -> dict[str, str]:
    """Return the locked versions of the runtime packages, or nothing if none are locked.

    Follows `dependencies` from the project's own entry in `uv.lock`
    (format: `[[package]]` tables, the project's with a local `source`).
    """
    if not lock.exists():
        return {}
    try:
        entries: list[dict[str, Any]] = tomllib.loads(lock.read_text(encoding="utf-8-sig")).get("package", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(
            f"{lock} cannot be read: {error}", "it holds the versions to train with", "git checkout uv.lock, or uv lock"
        ) from None
    by_name: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_name.setdefault(entry["name"], []).append(entry)
    own = [entry for entry in entries if _local(entry) == "."]
    found: dict[str, str] = {}
    todo = [dependency for entry in own for dependency in entry.get("dependencies", [])]
    seen: set[tuple[str, str]] = set()
    while todo:
        dependency = todo.pop()
        name = dependency["name"]
        for extra in ("", *dependency.get("extra", [])):
            if name in TOOLS or (name, extra) in seen:
                continue
            seen.add((name, extra))
            for entry in by_name.get(name, []):
                extras = entry.get("optional-dependencies", {})
                todo.extend(extras.get(extra, []) if extra else entry.get("dependencies", []))
            if name != TOOL:
                versions = [_noted(entry, lock.parent) for entry in by_name.get(name, []) if "version" in entry]
                found[name] = " or ".join(sorted(versions))
    return dict(sorted(found.items()))


def _local(entry: dict[str, Any]) -> str | None:
    """Return the folder that an entry of `uv.lock` is built from, or None."""
    source = entry.get("source", {})
    return next((source[kind] for kind in ("editable", "virtual", "directory") if kind in source), None)


def _noted(entry: dict[str, Any], base: Path) -> str:
    """Return version and source of an entry of `uv.lock`; a package index is not named.

    Source (format): `git = "URL?rev=NAME#COMMIT"`, `url` or `path` of a file whose
    hash stands in `sdist` or `wheels`, or a folder.
    """
    source, version = entry.get("source", {}), entry["version"]
    folder = _local(entry)
    if folder is not None:
        return packages.noted(version, packages.folder_source(folder, base / folder))
    if "git" in source:
        return packages.noted(version, packages.git_source(source["git"], source["git"].rpartition("#")[2]))
    file = source.get("url") or source.get("path")
    if file is None:
        return str(version)
    hashes = [part["hash"] for part in (entry.get("sdist"), *entry.get("wheels", [])) if part and "hash" in part]
    return packages.noted(version, packages.file_source(file, hashes[0].rpartition(":")[2] if hashes else None))


def local_folders(lock: Path = UV_LOCK) -> list[str]:
    """Return the folders, beside the project itself, that `uv.lock` builds packages from."""
    if not lock.exists():
        return []
    entries = tomllib.loads(lock.read_text(encoding="utf-8-sig")).get("package", [])
    folders = {_local(entry) for entry in entries if entry["name"] != TOOL}
    return sorted(folder for folder in folders if folder not in (None, "."))


def installed_packages(pyproject: Path = PYPROJECT) -> dict[str, str]:
    """Return the installed versions of the runtime packages and of what they need."""
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8-sig"))["project"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(
            f"{pyproject} cannot be read: {error}", "it names the packages that count", f"correct {pyproject}"
        ) from None
    found: dict[str, str] = {}
    todo = [Requirement(line) for line in project["dependencies"]]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if name in TOOLS or (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name != TOOL:
                installed = packages.installed(name)
                if installed is None:
                    continue
                found[name] = installed
            todo.extend(_needed(_requirements(name), extra))
    return dict(sorted(found.items()))


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # the tool, where it only lies on the path
        return []


def _needed(lines: Iterable[str], extra: str) -> list[Requirement]:
    """Return the requirements that apply here with one extra (`""`: with none)."""
    requirements = [Requirement(line) for line in lines]
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]


def describe() -> Environment:
    """Return the environment that counts now: the locked one, else the installed one."""
    locked = locked_packages()
    return Environment(
        source=UV_LOCK.name if locked else "installed",
        python=packages.python_version(),
        packages=locked or installed_packages(),
        tool=running_tool(),
        settings=named_class() if Path("conf/config.yaml").exists() else None,
    )


def running_tool() -> str:
    """Return the hash of the training part of the tool that runs; another one in this folder is a `ProjectError`."""
    running = Path(__file__).parents[1]
    here, own = tool_in(running), Path(TOOL_FOLDER)
    if own.is_dir() and not own.samefile(running) and tool_in(own) != here:
        raise ProjectError(
            f"modelbook runs from {running}, and is not the one in {own}",
            "a model must be explained by the tool that made it, and this folder carries another one",
            "uv sync (with pip: pip install -e packages/modelbook), in this folder; then the same command again",
        )
    return here


def write(path: Path = ENVIRONMENT_FILE) -> None:
    """Write `environment.json`, after a check that what is installed is what counts."""
    environment = describe()
    check(environment)
    for folder in local_folders():
        inputs.reads(folder)  # a dep of this stage, or a change in it would be seen by nobody
    path.write_text(json.dumps(asdict(environment), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if environment.source == "installed":
        print(
            f"{path}: {UV_LOCK} locks no versions, so the {len(environment.packages)} installed ones count."
            "\n  `uv lock` fixes them for everybody (with pip: `pip install uv && uv lock`), and a release needs it."
            f"\n  Else type `dvc repro --force {_stage()}` after you changed one."
        )
    else:
        print(f"{path}: {len(environment.packages)} runtime packages as {UV_LOCK} locks them")


def read(path: Path = ENVIRONMENT_FILE) -> Environment:
    """Read `environment.json`."""
    try:
        return Environment(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        raise ProjectError(
            f"{path} is missing or broken", "a stage compares it with what is installed", f"rm -f {path} && dvc repro"
        ) from None


def _stage() -> str:
    """Return the stage that notes the environment."""
    return "compose" if Path("conf/config.yaml").exists() else "environment"


def check(environment: Environment) -> None:
    """Refuse to work with other versions than those that count.

    A package that is not installed here is passed over: a lock file also
    names what only other platforms need. An import tells of a real lack.
    """
    here = packages.python_version()
    wrong = [] if here == environment.python else [f"Python {here} runs, {environment.python} is noted"]
    locked = environment.source == UV_LOCK.name
    force = f"dvc repro --force {_stage()} && dvc repro"
    again = "dvc repro" if locked and not wrong else force
    installs, locks = [], []
    for found in packages.mismatches(environment.packages):
        if found.installed is not None:
            wrong.append(f"{found.name} {found.installed} is installed, {found.noted} is noted")
            version, _, source = found.noted.split(" or ")[-1].partition(" @ ")
            installs.append(f"'{found.name} @ {source}'" if source else f"{found.name}=={version}")
            locks.append(_to_lock(found.name, found.installed))
    if environment.tool != running_tool():
        raise ProjectError(
            f"the part of modelbook that trains is not the one that {ENVIRONMENT_FILE} notes",
            f"it was changed after the stage {_stage()} ran, or this is another copy of it",
            "dvc repro (an experiment of another commit: uv sync there first)"
            if Path(TOOL_FOLDER).is_dir()
            else f"to go back to the noted one: uv sync; to go on with this one: {force}",
        )
    if wrong:
        pip = f"pip install {' '.join(installs)}" if installs else f"use Python {environment.python}"
        raise ProjectError(
            "The environment is not the one noted:\n" + "\n".join(f"  - {line}" for line in wrong),
            f"a model must be explained by the versions that made it ({environment.source} counts here)",
            f"to go back to the noted ones: uv sync   (or: {pip})\n"
            f"       to go on with what is installed: {' && '.join([*(locks if locked else []), again])}",
        )


def _to_lock(name: str, installed: str) -> str:
    """Return the command that makes `uv.lock` hold an installed version, and no other package's newer one."""
    version, _, source = installed.partition(" @ ")
    if source:
        return f"uv add '{name} @ {source}'"
    return f"uv lock --upgrade-package '{name}=={version.partition('+')[0]}' && uv sync"


if __name__ == "__main__":  # a stage of its own in a pipeline without `compose`
    from . import stage

    stage.run(write)
