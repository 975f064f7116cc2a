"""Predictions as a table: one row for each row that was predicted, in its order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from .answers import Answers
from .metrics import Classification, Floats, Regression

PREDICTED = "predicted"
#: Whole numbers as everybody writes them, that 64 bits hold.
WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"


def write(found: Answers, path: Path, beside: Mapping[str, Any]) -> None:
    """Write predictions to a Parquet file.

    First what tells the rows apart, and the truth, under their own names. Then
    `predicted`: the class or the number. A classifier's file also has a column
    for each class: `probability: NAME`, or `score: NAME` where it only ranks.

    Parameters
    ----------
    found : Answers
    path : Path
    beside : mapping of str to array
        Other columns of the same rows. One whose name is taken gets ` (raw)` behind it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(table(found, beside), path, compression="zstd")


def table(found: Answers, beside: Mapping[str, Any]) -> pa.Table:
    """Return predictions as `write` writes them."""
    if found.labels is None:
        answers = {PREDICTED: pa.array(found.predicted)}
    else:
        answers = {PREDICTED: pa.array(found.labels).take(pa.array(found.predicted))}
        kind = "score" if found.probabilities is None else "probability"
        if found.scores is not None:
            answers |= {f"{kind}: {name}": pa.array(found.scores[:, k]) for k, name in enumerate(found.labels)}
    first = {f"{name} (raw)" if name in answers else name: values for name, values in beside.items()}
    return pa.table({**first, **answers})


def identifiers(table: pa.Table) -> dict[str, pa.Array]:
    """Return the columns of raw rows that tell them apart; texts that are all whole numbers become numbers."""
    found = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            looks = pc.fill_null(pc.match_substring_regex(column, WHOLE), True)
            column = column.cast(pa.int64()) if pc.all(looks).as_py() else column
        found[name] = column
    return found


def classes(names: list[str]) -> list[str]:
    """Return the classes that a file of predictions with these columns has a probability or a score for."""
    answers = names[names.index(PREDICTED) + 1 :]
    return [name.partition(": ")[2] for name in answers]


def read(path: Path, truth: "pd.Series[Any]", classes: list[str] | None) -> Classification | Regression:
    """Set predictions from a file against the truth.

    Parameters
    ----------
    path : Path
    truth : Series of shape (n_rows,)
    classes : list of str or None
        All classes that may be true or predicted; None for a regressor. A
        class that the file does not know has probability 0. A file may hold
        neither probabilities nor scores.
    """
    table = pd.read_parquet(path)
    table = table[list(table.columns[list(table.columns).index(PREDICTED) :])]
    if classes is None:
        return Regression(truth.to_numpy(np.float64), table[PREDICTED].to_numpy(np.float64))
    position = {label: number for number, label in enumerate(classes)}
    ranks = any(str(name).startswith("score: ") for name in table.columns)
    known = len(table.columns) > 1
    kind, absent = ("score", -np.inf) if ranks else ("probability", 0.0)
    scores: Floats = np.full((len(table), len(classes)), absent)
    for label, k in position.items():
        if f"{kind}: {label}" in table:
            scores[:, k] = table[f"{kind}: {label}"]
    return Classification(
        classes,
        truth.map(position).to_numpy(dtype=np.intp),
        table[PREDICTED].map(position).to_numpy(dtype=np.intp),
        None if ranks or not known else scores,
        scores if known else None,
    )
