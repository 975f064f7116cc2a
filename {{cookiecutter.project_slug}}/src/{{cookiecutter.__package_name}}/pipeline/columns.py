"""The columns of the prepared table: types, roles, and the checks at each boundary."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..errors import ProjectError
from .config import ColumnType

if TYPE_CHECKING:
    import pandera.pandas as pa

Role = Literal["feature", "target"]


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
    """

    name: str
    type: ColumnType
    role: Role


def write(columns: list[Column], path: Path) -> None:
    """Write the columns as JSON."""
    text = json.dumps([asdict(column) for column in columns], indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> list[Column]:
    """Read the columns that `write` wrote."""
    return [Column(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def features(columns: list[Column]) -> list[Column]:
    """Return the columns that the model takes."""
    return [column for column in columns if column.role == "feature"]


def target(columns: list[Column]) -> Column:
    """Return the column that the model predicts."""
    return next(column for column in columns if column.role == "target")


def frame(rows: pd.DataFrame | Mapping[str, Any] | list[Mapping[str, Any]], columns: list[Column]) -> pd.DataFrame:
    """Give rows the column order and the dtypes that the model was fitted with.

    Parameters
    ----------
    rows : DataFrame, mapping or list of mapping
        Raw rows; JSON values will do. Columns that are not named are dropped.
    columns : list of Column

    Returns
    -------
    DataFrame of shape (n_rows, len(columns))
        `number` and `boolean` as float64, `date` as datetime64[us], `category`
        as object; a missing value is NaN or NaT.

    Raises
    ------
    ProjectError
        If a column is missing or a value does not fit its type.
    """
    if isinstance(rows, Mapping):
        rows = [rows]
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    absent = [column.name for column in columns if column.name not in table.columns]
    if absent:
        raise ProjectError(
            f"The rows lack {len(absent)} columns: {', '.join(absent[:10])}",
            "the model was fitted with them; a value may be missing, a column may not",
            "add the columns, with null where there is no value",
        )
    converted = {}
    for column in columns:
        try:
            converted[column.name] = _convert(table[column.name], column.type)
        except (ValueError, TypeError) as error:
            raise ProjectError(
                f"column {column.name!r} holds a value that is not a {column.type}: {error}",
                "the model was fitted with that type",
                f"send a {column.type}, or null",
            ) from None
    return pd.DataFrame(converted, index=table.index)


def _convert(values: "pd.Series[Any]", kind: ColumnType) -> "pd.Series[Any]":
    if kind in ("number", "boolean"):
        return values.astype("float64") if values.dtype != object else pd.to_numeric(values).astype("float64")
    if kind == "date":
        return pd.to_datetime(values).astype("datetime64[us]")
    text = values.astype(object)
    return text.where(text.notna(), np.nan).map(str, na_action="ignore").astype(object)


def schema(columns: list[Column], classes: list[str] | None = None) -> "pa.DataFrameSchema":
    """Return the pandera schema of a prepared table.

    Parameters
    ----------
    columns : list of Column
    classes : list of str, optional
        The values that a categorical target may have.
    """
    import pandera.pandas as pa

    dtypes: dict[str, Any] = {"number": "float64", "boolean": "float64", "category": object, "date": "datetime64[us]"}
    checks = {
        "boolean": [pa.Check.isin([0.0, 1.0])],
        "number": [pa.Check(np.isfinite, error="not finite")],
    }
    return pa.DataFrameSchema(
        {
            column.name: pa.Column(
                dtypes[column.type],
                nullable=column.role == "feature",
                checks=[pa.Check.isin(classes)] if column.role == "target" and classes else checks.get(column.type, []),
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
