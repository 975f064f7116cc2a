"""Compare two models by their predictions for the same rows: JSON in, JSON out.

The difference gets an interval of its own: both models are measured on the same
resamples, so what makes a resample hard or easy cancels out (paired bootstrap).
"""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..settings import Bootstrap, Compute, Task
from . import columns, own_metrics, predictions, resampling, stage
from .compute import pinned
from .evaluation import SMALLEST_SLICE_ROWS, every_column, slices, too_many
from .metrics import Classification, Regression
from .own_metrics import OwnMetric


def compare(
    ours: Classification | Regression,
    theirs: Classification | Regression,
    groups: dict[str, dict[str, NDArray[np.intp]]],
    bootstrap: Bootstrap,
    seed: int,
    own: Sequence[OwnMetric] = (),
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
    own : sequence of OwnMetric
        The project's own metrics.

    Returns
    -------
    dict
        `rows`, `metrics`, and `slices`: by column and value `rows`, and `metrics` of what was measured.
    """

    def pair(left: Classification | Regression, right: Classification | Regression) -> dict[str, Any]:
        (a, samples_a), (b, samples_b) = own_metrics.measured([left, right], own, ours.n_rows, bootstrap, seed)
        triples = {
            m: {
                "ours": (a[m], samples_a[m]),
                "theirs": (b[m], samples_b[m]),
                "difference": (a[m] - b[m], samples_a[m] - samples_b[m]),
            }
            for m in a
            if m in b
        }
        return {
            m: {name: resampling.entry(*both, bootstrap.level) for name, both in triple.items()}
            for m, triple in triples.items()
        }

    all_slices: dict[str, dict[str, Any]] = {}
    for column, by_value in groups.items():
        all_slices[column] = {}
        for value, rows in by_value.items():
            is_measured = len(rows) >= SMALLEST_SLICE_ROWS
            figures = {"metrics": pair(ours.take(rows), theirs.take(rows))} if is_measured else {}
            all_slices[column][value] = {"rows": len(rows), **figures}
    return {"rows": ours.n_rows, "metrics": pair(ours, theirs), "slices": all_slices}


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
    table = columns.prepared(pd.read_parquet(asked["parts"][0][0]), table_columns)
    truth = table[columns.target(table_columns).name]
    classes = None
    if columns.target(table_columns).type == "category":
        known = {label for side in ("ours", "theirs") for label in _classes(Path(asked[side]))}
        classes = sorted({*known, *truth.unique()})
    pair = [predictions.read(Path(asked[side]), truth, classes) for side in ("ours", "theirs")]
    groups, refused = find_slices(asked["parts"], asked["slices"])
    task = Task.model_validate(asked["task"], extra="allow")
    compute = Compute.model_validate(asked["compute"], extra="allow")
    own = own_metrics.load(task)
    # What the project's own code prints must not end up in the answer.
    with np.errstate(invalid="ignore"), pinned(compute), contextlib.redirect_stdout(sys.stderr):
        found = compare(pair[0], pair[1], groups, task.bootstrap, compute.seed, own)
    print(json.dumps({**found, "refused": refused, "smallest": SMALLEST_SLICE_ROWS}, allow_nan=False))


def _classes(path: Path) -> list[str]:
    """Return the classes that a file of predictions knows, and those that it predicts."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return [*predictions.classes(table.column_names), *table[predictions.PREDICTED].unique().to_pylist()]


if __name__ == "__main__":
    stage.run(main, is_stage=False)
