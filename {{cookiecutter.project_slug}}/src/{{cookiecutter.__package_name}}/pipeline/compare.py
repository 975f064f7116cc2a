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

from . import columns, metrics, predictions, stage
from .config import Bootstrap
from .evaluate import slices
from .metrics import Classification, Floats, Regression


def compare(
    ours: Classification | Regression,
    theirs: Classification | Regression,
    groups: dict[str, dict[str, Any]],
    bootstrap: Bootstrap,
    seed: int,
) -> dict[str, Any]:
    """Return every metric of both, and ours minus theirs with its interval; over all rows and by slice.

    Parameters
    ----------
    ours, theirs : Classification or Regression
    groups : dict of str to dict of str to ndarray of int
        Positions of the rows of each slice, by column and value.
    bootstrap : Bootstrap
    seed : int
    """
    parts = {(c, v): (rows, ours.take(rows), theirs.take(rows)) for c, by in groups.items() for v, rows in by.items()}

    def pair(left: Classification | Regression, right: Classification | Regression, weights: Floats) -> dict[str, Any]:
        a, b = left.metrics(weights), right.metrics(weights)
        return {m: {"ours": a[m], "theirs": b[m], "difference": a[m] - b[m]} for m in a if m in b}

    def measure(weights: Floats) -> dict[str, Any]:
        found: dict[str, Any] = {"metrics": pair(ours, theirs, weights)}
        for (column, value), (rows, left, right) in parts.items():
            by_value = found.setdefault("slices", {}).setdefault(column, {})
            by_value[value] = pair(left, right, weights[rows])
        return found

    result = {"rows": ours.n_rows, **metrics.intervals(ours.n_rows, measure, bootstrap, seed)}
    for (column, value), (rows, _, _) in parts.items():
        result["slices"][column][value]["rows"] = len(rows)
    return result


def main() -> None:
    asked = json.load(sys.stdin)
    table_columns = columns.read(Path(asked["columns"]))
    table = columns.frame(pd.read_parquet(asked["table"]), table_columns)
    truth = table[columns.target(table_columns).name]
    classes = None
    if columns.target(table_columns).type == "category":
        known = {str(label) for path in (asked["ours"], asked["theirs"]) for label in _classes(Path(path))}
        classes = sorted({*known, *truth.unique()})
    pair = [predictions.read(Path(asked[side]), truth, classes) for side in ("ours", "theirs")]
    groups: dict[str, dict[str, Any]] = {name: slices(table, name) for name in asked["slices"] if name in table}
    bootstrap = Bootstrap.model_validate(asked["bootstrap"])
    with np.errstate(invalid="ignore"):
        print(json.dumps(compare(pair[0], pair[1], groups, bootstrap, asked["seed"]), allow_nan=False))


def _classes(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [name.partition(": ")[2] for name in pq.read_schema(path).names if ": " in name]


if __name__ == "__main__":
    stage.run(main, is_stage=False)
