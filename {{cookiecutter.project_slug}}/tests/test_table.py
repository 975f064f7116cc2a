"""Tables as people save them are read as they meant it, or refused with the place and the fix."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet
import pytest

BASE = {
    "name": "mine", "path": "raw", "target": "y", "id": [], "leave_out": [], "types": {}, "rules": {},
    "rows_without_target": "drop", "missing": ["NA"], "encoding": "utf-8", "separator": None, "decimal": ".",
    "date_format": None,
}  # fmt: skip


@pytest.fixture
def read(pipeline, tmp_path):
    """Return a function that writes files and reads them as one table."""

    def reader(*files, **settings):
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        for number, content in enumerate(files):
            if isinstance(content, pa.Table):
                pa.parquet.write_table(content, folder / f"{number}.parquet")
            else:
                (folder / f"{number}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        data = pipeline.config.Data(**{**BASE, "path": str(folder), **settings})
        return pipeline.table.read(data, "conf/data/mine.yaml")

    return reader


def values(table, name):
    return table.arrow[name].to_pylist()


def test_each_column_gets_the_type_of_its_values(read):
    table = read("n,b,c,d,e,y\n1,true,x,2024-02-29,,1\n-2.5e3,False,NA,2024-03-01 12:30,,0\n,,y,,NA,1\n")
    assert table.types == {"n": "number", "b": "boolean", "c": "category", "d": "date", "e": "empty", "y": "number"}
    assert values(table, "n") == [1.0, -2500.0, None]
    assert values(table, "b") == [True, False, None]
    assert values(table, "d") == [dt.datetime(2024, 2, 29), dt.datetime(2024, 3, 1, 12, 30), None]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_in_the_header(read, separator):
    table = read(f"a{separator}y\n1{separator}2\n")
    assert table.arrow.column_names == ["a", "y"]


def test_a_header_with_two_separators_is_refused(read, refused):
    with refused("header holds ',' and ';'", "set `separator`"):
        read("a;b,y\n1;2,3\n")


def test_a_byte_order_mark_is_no_part_of_the_first_name(read):
    assert read(b"\xef\xbb\xbfa,y\n1,2\n").arrow.column_names == ["a", "y"]
    assert read("a,y\n1,2\n".encode("utf-16")).arrow.column_names == ["a", "y"]


def test_latin_1_is_refused_until_it_is_declared(read, refused):
    text = "a,y\nx,1\nBärenklau,2\n".encode("latin-1")
    with refused("row 2 is not utf-8 text", "encoding: latin-1"):
        read(text)
    assert values(read(text, encoding="latin-1"), "a") == ["x", "Bärenklau"]


def test_an_unknown_encoding_is_refused(read, refused):
    with refused("encoding 'utf8000' is not known"):
        read("a,y\n1,2\n", encoding="utf8000")


def test_a_row_with_too_many_values_is_named(read, refused):
    with refused("0.csv, row 2 has 3 values, the header has 2"):
        read("a,y\n1,2\n3,4,5\n")


def test_line_breaks_and_separators_in_quotes_are_values(read):
    assert values(read('a,y\n"one\ntwo, three",1\n'), "a") == ["one\ntwo, three"]


def test_a_text_among_numbers_is_refused_with_its_place(read, refused):
    rows = "".join(f"{n},1\n" for n in range(40))
    with refused(
        "1.csv, row 3, column 'a': 'about 7' is not a number", "40 of 41|42 of 43", "`a: category` below `types`"
    ):
        read("a,y\n" + rows, "a,y\n1,1\n2,1\nabout 7,1\n")


def test_a_declared_type_wins(read, refused):
    assert read("a,y\n1,1\n2,1\n", types={"a": "category"}).types["a"] == "category"
    with refused("row 2, column 'a': 'x' is not a number", "says so"):
        read("a,y\n1,1\nx,1\n", types={"a": "number"})


def test_codes_with_leading_zeros_stay_text(read):
    table = read("zip,y\n00420,1\n10115,2\n")
    assert values(table, "zip") == ["00420", "10115"]


def test_numbers_with_more_digits_than_a_float_holds_stay_text(read):
    assert read("a,y\n1234567890123456789,1\n1234567890123456788,2\n").types["a"] == "category"


def test_a_number_too_large_for_a_float_is_refused(read, refused):
    with refused("row 41, column 'a': '1e400' is not a number"):
        read("a,y\n" + "1,1\n" * 40 + "1e400,1\n")


def test_dates_with_a_time_zone_become_utc(read):
    table = read("d,y\n2024-01-01T00:30:00+02:00,1\n2024-01-01T10:00Z,2\n")
    assert values(table, "d") == [dt.datetime(2023, 12, 31, 22, 30), dt.datetime(2024, 1, 1, 10)]


def test_decimal_commas_need_to_be_declared(read, refused):
    text = "a;y\n" + "1;1\n" * 30 + "2,5;1\n"
    with refused("'2,5' is not a number", 'decimal: ","'):
        read(text)
    assert values(read(text, decimal=","), "a")[-1] == 2.5


def test_dates_in_another_format_need_to_be_declared(read, refused):
    text = "d,y\n31.12.2023,1\n29.02.2024,2\n"
    assert read(text).types["d"] == "category"
    assert values(read(text, date_format="%d.%m.%Y"), "d")[1] == dt.datetime(2024, 2, 29)
    with refused("row 21, column 'd': '2023-02-30' is not a date"):
        read("d,y\n" + "2024-01-01,1\n" * 20 + "2023-02-30,1\n")


def test_infinity_is_refused(read, refused):
    with refused("row 41, column 'a': 'inf' is not a number"):
        read("a,y\n" + "1,1\n" * 40 + "inf,1\n")


def test_infinity_in_parquet_is_refused(read, refused):
    with refused("row 2, column 'a' is infinite"):
        read(pa.table({"a": [1.0, float("inf")], "y": [1, 2]}))


def test_files_with_other_columns_are_refused(read, refused):
    with refused("1.csv has other columns than .*0.csv", "only here: b", "missing here: a"):
        read("a,y\n1,2\n", "b,y\n1,2\n")


def test_columns_in_another_order_are_the_same_columns(read):
    assert values(read("a,y\n1,2\n", "y,a\n4,3\n"), "a") == [1.0, 3.0]


@pytest.mark.parametrize(("header", "fault"), [("a,,y", "column 2 has no name"), ("a,a,y", "both called 'a'")])
def test_bad_headers_are_refused(read, refused, header, fault):
    with refused(fault):
        read(f"{header}\n1,2,3\n")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused(read, refused, content):
    with refused("0.csv is empty"):
        read(content)


def test_a_file_without_rows_is_refused(read, refused):
    with refused("holds no rows"):
        read("a,y\n")


def test_a_file_of_another_kind_is_refused(read, refused, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "table.xlsx").write_bytes(b"x")
    with refused("table.xlsx is not a CSV or Parquet file"):
        read("a,y\n1,2\n")


def test_a_missing_folder_says_how_to_get_it(read, refused, tmp_path):
    with refused("is missing", "dvc pull"):
        read(path=str(tmp_path / "nowhere"))


def test_a_column_that_the_configuration_names_must_exist(read, refused):
    with refused("target names the column 'z'", "did you mean|known here"):
        read("a,y\n1,2\n", target="z")


def test_parquet_brings_its_types(read):
    table = read(
        pa.table(
            {
                "i": pa.array([1, None], pa.int32()),
                "f": [1.5, float("nan")],
                "b": [True, None],
                "s": pa.array(["x", None]).dictionary_encode(),
                "d": pa.array([dt.date(2024, 1, 1), None]),
                "e": pa.nulls(2),
                "y": [1, 2],
            }
        )
    )
    assert table.types == {
        "i": "number", "f": "number", "b": "boolean", "s": "category", "d": "date", "e": "empty", "y": "number",
    }  # fmt: skip
    assert values(table, "f") == [1.5, None]


def test_a_nested_parquet_column_is_refused(read, refused):
    with refused("column 'l' has the type list"):
        read(pa.table({"l": [[1], [2]], "y": [1, 2]}))


def test_csv_and_parquet_are_not_mixed(read, refused, tmp_path):
    (tmp_path / "raw").mkdir()
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "raw" / "x.parquet")
    with refused("both CSV and Parquet"):
        read("a,y\n1,2\n")


def test_thousands_of_columns_are_read(read):
    names = [f"c{n}" for n in range(3000)]
    table = read(",".join([*names, "y"]) + "\n" + ",".join(["1"] * 3001) + "\n")
    assert len(table.types) == 3001
