"""What goes into a model and what comes out: written beside it, for whoever calls it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ProjectError
from . import columns
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
        summary = {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}
    return {
        "schema": 1,
        "inputs": [_input(train[column.name], column) for column in columns.features(table_columns)],
        "output": output,
        "trained_on": {"rows": len(train), "target": summary},
        "file": file,
    }


def _input(values: "pd.Series[Any]", column: Column) -> dict[str, Any]:
    present = values.dropna()
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "missing": int(len(values) - len(present))}
    if column.type in ("number", "date") and len(present):
        entry["min"], entry["max"] = _json(present.min()), _json(present.max())
    if column.type == "category":
        categories = sorted(present.unique())
        entry["categories"] = len(categories) if len(categories) > LISTED_CATEGORIES else categories
    return entry


def golden(rows: pd.DataFrame, table_columns: list[Column], model: Any) -> dict[str, Any]:
    """Choose rows and note what the model predicts for them.

    Rows spread evenly over the training rows, and one in which every value is
    missing, if the model takes that.
    """
    features = columns.features(table_columns)
    chosen = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, GOLDEN_ROWS).astype(int))]
    inputs = [{c.name: _json(row[c.name]) for c in features} for _, row in chosen.iterrows()]
    try:
        empty = [*inputs, dict.fromkeys(inputs[0])]
        answers = predict(model, columns.frame(empty, features))
        inputs = empty
    except ValueError:  # a pipeline of your own making need not fill in missing values
        answers = predict(model, columns.frame(inputs, features))
    return {"rows": inputs, "tolerance": TOLERANCE, **answers}


def predict(model: Any, rows: pd.DataFrame) -> dict[str, Any]:
    """Return predictions, and probabilities where the model gives them, ready for JSON."""
    predictions = [_json(value) for value in np.asarray(model.predict(rows)).reshape(-1)]  # some give a column
    if not hasattr(model, "predict_proba"):
        return {"predictions": predictions}
    return {"predictions": predictions, "probabilities": np.asarray(model.predict_proba(rows), dtype=float).tolist()}


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
    features = [Column(entry["name"], entry["type"], "feature") for entry in described["inputs"]]
    now = predict(model, columns.frame(kept["rows"], features))
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
