"""The strict schema of the composed configuration, and the way to read it.

`conf/` composes to `params.yaml`, which every stage but `compose` reads. A key
that is not declared is an error, so a typing mistake can never silently become a
default. A project declares groups and keys of its own in a class that inherits
from `Config`; `[tool.modelbook] settings` in `pyproject.toml` names it.

Examples
--------
>>> class Churn(Group):
...     after_days: int
>>> class Settings(Config):
...     churn: Churn
"""

import contextlib
import datetime as dt
import difflib
import importlib
import importlib.util
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from .errors import ProjectError
from .mappings import load_yaml

PARAMS_FILE = Path("params.yaml")
PYPROJECT = Path("pyproject.toml")
#: Where `compose` notes which class the settings are, beside the versions of the packages.
ENVIRONMENT_FILE = Path("environment.json")
#: Stands where a message names a file, for what no file of conf/ says.
OVERRIDES = Path("the -S of `dvc exp run`")
#: What tells Hydra that a recipe sets keys of all groups.
RECIPE = "# @package _global_"
NEW_KEYS = "\n       (a key that came with an update of the template: its CHANGELOG.md says what to write)"

EXTENDING = "docs/extending.md"

#: scikit-learn's histograms have 255 bins: one for each category.
MOST_NATIVE = 255

METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
IMPORT_PATH = r"^[^\W\d]\w*(\.[^\W\d]\w*)+$"
ColumnType = Literal["number", "boolean", "category", "date"]
#: The metrics that the tool measures, by task.
METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "f1_macro", "log_loss", "roc_auc"),
    "regression": ("rmse", "mae", "r2"),
}
#: Those of which less is better.
LOSSES = frozenset({"log_loss", "rmse", "mae"})


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


#: Where each class of a block stands in `params.yaml`.
PLACES: dict[type, set[str]] = {}


class Strict(BaseModel):
    """Base of every block: no unknown keys, no conversion between types, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def __getattribute__(self, name: str) -> Any:
        """Note which keys a stage asks for: they must stand in its `params`."""
        if name in type(self).model_fields:
            _note(type(self), name)
        elif name.startswith("model_dump"):
            _note(type(self), "*")
        return super().__getattribute__(name)

    def __iter__(self) -> Any:
        """Iterate over all keys with their values, which asks for all of them."""
        _note(type(self), "*")
        return super().__iter__()


class Group(Strict):
    """Base of a group of `conf/`: `name` says which of its files was chosen."""

    name: str


def _note(block: type, key: str) -> None:
    for place in PLACES.get(block, ()):
        asked.note(f"{place}.{key}")


class Rule(Strict):
    """What every value of one column must satisfy; a broken rule stops `prepare`."""

    required: bool = False
    min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max: Annotated[float, Field(allow_inf_nan=False)] | None = None
    values: Annotated[list[str | bool], Field(min_length=1)] | None = None


class Data(Group):
    """Where the table is, what to predict, and how to read the files."""

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


class OwnMetric(Strict):
    """A metric of the project's own.

    Attributes
    ----------
    function : str
        Import path of `f(y_true, y_pred, **arguments) -> float`, as scikit-learn's metrics are.
    direction : str
        `higher` or `lower` is better.
    takes : str
        `predictions`: class labels, or numbers. `probabilities`: of two classes,
        the truth as 0 and 1, and the probability of the 1; of more, one column a
        class in the order of their names, in both.
    positive : str, optional
        The class that is the 1. Of two it is else the second by name, as in scikit-learn.
    arguments : dict
        Passed on to the function, by name.
    """

    function: Annotated[str, Field(pattern=IMPORT_PATH)]
    direction: Literal["higher", "lower"]
    takes: Literal["predictions", "probabilities"] = "predictions"
    positive: str | None = None
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _only_probabilities_are_of_a_class(self) -> "OwnMetric":
        if self.positive is not None and self.takes != "probabilities":
            raise ValueError("positive says of which class the probabilities are: it needs takes: probabilities")
        return self


class Task(Strict):
    """What kind of prediction is made and how it is judged."""

    name: Literal["classification", "regression"]
    metric: str
    slices: list[str]
    bootstrap: Bootstrap
    metrics: dict[str, OwnMetric] = {}

    @model_validator(mode="after")
    def _metrics_suit_the_task(self) -> "Task":
        for name, own in self.metrics.items():
            if any(name in ours for ours in METRICS.values()):
                raise _fault(("metrics", name), "the tool has a metric of this name; choose another", name)
            if not METRIC_NAME.fullmatch(name) or name.endswith(("_low", "_high")):
                words = "a name has letters, digits and _, and is no end of an interval (_low, _high)"
                raise _fault(("metrics", name), words, name)
            if self.name == "regression" and own.takes == "probabilities":
                raise _fault(("metrics", name, "takes"), "a regression gives no probabilities", own.takes)
        if self.metric not in self.known_metrics:
            raise _fault(("metric",), _unknown_metric(self.metric, self), self.metric)
        return self

    @property
    def known_metrics(self) -> tuple[str, ...]:
        """The metrics of the tool that suit the task, and the project's own."""
        return (*METRICS[self.name], *self.metrics)

    @property
    def losses(self) -> frozenset[str]:
        """The metrics of which less is better."""
        own = (name for name, metric in self.metrics.items() if metric.direction == "lower")
        return LOSSES.intersection(METRICS[self.name]).union(own)


def _unknown_metric(name: str, task: Task) -> str:
    """Say of a metric that a project does not have which one it may mean."""
    if any(name in ours for ours in METRICS.values()):
        return f"{name!r} does not suit {task.name}; one of {', '.join(task.known_metrics)} does"
    return f"{name!r} is no metric of this project{nearest(name, task.known_metrics)}"


def _fault(place: tuple[str, ...], reason: str, value: Any) -> ValidationError:
    """Return a fault at a key below the block that is checked."""
    error = PydanticCustomError("own", "{reason}", {"reason": reason})
    return ValidationError.from_exception_data("settings", [InitErrorDetails(type=error, loc=place, input=value)])


class Features(Group):
    """How raw columns become numbers; part of the fitted pipeline."""

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


class Split(Group):
    """Which rows go to train, validation and test."""

    by: Literal["row", "group", "time", "stratified", "function"]
    salt: str | None = None
    validation: Share | None = None
    test: Share | None = None
    column: str | None = None
    function: Annotated[str | None, Field(pattern=IMPORT_PATH)] = None
    validation_from: Date | None = None
    test_from: Date | None = None

    @model_validator(mode="after")
    def _each_kind_has_what_it_needs(self) -> "Split":
        need = {
            "row": {"validation", "test"},
            "stratified": {"validation", "test"},
            "group": {"validation", "test", "column"},
            "time": {"column", "validation_from", "test_from"},
            "function": {"function"},
        }[self.by]
        if self.salt is None and "test" in need:
            raise ValueError(f"by: {self.by} needs 'salt'")
        for key in ("validation", "test", "column", "validation_from", "test_from", "function"):
            given = getattr(self, key) is not None
            if given != (key in need):
                raise ValueError(f"by: {self.by} {'needs' if key in need else 'has no use for'} {key!r}")
        if self.validation and self.test and self.validation + self.test >= 1:
            raise ValueError("validation and test together leave no rows to train on")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("validation_from must be before test_from")
        return self


def _listed(value: object) -> object:
    """Take one name for a list of one."""
    return [value] if isinstance(value, str) else value


class Fit(Strict):
    """What the `fit` of an estimator is given beside `X` and `y`.

    Attributes
    ----------
    sample_weight : str or None
        A column that counts the rows; `leave_out` in conf/data/ lists it.
    validation : list of str or None
        The arguments that take the validation rows: one for `[(X, y)]`, or two for `X` and `y`.
    arguments : dict
        Others, as they are.
    """

    sample_weight: str | None = None
    validation: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1, max_length=2)] | None = None
    arguments: dict[str, Any] = {}


class Model(Group):
    """The estimator, by `_target_`, with its arguments, and what its `fit` is given."""

    estimator: dict[str, Any]
    fit: Fit = Fit()

    @model_validator(mode="after")
    def _names_an_estimator(self) -> "Model":
        if not isinstance(self.estimator.get("_target_"), str):
            raise ValueError("estimator needs _target_, the import path of an estimator class")
        return self


class Compute(Group):
    """What may change the last digits of a result (threads, seed) and what may not (jobs)."""

    threads: int = Field(ge=1)
    jobs: int
    seed: int = Field(ge=0, le=2**32 - 1)


class Retraining(Group):
    """Whether the weekly job trains on fresh data."""

    weekly: bool


class Gate(Group):
    """What a candidate must reach to be released."""

    against: str | None
    judged_by: Literal["interval", "value"]
    beats_baseline: bool
    floors: dict[str, float]
    no_worse: dict[str, Annotated[float, Field(ge=0)]]
    slices_no_worse: dict[str, dict[str, Annotated[float, Field(ge=0)]]]
    incomparable: Literal["refuse", "pass"]


class Stages(Group):
    """Rules for the stages that a version can be live in."""

    order: list[Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$")]]
    need_card: list[str]
    sign_tags: bool


class Retention(Group):
    """Which versions' stored objects `model prune` keeps."""

    ever_live: bool
    last: Annotated[int, Field(ge=1)]
    days: Annotated[int, Field(ge=0, le=36_500)]
    versions: list[str]


class Rules(BaseModel):
    """What the commands read; in a pipeline without `conf/`, `params.yaml` may hold anything else."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    task: Task
    compute: Compute
    gate: Gate
    stages: Stages
    retention: Retention | None = None

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Note where the blocks stand, the project's own, too."""
        for key, field in cls.model_fields.items():
            for kind in (field.annotation, *get_args(field.annotation)):
                if isinstance(kind, type) and issubclass(kind, Strict):
                    PLACES.setdefault(kind, set()).add(key)

    def __getattribute__(self, name: str) -> Any:
        """Note which keys a stage asks for; those of a block are noted one by one."""
        value = super().__getattribute__(name)
        fields = type(self).model_fields
        if name in fields and type(value) not in PLACES:
            asked.note(name)
        elif name.startswith("model_dump"):
            _ask_for(fields)
        return value

    def __getattr__(self, name: str) -> Any:
        """Return a key that no class declares."""
        value = super().__getattr__(name)  # type: ignore[misc]
        if not name.startswith("_"):
            asked.note(name)
        return value

    def __iter__(self) -> Any:
        """Iterate over all keys with their values, which asks for all of them."""
        _ask_for([*type(self).model_fields, *(self.model_extra or ())])
        return super().__iter__()

    @model_validator(mode="after")
    def _gate_suits_the_task(self) -> "Rules":
        gate = self.gate
        by_place: dict[tuple[str, ...], dict[str, float]] = {("floors",): gate.floors, ("no_worse",): gate.no_worse}
        by_place |= {("slices_no_worse", column): limits for column, limits in gate.slices_no_worse.items()}
        for place, limits in by_place.items():
            for metric, limit in limits.items():
                if metric not in self.task.known_metrics:
                    raise _fault(("gate", *place, metric), _unknown_metric(metric, self.task), limit)
        return self


def _ask_for(keys: Iterable[str]) -> None:
    for key in keys:
        asked.note(f"{key}.*")


class Config(Rules):
    """The whole composed configuration; a project's own groups and keys stand in a class that inherits from it."""

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

    @model_validator(mode="after")
    def _weights_are_no_feature(self) -> "Config":
        weight = self.model.fit.sample_weight
        if weight is not None and weight not in self.data.leave_out:
            raise ValueError(
                f"model: fit.sample_weight names {weight!r}, and a weight must be no feature; "
                f"add {weight} to `leave_out` in conf/data/{self.data.name}.yaml"
            )
        return self


def named_class(pyproject: Path = PYPROJECT) -> str | None:
    """Return the import path of the project's own class of settings, or None if it has none."""
    if not pyproject.exists():
        return None
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8-sig")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(
            f"{pyproject} cannot be read: {error}", "it names the class of the settings", f"correct {pyproject}"
        ) from None
    named = tool.get("modelbook", {}).get("settings")
    return None if named is None else str(named)


def schema(named: str | None) -> type[Config]:
    """Return the class that settings are checked with.

    Parameters
    ----------
    named : str or None
        Its import path; None: `Config` itself.
    """
    if named is None:
        return Config
    found = imported(named, f"{PYPROJECT}, [tool.modelbook]: settings", "it says which keys conf/ may have")
    if not (isinstance(found, type) and issubclass(found, Config)):
        raise ProjectError(
            f"{PYPROJECT}, [tool.modelbook]: settings names {named}, which is no class of settings",
            "it says which keys conf/ may have",
            "let it inherit from modelbook.settings.Config",
        )
    return found


def imported(path: str, where: str, why: str) -> Any:
    """Import what a file names; a wrong path is a `ProjectError` with the nearest right one.

    Parameters
    ----------
    path : str
        Such as `penguins.metrics.cost`.
    where : str
        The file and key that name it.
    why : str
        What it is needed for.
    """
    module, _, name = path.rpartition(".")
    try:
        there = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        raise ProjectError(f"{where}: there is no module {module!r}", why, f"correct {path!r}, or write that module")
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise ProjectError(
            f"{where}: {module} cannot be imported: {error}",
            why,
            "correct that import, or add its package: uv add PACKAGE (pip: add it to pyproject.toml, pip install -e .)",
        ) from error
    if not hasattr(loaded, name):
        public = [known for known in vars(loaded) if not known.startswith("_")]
        raise ProjectError(f"{where}: {module} has no {name!r}{nearest(name, public)}", why, f"correct {path!r}")
    return getattr(loaded, name)


def parse(values: Mapping[str, Any], files: Iterable[Path] = (PARAMS_FILE,), schema: type[Config] = Config) -> Config:
    """Check composed values against the schema.

    Parameters
    ----------
    values : mapping
        The composed configuration as plain dicts, lists and scalars.
    files : iterable of Path
        The files that the values came from, the deciding one first; an error
        names the first of them that holds the faulty key.
    schema : type
        `Config`, or the project's own class.

    Returns
    -------
    Config

    Raises
    ------
    ProjectError
        With every fault: the key, the file that holds it, and the nearest right name.
    """
    with _in_words(tuple(files), schema):
        return schema.model_validate(dict(values))


@contextlib.contextmanager
def _in_words(files: tuple[Path, ...], schema: type[Rules]) -> Iterator[None]:
    """Name each fault of values with its key and the file that holds it."""
    try:
        with asked.unheard():
            yield
    except ValidationError as error:
        faults = [_sentence(fault, files, schema) for fault in error.errors()]
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


def read_settings(path: Path = PARAMS_FILE) -> Config | Rules:
    """Read the settings that a stage gets: strict where `conf/` is the truth, else what every pipeline has.

    The project's own class of settings is the one that `compose` noted.
    """
    if not Path("conf/config.yaml").exists():
        return read_rules(path)
    return read_params(path, schema(_noted_class()))


def _noted_class() -> str | None:
    try:
        named = json.loads(ENVIRONMENT_FILE.read_text(encoding="utf-8")).get("settings")
    except (FileNotFoundError, ValueError, AttributeError):
        raise ProjectError(
            f"{ENVIRONMENT_FILE} is missing or broken",
            "it notes what stages run with",
            f"rm -f {ENVIRONMENT_FILE} && dvc repro",
        ) from None
    return None if named is None else str(named)


def read_params(path: Path = PARAMS_FILE, schema: type[Config] = Config) -> Config:
    """Read and check the composed configuration."""
    return parse(read_yaml(path), (path,), schema)


def read_rules(path: Path = PARAMS_FILE) -> Rules:
    """Read and check only what every pipeline has, whoever made it.

    Keys of a project's own are passed over where `compose` has checked them: only code of the project knows these.
    """
    values = read_yaml(path)
    if not Path("conf/config.yaml").exists():
        return parse_rules(values, path)
    with _in_words((path,), Rules):
        return rules(values)


def parse_rules(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> Rules:
    """Check what every pipeline has, of values that no `conf/` composes."""
    with _in_words((path,), Rules):
        return Rules.model_validate(dict(values))


def rules(values: Mapping[str, Any]) -> Rules:
    """Return what the commands read of composed values that a stage has checked."""
    return Rules.model_validate(dict(values), extra="allow")


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


def _sentence(fault: Any, files: tuple[Path, ...], schema: type[Rules]) -> str:
    """Put one fault of pydantic's into words: key, file, reason, nearest right name."""
    location = [str(part) for part in fault["loc"]]
    key = ".".join(location)
    file = file_of([part for part in location if part != "[key]"], files, fault["input"])
    if fault["type"] == "extra_forbidden":
        if location == ["experiment"]:
            return f"{file}: the first line of a recipe must be `{RECIPE}`"
        known = _fields_at(location[:-1], schema)
        is_group = len(location) == 1 and isinstance(fault["input"], dict)
        own = f" (a group of your own? {EXTENDING} shows how to declare it)" if is_group else ""
        return f"{key} in {file} is not a known key{nearest(location[-1], known)}{own}"
    if fault["type"] == "missing":
        return f"{key} is missing in {file}{_to_choose(key, file)}"
    if fault["type"] == "own":
        return f"{key} in {file}: {fault['msg']}"
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


def _fields_at(location: list[str], schema: type[Rules]) -> list[str]:
    """Return the names of the keys that the schema declares at a place."""
    kind: Any = schema
    for part in location:
        if get_origin(kind) in (dict, list):
            kind = get_args(kind)[-1]
        else:
            field = kind.model_fields.get(part)
            kind = field.annotation if field else None
        if get_origin(kind) not in (dict, list):
            kind = next((one for one in (kind, *get_args(kind)) if _is_block(one)), None)  # `Block | None`, too
            if kind is None:
                return []
    return list(kind.model_fields) if _is_block(kind) else []


def _is_block(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


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
