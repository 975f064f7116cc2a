"""What is asked of DVC, documented or not; nothing else in this room imports it.

An object is a file in DVC's cache or remote, named by its md5. A tracked folder
is an object too: a JSON list of its files, whose name ends in `.dir`.
"""

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import md5
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import MissingError, ProjectError, UnavailableError
from ..progress import Tick
from . import storage
from .git import Git, environment

#: Objects that are asked for, sent or fetched at once.
JOBS = 8
#: From so many objects on, one listing of the remote is quicker than a question for each.
LIST_FROM = 2000
CHUNK_BYTES = 1 << 20
#: How long to wait for another dvc command to end; one that trains takes longer, one that was stopped never ends.
WAIT_SECONDS = 60
#: How the paths end of the files of a commit that DVC always reads.
READ_FIRST = (".dvc", ".dvc/config", ".dvcignore", "dvc.lock", "dvc.yaml", "params.yaml")
MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class Out:
    """What a stage or a `.dvc` file tracks.

    Attributes
    ----------
    path : str
        Relative to the project, with slashes.
    md5 : str
        Name of the object; ends in `.dir` for a folder.
    size : int
        Bytes.
    files : int
    cached : bool
        False for what git keeps instead.
    source : str
        Name of the stage, or the path of the `.dvc` file.
    """

    path: str
    md5: str
    size: int
    files: int
    cached: bool
    source: str

    @property
    def is_input(self) -> bool:
        return self.source.endswith(".dvc")


@dataclass(frozen=True)
class _Entry:
    """A file or folder of a commit, as DVC's own reader of git gives them to DVC; git itself reads it.

    The reader of git in DVC (pygit2) knows no partial clones, and not all formats that git has.
    """

    git: Git
    name: str
    mode: int
    sha: str
    read: dict[str, bytes]
    entries: "dict[str, _Entry]" = field(default_factory=dict)

    @classmethod
    def of_commit(cls, git: Git, rev: str) -> "_Entry":
        tree = git.tree(rev)
        first = [sha for path, (_, sha) in tree.items() if path.endswith(READ_FIRST)]
        read = dict(
            zip(first, git.contents(first), strict=True)
        )  # with one call of git; what else DVC asks for, singly
        top = cls(git, "", stat.S_IFDIR, "", read)
        for path, (mode, sha) in tree.items():
            *folders, name = path.split("/")
            folder = top
            for part in folders:
                folder = folder.entries.setdefault(part, cls(git, part, stat.S_IFDIR, "", read))
            folder.entries[name] = cls(git, name, mode, sha, read)
        return top

    @property
    def isdir(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def isfile(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def size(self) -> int:
        return len(self._content())

    def scandir(self) -> "Iterator[_Entry]":
        return iter(self.entries.values())

    def open(self, **_: Any) -> BytesIO:
        return BytesIO(self._content())

    def _content(self) -> bytes:
        return self.read[self.sha] if self.sha in self.read else self.git.run_bytes("cat-file", "blob", self.sha)


class Store:
    """The objects of a project: its DVC cache, or another one, and its default remote."""

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self.root, self._cache = root, cache

    @cached_property
    def _repo(self) -> Any:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            return Repo(str(self.root))
        except DvcException as error:
            raise ProjectError(
                f"DVC cannot open the project: {error}",
                "it holds the models",
                "correct what it names (settings stand in .dvc/config and .dvc/config.local; no byte-order mark there)",
            ) from None

    @cached_property
    def cache(self) -> Path:
        """The folder of the cache's objects."""
        return self._cache or Path(self._repo.cache.local.path)

    @cached_property
    def remote(self) -> Any:
        """The default remote's object store."""
        from dvc.config import ConfigError
        from dvc.exceptions import DvcException

        try:
            return self._repo.cloud.get_remote_odb()
        except ImportError as error:
            package = storage.package_of(error)
            raise ProjectError(
                f"the package for this storage is not installed: {package}",
                "DVC reaches each kind of storage by a package of its own",
                f"uv add {package} (with pip: pip install {package}, and name it in pyproject.toml)",
            ) from None
        except (DvcException, ConfigError) as error:
            raise ProjectError(
                f"there is no usable DVC remote: {error}",
                "data and models are stored there, and come back from there",
                "dvc remote add --default storage FOLDER-OR-URL",
            ) from None

    @cached_property
    def place(self) -> str:
        """Where the default remote is, in words."""
        name = self._repo.config["core"].get("remote")
        server = self._repo.config["remote"].get(name, {}).get("endpointurl") or os.environ.get("AWS_ENDPOINT_URL")
        at = f" at {server}" if server and self.remote.fs.protocol == "s3" else ""
        return f"the remote {self.remote.fs.unstrip_protocol(self.remote.path)}{at}"

    @cached_property
    def _storage(self) -> dict[str, Any]:
        """The setting that says where the default remote is."""
        name = self._repo.config["core"].get("remote")
        url = self._repo.config["remote"].get(name, {}).get("url")
        return {"remote": {name: {"url": url}}} if url else {}

    def has_remote(self) -> bool:
        return bool(self._repo.config["core"].get("remote"))

    def absent_folder(self) -> Path | None:
        """Return the folder that is the default remote, if it is one and is not there; the first push makes it."""
        folder = Path(os.path.normpath(self.remote.path)).parents[1]  # of files/md5
        return folder if self.remote.fs.protocol == "local" and not folder.is_dir() else None

    def outs(self, rev: str = "") -> list[Out]:
        """Return everything that is tracked, in the workspace or at a commit."""
        from dvc.exceptions import DvcException

        try:
            repo = self._at(rev) if rev else self._repo
            found = []
            for out in repo.index.outs:
                stage = out.stage.addressing.rpartition(":")[2] if ":" in out.stage.addressing else out.stage.addressing
                found.append(
                    Out(
                        path=PurePosixPath(os.path.relpath(out.fs_path, repo.root_dir)).as_posix(),
                        md5=out.hash_info.value or "",
                        size=out.meta.size or 0,
                        files=out.meta.nfiles or 1,
                        cached=bool(out.use_cache),
                        source=f"{os.path.relpath(out.stage.path, repo.root_dir)}"
                        if out.stage.path.endswith(".dvc")
                        else stage,
                    )
                )
        except DvcException as error:
            raise ProjectError(
                f"DVC cannot read its files{f' at {rev[:10]}' if rev else ''}: {error}",
                "dvc.yaml, dvc.lock and *.dvc say what is tracked",
                "git status, then mend the file that is named",
            ) from None
        return sorted(found, key=lambda out: out.path)

    def _at(self, rev: str) -> Any:
        """Return DVC's view of a commit."""
        from dvc.fs import GitFileSystem
        from dvc.repo import Repo
        from dvc.scm import SCM
        from scmrepo.git.objects import GitTrie

        entries = _Entry.of_commit(Git(self.root), rev)
        files = GitFileSystem(trie=GitTrie(entries, rev))  # type: ignore[arg-type]  # it asks for no more
        # With the storage of today: this clone's own settings may not suit the one of then.
        return Repo("/", fs=files, scm=SCM(str(self.root), no_scm=True), config=self._storage)

    # --- the cache ---

    def path(self, oid: str) -> Path:
        """Return where the cache keeps an object."""
        return self.cache / oid[:2] / oid[2:]

    def is_sound(self, oid: str) -> bool:
        """Tell whether an object is in the cache and has the content that its name says."""
        try:
            return _md5_of(self.path(oid)) == oid.removesuffix(".dir")
        except OSError:
            return False

    def has(self, oid: str) -> bool:
        """Tell whether the cache has an object, and if it is a folder, its files."""
        if not self.is_sound(oid):
            return False
        return not oid.endswith(".dir") or not self.unsound(self.members(oid).values())

    def has_content(self, path: Path) -> bool:
        """Tell whether the cache has the content of a file, or of every file in a folder."""
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        return all(self.is_sound(_md5_of(file)) for file in files)

    def read(self, oid: str) -> bytes:
        """Return an object's content, fetched if the cache lacks it or holds something else."""
        if not self.is_sound(oid):
            self.fetch([oid])
        return self.path(oid).read_bytes()

    def members(self, oid: str) -> dict[str, str]:
        """Return the object of each file in a tracked folder, by its path in the folder."""
        try:
            found = {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(self.read(oid))}
        except (ValueError, KeyError, TypeError):
            found = {"": ""}
        if not all(MD5.fullmatch(md5) and _is_inside(name) for name, md5 in found.items()):
            raise ProjectError(
                f"the object {oid} is no list of the files of a folder",
                "it, or the record that names it, was edited",
                "model verify says more; dvc.lock of the commit names the right one",
            )
        return found

    def objects(self, outs: Iterable[Out]) -> dict[str, str]:
        """Return every object that the cached outs consist of, with the path that it is for."""
        found: dict[str, str] = {}
        for out in outs:
            if not (out.cached and out.md5):
                continue
            found[out.md5] = out.path
            if out.md5.endswith(".dir"):
                found |= {member: f"{out.path}/{name}" for name, member in self.members(out.md5).items()}
        return found

    def unsound(self, objects: Iterable[str], tick: Tick = lambda: None) -> list[str]:
        """Return the objects that the cache lacks, or that hold other bytes than their name says."""

        def check(oid: str) -> str | None:
            sound = self.is_sound(oid)
            tick()
            return None if sound else oid

        with ThreadPoolExecutor(JOBS) as pool:
            return [oid for oid in pool.map(check, objects) if oid]

    def fetch(self, objects: Iterable[str], tick: Tick = lambda: None) -> None:
        """Bring objects from the remote into the cache; each is checked before it is taken.

        Raises
        ------
        ProjectError
            If the remote lacks one, or has other bytes than its name says.
        """
        self._each(lambda oid: self._fetch_one(oid, tick), objects, "fetched from")

    def _fetch_one(self, oid: str, tick: Tick) -> None:
        target, there = self.path(oid), self.remote.oid_to_path(oid)
        self._repo.cache.local.makedirs(os.fspath(target.parent))  # for the group, if cache.shared says so
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            try:
                self.remote.fs.get_file(there, os.fspath(draft))
            except FileNotFoundError as error:
                raise FileNotFoundError(error.errno, "missing", there) from None  # S3's own does not name it
            found = _md5_of(draft)
            if found != oid.removesuffix(".dir"):
                raise ProjectError(
                    f"the remote holds other bytes for {oid}: their md5 is {found}",
                    "it was damaged or replaced there; nothing was taken from it",
                    f"delete {there}, then in a clone that still has it: model push --all",
                )
            draft.chmod(0o444)  # as DVC keeps its objects
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        tick()

    @property
    def is_shared(self) -> bool:
        """Whether the cache lies outside the project, where other clones and projects may use it, too."""
        return not self.cache.resolve().is_relative_to(self.root.resolve())

    def cached(self) -> dict[str, int]:
        """Return the size of each object in the cache, in bytes."""
        return _sizes(self.cache)

    def remove_from_cache(self, objects: Iterable[str]) -> None:
        """Delete objects, files before the folders that name them."""
        for part in self._files_first(objects):
            for oid in part:
                self.path(oid).unlink(missing_ok=True)

    # --- the remote ---

    def stored(self) -> dict[str, int]:
        """Return the size of each object in the remote, in bytes."""
        remote, fs = self.remote, self.remote.fs.fs
        if remote.fs.protocol == "local":
            return _sizes(Path(remote.path))
        fs.invalidate_cache()
        found = self._try(lambda: fs.find(remote.path, detail=True))
        if not found:
            self._look()
        named = {"".join(PurePosixPath(path).parts[-2:]): entry["size"] for path, entry in found.items()}
        return {oid: size for oid, size in named.items() if MD5.fullmatch(oid)}

    def remove_from_remote(self, objects: Iterable[str], tick: Tick = lambda: None) -> None:
        """Delete objects, files before the folders that name them; one that is gone already is no fault."""
        from dvc_data.hashfile.db import get_index

        def remove(oid: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                self.remote.fs.rm_file(self.remote.oid_to_path(oid))
            tick()

        # DVC notes which folders a remote has, and would send them never again.
        get_index(self.remote).clear()
        for part in self._files_first(objects):
            self._each(remove, part, "deleted in")

    def lacking(self, objects: Iterable[str], tick: Tick = lambda: None) -> list[str]:
        """Return the objects that the remote does not list, or lists with another size than the cache's."""
        wanted, fs = list(objects), self.remote.fs
        if len(wanted) >= LIST_FROM:
            sizes: dict[str, int | None] = {**self.stored()}
        else:

            def size(oid: str) -> int | None:
                try:
                    found: int | None = fs.info(self.remote.oid_to_path(oid)).get("size")
                except FileNotFoundError:
                    found = None
                tick()
                return found

            sizes = dict(zip(wanted, self._try(lambda: self._map(size, wanted)), strict=True))
        found = [oid for oid in wanted if not self._fits(oid, sizes.get(oid))]
        if found:
            self._look()
        return found

    def _fits(self, oid: str, size: int | None) -> bool:
        path = self.path(oid)
        return size is not None and (not path.exists() or path.stat().st_size == size)

    def push(self, objects: Iterable[str], tick: Tick = lambda: None) -> None:
        """Send objects from the cache to the remote, files before the folders that name them."""
        for part in self._files_first(objects):
            self._each(lambda oid: self._push_one(oid, tick), part, "sent to")

    def _files_first(self, objects: Iterable[str]) -> tuple[list[str], list[str]]:
        wanted = list(objects)
        return [oid for oid in wanted if not oid.endswith(".dir")], [oid for oid in wanted if oid.endswith(".dir")]

    def _push_one(self, oid: str, tick: Tick) -> None:
        fs, target = self.remote.fs, self.remote.oid_to_path(oid)
        fs.makedirs(fs.parent(target), exist_ok=True)
        # DVC's file systems write to a name of their own first, or send in one piece.
        fs.put_file(os.fspath(self.path(oid)), target)
        tick()

    def _map(self, action: Callable[[str], Any], objects: Iterable[str]) -> list[Any]:
        with ThreadPoolExecutor(JOBS) as pool:
            try:
                return list(pool.map(action, objects))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # each would be tried as often as the one that failed
                raise

    def _each(self, action: Callable[[str], None], objects: Iterable[str], done: str) -> None:
        """Do something with each object; the first failure becomes a `ProjectError`."""
        self._try(lambda: self._map(action, objects), done)

    def _try(self, action: Callable[[], Any], done: str = "looked up in") -> Any:
        try:
            return action()
        except FileNotFoundError as error:
            self._look()
            missing = Path(str(error.filename or error)).as_posix()
            raise MissingError(
                f"an object is missing: {missing}",
                f"it could not be {done} the remote",
                "dvc fetch --all-tags, if another remote has it; in a clone that still has it: model push --all "
                "(dvc push for what is not released)",
            ) from None
        except ProjectError:
            raise
        except storage.errors() as error:
            raise storage.explain(error, self.place, done, self._ask()) from None

    def _look(self) -> None:
        """Make sure that the storage itself is there: a missing bucket looks like missing objects."""
        ask = self._ask()
        if ask:
            try:
                ask()
            except storage.errors() as error:
                if storage.code(error) != "AccessDenied":  # who may not list may still read and write
                    raise storage.explain(error, self.place, "looked up in") from None

    def _ask(self) -> Callable[[], Any] | None:
        """Return a harmless question whose answer says what is wrong, if the storage knows one."""
        if self.remote.fs.protocol != "s3":
            return None
        bucket, _, prefix = self.remote.path.partition("/")
        question = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1}
        return lambda: self.remote.fs.fs.call_s3("list_objects_v2", **question)


def run(root: Path, *arguments: str) -> str:
    """Run a dvc command; return its output, or raise `ProjectError`.

    It waits a little while another dvc command holds the repository's lock.
    """
    output: str = _patiently(lambda: _run(root, arguments))
    return output


def _run(root: Path, arguments: tuple[str, ...]) -> str:
    from dvc.lock import FAILED_TO_LOCK_MESSAGE, LockError

    command = [sys.executable, "-m", "dvc", *arguments]
    variables = {**environment(), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(  # noqa: S603 (an argument list)
        command, cwd=root, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        if any(FAILED_TO_LOCK_MESSAGE[:22] in line for line in lines):
            raise LockError(arguments)
        reason = next((line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")), "\n".join(lines))
        raise ProjectError(f"dvc {' '.join(arguments)} failed: {reason}", "DVC says so", "dvc status shows more")
    return done.stdout


def _patiently(action: Callable[[], Any]) -> Any:
    """Do what needs DVC's lock, and wait a little while another command holds it; DVC itself would wait for ever."""
    from dvc.lock import LockError

    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return action()  # DVC tries for some seconds
        except LockError:
            if time.monotonic() > end:
                raise UnavailableError(
                    "another dvc command is at work in this clone",
                    "two at once could harm each other",
                    "wait until it has ended (fg shows one that was stopped), then the same command again",
                ) from None


def checkout(root: Path, *paths: str) -> None:
    """Check outputs out of the cache into another worktree.

    In this process and by output: starting DVC takes longer than the
    checkout, and so does the graph of stages that `dvc checkout PATH` builds.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_data.hashfile.checkout import CheckoutError

    try:
        for out in Repo(str(root)).index.outs:
            if Path(out.fs_path).relative_to(root).as_posix() in paths:
                out.checkout(force=True)
    except (DvcException, CheckoutError, FileNotFoundError) as error:
        raise ProjectError(
            f"dvc checkout of {', '.join(paths)} failed: {error}",
            "the cache could not be read, or the files not be written",
            "mend that, then the same command again",
        ) from None


def name_of(content: bytes) -> str:
    """Return the name of the object that has this content."""
    return md5(content, usedforsecurity=False).hexdigest()


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each object in a folder of objects, in bytes."""
    found = {path.parent.name + path.name: path for path in folder.glob("??/*")}
    return {oid: path.stat().st_size for oid, path in found.items() if MD5.fullmatch(oid)}


def _is_inside(name: str) -> bool:
    """Tell whether a path stays below the folder that it is relative to."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _md5_of(path: Path) -> str:
    digest = md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def stale(root: Path) -> dict[str, Any]:
    """Return the stages that `dvc repro` would run, with DVC's reasons; asked in this process, which takes less time.

    It waits a little while another dvc command is at work.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with contextlib.chdir(root):  # DVC's names of stages and files are relative to where it runs
            found: dict[str, Any] = _patiently(lambda: Repo(str(root)).status())
    except DvcException as error:
        raise ProjectError(f"dvc status failed: {error}", "DVC says so", "dvc status shows more") from None
    return found


def unsaved(root: Path) -> list[str]:
    """Return the outputs and inputs of the workspace that are neither gone nor in the cache as they are."""
    from dvc.repo import Repo

    changed = {
        path
        for reasons in stale(root).values()
        for reason in reasons
        if isinstance(reason, dict)
        for path, state in reason.get("changed outs", {}).items()
        if state != "deleted"
    }
    if not changed:
        return []
    store = Store(root)
    outs = {PurePosixPath(os.path.relpath(out.fs_path, root)).as_posix(): out for out in Repo(str(root)).index.outs}
    there = {path for path in changed if (root / path).exists()}
    return sorted(path for path in there if path not in outs or not store.has(outs[path].get_hash().value))
