"""Raw rows wherever they come from, column by column as Arrow arrays of one type each."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from math import isnan
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import ProjectError

Rows: TypeAlias = pd.DataFrame | pa.Table | pa.RecordBatch | Mapping[str, Any] | Sequence[Mapping[str, Any]]
#: An array, and for each of its values the row (counted from 0) that holds it.
Part: TypeAlias = tuple[NDArray[np.intp], pa.Array]
#: What Python values become, in the order in which their type is looked for (a boolean is a whole number, too).
FAMILIES: dict[type, pa.DataType | None] = {
    bool: pa.bool_(), str: pa.string(), int: pa.int64(), float: pa.float64(), Decimal: None,
    dt.datetime: pa.timestamp("us"),
}  # fmt: skip
#: Digits before or after the point that an Arrow decimal is sure to hold.
DECIMAL_DIGITS = 38


class OddValueError(Exception):
    """A value that no column can hold, with its row (counted from 0)."""

    def __init__(self, row: int, value: Any) -> None:
        super().__init__(row, value)
        self.row, self.value = row, value


def opened(rows: Rows, names: list[str]) -> tuple[Callable[[str], Any], pd.Index]:
    """Return a function that finds a column by its name, and the index of the rows; every name must be there."""
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pd.DataFrame | pa.Table):
        is_arrow = isinstance(rows, pa.Table)
        _check_names(names, list(rows.column_names if is_arrow else rows.columns))
        return rows.__getitem__, pd.RangeIndex(rows.num_rows) if is_arrow else rows.index
    listed = [rows] if isinstance(rows, Mapping) else list(rows)
    for number, row in enumerate(listed, 1):
        if not isinstance(row, Mapping):
            raise ProjectError(
                f"row {number} is {row!r}",
                "a row names its values by column",
                'send rows such as {"column": value, ...}, or a table',
            )
        _check_names(names, list(row), f"row {number}: ")
    return lambda name: [row[name] for row in listed], pd.RangeIndex(len(listed))


def _check_names(names: Iterable[str], there: list[Any], where: str = "") -> None:
    known = set(there)
    absent = [name for name in names if name not in known]
    if absent:
        raise ProjectError(
            f"{where}{'this column is' if len(absent) == 1 else 'these columns are'} missing: {', '.join(absent[:10])}"
            + (f" and {len(absent) - 10} more" if len(absent) > 10 else ""),
            "the model was fitted with them; a value may be missing, a column may not",
            "add them, with null where there is no value",
        )
    twice = next((name for name in names if there.count(name) > 1), None) if len(known) < len(there) else None
    if twice is not None:
        raise ProjectError(
            f"{where}two columns are called {twice!r}", "a column is found by its name", "rename one of them"
        )


def parts(raw: Any) -> list[Part]:
    """Return a column as arrays of one type each.

    Parameters
    ----------
    raw : Series, Arrow array or list

    Raises
    ------
    OddValueError
        For a value that is no text, number, boolean or date.
    """
    if isinstance(raw, list):
        return _by_type(raw)
    if isinstance(raw, pd.Series):
        if isinstance(raw.dtype, pd.CategoricalDtype):
            raw = raw.astype(object)
        if raw.dtype == object:
            if pd.api.types.infer_dtype(raw, skipna=True) != "string":
                return _by_type(raw.tolist())
            raw = pa.array(raw, pa.string(), from_pandas=True)
        else:
            try:
                raw = pa.array(raw, from_pandas=True)
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
                raise OddValueError(0, raw.iloc[0]) from None
    if isinstance(raw, pa.ChunkedArray):
        raw = pa.concat_arrays(raw.chunks) if raw.num_chunks else pa.array([], raw.type)
    if pa.types.is_dictionary(raw.type):
        raw = raw.dictionary_decode()
    return [(np.arange(len(raw)), raw)]


def _by_type(listed: list[Any]) -> list[Part]:
    """Sort Python values by their type."""
    plain = [_plain(value) for value in listed]
    places: dict[type | None, list[int]] = {}
    for row, value in enumerate(plain):
        family = None if value is None else next((kind for kind in FAMILIES if isinstance(value, kind)), object)
        if family is object or (family is Decimal and not _fits(value)):
            raise OddValueError(row, value)
        places.setdefault(family, []).append(row)
    arrays = {
        kind: pa.array([plain[row] for row in rows], FAMILIES[kind] if kind else pa.null())
        for kind, rows in places.items()
    }
    return [(np.array(places[kind]), array) for kind, array in arrays.items()] or [(np.arange(0), pa.nulls(0))]


def _fits(value: Decimal) -> bool:
    return value.is_finite() and value.adjusted() < DECIMAL_DIGITS and int(value.as_tuple().exponent) > -DECIMAL_DIGITS


def _plain(value: Any) -> Any:
    """Return the Python value that one of numpy, pandas or Arrow stands for; None for a missing one."""
    if isinstance(value, pa.Scalar):
        value = value.as_py()
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float | Decimal) and isnan(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return Decimal(value)
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
    return dt.datetime(value.year, value.month, value.day) if isinstance(value, dt.date) else value
