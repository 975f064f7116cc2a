"""What goes into a model and what comes out: written beside it, for whoever calls it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ProjectError
from . import columns, privacy
from .answers import answer
from .columns import Column

#: More categories than this are counted, not listed.
LISTED_CATEGORIES = 200
GOLDEN_ROWS = 12
#: How far a replayed prediction may lie from the golden one. Reordered additions on
#: another processor move the last digits; a different model moves the first.
TOLERANCE = 1e-6


def describe(train: pd.DataFrame, table_columns: list[Column], model: Any, file: dict[str, Any]) -> dict[str, Any]:
    """Describe a fitted model's interface.

    Parameters
    ----------
    train : DataFrame of shape (n_rows, n_columns)
        The training rows, target included.
    table_columns : list of Column
    model : estimator
        The fitted pipeline.
    file : dict
        What `model_file.describe` says of the model file.

    Returns
    -------
    dict
        Ready for JSON: `inputs`, `output`, `trained_on` and `file`.
    """
    target = columns.target(table_columns)
    values = train[target.name]
    output: dict[str, Any] = {"name": target.name, "type": target.type}
    if target.type == "category":
        output["classes"] = [str(label) for label in model.classes_]
        output["probabilities"] = hasattr(model, "predict_proba")
        counts = values.value_counts()
        summary: dict[str, Any] = {"classes": {label: int(counts[label]) for label in output["classes"]}}
    else:
        summary = {"mean": float(values.mean())}
        if not target.private:
            summary |= {"min": float(values.min()), "max": float(values.max())}
    return {
        "schema": 1,
        "inputs": [_input(train[column.name], column) for column in columns.features(table_columns)],
        "output": output,
        "trained_on": {"rows": len(train), "target": summary},
        "file": file,
    }


def _input(values: "pd.Series[Any]", column: Column) -> dict[str, Any]:
    present = values.dropna()
    entry = columns.to_json(column)
    del entry["role"]
    entry["missing"] = int(len(values) - len(present))
    if column.type in ("number", "date") and len(present) and not column.private:
        entry["min"], entry["max"] = _json(present.min()), _json(present.max())
    if column.type == "category":
        categories = sorted(present.unique())
        counted = len(categories) > LISTED_CATEGORIES or privacy.is_personal(values, column)
        entry["categories"] = len(categories) if counted else categories
    return entry


def inputs(described: dict[str, Any]) -> list[Column]:
    """Return the columns that a described model takes; `columns.frame` reads raw rows with them."""
    return [columns.from_json(entry, "feature") for entry in described["inputs"]]


def golden(rows: pd.DataFrame, table_columns: list[Column], model: Any) -> dict[str, Any]:
    """Choose rows and note what the model predicts for them.

    Rows spread evenly over the training rows, with made-up values where a
    column is personal; and one in which every value is missing, if the model
    takes that. They hold what the model sees, not raw values.
    """
    features, kind = columns.features(table_columns), columns.target(table_columns).type
    chosen = np.unique(np.linspace(0, len(rows) - 1, GOLDEN_ROWS).astype(int))
    by_column = {c.name: _golden_values(rows[c.name], c, chosen) for c in features}
    listed = [{name: found[place] for name, found in by_column.items()} for place in range(len(chosen))]
    empty = [*listed, dict.fromkeys(by_column)]
    try:
        answers = predict(model, _prepared(empty, features), kind)
    except ProjectError:  # your own pipeline need not fill in missing values
        return {"rows": listed, "tolerance": TOLERANCE, **predict(model, _prepared(listed, features), kind)}
    return {"rows": empty, "tolerance": TOLERANCE, **answers}


def _golden_values(values: "pd.Series[Any]", column: Column, chosen: NDArray[np.intp]) -> list[Any]:
    """Return the values of some rows, ready for JSON; made up where the column is personal."""
    found = [None if pd.isna(value) else value for value in values.iloc[chosen]]
    if privacy.is_personal(values, column):
        span = (values.min(), values.max()) if column.type == "date" else (None, None)
        found = [
            value if value is None else privacy.made_up(value, column, row, span) for row, value in enumerate(found)
        ]
    return [bool(value) if column.type == "boolean" and value is not None else _json(value) for value in found]


def _prepared(listed: list[dict[str, Any]], features: list[Column]) -> pd.DataFrame:
    return columns.prepared(pd.DataFrame(listed, dtype=object), features)


def predict(model: Any, rows: pd.DataFrame, kind: str) -> dict[str, Any]:
    """Return predictions, and probabilities where the model gives them, ready for JSON."""
    found = answer(model, rows, kind)
    if found.labels is None:
        return {"predictions": found.predicted.tolist()}
    predictions = {"predictions": [found.labels[position] for position in found.predicted]}
    if found.probabilities is None:
        return predictions
    return {**predictions, "probabilities": found.probabilities.tolist()}


def replay(model: Any, described: dict[str, Any], kept: dict[str, Any]) -> None:
    """Predict the golden rows again; refuse a model that answers differently.

    Parameters
    ----------
    model : estimator
    described : dict
        The interface.
    kept : dict
        The golden rows with their predictions.
    """
    now = predict(model, _prepared(kept["rows"], inputs(described)), described["output"]["type"])
    for key in ("predictions", "probabilities"):
        if key not in kept:
            continue
        for number, (before, after) in enumerate(zip(kept[key], now.get(key, []), strict=True)):
            if isinstance(before, str):
                same = before == after
            else:
                same = bool(np.allclose(before, after, rtol=kept["tolerance"], atol=kept["tolerance"]))
            if not same:
                raise ProjectError(
                    f"golden row {number}: the model now answers {after!r}, it answered {before!r} when it was trained",
                    "a model that answers its own golden rows differently is not the one that was evaluated",
                    "uv sync, then dvc checkout model; if it stays so, dvc repro --force train",
                )


def write(value: dict[str, Any], path: Path) -> None:
    """Write JSON, keys in the given order."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read(path: Path) -> Any:
    """Read JSON that `write` wrote."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(
            f"{path} is missing", "it describes the model", f"dvc checkout {path.parent}   (or dvc pull)"
        ) from None


def _json(value: Any) -> Any:
    """Return a value as JSON has it: missing is null, a date is ISO text."""
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
