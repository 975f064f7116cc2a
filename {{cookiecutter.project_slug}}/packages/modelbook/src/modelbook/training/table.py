"""Read the raw table: CSV or Parquet files in one folder, typed column by column.

Nothing is guessed in silence. A value that does not fit its column is refused
with the file, the column, the row and the fix. Rows are counted from 1; the
header is not counted.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ProjectError
from ..settings import ColumnType, Data, nearest
from . import looks, threads, values
from .csv_file import read_csv
from .parquet_file import joined, plain, read_parquet

CSV_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (*CSV_SUFFIXES, ".parquet")
#: Files that may lie beside the table, and folders of programs; they are passed over, and named.
NOT_DATA = re.compile(r"^(\.|_|readme|licen[cs]e|copying|source)|\.(md|dvc)$", re.IGNORECASE)
#: A folder that holds a column, as Spark, Hive and pandas write them.
FOLDER_COLUMN = re.compile(r"([^=]+)=(.*)")
MISSING_FOLDER = "__HIVE_DEFAULT_PARTITION__"
#: What pandas calls an index that it saves into a Parquet file.
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
#: A column is held to be of a type when this share of its values is; the rest is then refused.
MOSTLY = 0.9
#: The types that a column of text can turn out to have, in the order in which they are tried.
GUESSED: tuple[ColumnType, ...] = ("boolean", "number", "date")
#: No measure is larger; its square and the sum of a million squares are still numbers, and so is it with 32 bits.
LARGEST = 1e38
INFINITE = float("inf")
#: How many names a note lists.
LISTED = 10
#: What messages call a table that the team's code made.
MADE = "the table that prepare makes"


@dataclass(frozen=True)
class Origin:
    """Which rows of the whole table came from which file."""

    file: Path
    first_row: int
    rows: int


@dataclass(frozen=True)
class Table:
    """The raw table.

    Attributes
    ----------
    arrow : pyarrow.Table
        All rows of all files, in file order; columns without any value have
        the type null.
    types : dict of str to str
        `number`, `boolean`, `category`, `date` or `empty` for each column.
    origins : tuple of Origin
    raw : pyarrow.Table
        The same rows as the files hold them: text, or the types of Parquet. A
        text that stands for a missing value is kept, unless the column also has
        such a text in quotes, as a value.
    quoted : frozenset of str
        Those columns.
    untyped : frozenset of str
        Columns that the files hold as text without a type: of CSV files, and of folder names.
    notes : tuple of str
        What was passed over, or read as something that it might not be.
    source : str
        Where the rows come from, as a message says it.
    """

    arrow: pa.Table
    types: dict[str, str]
    origins: tuple[Origin, ...]
    raw: pa.Table
    quoted: frozenset[str] = frozenset()
    untyped: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    source: str = MADE

    def place(self, row: int) -> str:
        """Return `file, row N` for a row of the whole table (counted from 0)."""
        return place(self.origins, row)


def place(origins: tuple[Origin, ...], row: int) -> str:
    """Return `file, row N` for a row of the whole table (counted from 0)."""
    origin = next(o for o in origins if row < o.first_row + o.rows)
    return f"{origin.file}, row {row - origin.first_row + 1}"


@dataclass(frozen=True)
class _Reading:
    """The files as they were read, before columns are typed; collects what is to be said of them."""

    data: Data
    conf_file: str
    source: str
    origins: tuple[Origin, ...]
    missing: Counter[tuple[str, str]]
    notes: list[str]

    def place(self, row: int) -> str:
        return place(self.origins, row)


def read(data: Data, conf_file: str) -> Table:
    """Read all files of the raw table and give every column its type.

    Parameters
    ----------
    data : Data
        The block `data` of the configuration.
    conf_file : str
        The file that holds it, for error messages.

    Returns
    -------
    Table

    Raises
    ------
    ProjectError
        For files that cannot be read, columns that differ between files, and
        values that do not fit their column.
    """
    folder = Path(data.path)
    files = find_files(folder, conf_file)
    is_csv = files[0].suffix.lower() in CSV_SUFFIXES
    notes = _note_passed_over(folder, files)
    missing: Counter[tuple[str, str]] = Counter()
    parts, raw_parts, untyped, quoted = [], [], set[str](), set[str]()
    for file in files:
        if is_csv:
            content = read_csv(file, data, conf_file)
            missing.update(content.missing)
            notes.extend(content.notes)
            quoted |= content.quoted
            part, raw_part = content.table, content.raw
        else:
            part = raw_part = read_parquet(file, data.leave_out)
        named = _folder_columns(part, file, folder)
        for name, value in named.items():
            if value in data.missing:
                missing[name, value] += part.num_rows
            column = pa.repeat(pa.scalar(value, pa.string()), part.num_rows)
            raw_part = raw_part.append_column(name, column)
            part = part.append_column(name, values.cleaned(column, data.missing))
        untyped |= set(part.column_names) if is_csv else set(named)
        parts.append(part)
        raw_parts.append(raw_part)
    if not any(part.num_rows for part in parts):
        raise ProjectError(f"{data.path} holds no rows", "there is nothing to train on", f"put rows into {files[0]}")
    given = _Reading(data, conf_file, data.path, (), missing, notes)
    return _typed(files, parts, raw_parts, (frozenset(untyped), frozenset(quoted)), given)


def of(rows: pd.DataFrame | pa.Table, data: Data, conf_file: str) -> Table:
    """Give every column of rows that the team's code made its type, as for the rows of a Parquet file.

    Parameters
    ----------
    rows : DataFrame or pyarrow.Table
        Without the index.
    data : Data
    conf_file : str
    """
    table = _as_arrow(rows) if isinstance(rows, pd.DataFrame) else rows
    if not isinstance(table, pa.Table):
        raise ProjectError(
            f"tables.prepare takes a DataFrame or a pyarrow.Table, not a {type(rows).__name__}",
            "a table has columns with names",
            "make one of them, such as pandas.DataFrame(rows)",
        )
    place = Path(MADE)
    part = plain(table, place, data.leave_out)
    if not part.num_rows:
        raise ProjectError(f"{MADE} has no rows", "there is nothing to train on", "correct the code of prepare")
    given = _Reading(data, conf_file, MADE, (), Counter(), [])
    return _typed([place], [part], [part], (frozenset(), frozenset()), given)


def _as_arrow(rows: pd.DataFrame) -> pa.Table:
    """Return a DataFrame as a table; values of several types in one column are refused by its name."""
    names = [str(name) for name in rows.columns]
    arrays = []
    for position, name in enumerate(names):
        column = rows.iloc[:, position]
        try:
            arrays.append(pa.array(column, from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            kinds = sorted({type(value).__name__ for value in column.dropna()})
            raise ProjectError(
                f"{MADE}: the column {name!r} holds values of the types {', '.join(kinds)} ({error})",
                "a column has one type",
                f"give it one in the code of prepare, such as rows[{name!r}].astype(str), or leave it out there",
            ) from None
    return pa.Table.from_arrays(arrays, names)


def _typed(
    files: list[Path],
    parts: list[pa.Table],
    raw_parts: list[pa.Table],
    texts: tuple[frozenset[str], frozenset[str]],
    given: _Reading,
) -> Table:
    """Join the parts, and give every column its type; `texts` are the columns without a type, and the quoted ones."""
    data, (untyped, quoted) = given.data, texts
    columns = _same_columns(files, parts)
    starts = np.cumsum([0, *(part.num_rows for part in parts)])
    origins = tuple(Origin(f, int(s), p.num_rows) for f, s, p in zip(files, starts, parts, strict=False))
    _known_columns(data, columns, given)
    reading = replace(given, origins=origins)

    def column_of(name: str) -> tuple[pa.ChunkedArray, pa.Array, str, list[str]]:
        one = joined([part[name] for part in parts])
        if one is None:
            kinds = [f"{file}: {part.schema.field(name).type}" for file, part in zip(files, parts, strict=True)]
            raise ProjectError(
                f"the files in {data.path} give the column {name!r} types that cannot be joined:\n  "
                + "\n  ".join(_first(kinds)),
                "files of one folder are read as one table",
                "write the files with the same types",
            )
        column, is_wide = one
        own = replace(reading, notes=[])
        if name not in untyped:
            return column, *_from_parquet(column, name, is_wide, own), own.notes
        as_written = column
        if name not in quoted:
            as_written = pa.chunked_array([chunk for part in raw_parts for chunk in part[name].chunks], pa.string())
        return as_written, *_from_text(column.combine_chunks(), name, own), own.notes

    raw, typed, types = {}, {}, {}
    for name, (as_written, array, kind, said) in zip(columns, threads.each(column_of, columns), strict=True):
        raw[name], typed[name], types[name] = as_written, array, kind
        reading.notes.extend(said)
    found = tuple(reading.notes)
    return Table(pa.table(typed), types, origins, pa.table(raw), quoted, untyped, found, given.source)


def find_files(folder: Path, conf_file: str) -> list[Path]:
    """Return the data files of a folder, sorted by name: all CSV or all Parquet."""
    fix = f"put CSV or Parquet files into {folder}/, or correct `path` in {conf_file}; then dvc add {folder}"
    if folder.is_file():
        files = [folder]
    elif folder.is_dir():
        files = [file for file in _walk(folder) if not _is_passed_over(file, folder)]
    else:
        raise ProjectError(f"{folder} is missing", "it should hold the table", f"dvc pull {folder}\n       or {fix}")
    if not files:
        raise ProjectError(f"{folder} holds no files", "it should hold the table", fix)
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise ProjectError(
                f"{file} is not a CSV or Parquet file",
                "every file in this folder is read as a part of the table",
                f"save it as .csv, .tsv or .parquet, or move it out of {folder}/",
            )
    if len({file.suffix.lower() == ".parquet" for file in files}) > 1:
        raise ProjectError(
            f"{folder} holds both CSV and Parquet files",
            "the types of Parquet columns and the texts of CSV columns cannot be joined without guessing",
            "keep one kind",
        )
    return files


def _walk(folder: Path) -> list[Path]:
    """Return all files of a folder, sorted; refuse links that lead to no file."""
    files = []
    for place_, folders, names in os.walk(folder):
        paths = [Path(place_, name) for name in names]
        lost = [path for path in paths if not path.is_file()]
        lost += [path for name in folders if (path := Path(place_, name)).is_symlink()]
        if lost:
            raise ProjectError(
                f"{lost[0]} is a link to {'a folder' if lost[0].is_dir() else 'no file'}",
                "what lies behind it would not be read",
                f"put the files themselves into {folder}/",
            )
        files += paths
    return sorted(files)


def _is_passed_over(file: Path, folder: Path) -> bool:
    """Tell whether a file is no part of the table: hidden, or a page about it. A table is one by its suffix."""
    parts = file.relative_to(folder).parts
    if any(part.startswith(".") for part in parts):
        return True
    return file.suffix.lower() not in SUFFIXES and bool(NOT_DATA.search(file.name))


def _note_passed_over(folder: Path, files: list[Path]) -> list[str]:
    """Name the files that are not read, and the folders whose names say something that is not."""
    if folder.is_file():
        return []
    over = [str(file.relative_to(folder)) for file in _walk(folder) if _is_passed_over(file, folder)]
    notes = [f"{folder}: not read as a part of the table: {', '.join(_first(over))}"] if over else []
    plain = {part for file in files for part in file.relative_to(folder).parent.parts if not FOLDER_COLUMN.match(part)}
    if plain:
        notes.append(
            f"{folder}: the names of folders are not read: {', '.join(_first(sorted(plain)))}"
            " (do they say something of the rows? write it into the files as a column, or name them column=value)"
        )
    return notes


def _first(names: list[str]) -> list[str]:
    return [*names[:LISTED], f"and {len(names) - LISTED} more"] if len(names) > LISTED else names


def _folder_columns(part: pa.Table, file: Path, folder: Path) -> dict[str, str | None]:
    """Return the columns that stand in folder names such as `year=2024`."""
    if folder.is_file():
        return {}
    matches = map(FOLDER_COLUMN.fullmatch, file.relative_to(folder).parent.parts)
    named = {unquote(match[1]).strip(): unquote(match[2]).strip() for match in matches if match}
    for name, text in named.items():
        if name in part.column_names:
            raise ProjectError(
                f"{file}: {name!r} is the name of a column and of a folder",
                "it cannot be told which of the two is meant",
                f"take the column out of the file, or rename the folder to {text}",
            )
    return {name: None if text in ("", MISSING_FOLDER) else text for name, text in named.items()}


def _same_columns(files: list[Path], parts: list[pa.Table]) -> list[str]:
    """Return the columns of the first file; refuse a file that has others."""
    columns: list[str] = parts[0].column_names
    for file, part in zip(files, parts, strict=True):
        if sorted(part.column_names) != sorted(columns):
            only_here = sorted(set(part.column_names) - set(columns))
            only_there = sorted(set(columns) - set(part.column_names))
            raise ProjectError(
                f"{file} has other columns than {files[0]}"
                + (f"; only here: {', '.join(only_here)}" if only_here else "")
                + (f"; missing here: {', '.join(only_there)}" if only_there else ""),
                "files of one folder are read as one table",
                "give the files the same columns, or move one of them to a folder of its own",
            )
    return columns


def _known_columns(data: Data, columns: list[str], given: _Reading) -> None:
    """Refuse a configuration that names a column which the table does not have, and row numbers as a feature."""
    conf_file = given.conf_file
    named = {"target": [data.target], "id": data.id, "leave_out": data.leave_out, "private": data.private}
    named |= {"types": list(data.types), "rules": list(data.rules)}
    for key, names in named.items():
        for name in names:
            if name not in columns:
                raise ProjectError(
                    f"{conf_file}: {key} names the column {name!r}, which {given.source} does not have"
                    + nearest(name, columns[:50]),
                    "every column that the configuration names must exist",
                    f"correct `{key}` in {conf_file}",
                )
    for name in columns:
        if PANDAS_INDEX.fullmatch(name) and name not in (*data.id, *data.leave_out):
            raise ProjectError(
                f"{given.source} has the column {name!r}",
                "pandas saved the row numbers of a table with it; a model would learn from them",
                f"save it with `index=False`, or add {name} to `leave_out` in {conf_file}",
            )


def _is_seen(name: str, data: Data) -> bool:
    """Tell whether the model sees a column; of others nothing is asked."""
    return name not in (*data.id, *data.leave_out)


def _from_text(text: pa.Array, name: str, reading: _Reading) -> tuple[pa.Array, str]:
    """Give a column of text its type: the declared one, else the one that its values have."""
    data = reading.data
    declared = data.types.get(name)
    if text.null_count == len(text):
        _note_missing(text, name, "empty", reading)
        return pa.nulls(len(text)), "empty"
    # A quoted "NA" is a text, but no number: in a column of numbers it is missing, as it is without quotes.
    marked = values.cleaned(text, data.missing)
    if marked.null_count < len(marked):
        for kind in [declared] if declared else GUESSED:
            if kind == "category":
                break
            good = values.fits(marked, kind, data.decimal, data.date_format)
            share = pc.mean(good.cast(pa.float64())).as_py()
            if share == 1.0:
                if not declared and kind == "number" and pc.any(pc.match_substring_regex(marked, values.CODE)).as_py():
                    break
                typed = values.converted(marked, kind, data.decimal, data.date_format)
                _check_type(typed, marked, name, kind, reading)
                _note_missing(text, name, kind, reading)
                return typed, kind
            if _is_seen(name, data) and (declared or (share >= MOSTLY and kind != "boolean")):
                _refuse_value(marked, good, name, kind, declared is not None, reading)
    if _is_seen(name, data) and not declared:
        said = looks.note(text, name, data, reading.conf_file)
        reading.notes.extend([said] if said else [])
    _note_missing(text, name, "category", reading)
    return text, "category"


def _check_type(typed: pa.Array, text: pa.Array, name: str, kind: str, reading: _Reading) -> None:
    """Refuse numbers that no model can square; say of dates what their time zone is."""
    if kind == "number":
        _refuse_huge(typed, text, name, reading)
        _note_days(typed, name, reading)
        _note_thousands(text, name, reading)
    if kind == "date" and reading.data.date_format is None and _is_seen(name, reading.data):
        present = text.drop_null()
        zoned = pc.sum(pc.match_substring_regex(present, r":.*(Z|UTC|[+-][0-9:]+)$")).as_py()
        if 0 < zoned < len(present):
            reading.notes.append(
                f"column {name!r}: {len(present) - zoned} dates have no time zone and are taken as UTC,"
                f" {zoned} have one"
            )


def _note_missing(text: pa.Array, name: str, kind: str, reading: _Reading) -> None:
    """Name the texts that were taken as missing where they might be a category or a class, and those that were not."""
    if not _is_seen(name, reading.data) or (kind not in ("category", "empty") and name != reading.data.target):
        return
    taken = {mark: count for (column, mark), count in reading.missing.items() if column == name}
    if taken:
        listed = ", ".join(f"{mark!r} ({count} rows)" for mark, count in sorted(taken.items()))
        reading.notes.append(
            f"column {name!r}: taken as missing: {listed}"
            f" (a value? take it out of `missing` in {reading.conf_file}, or quote it in the file)"
        )
    quoted = text.filter(pc.fill_null(pc.is_in(text, pa.array(reading.data.missing, pa.string())), False))
    if kind == "category" and len(quoted):
        listed = ", ".join(f"{e['values']!r} ({e['counts']} rows)" for e in pc.value_counts(quoted).to_pylist())
        reading.notes.append(f"column {name!r}: quoted in the file, so a text and not missing: {listed}")


def _refuse_huge(numbers: pa.Array, shown: pa.Array, name: str, reading: _Reading) -> None:
    """Refuse a number that is infinite, or whose square is."""
    if not _is_seen(name, reading.data):
        return
    ends = pc.min_max(numbers).as_py()
    if max(abs(ends["min"] or 0.0), abs(ends["max"] or 0.0)) <= LARGEST:
        return
    row = pc.indices_nonzero(pc.fill_null(pc.greater(pc.abs(numbers), LARGEST), False))[0].as_py()
    value = shown[row].as_py()
    raise ProjectError(
        f"{reading.place(row)}, column {name!r} is " + ("infinite" if value in (INFINITE, -INFINITE) else str(value)),
        f"no model can take it: a number must be smaller than {LARGEST:g}",
        f"leave the value empty if it stands for a missing one (a CSV file: add it to `missing` in {reading.conf_file})"
        f"\n       or list the column in `leave_out` in {reading.conf_file}",
    )


def _note_days(numbers: pa.Array, name: str, reading: _Reading) -> None:
    """Note numbers that are all days such as 20240105."""
    if not _is_seen(name, reading.data) or name in reading.data.types:
        return
    ends = pc.min_max(numbers).as_py()
    if ends["min"] is None or ends["min"] < 19000101 or ends["max"] > 21001231:
        return
    days = pc.unique(numbers.drop_null())
    if pc.all(pc.equal(days, pc.floor(days))).as_py():
        text = days.cast(pa.int64()).cast(pa.string())
        if pc.all(values.fits(text, "date", ".", "%Y%m%d")).as_py():
            reading.notes.append(
                f"column {name!r} is read as numbers, but all of them are days such as {text[0].as_py()}"
                f" (dates? `{looks.quoted(name)}: date` below `types`, and `date_format: '%Y%m%d'`;"
                f" numbers? `{looks.quoted(name)}: number`; in {reading.conf_file})"
            )


def _note_thousands(text: pa.Array, name: str, reading: _Reading) -> None:
    """Note numbers whose decimals are all of three digits: 1,000 may be a thousand, not 1.0."""
    data = reading.data
    if not _is_seen(name, data) or name in data.types:
        return
    has_point = pc.fill_null(pc.match_substring(text, data.decimal), False)
    pointed, plain = text.filter(has_point), text.filter(pc.invert(has_point)).drop_null()
    # Measures such as 1.234 are common; beside 900, and never 0.5, they are rare.
    if data.decimal == "." and not (len(plain) and pc.all(pc.match_substring_regex(plain, r"^[+-]?\d{1,3}$")).as_py()):
        return
    if len(pointed) and pc.all(pc.match_substring_regex(pointed, looks.THOUSANDS)).as_py():
        shown, value = pointed[0].as_py(), values.converted(pointed[:1], "number", data.decimal, None)[0].as_py()
        reading.notes.append(
            f"column {name!r}: all decimals have three digits, so {shown} is read as {value}"
            f" (thousands? write them in the file without separators; decimals? `{looks.quoted(name)}: number` below"
            f" `types` in {reading.conf_file})"
        )


def _refuse_value(
    text: pa.Array, good: pa.Array, name: str, kind: ColumnType, declared: bool, reading: _Reading
) -> None:
    """Raise an error for the first value that does not fit."""
    bad = pc.and_(pc.is_valid(text), pc.invert(pc.fill_null(good, False)))
    rows = pc.indices_nonzero(bad)
    first = rows[0].as_py()
    value = text[first].as_py()
    data, conf_file = reading.data, reading.conf_file
    hints = [*looks.fixes(text.filter(bad).unique(), kind, data), "a mistake? correct the value in the file"]
    hints.append(f"text? `{looks.quoted(name)}: category` below `types`")
    hints.extend(["of no use? list it in `leave_out`"] if name != data.target else [])
    raise ProjectError(
        f"{reading.place(first)}, column {name!r}: {value!r} is not a {kind}",
        (f"`types` in {conf_file} says so" if declared else f"{_share(good)} of this column's values are")
        + f"; {len(rows)} {'is' if len(rows) == 1 else 'are'} not",
        "\n  - ".join([f"one of these; the keys are in {conf_file}:", *hints]),
    )


def _share(good: pa.Array) -> str:
    return f"{pc.sum(good).as_py()} of {len(good) - good.null_count}"


def _from_parquet(column: pa.ChunkedArray, name: str, is_wide: bool, reading: _Reading) -> tuple[pa.Array, str]:
    """Take the type that a Parquet file gives a column, unless another one is declared that it can have."""
    declared = reading.data.types.get(name)
    column = column.combine_chunks()
    if column.null_count == len(column):
        return pa.nulls(len(column)), "empty"
    if pa.types.is_string(column.type):
        if declared and declared != "category":
            return _from_text(values.cleaned(column, reading.data.missing), name, reading)
        if is_wide and not declared and _is_seen(name, reading.data):
            reading.notes.append(
                f"column {name!r} is read as text: a float would take some of its whole numbers for one"
                f" (a quantity? `{looks.quoted(name)}: number` below `types` in {reading.conf_file};"
                f" a code? `{looks.quoted(name)}: category`)"
            )
        elif not declared and _is_seen(name, reading.data):
            said = looks.note(column, name, reading.data, reading.conf_file, is_parquet=True)
            reading.notes.extend([said] if said else [])
        return column, "category"
    kind: ColumnType
    if pa.types.is_boolean(column.type):
        kind = "boolean"
    elif pa.types.is_timestamp(column.type):
        kind = "date"
    else:
        kind = "number"
    if declared == "category":
        return values.as_text(column), "category"
    if declared and declared != kind:
        raise ProjectError(
            f"{reading.conf_file}: types says {name!r} is a {declared}, its Parquet type is a {kind}",
            "a Parquet column brings its type; only `category` can be asked for instead",
            f"take {name!r} out of `types` in {reading.conf_file}, or write the file with that type",
        )
    if kind == "number":
        _refuse_huge(column, column, name, reading)
        _note_days(column, name, reading)
    return column, kind
