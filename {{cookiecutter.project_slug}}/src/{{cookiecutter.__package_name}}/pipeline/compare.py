"""Compare two models by their predictions for the same rows: JSON in, JSON out.

The difference gets an interval of its own: both models are measured on the same
resamples, so what makes a resample hard or easy cancels out (paired bootstrap).
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from . import columns, metrics, predictions, stage
from .config import Bootstrap
from .evaluate import SMALLEST_SLICE_ROWS, every_column, slices, too_many
from .metrics import Classification, Floats, Regression


def compare(
    ours: Classification | Regression,
    theirs: Classification | Regression,
    groups: dict[str, dict[str, NDArray[np.intp]]],
    bootstrap: Bootstrap,
    seed: int,
) -> dict[str, Any]:
    """Return every metric of both, and ours minus theirs with its interval; over all rows and by slice.

    Parameters
    ----------
    ours, theirs : Classification or Regression
    groups : dict of str to dict of str to ndarray of int
        Positions of the rows of each slice, by column and value. Those with
        fewer than `SMALLEST_SLICE_ROWS` rows are not measured.
    bootstrap : Bootstrap
    seed : int

    Returns
    -------
    dict
        `rows`, `metrics`, and `slices`: by column and value `rows`, and `metrics` of what was measured.
    """
    parts = {
        (column, value): (rows, ours.take(rows), theirs.take(rows))
        for column, by_value in groups.items()
        for value, rows in by_value.items()
        if len(rows) >= SMALLEST_SLICE_ROWS
    }

    def pair(left: Classification | Regression, right: Classification | Regression, weights: Floats) -> dict[str, Any]:
        a, b = left.metrics(weights), right.metrics(weights)
        return {m: {"ours": a[m], "theirs": b[m], "difference": a[m] - b[m]} for m in a if m in b}

    def measure(weights: Floats) -> dict[str, Any]:
        found: dict[str, Any] = {"metrics": pair(ours, theirs, weights)}
        for (column, value), (rows, left, right) in parts.items():
            by_value = found.setdefault("slices", {}).setdefault(column, {})
            by_value[value] = {"metrics": pair(left, right, weights[rows])}
        return found

    measured = metrics.intervals(ours.n_rows, measure, bootstrap, seed)
    all_slices = {
        column: {
            value: {"rows": len(rows), **measured.get("slices", {}).get(column, {}).get(value, {})}
            for value, rows in by_value.items()
        }
        for column, by_value in groups.items()
    }
    return {"rows": ours.n_rows, "metrics": measured["metrics"], "slices": all_slices}


def find_slices(
    parts: list[list[str]], names: list[str]
) -> tuple[dict[str, dict[str, NDArray[np.intp]]], dict[str, str]]:
    """Find the slices of the first part, and name those that only the others have: they are empty.

    Parameters
    ----------
    parts : list of list of str
        For each part of the data the files that hold its columns.
    names : list of str
        The columns to look at.

    Returns
    -------
    groups : dict of str to dict of str to ndarray of int
    refused : dict of str to str
        Columns that have no slices, and why.
    """
    tables = [every_column(map(Path, files), names) for files in parts]
    groups, refused = {}, {}
    for name in names:
        if name not in tables[0].column_names:
            refused[name] = "no such column"
            continue
        many = too_many(tables[0][name])
        if many:
            refused[name] = f"{many}, too many to look at one by one"
            continue
        # Joined first, so that a value has one name in all parts.
        whole = pa.concat_tables([table.select([name]) for table in tables], promote_options="permissive")
        groups[name] = {value: rows[rows < tables[0].num_rows] for value, rows in slices(whole[name]).items()}
    return groups, refused


def main() -> None:
    asked = json.load(sys.stdin)
    table_columns = columns.read(Path(asked["columns"]))
    table = columns.frame(pd.read_parquet(asked["parts"][0][0]), table_columns)
    truth = table[columns.target(table_columns).name]
    classes = None
    if columns.target(table_columns).type == "category":
        known = {str(label) for path in (asked["ours"], asked["theirs"]) for label in _classes(Path(path))}
        classes = sorted({*known, *truth.unique()})
    pair = [predictions.read(Path(asked[side]), truth, classes) for side in ("ours", "theirs")]
    groups, refused = find_slices(asked["parts"], asked["slices"])
    bootstrap = Bootstrap.model_validate(asked["bootstrap"])
    with np.errstate(invalid="ignore"):
        found = compare(pair[0], pair[1], groups, bootstrap, asked["seed"])
    print(json.dumps({**found, "refused": refused, "smallest": SMALLEST_SLICE_ROWS}, allow_nan=False))


def _classes(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [name.partition(": ")[2] for name in pq.read_schema(path).names if ": " in name]


if __name__ == "__main__":
    stage.run(main, is_stage=False)
