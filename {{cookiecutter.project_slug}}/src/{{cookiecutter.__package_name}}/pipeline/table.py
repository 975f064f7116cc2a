"""Read the raw table: CSV or Parquet files in one folder, typed column by column.

Nothing is guessed in silence. A value that does not fit its column is refused
with the file, the column, the row and the fix. Rows are counted from 1; the
header is not counted.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..errors import ProjectError
from . import spelling, values
from .config import ColumnType, Data, nearest
from .csv_file import read_csv

#: Beside the table a folder may hold these; they are passed over.
NOT_DATA = re.compile(r"^(\.|readme|licen[cs]e|copying|source)|\.(md|dvc|gitignore)$", re.IGNORECASE)
CSV_SUFFIXES = (".csv", ".tsv")
#: A column is held to be of a type when this share of its values is; the rest is then refused.
MOSTLY = 0.9
#: The types that a column of text can turn out to have, in the order in which they are tried.
GUESSED: tuple[ColumnType, ...] = ("boolean", "number", "date")


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
        The same rows as the files hold them: text, or the types of Parquet.
    """

    arrow: pa.Table
    types: dict[str, str]
    origins: tuple[Origin, ...]
    raw: pa.Table

    def place(self, row: int) -> str:
        """Return `file, row N` for a row of the whole table (counted from 0)."""
        return place(self.origins, row)


def place(origins: tuple[Origin, ...], row: int) -> str:
    """Return `file, row N` for a row of the whole table (counted from 0)."""
    origin = next(o for o in origins if row < o.first_row + o.rows)
    return f"{origin.file}, row {row - origin.first_row + 1}"


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
    files = find_files(Path(data.path), conf_file)
    is_csv = files[0].suffix.lower() in CSV_SUFFIXES
    parts = [read_csv(file, data, conf_file) if is_csv else _read_parquet(file) for file in files]
    columns = parts[0].column_names
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
    starts = np.cumsum([0, *(part.num_rows for part in parts)])
    origins = tuple(Origin(f, int(s), p.num_rows) for f, s, p in zip(files, starts, parts, strict=False))
    try:
        # Integers of one file and floats of another are the same kind of number here.
        whole = pa.concat_tables([part.select(columns) for part in parts], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ProjectError(
            f"the files in {data.path} give one column different types: {error}",
            "files of one folder are read as one table",
            "write the files with the same types",
        ) from None
    if not whole.num_rows:
        raise ProjectError(f"{data.path} holds no rows", "there is nothing to train on", f"put rows into {files[0]}")
    _known_columns(data, columns, conf_file)
    typed, types = {}, {}
    for name in columns:
        typed[name], types[name] = _typed(whole[name], name, data, conf_file, origins)
    return Table(pa.table(typed), types, origins, whole)


def find_files(folder: Path, conf_file: str) -> list[Path]:
    """Return the data files of a folder, sorted by name: all CSV or all Parquet."""
    fix = f"put CSV or Parquet files into {folder}/, or correct `path` in {conf_file}; then dvc add {folder}"
    if folder.is_file():
        files = [folder]
    elif folder.is_dir():
        files = sorted(f for f in folder.rglob("*") if f.is_file() and not NOT_DATA.search(f.name))
    else:
        raise ProjectError(f"{folder} is missing", "it should hold the table", f"dvc pull {folder}\n       or {fix}")
    if not files:
        raise ProjectError(f"{folder} holds no files", "it should hold the table", fix)
    for file in files:
        if file.suffix.lower() not in (*CSV_SUFFIXES, ".parquet"):
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


def _known_columns(data: Data, columns: list[str], conf_file: str) -> None:
    """Refuse a configuration that names a column which the table does not have."""
    named = {"target": [data.target], "id": data.id, "leave_out": data.leave_out, "private": data.private}
    named |= {"types": list(data.types), "rules": list(data.rules)}
    for key, names in named.items():
        for name in names:
            if name not in columns:
                raise ProjectError(
                    f"{conf_file}: {key} names the column {name!r}, which {data.path} does not have"
                    + nearest(name, columns[:50]),
                    "every column that the configuration names must exist",
                    f"correct `{key}` in {conf_file}",
                )


def _read_parquet(file: Path) -> pa.Table:
    """Read one Parquet file, with dictionaries as text and every number as it is."""
    try:
        table = pa.parquet.ParquetFile(file).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise ProjectError(
            f"{file} is not a Parquet file: {error}", "it cannot be read", f"write {file} again"
        ) from None
    names = table.column_names
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ProjectError(
            f"{file}: two columns are called {twice!r}", "a column is found by its name", f"rename one in {file}"
        )
    columns = []
    for field, column in zip(table.schema, table.columns, strict=True):
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        known = (
            pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
            or pa.types.is_boolean(plain) or pa.types.is_string(plain) or pa.types.is_large_string(plain)
            or pa.types.is_string_view(plain) or pa.types.is_temporal(plain) or pa.types.is_null(plain)
        )  # fmt: skip
        if not known or pa.types.is_duration(plain) or pa.types.is_time(plain):
            raise ProjectError(
                f"{file}: the column {field.name!r} has the type {field.type}",
                "the model takes numbers, booleans, categories and dates",
                "write the column as one of these, or leave it out of the file",
            )
        columns.append(column.cast(plain))
    return pa.table(dict(zip(names, columns, strict=True)))


def _typed(
    column: pa.ChunkedArray, name: str, data: Data, conf_file: str, origins: tuple[Origin, ...]
) -> tuple[Any, str]:
    """Give one column its type: the declared one, else the one that its values have."""
    if column.null_count == len(column):
        return pa.nulls(len(column)), "empty"
    declared = data.types.get(name)
    if not (
        pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    ):
        return _from_parquet_type(column, name, declared, conf_file, origins)
    text = values.cleaned(column.cast(pa.string()).combine_chunks(), data.missing)
    if text.null_count == len(text):
        return pa.nulls(len(text)), "empty"
    if declared:
        order = [declared] if declared in GUESSED else []
    else:
        order = list(GUESSED)
    for kind in order:
        good = values.fits(text, kind, data.decimal, data.date_format)
        share = pc.mean(good.cast(pa.float64())).as_py() or 0.0
        if share == 1.0:
            if not declared and kind == "number" and pc.any(pc.match_substring_regex(text, values.CODE)).as_py():
                break
            return values.converted(text, kind, data.decimal, data.date_format), kind
        if declared or (share >= MOSTLY and kind != "boolean"):
            _refuse_value(text, good, name, kind, declared is not None, data, conf_file, origins)
    return text, "category"


def _refuse_value(
    text: pa.Array,
    good: pa.Array,
    name: str,
    kind: str,
    declared: bool,
    data: Data,
    conf_file: str,
    origins: tuple[Origin, ...],
) -> None:
    """Raise an error for the first value that does not fit."""
    bad = pc.and_(pc.is_valid(text), pc.invert(pc.fill_null(good, False)))
    rows = pc.indices_nonzero(bad)
    first = rows[0].as_py()
    value = text[first].as_py()
    other = "," if data.decimal == "." else "."
    hints = [f"correct the value, or add {value!r} to `missing` in {conf_file}"]
    if kind == "number" and other in value:
        hints.insert(0, f'set `decimal: "{other}"` in {conf_file} if that separates the decimals')
    hints.append(f"or make the column text: `{name}: category` below `types`")
    raise ProjectError(
        f"{place(origins, first)}, column {name!r}: {value!r} is not a {kind}",
        (f"`types` in {conf_file} says so" if declared else f"{_share(good)} of this column's values are")
        + f"; {len(rows)} {'is' if len(rows) == 1 else 'are'} not",
        "\n       ".join(hints),
    )


def _share(good: pa.Array) -> str:
    return f"{pc.sum(good).as_py()} of {len(good) - good.null_count}"


def _from_parquet_type(
    column: pa.ChunkedArray, name: str, declared: ColumnType | None, conf_file: str, origins: tuple[Origin, ...]
) -> tuple[Any, str]:
    """Take the type that a Parquet file gives a column, or a declared category."""
    plain = column.type
    kind: ColumnType
    if pa.types.is_boolean(plain):
        kind, typed = "boolean", column
    elif pa.types.is_temporal(plain):
        kind, typed = "date", column.cast(values.TIMESTAMP, safe=False)
    else:
        kind, typed = "number", column.cast(pa.float64(), safe=False)
        # Not-a-number is how a missing number is written by many programs.
        typed = pc.if_else(pc.is_nan(typed), pa.scalar(None, pa.float64()), typed)
        infinite = pc.indices_nonzero(pc.fill_null(pc.is_inf(typed), False))
        if len(infinite):
            raise ProjectError(
                f"{place(origins, infinite[0].as_py())}, column {name!r} is infinite",
                "no model can take it",
                "write a number, or leave the value empty",
            )
    if declared == "category":
        return spelling.spelled(values.normalised(column), spelling.of_type(plain)), "category"
    if declared and declared != kind:
        raise ProjectError(
            f"{conf_file}: types says {name!r} is a {declared}, its Parquet type is {plain}",
            "a Parquet column brings its type; only `category` can be asked for instead",
            f"take {name!r} out of `types` in {conf_file}, or write the file with that type",
        )
    if typed.null_count == len(typed):
        return pa.nulls(len(typed)), "empty"
    return typed, kind
