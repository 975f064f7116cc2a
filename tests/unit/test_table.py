"""Tables as people save them are read as they meant it, or refused with the place and the fix."""

import csv
import datetime as dt
import io
import shutil
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelbook import training
from modelbook.settings import Data

BASE = {"name": "mine", "path": "raw", "target": "y", "missing": ["NA"]}
SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.fixture
def read(tmp_path):
    """Return a function that writes files, numbered or by name, and reads them as one table."""

    def reader(*files, named=None, **changes):
        folder = tmp_path / "raw"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        numbered = {f"{n}.{'parquet' if isinstance(c, pa.Table) else 'csv'}": c for n, c in enumerate(files)}
        for name, content in {**numbered, **(named or {})}.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pa.Table):
                pa.parquet.write_table(content, file)
            else:
                file.write_bytes(content.encode() if isinstance(content, str) else content)
        data = Data(**{**BASE, "path": str(folder), **changes})
        return training.table.read(data, "conf/data/mine.yaml")

    return reader


def column(*texts, n=40):
    """Return a CSV file with a column h that takes the texts in turn."""
    return "h,y\n" + "".join(f'"{texts[i % len(texts)]}",{i}\n' for i in range(n))


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


def test_what_windows_wrote_is_refused_until_it_is_declared(read, refused):
    text = "a,y\nx,1\nBärenklau 5 €,2\n".encode("cp1252")
    with refused("row 2 is not utf-8 text", "encoding: cp1252"):
        read(text)
    with refused("row 2 holds the control character U\\+0080", "encoding: cp1252"):
        read(text, encoding="latin-1")
    assert values(read(text, encoding="cp1252"), "a") == ["x", "Bärenklau 5 €"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250"])
def test_utf_8_is_not_read_as_another_encoding(read, refused, encoding):
    with refused("1.csv is UTF-8 text, and .* says", "encoding: utf-8"):
        read("a,y\nsüß,1\n".encode(encoding), "a,y\nHändler,1\n", encoding=encoding)
    assert values(read("a,y\nHand,1\n", encoding=encoding), "a") == ["Hand"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_more_than_the_configuration(read, encoding):
    assert values(read("ä,y\nBärenklau,2\n".encode(encoding), encoding="cp1252"), "ä") == ["Bärenklau"]


def test_utf_16_without_its_mark_is_refused(read, refused):
    with refused("the header holds a character U\\+0000", "utf-16-le"):
        read("a,y\n1,2\n".encode("utf-16-le"))


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


def test_a_text_that_is_no_boolean_is_refused_with_the_accepted_words(read, refused):
    with refused("row 2, column 'a': '1' is not a boolean", "write them in the file as true and false"):
        read("a,y\ntrue,1\n1,1\n", types={"a": "boolean"})


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


def test_a_separator_of_thousands_is_not_taken_for_a_decimal_comma(read, refused):
    with refused(
        "'1,000' is not a number", "numbers\\? write them in the file without separators of thousands"
    ) as error:
        read("a;y\n" + "1;1\n" * 30 + "1,000;1\n")
    assert "decimal:" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "decimal", "is_noted"),
    [
        ("900 1,000", ",", True),
        ("1,250 1,000", ",", True),
        ("900 1.000", ".", True),
        ("1,25 1,000", ",", False),
        ("1.250 1.000", ".", False),
        ("0.5 900 1.000", ".", False),
    ],
)
def test_decimals_that_may_be_thousands_are_noted(read, rows, decimal, is_noted):
    text = "a;y\n" + "".join(f"{cell};x\n" for cell in rows.split())
    assert any("is read as 1" in note for note in read(text, decimal=decimal).notes) == is_noted
    assert not read(text, decimal=decimal, types={"a": "number"}).notes


def test_dates_in_another_format_need_to_be_declared(read, refused):
    text = "d,y\n31.12.2023,1\n29.02.2024,2\n"
    assert read(text).types["d"] == "category"
    assert values(read(text, date_format="%d.%m.%Y"), "d")[1] == dt.datetime(2024, 2, 29)
    with refused("row 21, column 'd': '2023-02-30' is not a date"):
        read("d,y\n" + "2024-01-01,1\n" * 20 + "2023-02-30,1\n")


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-05 10:00:00+00",
        "2024-01-05 10:00:00.0000009 UTC",
        "2024-01-05T12:00:00,000000+0200",
        "2024-01-05 09:30:00 -00:30",
    ],
)
def test_dates_as_databases_write_them_are_dates(read, text):
    assert values(read(f'd,y\n"{text}",1\n'), "d") == [dt.datetime(2024, 1, 5, 10)]


def test_dates_are_of_the_years_1_to_9999(read, refused):
    assert values(read("d,y\n0001-01-01,1\n9999-12-31T23:59:59.999999,2\n"), "d") == [dt.datetime.min, dt.datetime.max]
    with refused("row 41, column 'd': '9999-12-31 23:00-05' is not a date"):
        read("d,y\n" + "2024-01-01,1\n" * 40 + "9999-12-31 23:00-05,1\n")
    with refused("row 2, column 'd' is a date outside the years 1 to 9999"):
        read(pa.table({"d": pa.array([0, 10**12], pa.timestamp("s")), "y": [1, 2]}))


def test_dates_with_and_without_a_time_zone_are_noted(read):
    notes = read("d,y\n2024-01-01T10:00Z,1\n2024-01-01T10:00,2\n").notes
    assert "1 dates have no time zone and are taken as UTC, 1 have one" in notes[0]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("5", "6", "7", "?"), "30 of its 40 values are numbers; these are not: '?' (10)"),
        (("5", "?", "?", "6", "?"), "missing values? `missing: [NA, '?']`"),
        (("900", "1,095", "1,100"), "without separators of thousands"),
        (("$5", "$6"), "0 of its 40 values are numbers"),
        (("1.234,50", "7%"), "0 of its 40 values are numbers"),
        (("1,5", "2,5"), '`decimal: ","`'),
        (("5", "007"), "leading zeros, or more digits than a number keeps: '007' (20)"),
        (("5", "12345678901234567"), "`h: number` below `types`"),
        (("true", "false", "unknown"), "27 of its 40 values are booleans"),
        (("05.01.2024", "31.12.2023"), "`date_format: '%d.%m.%Y'`"),
        (("1/5/2024", "12/31/2023"), "`date_format: '%m/%d/%Y'`"),
        (("5/1/2024", "5/2/2024"), "'%d/%m/%Y'` or `date_format: '%m/%d/%Y'`"),
        (("2024-01-05", "2024-01-06", "0000-00-00"), "missing: [NA, '0000-00-00']"),
        (("20240105", "20241231"), "read as numbers, but all of them are days"),
    ],
)
def test_what_looks_like_another_type_than_it_is_read_as_is_noted_until_it_is_declared(read, texts, said):
    notes = "\n".join(read(column(*texts)).notes)
    assert "column 'h'" in notes
    assert said in notes
    kind = "number" if "20240105" in texts else "category"
    assert not read(column(*texts), types={"h": kind}).notes
    assert not read(column(*texts), leave_out=["h"]).notes


@pytest.mark.parametrize("texts", [("north", "south"), ("5", "6"), ("A1", "7", "B2"), ("2024-01-05", "2024-01-06")])
def test_what_is_what_it_looks_like_needs_no_note(read, texts):
    assert not read(column(*texts)).notes


@settings(max_examples=100, **SETTINGS)
@given(
    st.text() | st.sampled_from(["2019", "Weight: kg", "*id", "%id", "#id", "on", "\\N", "it's", "", "-", "1e5", "~"])
)
def test_a_printed_name_or_value_is_read_back_as_it_is_when_it_is_typed(text):
    typed = training.looks.quoted(text)
    for line in (f"missing: [NA, {typed}]", f"types:\n  the other: 1\n  {typed}: number"):
        read_back = yaml.safe_load(line), training.yaml_text.of_hydra(line)
        for found in read_back:
            assert text in (found.get("missing") or found["types"])


def test_the_printed_fixes_of_odd_names_and_values_work(read):
    text = "Weight: kg,y\n" + "5,1\n6,2\n\\N,3\n" * 5
    note = read(text).notes[0]
    assert r"`missing: [NA, '\N']`" in note
    assert "`'Weight: kg': category`" in note


def test_texts_that_are_taken_as_missing_are_named(read):
    table = read('c,n,y\nNone,1,a\nx,None,None\n"None",2,b\nNA,NA,b\n', missing=["None", "NA"])
    assert values(table, "c") == [None, "x", "None", None]
    assert values(table, "y") == ["a", None, "b", "b"]
    assert [note.partition(" (a value")[0] for note in table.notes] == [
        "column 'c': taken as missing: 'NA' (1 rows), 'None' (1 rows)",
        "column 'c': quoted in the file, so a text and not missing: 'None' (1 rows)",
        "column 'y': taken as missing: 'None' (1 rows)",
    ]


@pytest.mark.parametrize("mark", ["NULL", "#N/A", "n/a", "<NA>", "#NA", "-nan", "?", "-", r"\N", "."])
def test_texts_that_others_take_as_missing_are_noted_in_categories_and_in_the_target(read, mark):
    text = f"h,y\nnorth,a\nsouth,b\n{mark},{mark}\n"
    notes = read(text).notes
    fix = f"`missing: [NA, {training.looks.quoted(mark)}]`"
    assert [note.partition(":")[0] for note in notes if fix in note] == ["column 'h'", "column 'y'"]
    found = read(text, missing=["NA", mark])
    assert values(found, "h") == ["north", "south", None]
    assert not read(text, types={"h": "category", "y": "category"}).notes


def test_one_form_serves_all_columns_of_dates(read):
    text = "d,e,y\n31.12.2023,2024-01-05,1\n30.12.2023,2024-01-06,2\n"
    assert "write them in the file as ISO" in read(text).notes[0]
    assert "write them in the file as %d.%m.%Y" in read(text, date_format="%d.%m.%Y").notes[0]


def test_a_quoted_mark_in_a_column_of_numbers_is_missing(read):
    assert values(read('a,y\n"1",1\n"NA",2\n'), "a") == [1.0, None]


def test_a_number_whose_square_is_none_is_refused_in_a_column_that_the_model_sees(read, refused):
    text = "a,y\n1,1\n1.7976931348623157e+308,2\n"
    with refused("row 2, column 'a' is 1.7976931348623157e.308", "`missing`"):
        read(text)
    assert read(text, leave_out=["a"]).types["a"] == "number"
    with refused("row 1, column 'a' is -1e\\+200"):
        read(pa.table({"a": [-1e200], "y": [1]}))


def test_of_columns_that_the_model_does_not_see_nothing_is_asked(read):
    rows = "".join(f"{n},1\n" for n in range(40))
    table = read(f"a,y\n{rows}about 7,1\n", leave_out=["a"])
    assert (table.types["a"], table.notes) == ("category", ())


def test_infinity_is_refused(read, refused):
    with refused("row 41, column 'a': 'inf' is not a number"):
        read("a,y\n" + "1,1\n" * 40 + "inf,1\n")


def test_infinity_in_parquet_is_refused(read, refused):
    with refused("row 2, column 'a' is infinite"):
        read(pa.table({"a": [1.0, float("inf")], "y": [1, 2]}))


@pytest.mark.parametrize("top", ["\n", "  \r\n\n", "sep=,\r\n", '"sep=,"\n', "\ufeff\n"])
def test_what_spreadsheets_and_people_write_above_the_header_is_no_table(read, top):
    assert values(read(f"{top}zip,y\n00420,1\n"), "zip") == ["00420"]


def test_the_line_of_excel_says_the_separator(read):
    assert values(read("sep=;\r\na,b;y\r\n1,5;2\r\n", decimal=","), "a,b") == [1.5]


def test_names_in_the_header_have_no_white_space_around_them(read):
    assert read("a, y ,\u00a0c \n1,2,3\n").arrow.column_names == ["a", "y", "c"]


def test_lines_may_end_as_on_an_old_macintosh(read):
    assert values(read("a;y\r1;2\r3;4\r"), "y") == [2.0, 4.0]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ('1,x,"note\n2,x,note\n', "row 1 opens a quotation mark that is never closed"),
        ('1,x,note\n"2,x,note\n"3,x,note\n', "row 2 closes a quotation mark in the middle of a value"),
        ('1,x,"two\nlines"\n2,"x"y,note\n', "row 2 closes a quotation mark in the middle of a value"),
        ('5" pipe,x,z\n6" pipe,"x,z\n', "row 2 opens a quotation mark that is never closed"),
        ('1,x,y\n2, "x",y\n', "row 2 has a blank before a quotation mark"),
        ('1,"a \\"b\\" c",y\n', "row 1 closes a quotation mark in the middle of a value"),
        ('1,x,"note\n2,x,note\n3,x,note\n4,x,note"\n', "row 1, column 'note' holds whole rows of the table"),
    ],
)
def test_a_stray_quotation_mark_is_refused_before_it_swallows_rows(read, refused, rows, fault):
    with refused(fault):
        read(f"a,y,note\n{rows}")


def test_values_over_several_lines_are_noted(read):
    table = read('a,y\n"5"" pipe\n\nlong",1\n6" pipe,2\n')
    assert values(table, "a") == ['5" pipe\n\nlong', '6" pipe']
    assert "the longest has 3 lines (row 1, column 'a'" in table.notes[0]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_two_rows_that_quotes_join_are_noted_however_the_file_ends(read, end):
    notes = read(f'x,z,y\n1,a,"foo\n2,b,bar"\n3,c,q{end}').notes
    assert "row 1, column 'y'; a quotation mark too many joins rows" in notes[0]


def test_the_header_among_the_rows_is_refused(read, refused):
    with refused("row 2 is the header again"):
        read("a,y\nx,z\na,y\nx,z\n")


letters = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.sampled_from('",;\n\t| NA7')
cells = st.text(letters, max_size=6)


@settings(max_examples=150, **SETTINGS)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_csv_writer_writes_is_read_as_it_was_or_refused(tmp_path, rows, quoting, separator, encoding):
    file = tmp_path / "table.csv"
    text = io.StringIO()
    csv.writer(text, quoting=quoting, delimiter=separator).writerows([("one", "two", "y"), *rows])
    file.write_bytes(text.getvalue().encode(encoding))
    try:
        found = training.csv_file.read_csv(file, Data(**BASE), "conf/data/mine.yaml")
    except training.csv_file.ProjectError as error:
        found = str(error)
    if isinstance(found, str):
        assert "holds whole rows of the table" in found
        return
    bare = quoting == csv.QUOTE_MINIMAL

    def meant(cell):
        stripped = cell.strip()
        return None if stripped in ("", "NA") and (bare or cell != "NA") else stripped

    assert [tuple(row.values()) for row in found.table.to_pylist()] == [tuple(map(meant, row)) for row in rows]
    assert [tuple(row.values()) for row in found.raw.to_pylist()] == [
        tuple(cell.strip() or None for cell in row) for row in rows
    ]


@settings(max_examples=60, **SETTINGS)
@given(st.lists(st.none() | st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=6).filter(any), st.data())
def test_whole_numbers_of_parquet_stay_apart_in_every_type_that_holds_them(read, numbers, data):
    fitting = [
        kind
        for kind in (pa.int64(), pa.uint64(), pa.decimal128(20, 0), pa.decimal128(24, 3))
        if kind != pa.int64() or max(filter(None, numbers)) < 2**63
        if kind != pa.uint64() or min(filter(None, numbers)) >= 0
    ]
    kind = data.draw(st.sampled_from(fitting))
    exact = [None if n is None else Decimal(n) if pa.types.is_decimal(kind) else n for n in numbers]
    table = read(pa.table({"a": pa.array(exact, kind), "y": range(len(exact))}))
    found = values(table, "a")
    if table.types["a"] == "number":
        assert found == numbers
    else:
        assert found == [None if n is None else str(n) for n in numbers]
        assert "a float would take some of its whole numbers for one" in table.notes[0]


def test_a_wide_whole_number_in_one_file_makes_text_of_all(read, refused):
    small, wide = pa.table({"a": [7], "y": [1]}), pa.table({"a": [2**53 + 1], "y": [1]})
    assert values(read(small, wide), "a") == ["7", "9007199254740993"]
    assert read(small, wide, types={"a": "number"}).types["a"] == "number"
    with refused("types that cannot be joined", "double", "int64"):
        read(pa.table({"a": [0.5], "y": [1]}), wide)


def test_text_of_parquet_is_text_and_holds_what_it_holds(read):
    table = read(pa.table({"plz": ["10115", "10117"], "land": ["NA", " SE"], "y": ["", "x"]}))
    assert set(table.types.values()) == {"category"}
    assert (values(table, "land"), values(table, "y")) == (["NA", " SE"], ["", "x"])
    assert [note.partition(" (missing")[0] for note in table.notes[1:]] == [
        "column 'land': often a missing value, here a text like others: 'NA' (1)",
        "column 'y': often a missing value, here a text like others: '' (1)",
    ]
    assert values(read(pa.table({"a": ["1", "NA"], "y": [1, 2]}), types={"a": "number"}), "a") == [1.0, None]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["10115", "7", ""], "number"),
        (["true", "FALSE"], "boolean"),
        (["2024-01-05", "NA"], "date"),
        (["1.5"], "number"),
    ],
)
def test_text_of_parquet_that_looks_like_another_type_is_noted_until_it_is_declared(read, texts, kind):
    table = pa.table({"h": texts, "y": range(len(texts))})
    found = read(table)
    assert found.types["h"] == "category"
    assert f"`h: {kind}` below `types`" in found.notes[0]
    found = read(table, types={"h": kind})
    assert (found.types["h"], found.notes) == (kind, ())
    assert not read(table, types={"h": "category"}).notes


def test_numbers_of_parquet_that_are_declared_a_category_are_written_without_a_point(read):
    table = read(pa.table({"a": [1.0, float("nan"), 0.5], "y": [1, 2, 3]}), types={"a": "category"})
    assert values(table, "a") == ["1", None, "0.5"]


def test_row_numbers_that_pandas_saved_are_refused(read, refused):
    table = pa.table({"a": [1], "__index_level_0__": [7], "y": [1]})
    with refused("'__index_level_0__'", "index=False"):
        read(table)
    read(table, leave_out=["__index_level_0__"])


def test_every_table_in_the_folder_is_read_and_the_rest_is_named(read):
    rows = "a,y\n1,2\n"
    names = ["source_b.csv", "licences.tsv", "README_2024.CSV", "copying/_x.csv"]
    over = {".ipynb_checkpoints/a.csv": rows, "README.md": "", "_SUCCESS": "", "LICENSE": ""}
    table = read(named={**dict.fromkeys(names, rows), "licences.tsv": "a\ty\n1\t2\n", **over})
    assert table.arrow.num_rows == 4
    assert "not read as a part of the table: .ipynb_checkpoints/a.csv, LICENSE, README.md, _SUCCESS" in table.notes[0]
    assert "the names of folders are not read: copying" in table.notes[1]


def test_a_link_to_a_folder_is_refused(refused, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "raw" / "more").symlink_to(tmp_path / "elsewhere")
    with refused("more is a link to a folder"):
        training.table.find_files(tmp_path / "raw", "conf/data/mine.yaml")


def test_columns_in_folder_names_are_read(read, refused):
    part = pa.table({"a": ["x"], "y": [1]})
    table = read(named={"year=2024/zip=01067/a.parquet": part, "year=2025/zip=NA/b.parquet": part})
    assert table.types == {"a": "category", "y": "number", "year": "number", "zip": "category"}
    assert (values(table, "year"), values(table, "zip")) == ([2024.0, 2025.0], ["01067", None])
    with refused("other columns", "(only|missing) here: year"):
        read(named={"year=2024/a.csv": "a,y\n1,2\n", "year2025/b.csv": "a,y\n1,2\n"})
    with refused("'a' is the name of a column and of a folder"):
        read(named={"a=2024/a.csv": "a,y\n1,2\n"})


def test_files_may_be_quoted_and_separated_in_different_ways(read):
    table = read('"a","y"\n"1","x, z"\n', "y;a\nx, z;2\n")
    assert (values(table, "a"), values(table, "y")) == ([1.0, 2.0], ["x, z", "x, z"])


def test_three_keys_are_enough():
    data = Data(name="mine", path="data/raw", target="y")
    assert (data.encoding, data.decimal, data.id, data.rules) == ("utf-8", ".", [], {})


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n", "§"])
def test_a_separator_that_no_reader_takes_is_refused(separator):
    with pytest.raises(ValueError, match="not one ASCII character"):
        Data(**BASE, separator=separator)


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


def test_a_file_of_another_kind_is_refused(read, refused):
    with refused("table.xlsx is not a CSV or Parquet file"):
        read("a,y\n1,2\n", named={"table.xlsx": b"x"})


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


@pytest.mark.parametrize(
    "cells", [[[1], [2]], [{"a": 1}, None], [dt.time(1), None], [dt.timedelta(1), None], [b"1", b"2"]]
)
def test_a_parquet_column_that_no_model_takes_is_refused_until_it_is_left_out(read, refused, cells):
    table = pa.table({"l": cells, "y": [1, 2]})
    with refused("column 'l' has the type", "fix: .*`leave_out`"):
        read(table)
    found = read(table, leave_out=["l"])
    assert (found.types, values(found, "y")) == ({"l": "empty", "y": "number"}, [1.0, 2.0])


def test_csv_and_parquet_are_not_mixed(read, refused):
    with refused("both CSV and Parquet"):
        read("a,y\n1,2\n", pa.table({"a": [1]}))


def test_thousands_of_columns_are_read(read):
    names = [f"c{n}" for n in range(3000)]
    table = read(",".join([*names, "y"]) + "\n" + ",".join(["1"] * 3001) + "\n")
    assert len(table.types) == 3001


def test_notes_come_in_the_order_of_the_columns_and_the_first_faulty_one_is_named():
    """Columns are typed side by side: the slow first one is still the first."""
    import time

    def slow_first(number):
        time.sleep(0.05 if number == 0 else 0)
        if number in (0, 3):
            raise ValueError(number)
        return number

    assert training.threads.each(str, range(40)) == [str(number) for number in range(40)]
    with pytest.raises(ValueError, match="0"):
        training.threads.each(slow_first, range(5))
