"""Old rows stay where they are, whatever comes after them."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROW = {"name": "row", "by": "row", "salt": "s", "validation": 0.2, "test": 0.2}


def as_table(pipeline, **columns):
    arrow = pa.table(columns)
    types = {
        name: "date" if pa.types.is_timestamp(c.type) else "category" if pa.types.is_string(c.type) else "number"
        for name, c in zip(arrow.column_names, arrow.columns, strict=True)
    }
    origin = pipeline.table.Origin("file.csv", 0, arrow.num_rows)
    return pipeline.table.Table(arrow, types, (origin,), arrow)


numbers = st.one_of(st.none(), st.floats(-1e9, 1e9), st.just(-0.0))
texts = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
rows = st.lists(st.tuples(numbers, texts), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(old=rows, new=rows, by=st.sampled_from(["row", "group"]))
def test_adding_rows_moves_no_old_row(pipeline, old, new, by):
    config = pipeline.config.Split(**{**ROW, "by": by, **({"column": "text"} if by == "group" else {})})

    def parts(chosen):
        table = as_table(
            pipeline,
            number=pa.array([n for n, _ in chosen], pa.float64()),
            text=pa.array([t for _, t in chosen], pa.string()),
        )
        return pipeline.split.assign(table, config, [], "text").tolist()

    assert parts(old + new)[: len(old)] == parts(old)
    assert parts(new + old)[len(new) :] == parts(old)


def test_a_column_that_fills_later_moves_only_the_rows_that_it_fills(pipeline):
    config = pipeline.config.Split(**ROW)
    before = as_table(pipeline, a=pa.array(np.arange(100.0)), late=pa.nulls(100))
    after = as_table(pipeline, a=pa.array(np.arange(101.0)), late=pa.array([None] * 100 + ["x"], pa.string()))
    assert (
        pipeline.split.assign(after, config, [], "a")[:100].tolist()
        == pipeline.split.assign(before, config, [], "a").tolist()
    )


def test_the_hash_is_the_one_that_old_versions_were_split_with(pipeline):
    """A new release of pandas that hashes otherwise would move rows from train to test."""
    table = pa.table({"n": [1.0, None], "t": ["x", "ö"]})
    assert pipeline.split.row_fractions(table, "s").round(6).tolist() == [0.863964, 0.588373]


def test_minus_zero_is_zero_whichever_comes_first(pipeline):
    for values in ([0.0, -0.0], [-0.0, 0.0]):
        first, second = pipeline.split.row_fractions(pa.table({"n": values}), "s")
        assert first == second == pipeline.split.row_fractions(pa.table({"n": [0.0]}), "s")[0]


def test_shares_are_about_the_ones_asked_for(pipeline):
    table = as_table(pipeline, a=pa.array(np.arange(20_000.0)))
    parts = pipeline.split.assign(table, pipeline.config.Split(**ROW), [], "a")
    assert np.allclose(np.bincount(parts) / 20_000, [0.6, 0.2, 0.2], atol=0.01)


def test_stratified_shares_are_exact_in_each_class(pipeline):
    labels = np.repeat(["a", "b", "c"], [500, 50, 10])
    table = as_table(pipeline, n=pa.array(np.arange(560.0)), y=pa.array(labels))
    config = pipeline.config.Split(**{**ROW, "by": "stratified"})
    parts = pipeline.split.assign(table, config, [], "y")
    for label, size in (("a", 500), ("b", 50), ("c", 10)):
        assert np.bincount(parts[labels == label]).tolist() == [size * 6 // 10, size // 5, size // 5]


def test_a_group_is_never_divided(pipeline):
    groups = pa.array([f"g{n % 40}" for n in range(1000)])
    config = pipeline.config.Split(**{**ROW, "by": "group", "column": "g"})
    parts = pipeline.split.assign(as_table(pipeline, n=pa.array(np.arange(1000.0)), g=groups), config, [], "n")
    assert len({(g, p) for g, p in zip(groups.to_pylist(), parts, strict=True)}) == 40
    assert set(parts) == {0, 1, 2}


TIME = {
    "name": "time",
    "by": "time",
    "salt": "",
    "column": "d",
    "validation_from": "2024-02-01",
    "test_from": "2024-03-01",
}


def test_time_splits_at_the_dates(pipeline, refused):
    days = pa.array(
        [dt.datetime(2024, 1, 31, 23), dt.datetime(2024, 2, 1), dt.datetime(2024, 3, 1)], pa.timestamp("us")
    )
    config = pipeline.config.Split(**TIME)
    assert pipeline.split.assign(as_table(pipeline, d=days), config, [], "d").tolist() == [0, 1, 2]
    with refused("file.csv, row 2, column 'd' is empty"):
        pipeline.split.assign(as_table(pipeline, d=pa.array([days[0], None], pa.timestamp("us"))), config, [], "d")
    with refused("column 'd' is a number, not a date"):
        pipeline.split.assign(as_table(pipeline, d=[1.0]), config, [], "d")
    with refused("column 'd' is not in the table", "name one of: e"):
        pipeline.split.assign(as_table(pipeline, e=[1.0]), config, [], "e")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"test": None}, "needs 'test'"),
        ({"column": "x"}, "has no use for 'column'"),
        ({"validation": 0.6, "test": 0.4}, "leave no rows to train on"),
    ],
)
def test_a_split_that_cannot_work_is_refused(pipeline, change, fault):
    with pytest.raises(ValueError, match=fault):
        pipeline.config.Split(**{**ROW, **change})


def test_an_empty_part_is_refused(pipeline, refused):
    with refused("no row falls into validation"):
        pipeline.split.check_parts(np.array([0, 0, 2]), pipeline.config.Split(**ROW))
