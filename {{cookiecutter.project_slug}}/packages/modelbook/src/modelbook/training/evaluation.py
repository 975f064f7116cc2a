"""Judge a model on rows that it was not trained on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import settings as config
from ..errors import ProjectError, counted
from . import columns, inputs, interface, metrics, model_file, own_metrics, predictions, resampling
from .answers import Answers, answer
from .columns import Column
from .compute import pinned
from .metrics import Classification, Floats, Regression
from .own_metrics import OwnMetric
from .tables import PREPARED

MODEL = Path("model")
#: Two models are compared by what they answer to the same rows.
PREDICTIONS = Path("predictions/test.parquet")
#: A slice with fewer rows says nothing.
SMALLEST_SLICE_ROWS = 5
#: A report shows this many values of a column, the most frequent. A verdict has no such limit.
MOST_SLICES = 50


def score(model: Any, table: pd.DataFrame, table_columns: list[Column]) -> Classification | Regression:
    """Predict every row of a table and set the predictions against the truth.

    Parameters
    ----------
    model : estimator
        A fitted pipeline.
    table : DataFrame of shape (n_rows, n_columns)
        As `columns.prepared` returns it, target included.
    table_columns : list of Column
    """
    target = columns.target(table_columns)
    found = answer(model, table[[column.name for column in columns.features(table_columns)]], target.type)
    if found.labels is None:
        return Regression(table[target.name].to_numpy(), found.predicted)
    position = {label: number for number, label in enumerate(found.labels)}
    truth = table[target.name].map(position).to_numpy(dtype=np.intp)
    return Classification(found.labels, truth, found.predicted, found.probabilities, found.scores)


def answered(scores: Classification | Regression) -> Answers:
    """Return the predictions without the truth."""
    if isinstance(scores, Regression):
        return Answers(None, scores.predicted)
    return Answers(scores.labels, scores.predicted, scores.probabilities, scores.scores)


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


def figures(
    scores: Classification | Regression,
    dummy: Classification | Regression,
    table: pa.Table,
    task: config.Task,
    seed: int,
    own: Sequence[OwnMetric] = (),
) -> dict[str, Any]:
    """Return every metric with its interval: over all rows, by class, by slice, and against the baseline.

    Parameters
    ----------
    scores, dummy : Classification or Regression
        Of the model and of the baseline, for the same rows.
    table : pyarrow.Table of shape (n_rows, n_columns)
        The same rows, for the slices.
    task : Task
    seed : int
    own : sequence of OwnMetric
        The project's own metrics.

    Returns
    -------
    dict
        Ready for JSON. `not_in_slices` counts, for each column of the slices,
        the values that have no metrics of their own, and their rows.
    """
    _check_slices(table, task)
    by_slice: dict[str, dict[str, Classification | Regression]] = {}
    not_in_slices = {}
    for name in task.slices:
        groups = slices(table[name])
        shown = [value for value, rows in groups.items() if len(rows) >= SMALLEST_SLICE_ROWS][:MOST_SLICES]
        by_slice[name] = {value: scores.take(groups[value]) for value in shown}
        others = [len(rows) for value, rows in groups.items() if value not in by_slice[name]]
        if others:
            not_in_slices[name] = {"values": len(others), "rows": sum(others)}
    sign = -1 if task.metric in task.losses else 1

    (found, samples), (below, samples_below) = own_metrics.measured(
        [scores, dummy], own, scores.n_rows, task.bootstrap, seed
    )
    level, name = task.bootstrap.level, task.metric
    nan = np.full(task.bootstrap.resamples, np.nan)
    gain = sign * (found.get(name, np.nan) - below.get(name, np.nan))
    gains = sign * (samples.get(name, nan) - samples_below.get(name, nan))
    measured: dict[str, Any] = {
        "rows": scores.n_rows,
        "metrics": _entries(found, samples, level),
        "baseline": _entries(below, samples_below, level),
        "gain_over_baseline": {name: resampling.entry(gain, gains, level)},
    }
    if isinstance(scores, Classification):
        by_class = metrics.per_class(scores.confusion(np.ones(scores.n_rows)))
        class_samples = resampling.resampled_classes(scores, task.bootstrap, seed)
        measured["classes"] = {
            label: {
                rate: resampling.entry(float(values[k]), class_samples[rate][:, k], level)
                for rate, values in by_class.items()
            }
            for k, label in enumerate(scores.labels)
        }
    for column, parts in by_slice.items():
        for value, part in parts.items():
            ((values, part_samples),) = own_metrics.measured([part], own, scores.n_rows, task.bootstrap, seed)
            measured.setdefault("slices", {}).setdefault(column, {})[value] = _entries(values, part_samples, level)
    return {**measured, "not_in_slices": not_in_slices} if not_in_slices else measured


def _entries(values: dict[str, float], samples: dict[str, Floats], level: float) -> dict[str, Any]:
    return {name: resampling.entry(value, samples[name], level) for name, value in values.items()}


def _check_slices(table: pa.Table, task: config.Task) -> None:
    """Refuse a slice by a column that is not there, or by one that measures."""
    for name in task.slices:
        if name not in table.column_names:
            raise ProjectError(
                f"conf/task/{task.name}.yaml: slices names {name!r}, which is no column of the table",
                "metrics are reported for each value of that column",
                f"name one of: {', '.join(table.column_names[:30])}",
            )
        count = too_many(table[name])
        if count:
            raise ProjectError(
                f"conf/task/{task.name}.yaml: slices names {name!r}, which holds {count}",
                "metrics are reported for each value, and each of these stands for a few rows only",
                f"add a column to the table that holds the range of {name} in words (such as '20 to 30'), list it in "
                f"`leave_out` in conf/data/, and name it in `slices`\n       or, if {name} is a code: "
                f"`{name}: category` below `types` in conf/data/",
            )


def too_many(values: pa.ChunkedArray) -> str | None:
    """Return, of numbers or dates that are too many to look at one by one, how many they are."""
    kind = "dates" if pa.types.is_temporal(values.type) else "numbers"
    named = pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_boolean(values.type)
    count = 0 if named else pc.count_distinct(values).as_py()
    return f"{count} different {kind}" if count > MOST_SLICES else None


def slices(values: pa.ChunkedArray) -> dict[str, NDArray[np.intp]]:
    """Return the positions of the rows that have each value of a column, the most frequent value first.

    A value is named as people write it: `3` and not `3.0`, `true`, `2024-01-31`.
    Missing values are a slice, too, which no text of the column is taken for.

    Examples
    --------
    >>> slices(pa.chunked_array([["a", None, "a"]]))
    {'a': array([0, 2]), '(missing)': array([1])}
    """
    if pa.types.is_floating(values.type):
        values = pc.add(values, 0.0)  # minus zero is zero
    encoded = values.combine_chunks().dictionary_encode(null_encoding="encode")
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    names = [None if value is None else _text(value) for value in encoded.dictionary.to_pylist()]
    missing = "(missing)"
    while missing in names:
        missing = f"({missing})"
    order = np.argsort(codes, kind="stable").astype(np.intp)
    groups = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]) if names else []
    pairs = [(missing if name is None else name, rows) for name, rows in zip(names, groups, strict=True)]
    return dict(sorted(pairs, key=lambda pair: (-len(pair[1]), pair[0])))


def _text(value: Any) -> str:
    """Return a value as text, another one for each value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, datetime):
        return value.isoformat().removesuffix("T00:00:00")
    return str(value)


def every_column(files: Iterable[Path], names: list[str] | None = None) -> pa.Table:
    """Return the rows of a part with all columns (or those of the named ones that there are), for the model or not."""
    columns_of: dict[str, pa.ChunkedArray] = {}
    for file in files:
        parquet = pq.ParquetFile(file)
        part = parquet.read(names and [name for name in names if name in parquet.schema_arrow.names])
        columns_of |= dict(zip(part.column_names, part.columns, strict=True))
    return pa.table(columns_of)


def _files(prepared: Path, part: str) -> tuple[Path, Path]:
    """Return the files that hold the columns of a part: those that the model sees, and the others."""
    return prepared / f"{part}.parquet", prepared / "left_out" / f"{part}.parquet"


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


@dataclass(frozen=True)
class Evaluation:
    """What a model reached.

    Attributes
    ----------
    results : dict of str to dict
        By part of the rows: every metric with its interval, over all rows, by class and by slice.
    scores : Classification or Regression
        Predictions beside the truth, for the test rows.
    metric : str
        The primary one.
    folder : Path
        Where the prepared rows lie.
    """

    results: dict[str, dict[str, Any]]
    scores: Classification | Regression
    metric: str
    folder: Path

    @property
    def rows(self) -> pd.DataFrame:
        """The test rows: every column and the truth, then `predicted`, and of a classifier `probability: CLASS`.

        Columns that the model does not see are there, too. One that has a name
        of these gets ` (raw)` behind it.
        """
        columns_of = every_column(_files(self.folder, "test"))
        beside = dict(zip(columns_of.column_names, columns_of.columns, strict=True))
        return predictions.table(answered(self.scores), beside).to_pandas()


def judge(settings: config.Config | config.Rules, folder: str | Path = PREPARED) -> Evaluation:
    """Judge `model/` by every part but `train`; write `evaluation.json` and `predictions/`.

    Parameters
    ----------
    settings : Config or Rules
    folder : str or path
        Where the prepared rows lie.

    Returns
    -------
    Evaluation
        For `write_metrics` and `write_plots`, and for metrics and plots of your own.
    """
    inputs.expect_check()
    rows = interface.read(Path(folder) / "summary.json")["rows"]
    ids = settings.data.id if isinstance(settings, config.Config) else ()
    parts = ["test", *(part for part in rows if part not in ("test", "train"))]
    scores, results = _judge(parts, Path(folder), settings.task, settings.compute, ids)
    return Evaluation(results, scores, settings.task.metric, Path(folder))


def _judge(
    parts: Iterable[str], prepared: Path, task: config.Task, compute: config.Compute, ids: Sequence[str] = ()
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
    ids : sequence of str
        Columns that tell the rows apart; they stand beside the predictions.

    Returns
    -------
    Classification or Regression
        Of the test rows.
    dict of str to dict
        What `figures` says of each part.
    """
    described = interface.read(MODEL / "interface.json")
    model = model_file.load(MODEL / "model.skops", described["file"])
    table_columns = columns.read(prepared / "columns.json")
    own = own_metrics.load(task)
    results, judged = {}, {}
    for part in parts:
        path, _ = _files(prepared, part)
        table = columns.prepared(pd.read_parquet(path), table_columns)
        columns.validate(table, table_columns, str(path), described["output"].get("classes"))
        with pinned(compute):
            judged[part] = score(model, table, table_columns)
        dummy = baseline(described, judged[part])
        rows = every_column(_files(prepared, part))
        with pinned(compute):  # a metric of the project's own may count in threads, or draw
            results[part] = figures(judged[part], dummy, rows, task, compute.seed, own)
        for metric in own:
            metric.check(results[part]["metrics"][metric.name]["value"], judged[part], f"{part} rows")
        if part == "test":
            raw = pq.read_table(prepared / "raw_test.parquet", columns=list(ids)) if ids else pa.table({})
            truth = {columns.target(table_columns).name: table[columns.target(table_columns).name]}
            beside = {**predictions.identifiers(raw), **truth}
            predictions.write(answered(judged[part]), PREDICTIONS, beside)
    level = {"level": task.bootstrap.level, "resamples": task.bootstrap.resamples}
    losses = sorted(task.losses & results["test"]["metrics"].keys())
    interface.write({"intervals": level, "lower_is_better": losses, **results}, Path("evaluation.json"))
    return judged["test"], results


def write_metrics(judged: Evaluation, path: str | Path = "metrics.json", **more: float) -> None:
    """Write the few numbers that `dvc exp show` compares, and say how good the model is.

    Parameters
    ----------
    judged : Evaluation
    path : str or path
    **more : float
        Further numbers, of your own.
    """
    results, name = judged.results, judged.metric
    few = {**headline(results, name), **more}
    interface.write(few, Path(path))
    for part, result in results.items():
        for column, others in result.get("not_in_slices", {}).items():
            print(
                f"{part}: {counted(others['values'], 'value')} of {column} ({counted(others['rows'], 'row')}) without "
                f"metrics: fewer than {SMALLEST_SLICE_ROWS} rows each, or beyond the {MOST_SLICES} most frequent"
            )
    test = few["test"]
    if test.get(name) is None:
        print(f"{name}: this estimator gives no probabilities, so it has no value")
        return
    gain = results["test"]["gain_over_baseline"][name]
    interval = f"[{test[f'{name}_low']:.4g}, {test[f'{name}_high']:.4g}]"
    print(f"test {name}: {test[name]:.4g} {interval}, baseline {few['baseline'][name]:.4g}")
    if gain["low"] <= 0:
        print("the model does not beat the baseline for certain: more rows, other features, another model?")


def write_plots(judged: Evaluation, folder: str | Path = "plots") -> None:
    """Write the plots that `dvc.yaml` names: points for DVC, and images."""
    from . import plots

    plots.write(judged.scores, Path(folder))
