"""What a stage ran and read, held against what `dvc.yaml` says of it.

DVC runs a stage again when something in its `deps` or `params` has changed. Code
that is imported and a table that is opened without standing there would change
the model while `dvc repro` says that all is up to date. So everything below the
project's folder that a stage loaded as code, opened as data or wrote, and each key of
`params.yaml` that it asked for, is compared with its `deps`, `params` and `outs`
when it ends.

Python tells what it opens (audit events, PEP 578). A library that opens a file in
C by itself is not seen: what PyArrow reads as Parquet is, by a wrapper; for others
`reads` says it.
"""

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import wrapt

from ..contract import TOOL_FOLDER
from ..errors import ProjectError
from ..settings import asked

DVC_FILE = "dvc.yaml"
PARAMS_FILE = "params.yaml"
#: DVC's and git's own files; no stage is made by them.
TOOL_FOLDERS = frozenset({".git", ".dvc", ".releases", "__pycache__"})
TOOL_FILES = frozenset({DVC_FILE, "dvc.lock", ".dvcignore", ".gitignore"})
#: Folders of `sys.path` that an environment keeps its packages in.
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
#: Variables that name folders of tools.
CACHES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")
#: The package of the tool that runs.
TOOL = Path(__file__).parents[1]
#: What a stage writes and git keeps, for a version is read from it.
IN_GIT = ("environment.json", "evaluation.json", "metrics.json")
#: Where a stage names what it writes.
WRITTEN = ("outs", "metrics", "plots")


@dataclass(frozen=True)
class Stage:
    """A stage of `dvc.yaml`, with the paths that it names made absolute.

    Attributes
    ----------
    name : str
    root : Path
        The project's folder, in which `.dvc` is.
    base : Path
        The folder that its paths are relative to.
    deps, outs : frozenset of str
    params : frozenset of str or None
        Keys of `params.yaml`; None: the whole file is among the deps or outs.
    """

    name: str
    root: Path
    base: Path
    deps: frozenset[str]
    outs: frozenset[str]
    params: frozenset[str] | None


class Seen:
    """What this process opened, and said that it reads, from the import of this module on."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.said: set[str] = set()
        self.written: set[str] = set()
        #: `check` will hold what was seen against dvc.yaml.
        self.is_checked = False

    def note(self, path: Any, writes: bool) -> None:
        """Keep a path; what is no path (a number of an open file, a buffer) is passed over."""
        if isinstance(path, str | bytes | os.PathLike):
            name = os.fsdecode(path)
            if name.endswith(".pyc") and not writes:  # the code that it was compiled from counts
                with contextlib.suppress(ValueError, NotImplementedError):
                    name = importlib.util.source_from_cache(name)
            (self.written if writes else self.read).add(name if os.path.isabs(name) else os.path.abspath(name))  # noqa: PTH100, PTH117

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Keep what an audit event says of a file."""
        if event == "open":
            path, mode, flags = arguments
            self.note(path, _writes(mode, flags))
        elif event in ("os.rename", "os.link", "os.symlink"):
            self.note(arguments[1], writes=True)
        elif event == "sqlite3.connect" and isinstance(arguments[0], str):
            path = arguments[0]
            self.note(unquote(urlsplit(path).path) if path.startswith("file:") else path, writes=False)
        elif event == "ctypes.dlopen":
            self.note(arguments[0], writes=False)


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return not set(mode).isdisjoint("wax")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_CREAT))


seen = Seen()
#: Where the stage runs, whatever folder it changes to.
START = Path.cwd()
sys.addaudithook(seen.hear)


@wrapt.when_imported("pyarrow.parquet")
def _see_parquet(module: ModuleType) -> None:
    """Note what PyArrow reads as Parquet: it opens files in C++. pandas goes this way, too."""

    def noted(wrapped: Any, _: Any, arguments: Any, named: Any) -> Any:
        where = arguments[0] if arguments else named.get("source", named.get("path_or_paths"))
        for path in where if isinstance(where, list | tuple) else [where]:
            is_folder = isinstance(path, str | os.PathLike) and os.path.isdir(path)  # noqa: PTH112
            for file in Path(path).rglob("*") if is_folder else [path]:
                seen.note(file, writes=False)
        return wrapped(*arguments, **named)

    for name in ("ParquetFile", "ParquetDataset"):
        wrapt.wrap_function_wrapper(module, f"{name}.__init__", noted)


def reads(path: str | os.PathLike[str]) -> str:
    """Say that this stage reads a file or folder which Python does not open itself; return its path as text.

    Parameters
    ----------
    path : str or path
        Relative to the folder that the stage runs in.

    Returns
    -------
    str

    Examples
    --------
    >>> import duckdb  # doctest: +SKIP
    >>> duckdb.sql(f"SELECT * FROM '{reads('data/shops.parquet')}'")  # doctest: +SKIP
    """
    seen.said.add(os.path.abspath(path))  # noqa: PTH100 (a link stays what it is called)
    return os.fspath(path)


def expect_check() -> None:
    """Refuse to go on in a process that nobody holds against `dvc.yaml` when it ends."""
    if not seen.is_checked:
        raise ProjectError(
            "this is not the body of a stage",
            "what it reads and runs must be compared with dvc.yaml when it ends",
            "put its lines into a function below @stage: from modelbook import stage\n"
            "       @stage\n       def train(settings): ...\n       if __name__ == '__main__': train()",
        )


def check(module: str | None) -> None:
    """Refuse a stage that ran or read what `dvc.yaml` does not name for it.

    Parameters
    ----------
    module : str or None
        What `python -m` runs, to find the stage where DVC did not start it.

    Raises
    ------
    ProjectError
        With the lines to add. DVC takes a stage that fails as not run.
    """
    stage = _stage(module)
    if stage is None:
        return
    code = {path for path in map(_inside(stage), _loaded()) if path}
    data = {path for path in map(_inside(stage), seen.read) if path} - code
    made = {path for path in map(_inside(stage), seen.written) if path}
    known = stage.deps | stage.outs | _tool(stage) | ({str(stage.root / PARAMS_FILE)} if stage.params else set())
    read = code | (data - made) | seen.said
    deps = sorted(path for path in read if not _covered(path, known))
    outs = sorted({_whole(path, made, stage.base) for path in made if not _covered(path, known)})
    keys = [] if stage.params is None else sorted(key for key in asked.keys if not _asked(key, stage.params))
    if deps or outs or keys:
        raise _not_named(stage, deps, outs, keys, code)


def _tool(stage: Stage) -> set[str]:
    """Return the folders of the tool, as it runs and as it is carried, if the stage depends on the note of its hash."""
    noted = any(Path(dep).name == "environment.json" for dep in stage.deps)
    return {str(TOOL), str(stage.base / TOOL_FOLDER)} if noted else set()


def _stage(module: str | None) -> Stage | None:
    """Return the stage that this process is part of, or None if `dvc.yaml` knows of none."""
    here = START
    name = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    for folder in (here, *here.parents):
        file = folder / DVC_FILE
        if file.is_file():
            stages = _read(file).get("stages") or {}
            for key, entry in stages.items():
                started = key == name.partition("@")[0] if name else module in _words(entry.get("cmd", ""))
                if started and _is_template(entry):
                    return _with_templates(file, name)
                if started and (folder / entry.get("wdir", ".")).resolve() == here.resolve():
                    return _plain(key, file, entry)
        if (folder / ".dvc").is_dir():
            break
    return None


def _read(file: Path) -> dict[str, Any]:
    """Read a file of stages with the parser that DVC takes, which is compiled."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file} is not valid YAML: {error}", "it names the stages", f"correct {file}") from None
    return found if isinstance(found, dict) else {}


def _words(command: Any) -> list[str]:
    return " ".join(command if isinstance(command, list) else [str(command)]).split()


def _is_template(entry: dict[str, Any]) -> bool:
    return "foreach" in entry or "matrix" in entry or "${" in str(entry)


def _plain(name: str, file: Path, entry: dict[str, Any]) -> Stage:
    base = file.parent / entry.get("wdir", ".")
    outs = [_name(out) for kind in WRITTEN for out in entry.get(kind) or []]
    deps = [_name(dep) for dep in entry.get("deps") or []]
    keys: set[str] = set()
    whole = PARAMS_FILE in [*outs, *deps]
    for line in entry.get("params") or []:
        for params, listed in line.items() if isinstance(line, dict) else [(PARAMS_FILE, [line])]:
            if params != PARAMS_FILE:
                deps.append(params)
            elif listed is None:
                whole = True
            else:
                keys.update(map(str, listed))
    listed = None if whole else frozenset(keys)
    return Stage(name, _root(file), base, _paths(base, deps), _paths(base, outs), listed)


def _with_templates(file: Path, name: str) -> Stage | None:
    """Ask DVC where it fills in values first; importing it takes a while."""
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    if not name:
        return None
    root = _root(file)
    found = Repo(str(root)).stage.load_one(path=str(file), name=name)
    params = [dep for dep in found.deps if isinstance(dep, ParamsDependency)]
    keys = {key for dep in params for key in dep.params if Path(dep.fs_path).name == PARAMS_FILE}
    deps = [dep.fs_path for dep in found.deps if dep not in params or Path(dep.fs_path).name != PARAMS_FILE]
    outs = [out.fs_path for out in found.outs]
    return Stage(name, root, Path(found.wdir), _paths(root, deps), _paths(root, outs), frozenset(keys))


def _name(entry: Any) -> str:
    return str(next(iter(entry))) if isinstance(entry, dict) else str(entry)


def _paths(base: Path, names: Iterable[str]) -> frozenset[str]:
    return frozenset(os.path.abspath(base / name) for name in names)  # noqa: PTH100 (a link stays what it is called)


def _root(file: Path) -> Path:
    return next((folder for folder in file.parents if (folder / ".dvc").is_dir()), file.parent)


def _loaded() -> Iterator[str]:
    """Yield the file of each module that was imported."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str):
            yield os.path.abspath(file)  # noqa: PTH100


def _inside(stage: Stage) -> Any:
    """Return a function that names a path if it is a file of the project's own that is there, else None."""
    roots = {str(stage.root), str(stage.root.resolve())}
    # Caches, too: what is in one of these decides how long a run takes, not what it makes.
    caches = [os.environ.get(name) for name in CACHES] + [sys.pycache_prefix]
    caches += [os.path.expanduser(folder) for folder in ("~/.cache", "~/.config", "~/.local")]  # noqa: PTH111
    foreign = {
        sys.prefix,
        sys.exec_prefix,
        *filter(None, caches),
        *(folder for folder in sys.path if folder.endswith(PACKAGE_FOLDERS)),
    }
    # A virtual environment may lie in the project's folder; the project does not lie in its environment.
    foreign = {f"{folder}{os.sep}" for folder in map(os.path.abspath, foreign) if folder not in roots}

    def name(path: str) -> str | None:
        root = next((root for root in roots if path.startswith(f"{root}{os.sep}")), None)
        if root is None:  # a link from elsewhere may lead here
            path = _real(path)
            root = next((root for root in roots if path.startswith(f"{root}{os.sep}")), None)
        if root is None or any(path.startswith(folder) for folder in foreign):
            return None
        parts = Path(path).relative_to(root).parts
        is_tool = not TOOL_FOLDERS.isdisjoint(parts) or parts[-1] in TOOL_FILES or parts[-1].endswith(".dvc")
        if is_tool or not os.path.isfile(path):  # noqa: PTH113
            return None
        return str(stage.root.joinpath(*parts))

    return name


def _real(path: str) -> str:
    """Return where a path leads to; thousands of modules lie in a few hundred folders, each followed once."""
    path = os.path.join(_real_folder(os.path.dirname(path)), os.path.basename(path))  # noqa: PTH118, PTH119, PTH120
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114


@functools.cache
def _real_folder(path: str) -> str:
    return os.path.realpath(path)


def _whole(path: str, made: set[str], base: Path) -> str:
    """Return the folder that a file is in if this stage made all that is there, else the file."""
    folder = Path(path).parent
    while folder != base and folder.is_relative_to(base):
        if any(str(file) not in made for file in folder.rglob("*") if file.is_file()):
            break
        path, folder = str(folder), folder.parent
    return path


def _covered(path: str, known: Iterable[str]) -> bool:
    return any(path == name or path.startswith(f"{name}{os.sep}") for name in known)


def _asked(key: str, params: Iterable[str]) -> bool:
    return any(f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}.") for name in params)


def _not_named(stage: Stage, deps: list[str], outs: list[str], keys: list[str], code: set[str]) -> ProjectError:
    def names(paths: Iterable[str]) -> list[str]:
        return [Path(os.path.relpath(path, stage.base)).as_posix() for path in paths]

    said, lines = [], []
    for what, paths in (("runs", [p for p in deps if p in code]), ("reads", [p for p in deps if p not in code])):
        if paths:
            said.append(f"{what} {', '.join(names(paths))}")
    if deps:
        lines += ["deps:", *(f"  - {name}" for name in names(deps))]
    if keys:
        keys = [key.removesuffix(".*") for key in keys]
        said.append(f"reads {', '.join(keys)} of {PARAMS_FILE}")
        lines += ["params:", *(f"  - {key}" for key in keys)]
    if outs:
        said.append(f"writes {', '.join(names(outs))}")
        lines += ["outs:", *(f"  - {name}{': {cache: false}' if name in IN_GIT else ''}" for name in names(outs))]
    if set(deps) & code:
        lines.append("(and to each other stage that uses that code, too)")
    indent = "\n           "
    unseen = f"when that changes, `dvc repro` would say that {stage.name} is up to date"
    unkept = "DVC would neither keep nor restore it"
    why = unseen if deps or keys else unkept
    return ProjectError(
        f"the stage {stage.name} {', and '.join(said)}, which {DVC_FILE} does not name for it",
        f"{why}, so this run does not count",
        f"add to the stage {stage.name} in {DVC_FILE}, then dvc repro:{indent}{indent.join(lines)}",
    )
