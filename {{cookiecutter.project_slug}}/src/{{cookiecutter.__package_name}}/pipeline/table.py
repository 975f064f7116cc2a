"""Read the raw table: CSV or Parquet files in one folder, typed column by column.

Nothing is guessed in silence. A value that does not fit its column is refused
with the file, the column, the row and the fix. Rows are counted from 1; the
header is not counted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..errors import ProjectError
from .config import ColumnType, Data, nearest
from .csv_file import read_csv

#: Beside the table a folder may hold these; they are passed over.
NOT_DATA = re.compile(r"^(\.|readme|licen[cs]e|copying|source)|\.(md|dvc|gitignore)$", re.IGNORECASE)
CSV_SUFFIXES = (".csv", ".tsv")
#: A column is held to be of a type when this share of its values is; the rest is then refused.
MOSTLY = 0.9
#: Codes, not quantities: 00420, and whole numbers with more digits than a float holds.
CODE = r"^[+-]?(0[0-9]+|[0-9]{16,})$"
ISO_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
#: Resolution of dates: fine enough for any log, wide enough for the years 1 to 9999.
TIMESTAMP = pa.timestamp("us")
ARROW_TYPES: dict[str, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "date": TIMESTAMP,
}


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
    """

    arrow: pa.Table
    types: dict[str, str]
    origins: tuple[Origin, ...]

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
    return Table(pa.table(typed), types, origins)


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
    named = {"target": [data.target], "id": data.id, "leave_out": data.leave_out}
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
    text = pc.utf8_trim_whitespace(column.cast(pa.string()).combine_chunks())
    text = pc.if_else(pc.is_in(text, pa.array(["", *data.missing])), pa.scalar(None, pa.string()), text)
    if text.null_count == len(text):
        return pa.nulls(len(text)), "empty"
    fits: dict[ColumnType, Callable[[pa.Array], pa.Array]] = {
        "boolean": lambda t: pc.is_in(pc.utf8_lower(t), pa.array(["true", "false"])),
        "number": lambda t: _is_number(t, data.decimal),
        "date": lambda t: _is_date(t, data.date_format),
    }
    if declared:
        order: list[ColumnType] = [declared] if declared in fits else []
    else:
        order = list(fits)
    for kind in order:
        # A missing value counts neither for nor against.
        good = pc.if_else(pc.is_valid(text), fits[kind](text), pa.scalar(None, pa.bool_()))
        share = pc.mean(good.cast(pa.float64())).as_py() or 0.0
        if share == 1.0:
            if not declared and kind == "number" and pc.any(pc.match_substring_regex(text, CODE)).as_py():
                break
            return _convert(text, kind, data), kind
        if declared or (share >= MOSTLY and kind != "boolean"):
            _refuse_value(text, good, name, kind, declared is not None, data, conf_file, origins)
    return text, "category"


def _is_number(text: pa.Array, decimal: str) -> pa.Array:
    """Tell for each text whether it is a number that a float can hold."""
    point = re.escape(decimal)
    looks = pc.match_substring_regex(text, rf"^[+-]?([0-9]+{point}?[0-9]*|{point}[0-9]+)([eE][+-]?[0-9]+)?$")
    # Only an exponent or hundreds of digits can exceed the range; then 1e400 would be read as infinite.
    if not pc.any(pc.match_substring_regex(text, "[eE]|[0-9]{300,}")).as_py():
        return looks
    numbers = _as_numbers(pc.if_else(looks, text, pa.scalar(None, pa.string())), decimal)
    return pc.and_(looks, pc.fill_null(pc.is_finite(numbers), True))


def _as_numbers(text: pa.Array, decimal: str) -> pa.Array:
    """Convert texts that look like numbers."""
    text = pc.replace_substring(text, decimal, ".") if decimal != "." else text
    return pc.replace_substring_regex(text, r"^\+", "").cast(pa.float64())


def _is_date(text: pa.Array, date_format: str | None) -> pa.Array:
    """Tell for each text whether it is a date."""
    if date_format is None:
        looks = pc.match_substring_regex(text, ISO_DATE)
        if not pc.any(looks).as_py():
            return looks
        return pc.and_(looks, pc.is_valid(_parse_dates(pc.if_else(looks, text, pa.scalar(None, pa.string())), None)))
    return pc.is_valid(_parse_dates(text, date_format))


def _parse_dates(text: pa.Array, date_format: str | None) -> pa.Array:
    """Parse dates; what is none becomes null. A time zone is taken into account: the result is in UTC."""
    import pandas as pd

    parsed = pd.to_datetime(text.to_pandas(), format=date_format or "ISO8601", errors="coerce", utc=True)
    return pa.array(parsed.dt.tz_localize(None).astype("datetime64[us]"), TIMESTAMP, from_pandas=True)


def _convert(text: pa.Array, kind: ColumnType, data: Data) -> pa.Array:
    """Convert texts that are known to fit."""
    if kind == "boolean":
        return pc.equal(pc.utf8_lower(text), "true")
    if kind == "date":
        return _parse_dates(text, data.date_format)
    return _as_numbers(text, data.decimal)


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
        kind, values = "boolean", column
    elif pa.types.is_temporal(plain):
        kind, values = "date", column.cast(TIMESTAMP, safe=False)
    else:
        kind, values = "number", column.cast(pa.float64(), safe=False)
        # Not-a-number is how a missing number is written by many programs.
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
        infinite = pc.indices_nonzero(pc.fill_null(pc.is_inf(values), False))
        if len(infinite):
            raise ProjectError(
                f"{place(origins, infinite[0].as_py())}, column {name!r} is infinite",
                "no model can take it",
                "write a number, or leave the value empty",
            )
    if declared == "category":
        return column.cast(pa.string()), "category"
    if declared and declared != kind:
        raise ProjectError(
            f"{conf_file}: types says {name!r} is a {declared}, its Parquet type is {plain}",
            "a Parquet column brings its type; only `category` can be asked for instead",
            f"take {name!r} out of `types` in {conf_file}, or write the file with that type",
        )
    if values.null_count == len(values):
        return pa.nulls(len(values)), "empty"
    return values, kind
