"""What the tests share: the project's package under a name of its own, and small tables."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = next((ROOT / "src").glob("*/pipeline")).parent.name


class Room:
    """The modules of a room as attributes, whatever the package is called."""

    def __init__(self, room: str) -> None:
        self.room = room

    def __getattr__(self, name: str) -> ModuleType:
        if not (ROOT / "src" / PACKAGE / self.room / f"{name}.py").exists():
            raise AttributeError(name)
        return importlib.import_module(f"{PACKAGE}.{self.room}.{name}")


@pytest.fixture(scope="session")
def pipeline():
    return Room("pipeline")


@pytest.fixture(scope="session")
def versions():
    return Room("versions")


@pytest.fixture
def refused():
    """Return a context manager that expects a `ProjectError` whose text matches."""
    error = importlib.import_module(f"{PACKAGE}.errors").ProjectError

    def expect(*parts):
        return pytest.raises(error, match="(?s)" + ".*".join(parts))

    return expect


@pytest.fixture(scope="session")
def params(pipeline):
    """Return the configuration as `conf/` composes now."""
    return pipeline.compose.check(pipeline.compose.compose(ROOT / "conf"))


@pytest.fixture(scope="session")
def columns(pipeline, params):
    """Return columns of every type, with a target that suits the task of the project."""
    kind = "category" if params.task.name == "classification" else "number"
    types = {"size": "number", "count": "number", "alive": "boolean", "place": "category", "day": "date"}
    features = [pipeline.columns.Column(name, type_, "feature") for name, type_ in types.items()]
    return [*features, pipeline.columns.Column("answer", kind, "target")]


@pytest.fixture(scope="session")
def table(columns, pipeline):
    """Return 240 rows that a model can learn from, with gaps in every feature."""
    generator = np.random.default_rng(0)
    n = 240
    size = generator.normal(size=n)
    rows = pd.DataFrame(
        {
            "size": size,
            "count": generator.integers(0, 9, n).astype(float),
            "alive": generator.integers(0, 2, n).astype(float),
            "place": generator.choice(["north", "south", "east"], n),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 700, n), unit="D"),
        }
    )
    for position, name in enumerate(rows.columns):
        rows.loc[position::17, name] = None
    if columns[-1].type == "category":
        rows["answer"] = np.where(size > 0.4, "large", np.where(size < -0.4, "small", "medium"))
    else:
        rows["answer"] = 3 * size + generator.normal(scale=0.1, size=n)
    return pipeline.columns.frame(rows, columns)
