"""A project as the other modules see it: its git repository, its objects, its registry, its rules."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import extras
from ..contract import TOOL_FOLDER
from ..errors import ProjectError, UnavailableError
from ..registry import registry
from ..registry.registry import Registry, Version
from ..store.dvc_repo import Store
from ..store.git import LOCAL_VARIABLES, Git, GitError, environment, last_line
from ..store.yaml_file import read_yaml

if TYPE_CHECKING:
    from ..registry.record import Record

#: What git says of a repository that someone else owns.
DOUBTED = re.compile(r"dubious ownership in repository at '(.+)'")
#: Release directories; git and DVC ignore it.
RELEASES = ".releases"


@dataclass(frozen=True)
class Project:
    """One clone of a project.

    Attributes
    ----------
    root : Path
    name : str
        The model's name.
    model_path : str
        Where the model lies, relative to the root.
    cache : Path, optional
        Another cache than DVC's.
    """

    root: Path
    name: str
    model_path: str
    cache: Path | None = None

    @cached_property
    def git(self) -> Git:
        return Git(self.root)

    @cached_property
    def store(self) -> Store:
        return Store(self.root, self.cache)

    def registry(self) -> Registry:
        """Return the registry as the tags are now."""
        return registry.read(self.git, self.name)

    def record(self, version: Version) -> "Record":
        """Return the record in a version's tag."""
        return next(iter(self.records([version]).values()))

    def records(self, versions: Sequence[Version], lenient: bool = False) -> "dict[str, Record]":
        """Return the records of versions by name; `lenient` leaves out those that cannot be read."""
        from ..registry import record

        records = {}
        for version, text in zip(versions, self.git.tags([version.tag for version in versions]), strict=True):
            try:
                records[version.name] = record.parse(text.partition("\n\n")[2], f"{self.name}@{version.name}")
            except ProjectError:
                if not lenient:
                    raise
        return records

    def mismatch(self, version: Version, kept: "Record") -> str | None:
        """Return how a tag and the record in it contradict each other, or None."""
        identity = kept.identity
        if (identity.name, identity.version, kept.code.commit) == (self.name, version.name, version.commit):
            return None
        return (
            f"the tag {self.name}@{version.name} was moved or edited: it is at {version.commit[:10]}, "
            f"its record is of {identity.name} {identity.version} at {kept.code.commit[:10]}"
        )

    @property
    def has_conf(self) -> bool:
        """Tell whether `conf/` is the truth; where a pipeline has none, `params.yaml` is."""
        return (self.root / "conf" / "config.yaml").exists()

    @cached_property
    def composed(self) -> str:
        """What `conf/` composes to, as YAML; a command asks Hydra once."""
        return self.compose(Path("conf"))

    def compose(self, conf: Path) -> str:
        """Return what a folder of configuration composes to, as YAML."""
        return self.python("modelbook.training.compose", "--print", str(conf))

    def place(self, group: str, name: str) -> str:
        """Return where a person finds the rules of a group."""
        return f"conf/{group}/{name}.yaml" if self.has_conf else f"{group} in params.yaml"

    @property
    def releases(self) -> Path:
        return self.root / RELEASES

    def rules(self, group: str, rev: str = "HEAD") -> dict[str, Any]:
        """Return a config group of a commit, from its `params.yaml`; left out: the one that is checked out."""
        content = self.git.file(rev, "params.yaml")
        block = read_yaml(content, "params.yaml").get(group) if content else None
        return block if isinstance(block, dict) else {}

    def rules_in_force(self, group: str) -> dict[str, Any]:
        """Return a config group of the commit; if it was edited since, which one is meant is a `ProjectError`."""
        committed = self.rules(group)
        changed = self.git.changes("conf", "params.yaml")
        if not (changed and self.has_conf):
            return committed
        composed = read_yaml(self.composed.encode(), "conf").get(group)
        if composed == committed:
            return committed
        place = self.place(group, str((composed or committed).get("name")))
        raise ProjectError(
            f"the rules in {place} were edited, and are not in force",
            "what is committed counts, and params.yaml of this commit says something else",
            "dvc repro, then git add --all && git commit; then the same command again",
        )

    @contextlib.contextmanager
    def lock(self, name: str = "workspace") -> Iterator[None]:
        """Hold a lock of this clone; somebody else's is a `ProjectError`, a dead process's is none."""
        from filelock import FileLock, Timeout

        folder = self.root / ".dvc" / "tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            holder = FileLock(folder / f"model-{name}.lock", timeout=0)
            with holder:
                yield
        except Timeout:
            raise UnavailableError(
                "another model command is running in this clone",
                "two at once could overwrite each other's work",
                "wait until it is done, then run it again",
            ) from None
        except PermissionError as error:
            raise UnavailableError(
                f"{error.filename} cannot be written",
                "this checkout is read-only",
                "run the command in a clone that you may write to; show, history, diff and verify also work here",
            ) from None

    def python(
        self, *arguments: str, cwd: Path | None = None, text: str | None = None, python: str = sys.executable
    ) -> str:
        """Run a module of the pipeline with the code of a folder; return its output, or raise its own error."""
        if python == sys.executable:
            extras.need_train()
        where = cwd or self.root
        done = subprocess.run(  # noqa: S603 (an argument list)
            [python, "-m", *arguments],
            cwd=where,
            env=code_of(where),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise failure(f"python -m {' '.join(arguments[:1])} in {where.name}", done.stderr)
        return done.stdout


def code_of(folder: Path) -> dict[str, str]:
    """Return the environment in which Python runs the code of a folder: the team's, and the tool that it carries.

    It writes no bytecode there: a release directory stays as it was checked out.
    """
    tool = (folder / TOOL_FOLDER).parent
    places = [str(folder), str(tool)] if tool.is_dir() else [str(folder)]
    path = os.pathsep.join(filter(None, (*places, os.environ.get("PYTHONPATH"))))
    return {**environment(), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "DVC_NO_ANALYTICS": "1"}


def failure(what: str, stderr: str) -> ProjectError:
    """Turn the text of another process's `ProjectError` into one; else show its last line."""
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    whys = [n for n, line in enumerate(lines) if line.startswith("  why: ")]
    if whys:
        n = whys[-1]
        fix = "\n".join(lines[n + 1 :]).removeprefix("  fix: ")
        return ProjectError("\n".join(lines[:n]), lines[n].removeprefix("  why: "), fix)
    return ProjectError(
        f"{what} failed: {lines[-1] if lines else 'no reason given'}",
        "what it should have made or proven is not there",
        "run it yourself to see all of it",
    )


def find(start: Path) -> Project:
    """Return the project that a folder is in; if it names no model, or is not in order, that is a `ProjectError`."""
    root = top(start)
    return Project(root, *registry.artifact(root))


def top(start: Path) -> Path:
    """Return the folder of the project that a folder is in.

    Raises
    ------
    ProjectError
        If the folder is in no git repository, or the top of the repository is not the project.
    """
    root = _repository(start)
    inside = [folder for folder in (start.resolve(), *start.resolve().parents) if folder.is_relative_to(root)][:-1]
    nested = next((folder for folder in inside if (folder / ".dvc" / "config").is_file()), None)
    if nested:
        raise ProjectError(
            f"the project {nested.name} is a folder of a larger git repository: {root}",
            "versions are tags of a whole repository, and a release directory is a checkout of one; so model needs a "
            "project that is the top of its repository (dvc repro, dvc exp and git work as they are)",
            "give it a repository of its own, as docs/troubleshooting.md shows",
        )
    if not (root / "dvc.yaml").exists():
        raise ProjectError(
            f"there is no dvc.yaml in {root}",
            "it names the stages and the model",
            "type the command in a folder of the project; if the file was deleted: git checkout HEAD -- dvc.yaml",
        )
    return root


def _repository(start: Path) -> Path:
    """Return the top of the repository that a folder is in."""
    git, reason = Git(start), ""
    root: Path | None = None
    try:
        root = Path(os.fsdecode(git.run_bytes("rev-parse", "--show-toplevel").removesuffix(b"\n")))
    except GitError as error:
        doubted = DOUBTED.search(error.stderr)
        if doubted:
            raise ProjectError(
                f"git does not trust {doubted[1]}: it belongs to another user",
                "what a repository says git should run would run as you",
                f"if you do trust it: git config --global --add safe.directory {shlex.quote(doubted[1])}",
            ) from None
        reason = last_line(error.stderr)
    except FileNotFoundError:
        raise ProjectError(
            "git is not installed, or the folder is gone", "versions are git tags", "install git"
        ) from None
    if LOCAL_VARIABLES & os.environ.keys():
        # In a hook, git says which repository it is at work in; a folder of another one may be a slip.
        there = Git(start, follows_variables=True).try_run("rev-parse", "--absolute-git-dir")
        here = git.try_run("rev-parse", "--absolute-git-dir")
        if there and there != here:
            raise ProjectError(
                f"GIT_DIR, or a variable like it, names the repository {there}; this folder is in {here or 'none'}",
                "git, DVC and model would each work on another one",
                "cd into the project, unset $(git rev-parse --local-env-vars); then the same command again",
            )
    if root is None:
        raise ProjectError(
            f"this is no git repository: {start} ({reason})",
            "versions are git tags",
            "cd into the project; a new one: git init && git add --all && git commit -m Start",
        )
    return root


def one_line(text: str) -> str:
    """Return text without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def listed(lines: Sequence[str], most: int = 8) -> str:
    """Return lines as a list, the rest as a number."""
    shown = "\n".join(f"  - {line}" for line in lines[:most])
    return shown + (f"\n  - and {len(lines) - most} more" if len(lines) > most else "")
