"""`model adopt`: an experiment's choices and values become the files of `conf/`."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import ProjectError
from ..mappings import differences
from ..progress import Say, silent
from ..registry import derive
from ..store.yaml_file import read_yaml
from ..workspace import yaml_edit
from ..workspace.project import Project, listed
from ..workspace.yaml_edit import NotThereError

CONF = "conf"
#: Each round can free another value: a choice first, then what interpolations take from it.
ROUNDS = 20


@dataclass(frozen=True)
class Adopted:
    """What was written.

    Attributes
    ----------
    experiment : str
    changes : tuple of (str, str, object, object)
        File, key, old value and new value.
    notes : tuple of str
    """

    experiment: str
    changes: tuple[tuple[str, str, Any, Any], ...]
    notes: tuple[str, ...]


def adopt(project: Project, experiment: str, say: Say = silent) -> Adopted:
    """Write what an experiment was run with into the files of `conf/`, and prove it by composing them.

    Parameters
    ----------
    project : Project
    experiment : str
        A name from `dvc exp show`, or a commit.
    say : callable

    Raises
    ------
    ProjectError
        If the files cannot say it. None of them has changed then.
    """
    if not project.has_conf:
        raise ProjectError(
            "there is no conf/config.yaml to write into",
            "without conf/ the values stand in params.yaml, and an experiment has its own there",
            f"dvc exp apply {experiment}, then git commit --all",
        )
    commit = _commit(project, experiment)
    content = project.git.file(commit, "params.yaml")
    if content is None:
        raise ProjectError(
            f"{experiment} holds no params.yaml", "its values stand there", "dvc exp show lists experiments"
        )
    wanted = read_yaml(content, "params.yaml")
    _need_files(project, wanted, experiment, commit)
    with project.lock(), tempfile.TemporaryDirectory() as scratch:
        say(f"writing {experiment} into a copy of {CONF}/ and composing it")
        draft = Path(scratch, CONF)
        shutil.copytree(project.root / CONF, draft)
        before = read_yaml(project.compose(draft).encode(), CONF)
        changes = _express(project, draft, before, wanted, experiment)
        changed = [
            path
            for path in sorted(draft.rglob("*.yaml"))
            if _differs(path, project.root / CONF / path.relative_to(draft))
        ]
        for path in changed:
            _put(path, project.root / CONF / path.relative_to(draft))
    return Adopted(experiment, tuple(changes), tuple(_notes(project, commit)))


def _commit(project: Project, experiment: str) -> str:
    """Return an experiment's commit, by its name or any revision."""
    refs = project.git.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/").splitlines()
    named = [line.split(" ")[0] for line in refs if line.rpartition("/")[2] == experiment and "/exec/" not in line]
    if len(named) > 1:
        raise ProjectError(
            f"{len(named)} experiments are called {experiment}",
            "they were run from different commits",
            "give the hash that dvc exp show prints",
        )
    if named:
        return named[0]
    found = project.git.try_run("rev-parse", "--verify", "--quiet", "--end-of-options", experiment + "^{commit}")
    if found is None:
        raise ProjectError(
            f"there is no experiment {experiment}",
            "no experiment and no commit has this name",
            "dvc exp show --all-commits lists them",
        )
    return found


def _express(
    project: Project, draft: Path, before: dict[str, Any], wanted: dict[str, Any], experiment: str
) -> list[tuple[str, str, Any, Any]]:
    """Edit the draft until it composes to the wanted values; return the edits."""
    changes: list[tuple[str, str, Any, Any]] = []
    now = before
    for group, choice in derive.choices(wanted).items():
        if derive.choices(now).get(group) not in (None, choice):
            _choose(draft, group, choice)
            changes.append((f"{CONF}/config.yaml", group, derive.choices(now)[group], choice))
    if changes:
        now = read_yaml(project.compose(draft).encode(), CONF)
    tried: set[str] = set()
    for _ in range(ROUNDS):
        left = differences(now, wanted)
        if not left:
            return changes
        # A value that others are taken from comes first; it may set them, too.
        plain = [entry for entry in left if not _is_interpolated(draft, now, entry[0])]
        chosen = [entry for entry in plain or left if entry[0] not in tried]
        if not chosen:
            raise _refused(experiment, left)
        for key, old, new in chosen:
            tried.add(key)
            changes.append((_set(draft, now, wanted, key, experiment), key, old, new))
        now = read_yaml(project.compose(draft).encode(), CONF)
    raise _refused(experiment, differences(now, wanted))


def _refused(experiment: str, left: list[tuple[str, Any, Any]]) -> ProjectError:
    return ProjectError(
        f"{experiment} cannot be written into conf/:\n"
        + listed([f"{key}: {new!r}, the files compose to {old!r}" for key, old, new in left]),
        "another file sets these, or YAML has no way to write them; nothing was changed",
        "write them into conf/ by hand, then: dvc repro",
    )


def _need_files(project: Project, wanted: dict[str, Any], experiment: str, commit: str) -> None:
    """Refuse choices whose files are not here."""
    for group, choice in derive.choices(wanted).items():
        file = f"{CONF}/{group}/{choice}.yaml"
        if (project.root / CONF / group).is_dir() and not (project.root / file).is_file():
            there = project.git.file(commit, file) is not None
            # Not `dvc exp apply`: it would put all else of the experiment over what is here.
            fix = f"git restore --source {commit[:12]} -- {file}" if there else f"write {file} again"
            raise ProjectError(f"{file} is not here", f"{experiment} chose it", f"{fix}, then the same command again")


def _choose(draft: Path, group: str, choice: str) -> None:
    """Write a choice where it is made: in the active recipe if it makes it, else in the defaults list."""
    config = draft / "config.yaml"
    files = [config]
    recipe = re.search(r"^\s*-\s*experiment:\s*([\w-]+)", config.read_text(encoding="utf-8"), re.MULTILINE)
    if recipe and recipe[1] != "null":
        files.insert(0, draft / "experiment" / f"{recipe[1]}.yaml")
    line = re.compile(rf"^(\s*-\s*(?:override\s+)?/?{re.escape(group)}:\s*)([^\s#]+)", re.MULTILINE)
    for file in files:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if line.search(text):
            file.write_text(line.sub(lambda match: match[1] + choice, text, count=1), encoding="utf-8", newline="")
            return
    raise ProjectError(
        f"conf/config.yaml does not choose a file of {group}",
        "there is no line to write the choice into",
        f"add `- {group}: {choice}` to its defaults",
    )


def _at(values: dict[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _places(draft: Path, values: dict[str, Any], key: str) -> list[tuple[Path, tuple[str, ...]]]:
    """Return the files that may decide a key, the deciding one first, with the key's path in each."""
    parts = tuple(key.split("."))
    places = []
    config = draft / "config.yaml"
    recipe = re.search(r"^\s*-\s*experiment:\s*([\w-]+)", config.read_text(encoding="utf-8"), re.MULTILINE)
    places.append((config, parts))
    if recipe and recipe[1] != "null":
        places.append((draft / "experiment" / f"{recipe[1]}.yaml", parts))
    block = values.get(parts[0])
    if isinstance(block, dict) and "name" in block and len(parts) > 1:
        places.append((draft / parts[0] / f"{block['name']}.yaml", parts[1:]))
    return [(file, path) for file, path in places if file.is_file()]


def _is_interpolated(draft: Path, values: dict[str, Any], key: str) -> bool:
    for file, path in _places(draft, values, key):
        found = yaml_edit.value(file.read_text(encoding="utf-8"), path)
        if found is not None:
            return "${" in found
    return False


def _set(draft: Path, now: dict[str, Any], wanted: dict[str, Any], key: str, experiment: str) -> str:
    """Set, add or remove one key in the file that decides it; return the file's name."""
    places = _places(draft, now, key)
    parts = key.split(".")
    parent = _at(wanted, ".".join(parts[:-1])) if len(parts) > 1 else wanted
    gone = not (isinstance(parent, dict) and parts[-1] in parent)
    new = _at(wanted, key)
    holders = [(f, p) for f, p in places if yaml_edit.value(f.read_text(encoding="utf-8"), p) is not None]
    try:
        if holders:
            file, path = holders[0]
            text = file.read_text(encoding="utf-8")
            text = yaml_edit.remove(text, path) if gone else yaml_edit.replace(text, path, new)
        else:
            file, path = places[-1]
            text = yaml_edit.add(file.read_text(encoding="utf-8"), path, new)
        yaml.compose(text, yaml.SafeLoader)
    except (NotThereError, IndexError, yaml.YAMLError):
        raise _refused(experiment, [(key, _at(now, key), new)]) from None
    file.write_text(text, encoding="utf-8", newline="")
    return f"{CONF}/{file.relative_to(draft).as_posix()}"


def _differs(draft: Path, target: Path) -> bool:
    return not target.exists() or draft.read_bytes() != target.read_bytes()


def _put(draft: Path, target: Path) -> None:
    """Replace a file in one step."""
    new = target.with_name(f".{target.name}.new")
    try:
        shutil.copyfile(draft, new)
        shutil.copymode(target, new)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def _notes(project: Project, commit: str) -> list[str]:
    """Tell what else the experiment changed: its model will be made by the code and data that are here."""
    outputs = {out.path for out in project.store.outs()} | {"params.yaml", "dvc.lock"}
    differ = [path for path, *_ in project.git.differences(commit)]
    other = [path for path in differ if path not in outputs and not path.startswith(f"{CONF}/")]
    return [
        f"the experiment was run with another {path}; the model will be made with the one that is here"
        for path in other[:10]
    ]
