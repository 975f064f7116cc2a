"""The strict schema of the composed configuration, and the way to read it.

`conf/` composes to `params.yaml`; every stage but `compose` reads `params.yaml`
through `read_params` and nothing else. A key that is not declared here is an
error, so a typing mistake can never silently become a default.
"""

import contextlib
import datetime as dt
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .errors import ProjectError
from .mappings import load_yaml

PARAMS_FILE = Path("params.yaml")
#: Stands where a message names a file, for what no file of conf/ says.
OVERRIDES = Path("the -S of `dvc exp run`")
#: What tells Hydra that a recipe sets keys of all groups.
RECIPE = "# @package _global_"
NEW_KEYS = "\n       (a key that came with an update of the template: its CHANGELOG.md says what to write)"

#: scikit-learn's histograms have 255 bins: one for each category.
MOST_NATIVE = 255

ColumnType = Literal["number", "boolean", "category", "date"]
Metric = Literal["accuracy", "f1_macro", "log_loss", "roc_auc", "rmse", "mae", "r2"]
METRICS: dict[str, tuple[Metric, ...]] = {
    "classification": ("accuracy", "f1_macro", "log_loss", "roc_auc"),
    "regression": ("rmse", "mae", "r2"),
}


def _as_date(value: object) -> object:
    """Take the text form of a date, which is what a composed YAML file holds."""
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


def _strptime_format(value: str | None) -> str | None:
    """Refuse a format that `strptime` does not know."""
    if value is not None:
        day = dt.datetime(2001, 2, 3, tzinfo=dt.UTC)
        try:
            dt.datetime.strptime(day.strftime(value), value).astimezone()
        except ValueError as error:
            raise ValueError(f"not a format of strptime: {error}") from None
    return value


def _separator(value: str | None) -> str | None:
    """Refuse what no reader of CSV takes as the separator."""
    if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n\0'):
        raise ValueError("not one ASCII character, such as ; or a tab")
    return value


Date = Annotated[dt.date, BeforeValidator(_as_date)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Asked:
    """The keys of `params.yaml` that this process asked for; a stage must name them in its `params`."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.listens = True

    def note(self, key: str) -> None:
        if self.listens:
            self.keys.add(key)

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """Take no note of the keys that are looked at in a block: its checks look at all."""
        before, self.listens = self.listens, False
        try:
            yield
        finally:
            self.listens = before


asked = Asked()


class Strict(BaseModel):
    """Base of every block: no unknown keys, no conversion between types, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def __getattribute__(self, name: str) -> Any:
        """Note which keys a stage asks for: they must stand in its `params`."""
        block = BLOCKS.get(type(self))
        if block and name in type(self).model_fields:
            asked.note(f"{block}.{name}")
        elif name.startswith("model_dump"):
            _all_asked_for(type(self))
        return super().__getattribute__(name)

    def __iter__(self) -> Any:
        """Iterate over all keys with their values, which asks for all of them."""
        _all_asked_for(type(self))
        return super().__iter__()


#: The key of each block of `params.yaml`, by its class.
BLOCKS: dict[type, str] = {}


def _all_asked_for(block: type) -> None:
    for key in [BLOCKS[block]] if block in BLOCKS else BLOCKS.values() if block.__name__ == "Config" else ():
        asked.note(f"{key}.*")


class Rule(Strict):
    """What every value of one column must satisfy; a broken rule stops `prepare`."""

    required: bool = False
    min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max: Annotated[float, Field(allow_inf_nan=False)] | None = None
    values: Annotated[list[str | bool], Field(min_length=1)] | None = None


class Data(Strict):
    """Where the table is, what to predict, and how to read the files."""

    name: str
    path: str
    target: str
    id: list[str] = []
    leave_out: list[str] = []
    private: list[str] = []
    types: dict[str, ColumnType] = {}
    rules: dict[str, Rule] = {}
    rows_without_target: Literal["drop", "refuse"] = "drop"
    missing: list[str] = ["NA", "N/A", "NaN", "nan", "null", "None"]
    encoding: str = "utf-8"
    separator: Annotated[str | None, AfterValidator(_separator)] = None
    decimal: Literal[".", ","] = "."
    date_format: Annotated[str | None, AfterValidator(_strptime_format)] = None

    @model_validator(mode="after")
    def _target_is_a_feature_of_nothing(self) -> "Data":
        for key in ("id", "leave_out"):
            if self.target in getattr(self, key):
                raise ValueError(f"{key} lists the target column {self.target!r}")
        return self


class Bootstrap(Strict):
    """How confidence intervals are drawn."""

    resamples: int = Field(ge=50, le=100_000)
    level: Share


class Task(Strict):
    """What kind of prediction is made and how it is judged."""

    name: Literal["classification", "regression"]
    metric: Metric
    slices: list[str]
    bootstrap: Bootstrap

    @model_validator(mode="after")
    def _metric_suits_the_task(self) -> "Task":
        if self.metric not in METRICS[self.name]:
            suitable = ", ".join(METRICS[self.name])
            raise ValueError(f"metric {self.metric!r} does not suit {self.name}; one of {suitable} does")
        return self


class Features(Strict):
    """How raw columns become numbers; part of the fitted pipeline."""

    name: str
    impute_numbers: Literal["median", "mean", "most_frequent"]
    scale_numbers: bool
    encode_categories: Literal["one_hot", "ordinal", "target", "native"] = "one_hot"
    max_categories: int = Field(ge=2)
    min_frequency: int = Field(ge=1)
    text: list[str] = []
    max_words: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _native_categories_fit_into_a_byte(self) -> "Features":
        if self.encode_categories == "native" and self.max_categories > MOST_NATIVE:
            raise ValueError(f"encode_categories: native takes max_categories up to {MOST_NATIVE}")
        return self


class Split(Strict):
    """Which rows go to train, validation and test."""

    name: str
    by: Literal["row", "group", "time", "stratified"]
    salt: str
    validation: Share | None = None
    test: Share | None = None
    column: str | None = None
    validation_from: Date | None = None
    test_from: Date | None = None

    @model_validator(mode="after")
    def _each_kind_has_what_it_needs(self) -> "Split":
        need = {
            "row": {"validation", "test"},
            "stratified": {"validation", "test"},
            "group": {"validation", "test", "column"},
            "time": {"column", "validation_from", "test_from"},
        }[self.by]
        for key in ("validation", "test", "column", "validation_from", "test_from"):
            given = getattr(self, key) is not None
            if given != (key in need):
                raise ValueError(f"by: {self.by} {'needs' if key in need else 'has no use for'} {key!r}")
        if self.validation and self.test and self.validation + self.test >= 1:
            raise ValueError("validation and test together leave no rows to train on")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("validation_from must be before test_from")
        return self


class Model(Strict):
    """The estimator, by `_target_`, with its arguments."""

    name: str
    estimator: dict[str, Any]

    @model_validator(mode="after")
    def _names_an_estimator(self) -> "Model":
        if not isinstance(self.estimator.get("_target_"), str):
            raise ValueError("estimator needs _target_, the import path of an estimator class")
        return self


class Compute(Strict):
    """What may change the last digits of a result (threads, seed) and what may not (jobs)."""

    name: str
    threads: int = Field(ge=1)
    jobs: int
    seed: int = Field(ge=0, le=2**32 - 1)


class Retraining(Strict):
    """Whether the weekly job trains on fresh data."""

    name: str
    weekly: bool


class Gate(Strict):
    """What a candidate must reach to be released."""

    name: str
    against: str | None
    judged_by: Literal["interval", "value"]
    beats_baseline: bool
    floors: dict[Metric, float]
    no_worse: dict[Metric, Annotated[float, Field(ge=0)]]
    slices_no_worse: dict[str, dict[Metric, Annotated[float, Field(ge=0)]]]
    incomparable: Literal["refuse", "pass"]


class Stages(Strict):
    """Rules for the stages that a version can be live in."""

    name: str
    order: list[Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$")]]
    need_card: list[str]
    sign_tags: bool


class Retention(Strict):
    """Which versions' stored objects `model prune` keeps."""

    name: str
    ever_live: bool
    last: Annotated[int, Field(ge=1)]
    days: Annotated[int, Field(ge=0, le=36_500)]
    versions: list[str]


class Rules(BaseModel):
    """What the versions room reads; in a pipeline of your own making, `params.yaml` may hold anything else."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    task: Task
    compute: Compute
    gate: Gate
    stages: Stages
    retention: Retention | None = None

    def __getattribute__(self, name: str) -> Any:
        """Note a block of the pipeline's own that a stage asks for."""
        if not name.startswith("_") and name in (super().__getattribute__("__pydantic_extra__") or ()):
            asked.note(name)
        return super().__getattribute__(name)

    @model_validator(mode="after")
    def _gate_suits_the_task(self) -> "Rules":
        known = METRICS[self.task.name]
        judged = {*self.gate.floors, *self.gate.no_worse}
        judged |= {metric for by in self.gate.slices_no_worse.values() for metric in by}
        for metric in sorted(judged - {*known}):
            raise ValueError(f"gate: {metric!r} does not suit {self.task.name}; one of {', '.join(known)} does")
        return self


class Config(Rules):
    """The whole composed configuration."""

    model_config = ConfigDict(extra="forbid")

    data: Data
    features: Features
    split: Split
    model: Model
    retention: Retention
    retraining: Retraining

    @model_validator(mode="after")
    def _split_suits_the_task(self) -> "Config":
        if self.split.by == "stratified" and self.task.name != "classification":
            raise ValueError(
                f"split: {self.split.name} has shares within each class, and a {self.task.name} has no classes; "
                "choose split: row, group or time"
            )
        return self


BLOCKS |= {field.annotation: key for key, field in Config.model_fields.items() if isinstance(field.annotation, type)}


def parse(values: Mapping[str, Any], files: Iterable[Path] = (PARAMS_FILE,)) -> Config:
    """Check composed values against the schema.

    Parameters
    ----------
    values : mapping
        The composed configuration as plain dicts, lists and scalars.
    files : iterable of Path
        The files that the values came from, the deciding one first; an error
        names the first of them that holds the faulty key.

    Returns
    -------
    Config

    Raises
    ------
    ProjectError
        With every fault: the key, the file that holds it, and the nearest right name.
    """
    with _in_words(tuple(files)):
        return Config.model_validate(dict(values))


@contextlib.contextmanager
def _in_words(files: tuple[Path, ...]) -> Iterator[None]:
    """Name each fault of values with its key and the file that holds it."""
    try:
        with asked.unheard():
            yield
    except ValidationError as error:
        faults = [_sentence(fault, files) for fault in error.errors()]
        lacking = any(fault["type"] == "missing" for fault in error.errors())
        raise ProjectError(
            "The configuration is not valid:\n" + "\n".join(f"  - {fault}" for fault in faults),
            "a key that no stage reads, or a value of the wrong type, would change nothing or the wrong thing",
            _fix(files) + (NEW_KEYS if lacking else ""),
        ) from None


def _fix(files: tuple[Path, ...]) -> str:
    """Return where to correct a value: nobody may edit what is composed."""
    if OVERRIDES in files:
        return f"correct {OVERRIDES}, or the files named above, then run the same command again"
    if PARAMS_FILE in files and Path("conf/config.yaml").exists():
        return f"{PARAMS_FILE} is made from conf/: correct the files there, then dvc repro"
    return "correct the files named above, then run the same command again"


def read_settings(path: Path = PARAMS_FILE) -> "Config | Rules":
    """Read the settings that a stage gets: strict where `conf/` is the truth, else what every pipeline has."""
    return read_params(path) if Path("conf/config.yaml").exists() else read_rules(path)


def read_params(path: Path = PARAMS_FILE) -> Config:
    """Read and check the composed configuration."""
    return parse(read_yaml(path), (path,))


def read_rules(path: Path = PARAMS_FILE) -> Rules:
    """Read and check only what every pipeline has, whoever made it."""
    return rules(read_yaml(path), path)


def rules(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> Rules:
    """Check what every pipeline has, of values that stand in a file."""
    with _in_words((path,)):
        return Rules.model_validate(dict(values))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping; a missing or broken file is a `ProjectError`."""
    try:
        values = load_yaml(path.read_bytes())
    except FileNotFoundError:
        raise ProjectError(f"{path} is missing", "every stage reads it", "dvc repro") from None
    except ValueError as error:
        fixes = {"params.yaml": f"rm {path} && dvc repro", "dvc.lock": f"git checkout HEAD -- {path}, then dvc repro"}
        fix = fixes.get(path.name, "") if Path("conf/config.yaml").exists() else ""
        raise ProjectError(
            f"{path} is not valid YAML: {error}", "it cannot be read", fix or f"correct {path}"
        ) from None
    if not isinstance(values, dict):
        raise ProjectError(f"{path} holds no keys", "every stage reads them", f"rm {path} && dvc repro")
    return values


def _sentence(fault: Any, files: tuple[Path, ...]) -> str:
    """Put one fault of pydantic's into words: key, file, reason, nearest right name."""
    location = [str(part) for part in fault["loc"]]
    key = ".".join(location)
    file = file_of([part for part in location if part != "[key]"], files, fault["input"])
    if fault["type"] == "extra_forbidden":
        if location == ["experiment"]:
            return f"{file}: the first line of a recipe must be `{RECIPE}`"
        known = _fields_at(location[:-1])
        return f"{key} in {file} is not a known key{nearest(location[-1], known)}"
    if fault["type"] == "missing":
        return f"{key} is missing in {file}{_to_choose(key, file)}"
    reason = str(fault["msg"]).removeprefix("Value error, ")
    value = "" if isinstance(fault["input"], dict | BaseModel) else f" (found {fault['input']!r})"
    if fault["type"] == "string_type" and isinstance(fault["input"], bool | int | float):
        value += f'; in quotes it is a text: "{fault["input"]}"'
    return f"{key} in {file}: {reason[:1].lower()}{reason[1:]}{value}" if key else f"{file}: {reason}"


def _to_choose(key: str, file: Path) -> str:
    """Return the line to add for a group that nobody has chosen from: an update of the template may have brought it."""
    files = sorted(path.stem for path in (file.parent / key).glob("*.yaml"))
    return f": add the line `- {key}: {files[0]}` to its defaults, above _self_" if files else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or the list of them all."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _fields_at(location: list[str]) -> list[str]:
    """Return the names of the keys that the schema declares at a place."""
    block: Any = Config
    for part in location:
        if not (isinstance(block, type) and issubclass(block, BaseModel)):
            break
        field = block.model_fields.get(part)
        annotation = field.annotation if field else None
        block = next((a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)), annotation)
    return list(block.model_fields) if isinstance(block, type) and issubclass(block, BaseModel) else []


def file_of(location: list[str], files: tuple[Path, ...], value: Any) -> Path:
    """Return the file that decides a key: the first that holds it, else the group's own.

    In an experiment a file that holds another value does not decide: the run's override does.
    """
    for file in files:
        try:
            values: Any = read_yaml(file)
        except ProjectError:
            continue  # an empty file holds no key; an override is no file
        group = file.parent.name
        path = location[1:] if location[:1] == [group] else location
        if location[:1] != [group] and group not in ("conf", "experiment", ""):
            continue
        for part in path:
            if not (isinstance(values, dict) and part in values):
                break
            values = values[part]
        else:
            if OVERRIDES not in files or values == value or "${" in str(values):
                return file
    if OVERRIDES in files and location:
        return OVERRIDES
    contents = next((file for file in files if file.name == "config.yaml"), files[0])
    return next((file for file in files if location and file.parent.name == location[0]), contents)
