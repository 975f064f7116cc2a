"""A split of a project's own: one part for each row, whatever the order, or it is refused."""

import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from modelbook import training
from modelbook.settings import Split
from pydantic import ValidationError

from .test_split import as_table

OWN = {"name": "mine", "by": "function", "function": "birds.by_size"}
CHANCE = np.random.default_rng(0)
PARTS = {1.0: "train", 2.0: "validation", 3.0: "test"}


@pytest.fixture
def assign(monkeypatch):
    """Return a function that splits six rows by a function of the team's."""
    module = ModuleType("birds")
    module.__spec__ = type(sys.__spec__)("birds", None)
    monkeypatch.setitem(sys.modules, "birds", module)

    def run(by_size, **columns):
        module.by_size = by_size
        table = as_table(**(columns or {"size": [1.0, 3.0, 2.0, 1.0, 2.0, 3.0], "y": [1.0] * 6}))
        return training.split.assign(table, Split(**OWN), None, []).tolist()

    return run


@pytest.mark.parametrize(
    "by_size",
    [
        lambda rows, _: rows["size"].map(PARTS),
        lambda rows, _: [PARTS[size] for size in rows["size"]],
        lambda rows, _: rows["size"].map(PARTS).to_numpy(),
        lambda rows, _: rows["size"].map(PARTS).astype("category"),
        # Sorted by something else, but with the index of the rows.
        lambda rows, _: rows.sort_values("size", kind="stable")["size"].map(PARTS),
        lambda rows, config: (
            np.where(rows["size"] == 3, "test", np.where(rows["size"] == 2, "validation", "train"))
            if config.name == "mine"
            else None
        ),
    ],
)
def test_a_function_decides_by_the_values_of_a_row(assign, by_size):
    assert assign(by_size) == [0, 2, 1, 0, 1, 2]


def test_rows_come_as_a_frame_of_their_own_with_types_and_gaps(assign):
    seen = []

    def by_size(rows, _):
        seen.append(rows.copy())
        rows["size"] = 0
        return rows["day"].isna().map({True: "train", False: "test"})

    days = pa.array([pd.Timestamp("2024-01-01"), None], pa.timestamp("us"))
    assert assign(by_size, size=[1.5, None], name=["x", None], day=days) == [2, 0]
    first, again = seen
    assert first["size"].tolist()[0] == 1.5
    assert again["size"].tolist()[1] == 1.5
    assert first["name"].isna().tolist() == [False, True]
    assert pd.api.types.is_datetime64_dtype(first["day"])


@pytest.mark.parametrize(
    ("by_size", "words"),
    [
        (lambda rows, _: ["train"] * 5, r"birds.by_size returns the shape \(5,\) for 6 rows"),
        (lambda rows, _: "train", r"the shape \(\) for 6 rows"),
        (lambda rows, _: rows["size"].map({1.0: "train"}), r"returns nan for file.csv, row 2 \(4 such rows\)"),
        (lambda rows, _: rows["size"].map({**PARTS, 2.0: None}), r"returns (None|nan) for file.csv, row 3"),
        (lambda rows, _: rows["size"].map({**PARTS, 2.0: "valid"}), "returns 'valid' for file.csv, row 3"),
        (lambda rows, _: rows["size"].map({**PARTS, 3.0: 2}), "returns 2 for file.csv, row 2"),
        (lambda rows, _: rows["siez"], "birds.by_size fails: KeyError: 'siez'"),
        (lambda rows: ["train"] * 6, "fails: TypeError"),
    ],
)
def test_what_is_no_part_for_each_row_is_refused(assign, refused, by_size, words):
    with refused(words):
        assign(by_size)


@pytest.mark.parametrize(
    "by_size",
    [
        lambda rows, _: ["train", "train", "train", "validation", "test", "test"],
        lambda rows, _: np.where(rows.index < 3, "train", "test"),
        lambda rows, _: np.where(rows["size"].duplicated(), "train", "test"),
        lambda rows, _: CHANCE.choice(["train", "validation", "test"], len(rows)),
    ],
)
def test_a_part_must_not_depend_on_the_place_of_a_row_or_on_chance(assign, refused, by_size):
    with refused("puts file.csv, row [1-6] into (train|validation|test), and into ", "come in reverse"):
        assign(by_size, size=list(np.arange(6.0) // 2), y=[1.0] * 6)


def test_an_empty_part_is_refused(refused):
    table = as_table(size=[1.0, 2.0], y=[1.0, 1.0])
    with refused("no row falls into test", "split by birds.by_size", "correct birds.by_size, or add rows"):
        training.split.check_parts(np.array([0, 1], np.int8), Split(**OWN), table)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"function": None}, "by: function needs 'function'"),
        ({"test": 0.2}, "by: function has no use for 'test'"),
        ({"function": "by_size"}, "should match pattern"),
        ({"by": "row", "salt": "s", "validation": 0.1, "test": 0.1}, "by: row has no use for 'function'"),
        ({"by": "row", "function": None, "validation": 0.1, "test": 0.1}, "by: row needs 'salt'"),
    ],
)
def test_a_split_has_what_its_kind_needs(changes, words):
    with pytest.raises(ValidationError, match=words):
        Split(**{**OWN, **changes})
