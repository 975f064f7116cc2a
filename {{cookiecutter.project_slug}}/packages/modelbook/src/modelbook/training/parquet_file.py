"""Read one Parquet file: its types are kept, and nothing in it is guessed."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..errors import ProjectError
from . import values

#: The first and the last second of the years 1 to 9999, from 1970.
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000}
#: Holds every whole number that a file can have.
WHOLE = pa.decimal256(76, 0)


def read_parquet(file: Path, leave_out: Collection[str] = ()) -> pa.Table:
    """Read one Parquet file.

    Parameters
    ----------
    file : Path
    leave_out : collection of str
        Columns that the model does not see: one of a type that no model takes is read as missing values.

    Returns
    -------
    pyarrow.Table
        Text as string, whole numbers as int64 or decimals without fraction,
        other numbers as float64 (missing instead of not-a-number), dates as
        timestamps in UTC; booleans, and null for columns without a type.
    """
    try:
        table = pa.parquet.ParquetFile(file).read()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ProjectError(
            f"{file} is not a Parquet file: {error}", "it cannot be read", f"write {file} again"
        ) from None
    return plain(table, file, leave_out)


def plain(table: pa.Table, file: Path, leave_out: Collection[str] = ()) -> pa.Table:
    """Cast each column of a table to the one type that stands for all of its kind; see `read_parquet`."""
    names = table.column_names
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ProjectError(
            f"{file}: two columns are called {twice!r}", "a column is found by its name", f"rename one in {file}"
        )
    return pa.table({name: _plain(table[name], name, file, name in leave_out) for name in names})


def _plain(column: pa.ChunkedArray, name: str, file: Path, is_left_out: bool) -> pa.ChunkedArray:
    """Cast a column to the one type that stands for all of its kind."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not isinstance(kind.value_type, pa.BaseExtensionType):
        kind = kind.value_type
        column = column.cast(kind)
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_date(kind):
        return _as_timestamp(column.cast(pa.date32()).cast(pa.timestamp("s")), name, file)
    if pa.types.is_timestamp(kind):
        return _as_timestamp(column, name, file)
    if pa.types.is_unsigned_integer(kind):
        return column.cast(WHOLE)
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_decimal(kind):
        try:
            return column.cast(WHOLE)
        except pa.ArrowInvalid:  # it has fractions
            # By way of text, which gives the nearest float; Arrow's own way makes 0.47000000000000003 of 0.47.
            return column.cast(pa.string()).cast(pa.float64())
    if pa.types.is_floating(kind):
        numbers = column.cast(pa.float64())
        # Not-a-number is how a missing number is written by many programs.
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if is_left_out:
        return pa.chunked_array([pa.nulls(len(column))])
    raise ProjectError(
        f"{file}: the column {name!r} has the type {column.type}",
        "the model takes numbers, booleans, categories and dates",
        "list the column in `leave_out` in conf/data/, or write it as one of these",
    )


def _as_timestamp(column: pa.ChunkedArray, name: str, file: Path) -> pa.ChunkedArray:
    """Return dates in UTC and microseconds; refuse years that these, and Python, cannot hold."""
    unit = column.type.unit
    if unit in PER_SECOND:
        ticks = column.cast(pa.timestamp(unit)).cast(pa.int64())
        early = pc.less(ticks, FIRST_SECOND * PER_SECOND[unit])
        late = pc.greater_equal(ticks, (LAST_SECOND + 1) * PER_SECOND[unit])
        rows = pc.indices_nonzero(pc.fill_null(pc.or_(early, late), False))
        if len(rows):
            raise ProjectError(
                f"{file}, row {rows[0].as_py() + 1}, column {name!r} is a date outside the years 1 to 9999",
                "no date of Python can hold it",
                "write another date, or leave the value empty",
            )
    # Nanoseconds lose their last three digits: no model sees them.
    return column.cast(values.TIMESTAMP, safe=False)


def joined(parts: list[pa.ChunkedArray]) -> tuple[pa.ChunkedArray, bool] | None:
    """Join one column of several files.

    Whole numbers become floats, and text if a float would take two of them for one.

    Parameters
    ----------
    parts : list of ChunkedArray
        As `read_parquet` returns them.

    Returns
    -------
    column : ChunkedArray
        Text, booleans, floats, timestamps or nulls.
    is_wide : bool
        Whether the text stands for whole numbers.
    None
        If the files give the column types that cannot be joined.
    """
    kinds = {part.type for part in parts if not pa.types.is_null(part.type)}
    whole = {kind for kind in kinds if pa.types.is_integer(kind) or pa.types.is_decimal(kind)}
    is_wide = bool(whole) and any(_is_wide(part) for part in parts if part.type in whole)
    if whole:
        if kinds - whole - {pa.float64()} or (is_wide and pa.float64() in kinds):
            return None
        result = pa.string() if is_wide else pa.float64()
    elif len(kinds) > 1:
        return None
    else:
        result = next(iter(kinds), pa.null())
    return pa.chunked_array([chunk for part in parts for chunk in part.cast(result).chunks], result), is_wide


def _is_wide(column: pa.ChunkedArray) -> bool:
    """Tell whether whole numbers are larger than those that a float keeps apart."""
    ends = pc.min_max(column).as_py()
    return any(end is not None and abs(int(end)) > values.MOST_EXACT for end in ends.values())
