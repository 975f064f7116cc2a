"""Old rows stay where they are, whatever comes after them."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from modelbook import training
from modelbook.settings import Data, Split

BASE = {"name": "mine", "path": "raw", "target": "y", "missing": ["NA"]}
SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
ROW = {"name": "row", "by": "row", "salt": "s", "validation": 0.2, "test": 0.2}


def as_table(**columns):
    arrow = pa.table(columns)
    types = {
        name: "date" if pa.types.is_timestamp(c.type) else "category" if pa.types.is_string(c.type) else "number"
        for name, c in zip(arrow.column_names, arrow.columns, strict=True)
    }
    origin = training.table.Origin("file.csv", 0, arrow.num_rows)
    types |= {name: "empty" for name in arrow.column_names if pa.types.is_null(arrow[name].type)}
    return training.table.Table(arrow, types, (origin,), arrow)


@pytest.fixture
def data():
    return Data(**BASE)


@pytest.fixture
def assign(data):
    """Return a function that assigns the rows of a table to parts; with a list of what it notes."""

    def run(table, config, **changes):
        notes = []
        chosen = data.model_copy(update={"target": table.arrow.column_names[-1], **changes})
        return training.split.assign(table, config, chosen, notes).tolist(), notes

    return run


@pytest.fixture
def parts_of(tmp_path):
    """Return a function that writes a CSV file, reads it and splits it by its rows; None if it is refused."""

    def run(lines, header="h,y", by="row", **changes):
        (tmp_path / "a.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        data = Data(**{**BASE, "path": str(tmp_path / "a.csv"), **changes})
        config = Split(**{**ROW, "by": by, **({"column": "h"} if by == "group" else {})})
        try:
            table = training.table.read(data, "conf/data/mine.yaml")
        except training.table.ProjectError:
            return None
        return training.split.assign(table, config, data, []).tolist()

    return run


numbers = st.one_of(st.none(), st.floats(-1e9, 1e9), st.just(-0.0))
texts = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
rows = st.lists(st.tuples(numbers, texts), min_size=1, max_size=60)


@settings(max_examples=60, **SETTINGS)
@given(old=rows, new=rows, by=st.sampled_from(["row", "group"]))
def test_adding_rows_moves_no_old_row(assign, old, new, by):
    config = Split(**{**ROW, "by": by, **({"column": "text"} if by == "group" else {})})

    def parts(chosen):
        table = as_table(
            number=pa.array([n for n, _ in chosen], pa.float64()),
            text=pa.array([t for _, t in chosen], pa.string()),
        )
        return assign(table, config)[0]

    assert parts(old + new)[: len(old)] == parts(old)
    assert parts(new + old)[len(new) :] == parts(old)


#: Each changes the type of a column that holds some of the others.
TRICKY = (
    "7", "7.0", "007", "12345678901234567", "1e3", "true", "TRUE", "no", "2024-01-05", "20240105", '"1,5"', "x", "NA",
    '"NA"', "", "2024-01-05T10:00:00+01:00", "05.01.2024",
)  # fmt: skip
tricky = st.lists(st.sampled_from(TRICKY), min_size=1, max_size=3)


@settings(max_examples=60, **SETTINGS)
@given(old=tricky, new=tricky, by=st.sampled_from(["row", "group"]), types=st.sampled_from([{}, {"h": "category"}]))
def test_a_column_that_changes_its_type_moves_no_row(parts_of, old, new, by, types):
    lines = [f"{cell},{n}" for n, cell in enumerate(old * 9)]
    before, after = parts_of(lines, by=by), parts_of([*lines, *(f"{cell},1" for cell in new)], by=by, types=types)
    assume(before and after)
    assert after[: len(before)] == before


@settings(max_examples=60, **SETTINGS)
@given(cells=st.lists(st.sampled_from(TRICKY), min_size=12, max_size=12), id_=st.sampled_from([[], ["h"]]))
def test_what_the_model_does_not_see_decides_nothing(parts_of, cells, id_):
    lines = [f"{n % 4},{n % 3}" for n in range(12)]
    parts = []
    for left_out in (cells, range(12)):
        joined = [f"{cell},{line}" for cell, line in zip(left_out, lines, strict=True)]
        parts.append(parts_of(joined, "k,h,y", leave_out=["k"], id=id_))
    assert parts[0] == parts[1] is not None


@pytest.mark.parametrize(
    ("kind", "same"),
    [
        ("number", ["7", "7.0", "+7", "007", "7e0", "70E-1"]),
        ("boolean", ["true", "TRUE", "True"]),
        ("date", ["2024-01-05", "2024-01-05 00:00", "2024-01-05T01:00+01:00", "2024-01-05 00:00:00.0000 UTC"]),
        ("category", ["x", " x", "x "]),
    ],
)
def test_rows_that_are_equal_for_the_model_stay_together(parts_of, kind, same):
    for other in range(12):
        assert len(set(parts_of([f"{cell},{other}" for cell in same], types={"h": kind}))) == 1


def test_equal_rows_stay_together_when_shares_are_exact(assign):
    table = as_table(n=pa.array([float(n % 7) for n in range(70)]), y=pa.array(["a", "b"] * 35))
    parts, _ = assign(table, Split(**{**ROW, "by": "stratified"}))
    assert len({*zip(*table.arrow.to_pydict().values(), parts, strict=True)}) == 14


def test_a_column_that_comes_or_fills_later_moves_only_the_rows_that_it_fills(assign):
    config = Split(**ROW)
    a = pa.array(np.arange(101.0))
    late = pa.array([None] * 100 + ["x"], pa.string())
    parts, _ = assign(as_table(late=late, a=a), config)
    assert parts[:100] == assign(as_table(late=pa.nulls(100), a=a[:100]), config)[0]
    assert parts[:100] == assign(as_table(a=a[:100]), config)[0]


def test_rows_without_an_id_or_a_group_do_not_all_go_together(assign):
    keys = pa.array(["k"] * 10 + [None] * 290)
    table = as_table(key=keys, n=pa.array(np.arange(300.0)))
    group = Split(**{**ROW, "by": "group", "column": "key"})
    for config, changes in ((Split(**ROW), {"id": ["key"]}), (group, {})):
        parts, notes = assign(table, config, target="y", **changes)
        assert len(set(parts[:10])) == 1
        assert set(parts[10:]) == {0, 1, 2}
        assert "290 rows have no value in 'key'" in notes[0]
        assert "file.csv, row 11" in notes[0]


def test_the_hash_is_the_one_that_old_versions_were_split_with(data):
    """A new release of pandas that hashes otherwise would move rows from train to test."""
    table = as_table(n=[1.0, None], t=["x", "ö"])
    assert training.split.row_fractions(table, ["n", "t"], data, "s").round(6).tolist() == [0.910611, 0.722945]


def test_minus_zero_is_zero_whichever_comes_first(data):
    for values in ([0.0, -0.0], [-0.0, 0.0]):
        first, second = training.split.row_fractions(as_table(n=values), ["n"], data, "s")
        assert first == second == training.split.row_fractions(as_table(n=[0.0]), ["n"], data, "s")[0]


def test_shares_are_about_the_ones_asked_for(assign):
    table = as_table(a=pa.array(np.arange(20_000.0)))
    parts, _ = assign(table, Split(**ROW), target="y")
    assert np.allclose(np.bincount(parts) / 20_000, [0.6, 0.2, 0.2], atol=0.01)


def test_equal_rows_stay_together_whatever_their_answer_and_many_of_them_are_told(assign):
    """Else the model would learn one answer of a row, and be tested on the other."""
    cells, answers = np.arange(2000) % 40, np.arange(2000) // 40 % 2
    table = as_table(cell=pa.array(cells), y=pa.array(np.where(answers, "yes", "no")))
    parts, notes = assign(table, Split(**ROW))
    assert len({(cell, part) for cell, part in zip(cells, parts, strict=True)}) == 40
    assert "2000 rows are 40 different ones for the model" in notes[0]
    assert "name it as `id` in conf/data/mine.yaml" in notes[0]
    table = as_table(cell=pa.array(np.arange(2000)), y=pa.array(np.where(answers, "yes", "no")))
    assert assign(table, Split(**ROW))[1] == []


def test_stratified_shares_are_exact_in_each_class(assign):
    labels = np.repeat(["a", "b", "c"], [500, 50, 10])
    table = as_table(n=pa.array(np.arange(560.0)), y=pa.array(labels))
    config = Split(**{**ROW, "by": "stratified"})
    parts = np.array(assign(table, config)[0])
    for label, size in (("a", 500), ("b", 50), ("c", 10)):
        assert np.bincount(parts[labels == label]).tolist() == [size * 6 // 10, size // 5, size // 5]


def test_a_group_is_never_divided(assign):
    groups = pa.array([f"g{n % 40}" for n in range(1000)])
    config = Split(**{**ROW, "by": "group", "column": "g"})
    parts, _ = assign(as_table(g=groups, n=pa.array(np.arange(1000.0))), config)
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


def test_time_splits_at_the_dates(assign, refused):
    days = pa.array(
        [dt.datetime(2024, 1, 31, 23), dt.datetime(2024, 2, 1), dt.datetime(2024, 3, 1)], pa.timestamp("us")
    )
    config = Split(**TIME)
    assert assign(as_table(d=days), config)[0] == [0, 1, 2]
    with refused("file.csv, row 2, column 'd' is empty"):
        assign(as_table(d=pa.array([days[0], None], pa.timestamp("us"))), config)
    with refused("column 'd' is a number, not a date"):
        assign(as_table(d=[1.0]), config)
    with refused("column 'd' is not in the table", "name one of: e"):
        training.split.assign(as_table(e=[1.0]), config, [], "e")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"test": None}, "needs 'test'"),
        ({"column": "x"}, "has no use for 'column'"),
        ({"validation": 0.6, "test": 0.4}, "leave no rows to train on"),
    ],
)
def test_a_split_that_cannot_work_is_refused(change, fault):
    with pytest.raises(ValueError, match=fault):
        Split(**{**ROW, **change})


def test_an_empty_part_is_refused(refused):
    days = pa.array([dt.datetime(2023, 5, 1), dt.datetime(2024, 1, 31, 23)], pa.timestamp("us"))
    table = as_table(d=days)
    with refused("no row falls into validation", "3 rows were split by row"):
        training.split.check_parts(np.array([0, 0, 2]), Split(**ROW), table)
    with refused("into validation", "from 2023-05-01 to 2024-01-31 23:00:00", "validation_from is 2024-02-01"):
        training.split.check_parts(np.array([0, 0]), Split(**TIME), table)
