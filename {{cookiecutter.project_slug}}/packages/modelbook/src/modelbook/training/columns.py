"""The columns of the prepared table: types, roles, how raw values become theirs, and the checks at each boundary."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import ProjectError
from ..settings import ColumnType
from . import rows, spelling, values
from .spelling import TYPED, Spelling

if TYPE_CHECKING:
    import pandera.pandas

Role = Literal["feature", "target"]
#: What text stands for a missing value, unless `conf/data/` says otherwise.
MISSING = ("NA", "N/A", "NaN", "nan", "null", "None")
ARROW_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "date": values.TIMESTAMP, "category": pa.string()}


@dataclass(frozen=True)
class Reading:
    """How raw values of a column are read: what `prepare` went by.

    Attributes
    ----------
    missing : tuple of str
        Texts that stand for a missing value, beside the empty one.
    decimal : str
    date_format : str or None
        As in strptime; None for ISO.
    verbatim : bool
        Whether a text is a value as it is, with the white space around it and
        whatever it says: so it is in columns to which Parquet gives the type text.
    spelling : Spelling
        Of a category: how values that are not text are written.
    """

    missing: tuple[str, ...] = MISSING
    decimal: str = "."
    date_format: str | None = None
    verbatim: bool = False
    spelling: Spelling = TYPED


@dataclass(frozen=True)
class Column:
    """One column of the prepared table.

    Attributes
    ----------
    name : str
    type : str
        `number`, `boolean`, `category` or `date`.
    role : str
        `feature` or `target`.
    reading : Reading
    private : bool
        Whether its values must not travel with the model.
    """

    name: str
    type: ColumnType
    role: Role
    reading: Reading = Reading()
    private: bool = False


def to_json(column: Column) -> dict[str, Any]:
    """Return a column ready for JSON, without what is as usual."""
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "role": column.role}
    usual = asdict(Reading())
    reading = {key: value for key, value in asdict(column.reading).items() if value != usual[key]}
    if reading:
        entry["reading"] = reading
    return {**entry, "private": True} if column.private else entry


def from_json(entry: Mapping[str, Any], role: Role | None = None) -> Column:
    """Return the column that an entry of `columns.json` or of the inputs of `interface.json` describes."""
    given = dict(entry.get("reading", {}))
    if "missing" in given:
        given["missing"] = tuple(given["missing"])
    if "spelling" in given:
        given["spelling"] = Spelling(**given["spelling"])
    private = bool(entry.get("private", False))
    return Column(entry["name"], entry["type"], role or entry["role"], Reading(**given), private)


def write(columns: list[Column], path: Path) -> None:
    """Write the columns as JSON."""
    text = json.dumps([to_json(column) for column in columns], indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> list[Column]:
    """Read the columns that `write` wrote."""
    return [from_json(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def features(columns: list[Column]) -> list[Column]:
    """Return the columns that the model takes."""
    return [column for column in columns if column.role == "feature"]


def target(columns: list[Column]) -> Column:
    """Return the column that the model predicts."""
    return next(column for column in columns if column.role == "target")


def frame(raw: rows.Rows, columns: list[Column]) -> pd.DataFrame:
    """Turn raw rows into what the model was fitted with, read as `prepare` read the files.

    Parameters
    ----------
    raw : DataFrame, Arrow table, mapping, or sequence of mapping
        Rows: of a CSV file as text or as pandas reads it, of a Parquet
        file, or of a request; JSON values will do. Columns that are not named
        are dropped.
    columns : list of Column
        Of the version that is asked: `interface.inputs` returns them.

    Returns
    -------
    DataFrame of shape (n_rows, len(columns))
        `number` and `boolean` as float64, `date` as datetime64[us], in UTC,
        `category` as object; a missing value is NaN or NaT.

    Raises
    ------
    ProjectError
        If a column is missing, a value is not of its type, or it cannot be
        known how training wrote it.

    Examples
    --------
    >>> columns = [Column("code", "category", "feature"), Column("size", "number", "feature")]
    >>> frame([{"code": 1.0, "size": " 2.5"}, {"code": "x", "size": None}], columns).values.tolist()
    [['1', 2.5], ['x', nan]]
    """
    find, index = rows.opened(raw, [column.name for column in columns])
    read_columns = {column.name: _as_series(_read(find(column.name), column), index) for column in columns}
    return pd.DataFrame(read_columns, index=index)


def prepared(table: pd.DataFrame, columns: list[Column]) -> pd.DataFrame:
    """Give rows that `prepare` wrote, or golden rows, the dtypes that `frame` gives: they hold no raw values.

    A category that is spelled like a mark for a missing value is a value here.
    """
    series = {column.name: _as_prepared(table[column.name], column.type) for column in columns}
    return pd.DataFrame(series, index=table.index)


def _as_prepared(raw: "pd.Series[Any]", kind: ColumnType) -> "pd.Series[Any]":
    if kind in ("number", "boolean"):
        return raw.astype("float64")
    if kind == "date":
        is_text = not pd.api.types.is_datetime64_dtype(raw)
        return (pd.to_datetime(raw, format="ISO8601") if is_text else raw).astype("datetime64[us]")
    return raw.astype(object).where(raw.notna(), np.nan)


def _as_series(array: pa.Array, index: pd.Index) -> "pd.Series[Any]":
    """Return a column of the frame; the dtypes are those that `frame` promises."""
    if pa.types.is_timestamp(array.type):
        return pd.Series(array.to_numpy(zero_copy_only=False).astype("datetime64[us]"), index=index)
    if not pa.types.is_string(array.type):
        return pd.Series(np.array(array.cast(pa.float64()).to_numpy(zero_copy_only=False)), index=index)
    text = array.to_numpy(zero_copy_only=False)
    if array.null_count:
        text = np.where(array.is_valid().to_numpy(zero_copy_only=False), text, np.array(np.nan, dtype=object))
    return pd.Series(text, index=index, dtype=object)


def _read(raw: Any, column: Column) -> pa.Array:
    """Read one column of raw values."""
    try:
        parts = rows.parts(raw)
    except rows.OddValueError as odd:
        raise _not_readable(column, odd.value, odd.row) from None
    if len(parts) == 1:
        return _read_part(*parts[0], column)
    # Values of several types: each part is read by itself, then all go back to their places.
    order = np.argsort(np.concatenate([places for places, _ in parts]), kind="stable")
    return pa.concat_arrays([_read_part(places, array, column) for places, array in parts]).take(pa.array(order))


def _read_part(places: NDArray[np.intp], array: pa.Array, column: Column) -> pa.Array:
    """Read values of one Arrow type; refuse the first that cannot be read."""
    kind = array.type
    if pa.types.is_null(kind):
        return pa.nulls(len(array), ARROW_TYPES[column.type])
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        given = array.cast(pa.string())
        given = given if column.reading.verbatim else values.cleaned(given, list(column.reading.missing))
        found = _from_text(given, column)
    else:
        given = values.normalised(array)
        found = _from_typed(given, column)
    lost = pc.indices_nonzero(pc.and_(given.is_valid(), found.is_null()))
    if len(lost):
        place = lost[0].as_py()
        raise _not_readable(column, given[place].as_py(), int(places[place]))
    return found


def _from_text(text: pa.Array, column: Column) -> pa.Array:
    """Return the values of texts; null where a text is none of the column's type."""
    how = column.reading
    if column.type == "category":
        return spelling.respelled(text, how.spelling)
    good = values.fits(text, column.type, how.decimal, how.date_format)
    text = pc.if_else(pc.fill_null(good, False), text, pa.scalar(None, pa.string()))
    return values.converted(text, column.type, how.decimal, how.date_format)


def _from_typed(given: pa.Array, column: Column) -> pa.Array:
    """Return the values of numbers, booleans or dates; null where one is none of the column's type."""
    kind, how = given.type, column.reading
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if column.type == "category" and (is_number or kind in (pa.bool_(), values.TIMESTAMP)):
        return spelling.spelled(given, how.spelling)
    if column.type == "number" and is_number:
        # Text is the exact way from a decimal to the nearest float, and the one that CSV files take.
        given = given.cast(pa.string()) if pa.types.is_decimal(kind) else given
        number = given.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_finite(number), number, pa.scalar(None, pa.float64()))
    if column.type == "boolean" and is_number:
        one = pc.equal(given.cast(pa.float64(), safe=False), 1.0)
        zero = pc.equal(given.cast(pa.float64(), safe=False), 0.0)
        return pc.if_else(pc.or_(one, zero), one, pa.scalar(None, pa.bool_()))
    if column.type == "date" and is_number and how.date_format is not None:
        # 20240131 is how pandas reads a date that is written as %Y%m%d.
        text = spelling.spelled(given, Spelling(fraction=None))
        dates = _from_text(text, column)
        back = pa.array(dates.to_pandas().dt.strftime(how.date_format), pa.string(), from_pandas=True)
        return pc.if_else(pc.equal(back, text), dates, pa.scalar(None, values.TIMESTAMP))
    return given if kind == ARROW_TYPES[column.type] else pa.nulls(len(given), ARROW_TYPES[column.type])


def _not_readable(column: Column, value: Any, row: int) -> ProjectError:
    """Return the error for a value that a column cannot have, or whose spelling is not known; rows count from 0."""
    what = f"row {row + 1}, column {column.name!r}: {value!r}"
    how = column.reading
    if column.type != "category":
        hint = {
            "boolean": "(true or false)",
            "number": f"with {how.decimal!r} before the decimals" if how.decimal != "." else "",
            "date": f"written as {how.date_format or 'ISO, such as 2024-01-31'}",
        }.get(column.type, "")
        return ProjectError(
            f"{what} is not a {column.type}{f' {hint}' if hint else ''}",
            "the model was fitted with that type",
            f"send a {column.type}, or null",
        )
    if how.spelling.source != "text":
        source = how.spelling.source
        return ProjectError(f"{what} is not a {source}", f"training had {source}s here", f"send a {source}, or null")
    as_text = "{" + f"{column.name!r}: str" + "}"
    return ProjectError(
        f"{what} is not text, and how training wrote it is not known",
        "the model learned texts, and another spelling is another category (7, 007 and 7.0 are three)",
        f"send the text as the training files have it (pandas: read_csv(..., dtype={as_text}))",
    )


def schema(columns: list[Column], classes: list[str] | None = None) -> "pandera.pandas.DataFrameSchema":
    """Return the pandera schema of a prepared table.

    Parameters
    ----------
    columns : list of Column
    classes : list of str, optional
        The values that a categorical target may have.
    """
    from pandera.pandas import Check, DataFrameSchema
    from pandera.pandas import Column as Promised

    dtypes: dict[str, Any] = {"number": "float64", "boolean": "float64", "category": object, "date": "datetime64[us]"}
    checks = {
        "boolean": [Check.isin([0.0, 1.0])],
        "number": [Check(np.isfinite, error="not finite")],
    }
    return DataFrameSchema(
        {
            column.name: Promised(
                dtypes[column.type],
                nullable=column.role == "feature",
                checks=[Check.isin(classes)] if column.role == "target" and classes else checks.get(column.type, []),
            )
            for column in columns
        },
        strict=True,
        ordered=True,
    )


def validate(table: pd.DataFrame, columns: list[Column], where: str, classes: list[str] | None = None) -> pd.DataFrame:
    """Check a table at the boundary of a stage; the first faults become a `ProjectError`."""
    from pandera.errors import SchemaErrors

    try:
        return schema(columns, classes).validate(table, lazy=True)
    except SchemaErrors as error:
        faults = error.failure_cases.head(5)
        lines = [f"  - column {f.column!r}, row {f.index}: {f.failure_case!r} ({f.check})" for f in faults.itertuples()]
        raise ProjectError(
            f"{where} does not have the columns that `prepare` promised:\n" + "\n".join(lines),
            "a model fitted on it would not be the one that conf/ describes",
            "dvc repro --force prepare",
        ) from None
