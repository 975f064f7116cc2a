"""The version record: what the message of a version tag says about a model, as canonical JSON.

`record.schema.json` beside this module describes it for other programs. Every
field is derived by `derive.py`; none is typed in by hand.
"""

import json
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ProjectError

#: A tag's message is read with every look at the tag.
LARGEST_BYTES = 64 * 1024

Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
GitHash = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Count = Annotated[int, Field(ge=0)]


class Block(BaseModel):
    """Base of every block: all fields must be there, no others may be, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Parent(Block):
    """The version that this one follows; the hash of its tag chains the records."""

    version: Text
    tag: GitHash


class Identity(Block):
    """Which version this is."""

    name: Text
    version: Text
    parent: Parent | None
    title: Text


class Model(Block):
    """The file that is loaded."""

    path: Text
    format: Text
    bytes: Count
    sha256: Sha256
    md5: Md5


class Code(Block):
    """The commit, and the modules of each stage."""

    commit: GitHash
    tree: GitHash
    dvc_yaml: Sha256
    tool: Sha256
    stages: Annotated[dict[str, Sha256], Field(min_length=1)]


class Input(Block):
    """Raw data; rows and columns are null for what is not the table."""

    path: Text
    md5: Md5
    bytes: Count
    files: Count
    rows: Count | None
    columns: Count | None


class Split(Block):
    """Rows that were used for one purpose."""

    rows: Count
    md5: Md5


class Data(Block):
    """What the model was made from."""

    inputs: Annotated[list[Input], Field(min_length=1)]
    splits: Annotated[dict[str, Split], Field(min_length=1)]


class Params(Block):
    """The composed configuration; null if it is too long for a tag (then `params.yaml` of the commit has it)."""

    sha256: Sha256
    choices: Annotated[dict[str, str], Field(min_length=1)]
    config: dict[str, Any] | None


class Value(Block):
    """A metric with its confidence interval; null where it has no value."""

    value: float | None
    low: float | None
    high: float | None


class Metrics(Block):
    """What the model reached, by part of the data; the file has classes and slices, too."""

    primary: Text
    lower_is_better: list[Text]
    level: float
    resamples: Count
    values: Annotated[dict[str, dict[str, Value]], Field(min_length=1)]
    baseline: dict[str, Value]
    gain_over_baseline: Value
    measured_on: dict[str, Md5]
    file: Sha256


class Environment(Block):
    """What it was trained with; null where only the training machine knows, and this was another one."""

    python: Text
    platform: Text | None
    uv_lock: Sha256
    packages: Annotated[dict[str, str], Field(min_length=1)]
    threads: Annotated[int, Field(ge=1)]
    blas: Text | None


class Golden(Block):
    """Rows with known answers, beside the model."""

    md5: Md5
    rows: Count
    tolerance: float


class Inputs(Block):
    """The columns that the model takes; in a wide table only the first are listed."""

    count: Count
    listed: list[dict[str, Any]]


class Interface(Block):
    """How the model is called; the file is the whole of it."""

    file: Md5
    inputs: Inputs
    output: dict[str, Any]
    golden: Golden
    statistics: Md5


class Trained(Block):
    """What only the training machine knows."""

    at: Text
    seconds: float
    host: Text


class Rule(Block):
    """One rule of the gate, and what it found."""

    rule: Text
    required: Text
    found: Text
    passed: bool


class Gate(Block):
    """The verdict that let the version pass."""

    name: Text
    passed: bool
    against: str | None
    rules: list[Rule]


class Governance(Block):
    """Who and when; null where a fact is not known here."""

    author: Text
    trained: Trained | None
    gate: Gate


class Record(Block):
    """Everything that a version says about itself."""

    number: Literal[1] = Field(default=1, alias="schema")
    identity: Identity
    model: Model
    code: Code
    data: Data
    params: Params
    metrics: Metrics
    environment: Environment
    interface: Interface
    governance: Governance

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as the JSON holds them."""
        return self.model_dump(mode="json", by_alias=True)

    def to_json(self) -> str:
        """Return the canonical JSON; a record too long for a tag is a `ProjectError`."""
        text = canonical(self.as_dict())
        if len(text.encode()) > LARGEST_BYTES:
            raise ProjectError(
                f"the record would take {len(text.encode()):,} bytes",
                f"a tag's message holds at most {LARGEST_BYTES:,}",
                "report this with your conf/: the parts that grow should have been left out",
            )
        return text


def read_json(content: bytes, name: str) -> Any:
    """Read JSON that a stage wrote; what is none is a `ProjectError`."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProjectError(
            f"{name} is no JSON: {error}", "a stage wrote it, and something else changed it", "dvc repro, then commit"
        ) from None


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse(message: str, name: str) -> Record:
    """Read a record from a tag's message: a line, an empty line, JSON, and perhaps a signature."""
    _, _, body = message.partition("\n\n")
    start = body.find("{")
    try:
        if start < 0:
            raise ValueError("no JSON in the message")  # noqa: TRY301 (all reasons in one place)
        value, _ = json.JSONDecoder().raw_decode(body, start)
        kept = Record.model_validate_json(json.dumps(value))
        if "test" not in kept.metrics.values:
            raise ValueError("no metrics of the test rows")  # noqa: TRY301 (all reasons in one place)
        return kept  # noqa: TRY300 (what follows is for faults)
    except (ValueError, ValidationError, RecursionError) as error:
        reason = str(error).splitlines()
        raise ProjectError(
            f"the tag {name} holds no version record: {'; '.join(line.strip() for line in reason[:3])}",
            "it was made by hand or by another tool, or was edited; what made the model cannot be told from it",
            "make a version of that commit's successor with `model release`; the tag itself stays as it is",
        ) from None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the record (draft 2020-12)."""
    schema = Record.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()
