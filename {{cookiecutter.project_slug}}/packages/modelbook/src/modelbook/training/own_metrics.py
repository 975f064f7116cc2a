"""Metrics of the project's own: functions that conf/task/ names, measured and resampled beside those of the tool."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
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
        if isinstance(scores, Regression):
            given: tuple[NDArray[Any], NDArray[Any]] | None = (scores.truth.copy(), scores.predicted.copy())
        elif self.asks.takes == "predictions":
            labels = np.array(scores.labels)
            given = (labels[scores.truth], labels[scores.predicted])
        else:
            given = self._probabilities(scores)
        return float("nan") if given is None else self._number(self.function(*given, **self.asks.arguments))

    def _probabilities(self, scores: Classification) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Return the truth as 0 and 1, and the probabilities: of one class, or one column for each.

        None: there is nothing to measure, no probabilities or no row of that class.
        """
        positive, labels = self.asks.positive, scores.labels
        if positive is not None and positive not in labels:
            raise ProjectError(
                f"{self._place}: positive is {positive!r}, which is no class{config.nearest(positive, labels)}",
                "the metric is about the rows of that class",
                "name a class of the target",
            )
        if scores.probabilities is None:
            return None
        if positive is None and len(labels) != 2:
            return np.eye(len(labels), dtype=np.intp)[scores.truth], scores.probabilities.copy()
        k = 1 if positive is None else labels.index(positive)
        truth = (scores.truth == k).astype(np.intp)
        # scikit-learn calls an average precision without a row to find 0; a slice would look as bad as can be.
        return (truth, scores.probabilities[:, k].copy()) if truth.any() else None

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
    for name, asks in task.metrics.items():
        place = f"conf/task/{task.name}.yaml: metrics.{name}.function"
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
) -> list[Mapping[str, Floats]]:
    """Measure each resample of the rows themselves: nothing else is known of a function."""
    rows = resampling.Blocks(sides[0].n_rows, seed, most=sides[0].n_rows)
    found = [{metric.name: np.full(bootstrap.resamples, np.nan) for metric in metrics} for _ in sides]
    draws = (times for some in rows.draws(n_rows, bootstrap, seed) for times in some)
    with warnings.catch_warnings(action="ignore"):  # what a function says of all rows, it would say of each resample
        for number, times in enumerate(draws):
            chosen = np.repeat(np.arange(rows.n_rows), times.astype(np.intp))
            if not len(chosen):
                continue
            for side, values in zip(sides, found, strict=True):
                drawn = side.take(chosen)
                for metric in metrics:
                    values[metric.name][number] = metric.value(drawn)
    return list(found)
