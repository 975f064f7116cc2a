"""Predictions as a table: one row for each row that was predicted, in its order."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from .metrics import Classification, Floats, Regression

PREDICTED = "predicted"


def write(scores: Classification | Regression, path: Path) -> None:
    """Write predictions to a Parquet file.

    `predicted` holds the class or the number. A classifier's file also has a
    column for each class: `probability: NAME`, or `score: NAME` where it only ranks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(scores, Regression):
        columns = {PREDICTED: pa.array(scores.predicted)}
    else:
        kind = "score" if scores.probabilities is None else "probability"
        labels = pa.array(scores.labels)
        columns = {PREDICTED: labels.take(pa.array(scores.predicted))}
        columns |= {f"{kind}: {name}": pa.array(scores.scores[:, k]) for k, name in enumerate(scores.labels)}
    pa.parquet.write_table(pa.table(columns), path, compression="zstd")


def read(path: Path, truth: "pd.Series[Any]", classes: list[str] | None) -> Classification | Regression:
    """Set predictions from a file against the truth.

    Parameters
    ----------
    path : Path
    truth : Series of shape (n_rows,)
    classes : list of str or None
        All classes that may be true or predicted; None for a regressor. A
        class that the file does not know has probability 0.
    """
    table = pd.read_parquet(path)
    if classes is None:
        return Regression(truth.to_numpy(np.float64), table[PREDICTED].to_numpy(np.float64))
    position = {label: number for number, label in enumerate(classes)}
    ranks = any(str(name).startswith("score: ") for name in table.columns)
    kind, absent = ("score", -np.inf) if ranks else ("probability", 0.0)
    scores: Floats = np.full((len(table), len(classes)), absent)
    for label, k in position.items():
        if f"{kind}: {label}" in table:
            scores[:, k] = table[f"{kind}: {label}"]
    return Classification(
        classes,
        truth.map(position).to_numpy(dtype=np.intp),
        table[PREDICTED].map(position).to_numpy(dtype=np.intp),
        None if ranks else scores,
        scores,
    )
