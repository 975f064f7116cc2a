"""Stage `evaluate`: judge the model on rows that it was not trained on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ProjectError
from . import columns, config, environment, interface, metrics, model_file, plots, predictions, stage
from .columns import Column
from .compute import pinned
from .metrics import Classification, Floats, Regression

PREPARED = Path("data/prepared")
MODEL = Path("model")
#: Two models are compared by what they answer to the same rows.
PREDICTIONS = Path("predictions/test.parquet")
#: A slice with fewer rows says nothing; more slices than this drown what matters.
SMALLEST_SLICE_ROWS = 5
MOST_SLICES = 20


def score(model: Any, table: pd.DataFrame, table_columns: list[Column]) -> Classification | Regression:
    """Predict every row of a table and set the predictions against the truth.

    Parameters
    ----------
    model : estimator
        A fitted pipeline.
    table : DataFrame of shape (n_rows, n_columns)
        As `columns.frame` returns it, target included.
    table_columns : list of Column
    """
    target = columns.target(table_columns)
    inputs = table[[column.name for column in columns.features(table_columns)]]
    if target.type == "number":
        return Regression(
            table[target.name].to_numpy(), np.asarray(model.predict(inputs), dtype=np.float64).reshape(-1)
        )
    labels = [str(label) for label in model.classes_]
    position = {label: number for number, label in enumerate(labels)}
    answers = np.asarray(model.predict(inputs)).reshape(-1)  # some estimators give a column
    predicted = np.array([position[str(label)] for label in answers], dtype=np.intp)
    truth = table[target.name].map(position).to_numpy(dtype=np.intp)
    probabilities = None
    if hasattr(model, "predict_proba"):
        probabilities = np.asarray(model.predict_proba(inputs), dtype=np.float64)
    scores = probabilities if probabilities is not None else _decision(model, inputs, predicted, len(labels))
    return Classification(labels, truth, predicted, probabilities, scores)


def _decision(model: Any, inputs: pd.DataFrame, predicted: NDArray[np.intp], n_classes: int) -> Floats:
    """Return scores that rank rows for each class, of an estimator without probabilities."""
    if not hasattr(model, "decision_function"):
        one_hot: Floats = np.eye(n_classes)[predicted]
        return one_hot
    scores = np.asarray(model.decision_function(inputs), dtype=np.float64)
    return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores


def baseline(described: dict[str, Any], scores: Classification | Regression) -> Classification | Regression:
    """Return what a model would score that knows the training target but no feature.

    It answers the most frequent class, with the classes' shares as
    probabilities; or the mean. `conf/model/baseline.yaml` is the same model.
    """
    known = described["trained_on"]["target"]
    if isinstance(scores, Regression):
        return Regression(scores.truth, np.full(scores.n_rows, known["mean"]))
    counts = np.array([known["classes"][label] for label in scores.labels], dtype=np.float64)
    shares = np.tile(counts / counts.sum(), (scores.n_rows, 1))
    return Classification(scores.labels, scores.truth, np.full(scores.n_rows, counts.argmax()), shares, shares)


def evaluate(
    scores: Classification | Regression,
    dummy: Classification | Regression,
    table: pd.DataFrame,
    task: config.Task,
    seed: int,
) -> dict[str, Any]:
    """Return every metric with its interval: over all rows, by class, by slice, and against the baseline.

    Parameters
    ----------
    scores, dummy : Classification or Regression
        Of the model and of the baseline, for the same rows.
    table : DataFrame of shape (n_rows, n_columns)
        The same rows, for the slices.
    task : Task
    seed : int
    """
    _check_slices(table, task)
    by_slice = {
        name: {value: (rows, scores.take(rows)) for value, rows in slices(table, name).items()} for name in task.slices
    }
    sign = -1 if task.metric in metrics.LOSSES else 1

    def measure(weights: Floats) -> dict[str, Any]:
        found = scores.metrics(weights)
        below = dummy.metrics(weights)
        nan = float("nan")
        measured: dict[str, Any] = {
            "metrics": found,
            "baseline": below,
            "gain_over_baseline": {task.metric: sign * (found.get(task.metric, nan) - below.get(task.metric, nan))},
        }
        if isinstance(scores, Classification):
            by_class = metrics.per_class(scores.confusion(weights))
            measured["classes"] = {
                label: {name: float(values[k]) for name, values in by_class.items()}
                for k, label in enumerate(scores.labels)
            }
        if by_slice:
            measured["slices"] = {
                column: {value: part.metrics(weights[rows]) for value, (rows, part) in parts.items()}
                for column, parts in by_slice.items()
            }
        return measured

    return {"rows": scores.n_rows, **metrics.intervals(scores.n_rows, measure, task.bootstrap, seed)}


def _check_slices(table: pd.DataFrame, task: config.Task) -> None:
    """Refuse a slice by a column that is not there."""
    for name in task.slices:
        if name not in table:
            raise ProjectError(
                f"conf/task/{task.name}.yaml: slices names {name!r}, which is not a feature or the target",
                "metrics are reported for each value of that column",
                f"name one of: {', '.join(map(str, table.columns[:30]))}",
            )


def slices(table: pd.DataFrame, name: str) -> dict[str, NDArray[np.intp]]:
    """Return the positions of the rows that have each frequent value of a column."""
    text = table[name].astype(object).where(table[name].notna(), "(missing)").map(str)
    counts = text.value_counts()
    frequent = (
        counts[counts >= SMALLEST_SLICE_ROWS].sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    )
    return {value: np.flatnonzero(text == value) for value in frequent.index[:MOST_SLICES]}


def headline(results: dict[str, dict[str, Any]], primary: str) -> dict[str, Any]:
    """Return the few numbers that `dvc exp show` compares.

    Every metric for test and validation, the interval of the primary one, and
    what the baseline reaches.
    """
    few: dict[str, Any] = {}
    for part, result in results.items():
        few[part] = {}
        for name, entry in result["metrics"].items():
            few[part][name] = entry["value"]
            if name == primary:
                few[part] |= {f"{name}_low": entry["low"], f"{name}_high": entry["high"]}
    few["baseline"] = {primary: results["test"]["baseline"][primary]["value"]}
    return few


def judge(
    parts: Iterable[str], prepared: Path, task: config.Task, compute: config.Compute
) -> tuple[Classification | Regression, dict[str, dict[str, Any]]]:
    """Judge the model by parts of the prepared table; write `evaluation.json` and the predictions for `test`.

    Parameters
    ----------
    parts : iterable of str
        With `test`.
    prepared : Path
        The folder of the prepared table.
    task : Task
    compute : Compute

    Returns
    -------
    Classification or Regression
        Of the test rows.
    dict of str to dict
        What `evaluate` says of each part.
    """
    described = interface.read(MODEL / "interface.json")
    model = model_file.load(MODEL / "model.skops", described["file"])
    table_columns = columns.read(prepared / "columns.json")
    results, judged = {}, {}
    for part in parts:
        path = prepared / f"{part}.parquet"
        table = columns.frame(pd.read_parquet(path), table_columns)
        columns.validate(table, table_columns, str(path), described["output"].get("classes"))
        with pinned(compute):
            judged[part] = score(model, table, table_columns)
        dummy = baseline(described, judged[part])
        results[part] = evaluate(judged[part], dummy, table, task, compute.seed)
    predictions.write(judged["test"], PREDICTIONS)
    level = {"level": task.bootstrap.level, "resamples": task.bootstrap.resamples}
    interface.write({"intervals": level, **results}, Path("evaluation.json"))
    return judged["test"], results


def main() -> None:
    environment.check(environment.read())
    params = config.read_params()
    judged, results = judge(("test", "validation"), PREPARED, params.task, params.compute)
    plots.write(judged, Path("plots"))
    few = headline(results, params.task.metric)
    interface.write(few, Path("metrics.json"))

    name, test = params.task.metric, few["test"]
    if test.get(name) is None:
        print(f"{name}: this estimator gives no probabilities, so it has no value")
        return
    gain = results["test"]["gain_over_baseline"][name]
    interval = f"[{test[f'{name}_low']:.4g}, {test[f'{name}_high']:.4g}]"
    print(f"test {name}: {test[name]:.4g} {interval}, baseline {few['baseline'][name]:.4g}")
    if gain["low"] <= 0:
        print("the model does not beat the baseline for certain: more rows, other features, another model?")


if __name__ == "__main__":
    stage.run(main)
