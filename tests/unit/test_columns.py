"""Raw values become what the model was fitted with wherever rows come from, or are refused."""

import datetime as dt
import json
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelbook import training
from modelbook.settings import Data

from .test_table import BASE

ROWS = 6
MISSING = ["NA", "?"]
GAP = st.sampled_from(["", "NA", " ? "])
DAYS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
WHOLE = st.integers(-(10**6), 10**6).map(str)
CODES = st.sampled_from(["7", "007", "7.0", "0.5", "0.50", "1e3", "+7", "10", "-3", "12345678901234567"])
WORDS = st.sampled_from(["true", "false", "True", "FALSE", "yes", "x", "é", "two words", "1 x"])
#: The texts that a column of a CSV file may hold, by its type; one strategy gives one whole column.
TEXTS = {
    "number": [WHOLE, st.floats(-1e6, 1e6).map(lambda value: f"{value:.4f}")],
    "boolean": [st.sampled_from(["true", "False", "TRUE"]), st.sampled_from(["true", "false"])],
    "date": [DAYS.map(lambda day: f"{day:%Y-%m-%d}".zfill(10)), DAYS.map(lambda day: day.isoformat())],
    "category": [WHOLE, CODES, WORDS, CODES | WORDS, *map(st.sampled_from, (["true", "false"], ["1.0", "2.0"]))],
}  # fmt: skip


@st.composite
def csv_tables(draw):
    """Return columns of texts, and the types to declare for them."""
    texts, types = {}, {}
    for number, kind in enumerate(draw(st.lists(st.sampled_from([*TEXTS]), min_size=1, max_size=4))):
        cell = draw(st.sampled_from(TEXTS[kind]))
        padded = st.builds("{}{}{}".format, st.sampled_from(["", " "]), cell, st.sampled_from(["", " "]))
        some = padded | GAP if draw(st.booleans()) else padded
        texts[f"c{number}"] = [draw(cell), *draw(st.lists(some, min_size=ROWS - 1, max_size=ROWS - 1))]
        types[f"c{number}"] = kind
    return texts, types


def read(folder, **settings_):
    data = Data(**{**BASE, "path": str(folder), "missing": MISSING, **settings_})
    raw = training.table.read(data, "conf/data/mine.yaml")
    names = [name for name in raw.arrow.column_names if name != "y" and raw.types[name] != "empty"]
    columns = [training.prepare._column(raw, name, "feature", data) for name in names]
    # As the stages do: through files.
    training.columns.write(columns, Path(folder).parent / "columns.json")
    columns = training.columns.read(Path(folder).parent / "columns.json")
    return columns, training.columns.prepared(raw.arrow.select(names).to_pandas(), columns)


def same(frame, expected):
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), expected, check_exact=False, rtol=1e-12)


@given(csv_tables())
@settings(max_examples=120, deadline=None)
def test_a_csv_file_that_trained_gives_the_same_frame_whoever_reads_it(table):
    texts, types = table
    error = training.columns.ProjectError
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "raw", "0.csv")
        file.parent.mkdir()
        pd.DataFrame({**texts, "y": "1"}).to_csv(file, index=False)
        columns, expected = read(file.parent, types=types)
        frame = training.columns.frame
        as_text = pd.read_csv(file, dtype=str, keep_default_na=False)
        same(frame(as_text, columns), expected)
        same(frame(pa.Table.from_pandas(as_text), columns), expected)
        same(frame(json.loads(json.dumps(as_text.to_dict("records"))), columns), expected)
        guessed = pd.read_csv(file, na_values=MISSING)
        for rows in (guessed, json.loads(guessed.to_json(orient="records", double_precision=15))):
            for column in columns:
                try:
                    found = frame(rows, [column])
                except error:
                    # A number or boolean whose text cannot be known; a type that leaves no choice is never refused.
                    assert column.type == "category"
                    assert not unambiguous(texts[column.name])
                else:
                    same(found, expected[[column.name]])


def unambiguous(texts):
    present = [text.strip() for text in texts if text.strip() not in ("", *MISSING)]
    return all(text.lstrip("-").isdigit() and str(int(text)) == text and len(text) < 16 for text in present)


ARROW = {
    pa.int64(): st.integers(-(2**40), 2**40),
    pa.float64(): st.floats(-1e6, 1e6),
    pa.bool_(): st.booleans(),
    pa.timestamp("us"): DAYS,
    pa.timestamp("us", "Asia/Tokyo"): st.datetimes(
        dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC)
    ),
    pa.date32(): st.dates(dt.date(1600, 1, 1)),
    pa.decimal128(12, 2): st.decimals(-(10**6), 10**6, places=2),
    pa.string(): CODES | WORDS | st.sampled_from([" x ", "NA", ""]),
}


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_parquet_file_that_trained_gives_the_same_frame_whoever_reads_it(data):
    arrays, types = {}, {}
    for number, kind in enumerate(data.draw(st.lists(st.sampled_from([*ARROW]), min_size=1, max_size=4))):
        some = st.lists(st.none() | ARROW[kind], min_size=ROWS - 1, max_size=ROWS - 1)
        arrays[f"c{number}"] = pa.array([data.draw(ARROW[kind]), *data.draw(some)], kind)
        if kind == pa.string() or data.draw(st.booleans()):
            types[f"c{number}"] = "category"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "raw", "0.parquet")
        file.parent.mkdir()
        table = pa.table({**arrays, "y": pa.array(["1"] * ROWS)})
        pq.write_table(table, file)
        columns, expected = read(file.parent, types=types)
        rows = table.to_pylist()
        scalars = [{name: table[name][row] for name in table.column_names} for row in range(ROWS)]
        for given_rows in (table, pd.read_parquet(file), rows, scalars, pd.read_parquet(file).to_dict("records")):
            same(training.columns.frame(given_rows, columns), expected)


def column(kind, texts=(), **reading):
    how = training.spelling.of_texts(pa.array(texts, pa.string())) if texts else training.spelling.TYPED
    return training.columns.Column("c", kind, "feature", training.columns.Reading(spelling=how, **reading))


@pytest.mark.parametrize(
    ("texts", "value", "text"),
    [
        (["1", "2"], 1.0, "1"), (["1", "2"], np.int64(1), "1"), (["1.0", "2.0"], 1, "1.0"), (["0.5"], 0.1, "0.1"),
        (["0.5"], Decimal("0.10"), "0.1"), (["0.5"], 0.1 + 1e-17, "0.1"), (["true", "x"], True, "true"),
        (["TRUE", "FALSE"], np.bool_(False), "FALSE"), (["x"], " x ", "x"), (["007", "7"], "007", "007"),
        (["10000000000000000000000"], 10**22, "10000000000000000000000"),
    ],
)  # fmt: skip
def test_a_value_is_spelled_as_training_spelled_it(texts, value, text):
    for rows in ({"c": value}, pd.DataFrame({"c": [value]}), pd.DataFrame({"c": pd.Series([value], dtype=object)})):
        assert training.columns.frame(rows, [column("category", texts)])["c"].tolist() == [text]


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["007", "8"], 7), (["7", "7.0"], 7), (["1e3"], 1000), (["0.10", "0.20"], 0.1), (["-0"], 0), (["x"], 7),
        (["true", "True"], True), (["yes", "no"], True), (["x"], dt.date(2024, 1, 31)), (["1"], 2.0**53),
        (["1"], float("inf")), (["1"], 0.5), (["0.5"], 2.0),
    ],
)  # fmt: skip
def test_a_value_whose_spelling_cannot_be_known_is_refused_with_the_fix(refused, texts, value):
    with refused("row 2, column 'c'", "how training wrote it is not known", "dtype={'c': str}"):
        training.columns.frame([{"c": "x"}, {"c": value}], [column("category", texts)])


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.nan, pd.NA, pd.NaT, "", "  ", "NA", " NA", np.datetime64("NaT")]
)
@pytest.mark.parametrize("kind", ["number", "boolean", "date", "category"])
def test_each_way_to_write_a_missing_value_is_one(kind, value):
    for rows in ([{"c": value}], pd.DataFrame({"c": [value]}), pd.DataFrame({"c": pd.Series([value], dtype=object)})):
        assert training.columns.frame(rows, [column(kind)])["c"].isna().all()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "abc"), ("number", True), ("number", dt.date(2024, 1, 31)), ("number", float("inf")),
        ("number", "1,5"), ("number", [1]), ("number", b"1"), ("number", 1j), ("boolean", 2), ("boolean", "1"),
        ("date", 20240131), ("date", "31.01.2024"), ("date", True), ("date", dt.time(1)), ("date", dt.timedelta(1)),
        ("category", ["x"]), ("category", b"x"), ("category", {"x": 1}), ("number", Decimal("1e999")),
    ],
)  # fmt: skip
def test_a_value_that_is_none_of_the_type_is_refused_with_its_row_and_column(refused, kind, value):
    with refused("row 2, column 'c'", "fix: send"):
        training.columns.frame([{"c": None}, {"c": value}], [column(kind)])


def test_numbers_and_dates_are_read_as_the_file_writes_them(refused):
    comma = column("number", decimal=",")
    assert training.columns.frame({"c": "1,5"}, [comma])["c"].tolist() == [1.5]
    with refused("'1.5' is not a number with ',' before the decimals"):
        training.columns.frame({"c": "1.5"}, [comma])
    days = column("date", date_format="%Y%m%d")
    expected = pd.Timestamp("2024-01-31")
    for value in ("20240131", 20240131, 20240131.0, expected, dt.date(2024, 1, 31), "NA"):
        found = training.columns.frame([{"c": value}], [days])["c"][0]
        assert found == expected or value == "NA"
    with refused("1022024 is not a date written as %d%m%Y"):
        training.columns.frame({"c": 1022024}, [column("date", date_format="%d%m%Y")])
    zoned = dt.datetime(2024, 1, 31, 9, tzinfo=dt.timezone(dt.timedelta(hours=9)))
    for value in (zoned, pd.Timestamp(zoned), zoned.isoformat(), pa.scalar(zoned)):
        assert training.columns.frame([{"c": value}, {"c": None}], [column("date")])["c"][0] == expected


def test_values_of_several_types_in_one_column_stay_in_their_rows():
    listed = [1, "2", None, 3.0, np.int64(4), "x", True]
    found = training.columns.frame(pd.DataFrame({"c": listed}), [column("category")])["c"]
    assert found.tolist()[:2] == ["1", "2"]
    assert found.isna().tolist() == [False, False, True, False, False, False, False]
    assert found.tolist()[3:] == ["3", "4", "x", "true"]


def test_a_row_without_a_column_and_a_column_twice_are_refused(refused):
    columns = [column("number")]
    with refused("row 2: this column is missing: c"):
        training.columns.frame([{"c": 1}, {"d": 1}], columns)
    with refused("two columns are called 'c'"):
        training.columns.frame(pd.DataFrame([[1, 2]], columns=["c", "c"]), columns)
    with refused("row 1 is 'c'", "names its values by column"):
        training.columns.frame(["c"], columns)


def test_prepared_rows_are_not_read_a_second_time():
    kinds = training.columns.prepared(pd.DataFrame({"c": ["NA", " x ", None, ""]}), [column("category")])
    assert kinds["c"].tolist()[:2] == ["NA", " x "]
    assert kinds["c"].isna().tolist() == [False, False, True, False]
