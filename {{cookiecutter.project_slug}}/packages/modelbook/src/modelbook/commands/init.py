"""`model init`: give a DVC pipeline of your own what versions need. What is there stays as it is."""

import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from .. import extras
from ..errors import ProjectError
from ..mappings import load_yaml
from ..progress import Say, silent
from ..settings import METRICS, parse_rules
from ..workspace import yaml_edit
from ..workspace.project import Project
from ..workspace.yaml_edit import NotThereError
from .card import CARD

#: Where `models.save` and `evaluation.judge` write.
MODEL, PREDICTIONS, EVALUATION, ENVIRONMENT = "model", "predictions", "evaluation.json", "environment.json"
#: The folder of the rows, unless `data.prepared` in `params.yaml` names another.
ROWS = "data/prepared"
#: What DVC takes as the name of an artifact.
NAME = re.compile(r"[a-z0-9]([a-z0-9/_-]*[a-z0-9])?")
#: What neither git nor DVC should look into.
IGNORED = (".releases", ".venv", "__pycache__")

STAGE = """\
environment:
  desc: Note the packages that the model is trained with
  cmd: python -m modelbook.training.environment
  deps:
    - pyproject.toml
    - uv.lock
  outs:
    - environment.json:
        cache: false
"""
ARTIFACT = "$name:\n  path: model\n  type: model\n"
CHOICES = {task: (names[0], ", ".join(names)) for task, names in METRICS.items()}
#: The blocks of `params.yaml` that the commands and the three calls read.
BLOCKS = {
    "data": """\
# Where the rows are that the model takes.
data:
  prepared: $rows
""",
    "task": """\
task:
  name: $task
  # One of: $metrics.
  metric: $metric
  # Columns for whose values the metrics are also reported one by one.
  slices: []
  bootstrap: {resamples: 500, level: 0.95}
""",
    "compute": """\
compute:
  name: default
  # Threads of the numeric libraries. More threads may change the last digits of a result.
  threads: 1
  # Fits that run side by side, -1 for all cores.
  jobs: -1
  seed: 42
""",
    "gate": """\
# What a model must reach to be released.
gate:
  name: default
  # Compare with the version in this deployment stage; null: with none.
  against: prod
  # What decides: the end of the confidence interval that speaks against the new model (interval), or the value.
  judged_by: interval
  beats_baseline: true
  # The least that test metrics must reach (losses: the most), such as {$metric: 0.5}.
  floors: {}
  # How much worse than the live version, as a share of its value, such as {$metric: 0.1}.
  no_worse: {}
  slices_no_worse: {}
  # If the live version cannot be asked: refuse, or pass.
  incomparable: refuse
""",
    "stages": """\
# The deployment stages that a version can be live in.
stages:
  name: default
  # A version enters one only from the one before it, such as [staging, prod].
  order: []
  # These need a model card that someone has written (docs/model_card.md).
  need_card: [prod]
  sign_tags: false
""",
    "retention": """\
# What `model prune` keeps: what was ever live, the newest versions, and these by name.
retention: {name: default, ever_live: true, last: 10, days: 90, versions: []}
""",
}


@dataclass(frozen=True)
class Added:
    """What was written into a file."""

    file: str
    what: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """What is left to do.

    Attributes
    ----------
    what : str
    lines : tuple of str
        What to type, or to write into the stage.
    dvc_yaml : tuple of str
        What to add to the stage in `dvc.yaml`.
    """

    what: str
    lines: tuple[str, ...]
    dvc_yaml: tuple[str, ...] = ()


@dataclass(frozen=True)
class Initialised:
    """A repository that can have versions, once the steps are done.

    Attributes
    ----------
    name : str
        The model's name.
    added : tuple of Added
    steps : tuple of Step
    """

    name: str
    added: tuple[Added, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Draft:
    """A file as it will be; what it holds today stays in it."""

    file: str
    text: str
    what: tuple[str, ...]


def init(root: Path, name: str | None, task: str | None, rows: str | None, say: Say = silent) -> Initialised:
    """Add to a repository what versions need; a second time there is nothing to add.

    Parameters
    ----------
    root : Path
        The top of the repository.
    name : str, optional
        The model's name; that of the project, if it is left out.
    task : str, optional
        Needed if `params.yaml` does not say it.
    rows : str, optional
        The folder with the rows that the model takes.
    say : callable

    Raises
    ------
    ProjectError
        If a file cannot be added to. None of them has changed then.
    """
    say("looking at dvc.yaml and params.yaml")
    if not (root / ".dvc").is_dir():
        raise ProjectError("there is no .dvc here", "DVC keeps the data and the models", "dvc init")
    stages = _block(_read(root, "dvc.yaml"), "stages")
    pipeline = _pipeline(root, name)
    (model,) = _models(_parse(pipeline.text, "dvc.yaml"))
    project = Project(root, model, MODEL)
    params = None if project.has_conf else _params(root, task, rows)
    values = _parse(params.text, "params.yaml") if params else _read(root, "params.yaml")
    drafts = [
        pipeline,
        params,
        *(_ignored(project, file) for file in (".gitignore", ".dvcignore")),
        _card(root, values),
    ]
    changed = [draft for draft in drafts if draft and draft.what]
    with project.lock():
        for draft in changed:
            _write(root / draft.file, draft.text)
    steps = [*_packages(root), *_calls(stages, str(_block(values, "data").get("prepared", ROWS)))]
    return Initialised(model, tuple(Added(draft.file, draft.what) for draft in changed), tuple(steps))


def _pipeline(root: Path, name: str | None) -> Draft:
    """Add to `dvc.yaml` the stage that notes the environment, and the artifact that names the model."""
    file = "dvc.yaml"
    text, before = _text(root / file), _read(root, file)
    stages, artifacts, models = _block(before, "stages"), _block(before, "artifacts"), _models(before)
    if len(models) > 1 or (models and name not in (None, models[0])):
        raise ProjectError(
            f"{file} names another model: {', '.join(models)}",
            "versions are versions of one model",
            f"give exactly one artifact `type: model`; to keep its name: model init {models[0]}",
        )
    if models and artifacts[models[0]].get("path") != MODEL:
        raise ProjectError(
            f"in {file} the artifact {models[0]} is {artifacts[models[0]].get('path')}",
            f"a version's model is the folder {MODEL}/, which models.save writes",
            f"write `path: {MODEL}` there (the file itself may stay an output), then model init again",
        )
    what = []
    try:
        if not any(ENVIRONMENT in _outs(_block(stages, name)) for name in stages):
            if "environment" in stages:
                raise ProjectError(
                    f"{file} has a stage `environment` that does not make {ENVIRONMENT}",
                    "the stage of this name notes the packages that the model is trained with",
                    "give yours another name, then model init again",
                )
            text = yaml_edit.insert(text, ("stages",), STAGE)
            what.append("the stage environment")
        if not models:
            chosen = _name(root, name)
            entry = Template(ARTIFACT).substitute(name=chosen)
            if artifacts:
                text = yaml_edit.insert(text, ("artifacts",), entry)
            else:
                text = _append(text, "artifacts:\n" + "".join(f"  {line}\n" for line in entry.splitlines()))
            what.append(f"the artifact {chosen}")
        _keeps(before, _parse(text, file))
    except (NotThereError, ValueError):
        raise _by_hand(file, f"stages:\n{STAGE}\nartifacts:\n{ARTIFACT}") from None
    return Draft(file, text, tuple(what))


def _params(root: Path, task: str | None, rows: str | None) -> Draft:
    """Add to `params.yaml` the blocks that it does not have."""
    file = "params.yaml"
    text = _text(root / file)
    before = _read(root, file)
    known = _block(before, "task").get("name")
    if known is None and task is None:
        raise ProjectError(
            "what does the model predict?",
            "the metrics, and what is written into params.yaml, depend on it",
            "model init --task classification   (classes), or --task regression   (numbers)",
        )
    if task not in (None, known or task):
        raise ProjectError(
            f"params.yaml says task.name: {known}", "a key that is there stays", "leave --task out, or change the key"
        )
    task = known or task
    metric, metrics = CHOICES.get(str(task), ("", ""))
    said = _block(before, "data").get("prepared")
    if said is not None and rows not in (None, said):
        raise ProjectError(
            f"params.yaml says data.prepared: {said}",
            "a key that is there stays",
            "leave --rows out, or change the key",
        )
    wanted = [key for key in BLOCKS if key not in before and (key != "data" or rows not in (None, ROWS))]
    blocks = "\n".join(BLOCKS[key] for key in wanted)
    what = list(wanted)
    try:
        if "data" in before and said is None and rows not in (None, ROWS):
            text = yaml_edit.add(text, ("data", "prepared"), rows)
            what.insert(0, "data.prepared")
        if wanted:
            text = _append(text, Template(blocks).substitute(task=task, metric=metric, metrics=metrics, rows=rows))
        after = _parse(text, file)
        _keeps(before, after)
    except (NotThereError, ValueError):
        raise _by_hand(file, Template(blocks).safe_substitute(task=task, metric=metric, rows=rows)) from None
    try:
        parse_rules(after)
    except ProjectError as error:
        raise ProjectError(
            error.what,
            f"modelbook reads {', '.join(key for key in BLOCKS if key != 'data')} in {file}; nothing was changed",
            "correct these; keys of your own need another name. Then model init again",
        ) from None
    return Draft(file, text, tuple(what))


def _ignored(project: Project, file: str) -> Draft:
    """Add to `.gitignore` or `.dvcignore` the folders that tools make."""
    text = _text(project.root / file)
    if file == ".gitignore":
        lacking = [name for name in IGNORED if project.git.try_run("check-ignore", "--no-index", f"{name}/x") is None]
    else:
        lines = {line.strip().strip("/") for line in text.splitlines()}
        lacking = [name for name in IGNORED if name not in lines]
    ending = "" if not text or text.endswith("\n") else "\n"
    return Draft(file, text + ending + "".join(f"{name}/\n" for name in lacking), tuple(lacking))


def _card(root: Path, params: dict[str, Any]) -> Draft | None:
    """Begin the model card that a deployment stage needs; people write the rest."""
    if (root / CARD).exists() or not _block(params, "stages").get("need_card"):
        return None
    text = Path(__file__).with_name("model_card.md").read_text(encoding="utf-8")
    return Draft(CARD, text, ("the headings; fill it in before the first promotion",))


def _packages(root: Path) -> list[Step]:
    """Return what is missing in `pyproject.toml` and `uv.lock`: a version names the packages that made it."""
    try:
        project = _toml(root / "pyproject.toml").get("project", {})
        lines = [Requirement(line) for line in project.get("dependencies", [])]
        locked = _toml(root / "uv.lock").get("package", [])
    except (tomllib.TOMLDecodeError, InvalidRequirement) as error:
        raise ProjectError(
            f"pyproject.toml or uv.lock cannot be read: {error}", "they name the packages", "correct the file"
        ) from None
    if not any(line.name == "modelbook" and "train" in line.extras for line in lines):
        return [Step("Name the packages in pyproject.toml", ("uv add --extra train MODELBOOK.whl",))]
    if extras.missing():
        return [Step("Install the packages that training needs", (extras.command(),))]
    return [] if locked else [Step("Lock the packages", ("uv lock",))]


def _calls(stages: dict[str, Any], rows: str) -> list[Step]:
    """Return the calls that no stage of `dvc.yaml` makes yet, as far as its outputs tell."""
    deps = f"deps: [{ENVIRONMENT}]"
    folder = "" if rows == ROWS else f', "{rows}"'
    steps = {
        rows: Step(
            "The stage that makes the rows for the model",
            ('tables.write({"train": train, "test": test}, "TARGET"' + folder + ")",),
            (deps, "params: [task.name]", f"outs: [{rows}]"),
        ),
        MODEL: Step(
            "The stage that fits the model",
            (
                f'rows = tables.read("train"{folder})',
                "model = models.fit(YOUR_ESTIMATOR, rows, settings)",
                "models.save(model, rows, settings)",
            ),
            (deps, "params: [compute, task.name]", f"outs: [{MODEL}]"),
        ),
        EVALUATION: Step(
            "The stage that judges the model",
            (f"judged = evaluation.judge(settings{folder})",),
            (deps, "params: [compute, task]", f"outs: [{PREDICTIONS}, {EVALUATION}: " + "{cache: false}]"),
        ),
    }
    entries = [_block(stages, name) for name in stages]
    made = {out for entry in entries if ENVIRONMENT in (entry.get("deps") or []) for out in _outs(entry)}
    return [step for out, step in steps.items() if not any(f"{one}/".startswith(f"{out}/") for one in made)]


def _name(root: Path, name: str | None) -> str:
    """Return the model's name; by default it is that of the project, or of its folder."""
    if name is None:
        try:
            project = _toml(root / "pyproject.toml").get("project", {})
        except tomllib.TOMLDecodeError:
            project = {}
        return re.sub(r"[^a-z0-9]+", "-", str(project.get("name", root.name)).lower()).strip("-") or MODEL
    if NAME.fullmatch(name):
        return name
    raise ProjectError(
        f"{name!r} cannot be the name of a model",
        "it stands in the names of tags: DVC takes small letters and digits, and - _ / between them",
        "model init NAME",
    )


def _models(pipeline: dict[str, Any]) -> list[str]:
    """Return the names of the models among the artifacts of `dvc.yaml`."""
    artifacts = _block(pipeline, "artifacts")
    return [name for name in artifacts if _block(artifacts, name).get("type") == "model"]


def _outs(entry: dict[str, Any]) -> set[str]:
    outs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind) or []]
    return {str(next(iter(out))) if isinstance(out, dict) else str(out) for out in outs}


def _block(values: dict[str, Any], key: str) -> dict[str, Any]:
    block = values.get(key)
    return block if isinstance(block, dict) else {}


def _text(path: Path) -> str:
    """Return the text of a file; nothing, if it is not there."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path.name} is not UTF-8: {error}", "it is to be added to", "save it as UTF-8") from None


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(_text(path).lstrip("\ufeff"))


def _read(root: Path, file: str) -> dict[str, Any]:
    try:
        return _parse(_text(root / file), file)
    except ValueError as error:
        raise ProjectError(f"{file} is not valid YAML: {error}", "it is to be added to", f"correct {file}") from None


def _parse(text: str, file: str) -> dict[str, Any]:
    loaded = load_yaml(text.encode())
    if not isinstance(loaded, dict | None):
        raise ProjectError(f"{file} holds no keys", "it is to be added to", f"correct {file}")
    return dict(loaded or {})


def _append(text: str, lines: str) -> str:
    """Return the text with lines after it, and one empty line between."""
    return f"{text.rstrip()}\n\n{lines}" if text.strip() else lines


def _keeps(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse a draft that says anything else of what was there."""
    for key, value in before.items():
        if isinstance(value, dict) and isinstance(after.get(key), dict):
            _keeps(value, after[key])
        elif after.get(key) != value:
            raise ValueError(key)


def _by_hand(file: str, lines: str) -> ProjectError:
    return ProjectError(
        f"{file} is written in a way that nothing can be added to",
        "what is there must stay as it is; nothing was changed",
        f"add by hand, then model init again:\n\n{lines}",
    )


def _write(path: Path, text: str) -> None:
    """Replace a file in one step; a link stays one, and lines end as they did."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    ends = "\r\n" if path.exists() and b"\r\n" in path.read_bytes() else "\n"
    draft.write_text(text.replace("\r\n", "\n"), encoding="utf-8", newline=ends)
    if path.exists():
        shutil.copymode(path, draft)
    draft.replace(path)
