"""What the training rows look like, column by column; kept beside the model."""

from typing import Any

import pandas as pd

from .columns import Column
from .metrics import rounded
from .privacy import is_personal

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Values of a category that are counted one by one; the rest together.
COUNTED = 50


def describe(train: pd.DataFrame, table_columns: list[Column]) -> dict[str, Any]:
    """Summarise every column, target included.

    Parameters
    ----------
    train : DataFrame of shape (n_rows, n_columns)
    table_columns : list of Column

    Returns
    -------
    dict
        `rows`, and for each column `type`, `missing` and what suits its type:
        mean, standard deviation and quantiles; first and last day; or counts.
        No value of a private column, and no text of one whose texts tell rows apart.
    """
    return {"schema": 1, "rows": len(train), "columns": {c.name: _column(train[c.name], c) for c in table_columns}}


def _column(values: "pd.Series[Any]", column: Column) -> dict[str, Any]:
    present = values.dropna()
    entry: dict[str, Any] = {"type": column.type, "missing": int(len(values) - len(present))}
    if column.private:
        return {**entry, "distinct": int(present.nunique()), "private": True}
    if column.type in ("number", "boolean") and len(present):
        entry["mean"], entry["std"] = rounded(present.mean()), rounded(present.std(ddof=0))
        entry["min"], entry["max"] = float(present.min()), float(present.max())
        quantiles = zip(QUANTILES, present.quantile(list(QUANTILES)), strict=True)
        entry["quantiles"] = {f"{share:g}": rounded(value) for share, value in quantiles}
    if column.type == "date" and len(present):
        entry["first"], entry["last"] = present.min().isoformat(), present.max().isoformat()
    if column.type == "category":
        counts = present.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
        entry["distinct"] = len(counts)
        if not is_personal(values, column):
            entry["counts"] = {str(value): int(count) for value, count in counts.iloc[:COUNTED].items()}
    return entry
