"""Rows of two tables are counted as bags, by values and their types."""

from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelbook import commands, training

ids = st.none() | st.sampled_from(["a", "b", "None", "1"])
rows = st.lists(st.tuples(ids, st.none() | st.integers(0, 2).map(float)), max_size=12)
SCHEMA = pa.schema({"id": pa.string(), "x": pa.float64()})


def table(pairs):
    return pa.table({"id": [pair[0] for pair in pairs], "x": [pair[1] for pair in pairs]}, schema=SCHEMA)


@given(rows, rows)
@settings(deadline=None)  # the first example imports the module
def test_without_an_id_rows_are_compared_as_bags(old, new):
    found = training.compare_tables.compare(table(old), table(new))
    assert found["added"] == (Counter(new) - Counter(old)).total()
    assert found["removed"] == (Counter(old) - Counter(new)).total()
    assert found["changed"] is None


@given(rows, rows)
@settings(deadline=None)  # the first example imports the module
def test_a_changed_row_is_one_whose_id_stands_for_one_row_in_both(old, new):
    found = training.compare_tables.compare(table(old), table(new), [["id"]])
    before, after = (Counter(key for key, _ in side) for side in (old, new))
    changed = sum(
        before[key] == after[key] == 1 and key is not None and dict(old)[key] != dict(new)[key] for key in before
    )
    assert found["changed"] == changed
    assert found["added"] == (Counter(new) - Counter(old)).total() - changed
    assert found["removed"] == (Counter(old) - Counter(new)).total() - changed
    assert found["added"] - found["removed"] == len(new) - len(old)
    assert found["several"] == sum(key is None or max(before[key], after[key]) > 1 for key in before | after)


def test_the_first_id_whose_columns_are_compared_counts():
    old, new = pa.table({"a": [1, 2], "x": [3, 4]}), pa.table({"a": [1, 2], "x": [3, 5]})
    assert training.compare_tables.compare(old, new, [["gone"], [], ["a"]])["changed"] == 1
    assert training.compare_tables.compare(old, new, [["gone"], []])["changed"] is None


def test_a_value_of_another_type_is_another_value_and_columns_that_differ_are_named():
    old = pa.table({"id": [1.0, 2.0], "x": [3.0, 4.0], "was": ["a", "b"]})
    new = pa.table({"id": ["1", "2"], "x": [3.0, 4.0], "is": ["a", "b"]})
    found = training.compare_tables.compare(old, new, [["id"]])
    assert found["retyped"] == {"id": ["number", "category"]}
    assert (found["come"], found["gone"]) == (["is"], ["was"])
    assert (found["compared"], found["added"], found["removed"], found["changed"]) == (1, 0, 0, None)


@pytest.mark.parametrize(
    ("old", "new", "added"),
    [
        (pa.nulls(2), ["x", None], 1),
        ([1, 2], [1.0, 2.0], 0),
        ([0.0], [-0.0], 0),
        ([2**53 + 1], [2.0**53], 1),
        (["1"], [True], 1),
    ],
)
def test_values_of_two_types_are_joined_only_where_they_stay_what_they_are(old, new, added):
    assert training.compare_tables.compare(pa.table({"x": old}), pa.table({"x": new}))["added"] == added


def test_prepared_files_are_one_table(tmp_path):
    pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "seen.parquet")
    pq.write_table(pa.table({"secret": ["a", "b"]}), tmp_path / "other.parquet")
    files = [str(tmp_path / f"{name}.parquet") for name in ("seen", "other")]
    whole, key = training.compare_tables._read({"files": files})
    assert (whole.column_names, key) == (["x", "secret"], [])


@pytest.mark.parametrize(
    ("inputs", "path", "files"),
    [
        ({"data/raw": {"a.csv": 1, "year=1/b.csv": 2}}, "data/raw", {"a.csv": 1, "year=1/b.csv": 2}),
        ({"data": {"raw/a.csv": 1, "rawer/b.csv": 2}}, "data/raw", {"a.csv": 1}),
        ({"data/raw/a.csv": 1, "data/raw/b.csv": 2, "data/other.csv": 3}, "data/raw", {"a.csv": 1, "b.csv": 2}),
        ({"data/raw/a.csv": 1, "data/raw/b.csv": 2}, "data/raw/a.csv", {"a.csv": 1}),
        ({"data": {"raw/a.csv": 1}}, "data/raw/a.csv", {"a.csv": 1}),
        ({"elsewhere": {"a.csv": 1}}, "data/raw", None),
    ],
)
def test_the_table_of_a_version_is_laid_out_however_its_files_are_tracked(tmp_path, inputs, path, files):
    for oid in (1, 2, 3):
        (tmp_path / str(oid)).write_text(str(oid), encoding="utf-8")
    store = SimpleNamespace(
        is_sound=lambda _: True, members=lambda oid: inputs[oid[:-4]], path=lambda o: tmp_path / str(o)
    )
    entries = [
        SimpleNamespace(path=name, md5=f"{name}.dir" if isinstance(tracked, dict) else str(tracked))
        for name, tracked in inputs.items()
    ]
    kept = SimpleNamespace(data=SimpleNamespace(inputs=entries))
    target = tmp_path / "out"
    done = commands.diff._lay_out(SimpleNamespace(store=store), kept, path, target, fetch=False)
    assert done is (files is not None)
    found = {
        file.relative_to(target).as_posix(): int(file.read_text(encoding="utf-8")) for file in target.rglob("*.csv")
    }
    assert found == (files or {})
