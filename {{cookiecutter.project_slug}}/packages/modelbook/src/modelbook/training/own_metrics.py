"""Metrics of the project's own: functions that conf/task/ names, measured and resampled beside those of the tool."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import settings as config
from ..errors import ProjectError
from . import own, resampling
from .metrics import Classification, Floats, Regression
from .own import Own


@dataclass(frozen=True)
class OwnMetric:
    """A metric of the project's own.

    Attributes
    ----------
    name : str
    asks : settings.OwnMetric
        What `conf/task/` says of it.
    function : Own
    """

    name: str
    asks: config.OwnMetric
    function: Own

    def value(self, scores: Classification | Regression) -> float:
        """Return what the function makes of predictions; NaN where it has no value, or there are no probabilities."""
        given = self.arguments(scores)
        return float("nan") if given is None else self.of(*given)

    def arguments(self, scores: Classification | Regression) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Return truth and predictions as the function takes them; None if there are no probabilities."""
        if isinstance(scores, Regression):
            return scores.truth, scores.predicted
        labels = np.array(scores.labels)
        if self.asks.takes == "predictions":
            return labels[scores.truth], labels[scores.predicted]
        positive = self.asks.positive
        if positive is not None and positive not in scores.labels:
            raise ProjectError(
                f"{self._place}: positive is {positive!r}, which is no class{config.nearest(positive, scores.labels)}",
                "the metric is about the rows of that class",
                "name a class of the target",
            )
        if scores.probabilities is None:
            return None
        if positive is None and len(labels) != 2:
            return np.eye(len(labels), dtype=np.intp)[scores.truth], scores.probabilities
        k = 1 if positive is None else scores.labels.index(positive)
        return (scores.truth == k).astype(np.intp), scores.probabilities[:, k]

    def of(self, truth: NDArray[Any], predicted: NDArray[Any]) -> float:
        """Call the function with rows of `arguments`; NaN where it has no value."""
        is_of_a_class = self.asks.takes == "probabilities" and truth.ndim == 1
        # scikit-learn calls an average precision without a row to find 0; a slice would look as bad as can be.
        if not len(truth) or (is_of_a_class and not truth.any()):
            return float("nan")
        # Copies: a function may write into what it gets.
        return self._number(self.function(truth.copy(), predicted.copy(), **self.asks.arguments))

    def _number(self, answer: Any) -> float:
        if isinstance(answer, np.ndarray) and answer.shape == ():
            answer = answer.item()
        if not isinstance(answer, Real) or isinstance(answer, bool | np.bool) or np.isinf(float(answer)):
            shown = f"an array of the shape {answer.shape}" if isinstance(answer, np.ndarray) else repr(answer)
            raise ProjectError(
                f"{self.function.path} returns {shown}, and not a number",
                f"the metric {self.name} would be wrong wherever it stands: metrics.json, the gate, the record",
                f"return one number (NaN for rows that have no value), or take {self._place} out",
            )
        return float(answer)

    @property
    def _place(self) -> str:
        return self.function.place.rpartition(".")[0]

    def check(self, value: float | None, scores: Classification | Regression, rows: str) -> None:
        """Refuse a model's metric without a value, if the model gave what it takes."""
        lacks = isinstance(scores, Classification) and scores.probabilities is None
        if value is None and not (lacks and self.asks.takes == "probabilities"):
            raise ProjectError(
                f"{self.function.path} gives no value for the {rows}: it returns NaN, or no row is of the class that "
                "`positive` names",
                f"no model can be judged by a metric {self.name} without a value",
                f"correct {self.function.path}, or take {self._place} out",
            )


def load(task: config.Task) -> list[OwnMetric]:
    """Import the functions of the metrics that a task declares."""
    found = []
    block = f"conf/task/{task.name}.yaml: " if Path("conf/config.yaml").exists() else "params.yaml: task."
    for name, asks in task.metrics.items():
        place = f"{block}metrics.{name}.function"
        found.append(OwnMetric(name, asks, own.function(asks.function, place, asks.arguments)))
    return found


def measured(
    sides: Sequence[Classification | Regression],
    metrics: Sequence[OwnMetric],
    n_rows: int,
    bootstrap: config.Bootstrap,
    seed: int,
) -> list[tuple[dict[str, float], dict[str, Floats]]]:
    """Return for each side every metric, the tool's and the project's own, and what each is on each resample.

    Parameters
    ----------
    sides : sequence of Classification or Regression
        Predictions of one or more models for the same rows: all rows, or a slice of them.
    metrics : sequence of OwnMetric
    n_rows : int
        All rows.
    bootstrap : Bootstrap
    seed : int

    Returns
    -------
    list of (dict of str to float, dict of str to ndarray of float, shape (n_resamples,))
    """
    samples = resampling.resampled(sides, n_rows, bootstrap, seed)
    values = [side.metrics(np.ones(side.n_rows)) for side in sides]
    if metrics:
        drawn = _resampled(sides, metrics, n_rows, bootstrap, seed)
        for side, value, sample, more in zip(sides, values, samples, drawn, strict=True):
            value.update({metric.name: metric.value(side) for metric in metrics})
            sample.update(more)
    return list(zip(values, samples, strict=True))


def _resampled(
    sides: Sequence[Classification | Regression],
    metrics: Sequence[OwnMetric],
    n_rows: int,
    bootstrap: config.Bootstrap,
    seed: int,
) -> list[dict[str, Floats]]:
    """Measure each resample of the rows themselves: nothing else is known of a function."""
    rows = resampling.Blocks(sides[0].n_rows, seed, most=sides[0].n_rows)
    draws = (times for some in rows.draws(n_rows, bootstrap, seed) for times in some)
    given = [[metric.arguments(side) for metric in metrics] for side in sides]
    found = [{metric.name: np.full(bootstrap.resamples, np.nan) for metric in metrics} for _ in sides]
    with warnings.catch_warnings(action="ignore"):  # what a function says of all rows, it would say of each resample
        for number, times in enumerate(draws):
            drawn = np.repeat(np.arange(rows.n_rows), times.astype(np.intp))
            for sides_arrays, values in zip(given, found, strict=True):
                for metric, arrays in zip(metrics, sides_arrays, strict=True):
                    if arrays is not None:
                        values[metric.name][number] = metric.of(*(array[drawn] for array in arrays))
    return found
