"""Metrics with bootstrap confidence intervals, as weighted sums over rows.

A bootstrap resample draws the n rows n times with replacement; that is the same
as giving each row the number of times it was drawn as a weight (Efron, 1979).
So every metric here takes weights, and one set of draws serves all of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import Bootstrap

Floats = NDArray[np.float64]
#: Digits after the point; far below what resampling can tell, far above noise in the last bits.
DIGITS = 6
#: The smallest probability that the log loss takes the logarithm of (as in scikit-learn, for float64).
EPSILON = float(np.finfo(np.float64).eps)

#: Metrics for which smaller is better.
LOSSES = frozenset({"log_loss", "rmse", "mae"})


@dataclass(frozen=True)
class Classification:
    """Predictions of a classifier against the truth.

    Attributes
    ----------
    labels : list of str
        The k classes.
    truth, predicted : ndarray of int, shape (n_rows,)
        Positions in `labels`.
    probabilities : ndarray of float, shape (n_rows, k), or None
    scores : ndarray of float, shape (n_rows, k)
        What ranks the rows for each class; the probabilities if there are any.
    """

    labels: list[str]
    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    probabilities: Floats | None
    scores: Floats

    def __post_init__(self) -> None:
        ranks = [_ranks(self.scores[:, k]) for k in range(len(self.labels))]
        object.__setattr__(self, "_ranks", ranks)

    @property
    def n_rows(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[np.intp]) -> "Classification":
        """Return the same for some of the rows."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Classification(self.labels, self.truth[rows], self.predicted[rows], probabilities, self.scores[rows])

    def confusion(self, weights: Floats) -> Floats:
        """Return the weight of each (true, predicted) pair, shape (k, k)."""
        k = len(self.labels)
        counts: Floats = np.bincount(self.truth * k + self.predicted, weights=weights, minlength=k * k)  # type: ignore[assignment]
        return counts.reshape(k, k)

    def metrics(self, weights: Floats) -> dict[str, float]:
        """Return accuracy, macro F1, log loss and one-vs-rest macro ROC AUC."""
        confusion = self.confusion(weights)
        found = {
            "accuracy": _divide(np.trace(confusion), confusion.sum()),
            "f1_macro": _mean(per_class(confusion)["f1"]),
        }
        if self.probabilities is not None:
            # Weights are checked with the truth: a class may be missing in a resample.
            chosen = np.clip(self.probabilities[np.arange(self.n_rows), self.truth], EPSILON, 1 - EPSILON)
            found["log_loss"] = _divide(-float(weights @ np.log(chosen)), weights.sum())
        # With two classes, one ranking is the other one reversed.
        ranked = range(1) if len(self.labels) == 2 else range(len(self.labels))
        found["roc_auc"] = _mean(np.array([self.roc_auc(weights, k) for k in ranked]))
        return found

    def roc_auc(self, weights: Floats, k: int) -> float:
        """Return the area under the ROC curve of class k against the rest.

        It is the chance that a row of the class outranks a row of the rest,
        ties counted half (Mann and Whitney, 1947).
        """
        groups, n_groups = self._ranks[k]  # type: ignore[attr-defined]
        positive = np.bincount(groups, weights=weights * (self.truth == k), minlength=n_groups)
        negative = np.bincount(groups, weights=weights, minlength=n_groups) - positive
        below = np.cumsum(negative) - negative
        return _divide(float(positive @ (below + negative / 2)), positive.sum() * negative.sum())


@dataclass(frozen=True)
class Regression:
    """Predictions of a regressor against the truth; arrays of shape (n_rows,)."""

    truth: Floats
    predicted: Floats

    @property
    def n_rows(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[np.intp]) -> "Regression":
        """Return the same for some of the rows."""
        return Regression(self.truth[rows], self.predicted[rows])

    def metrics(self, weights: Floats) -> dict[str, float]:
        """Return root mean squared error, mean absolute error and R²."""
        total = weights.sum()
        error = self.predicted - self.truth
        squared = float(weights @ error**2)
        mean = _divide(float(weights @ self.truth), total)
        spread = float(weights @ (self.truth - mean) ** 2)
        return {
            "rmse": _divide(squared, total) ** 0.5,
            "mae": _divide(float(weights @ np.abs(error)), total),
            "r2": 1 - _divide(squared, spread),
        }


def per_class(confusion: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1 of every class, each of shape (k,).

    A class that is neither true nor predicted anywhere has no value (NaN).
    """
    hits, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    nan = np.full(len(hits), np.nan)
    return {
        "precision": np.divide(hits, predicted, out=nan.copy(), where=predicted > 0),
        "recall": np.divide(hits, true, out=nan.copy(), where=true > 0),
        "f1": np.divide(2 * hits, true + predicted, out=nan.copy(), where=true + predicted > 0),
    }


def draws(n_rows: int, config: Bootstrap, seed: int) -> Iterator[Floats]:
    """Yield the row weights of each resample."""
    generator = np.random.default_rng(seed)
    for _ in range(config.resamples):
        yield np.bincount(generator.integers(0, n_rows, n_rows), minlength=n_rows).astype(np.float64)


def intervals(n_rows: int, measure: Callable[[Floats], dict[str, Any]], config: Bootstrap, seed: int) -> dict[str, Any]:
    """Measure with all rows, and with each resample, and join value and interval.

    Parameters
    ----------
    n_rows : int
    measure : callable
        Takes row weights of shape (n_rows,); returns numbers in nested dicts.
    config : Bootstrap
    seed : int

    Returns
    -------
    dict
        The nested dicts of `measure`, with `value`, `low` and `high` (the
        percentile interval) in the place of each number; null for NaN.
    """
    values = _flatten(measure(np.ones(n_rows)))
    samples = np.array([list(_flatten(measure(weights)).values()) for weights in draws(n_rows, config, seed)])
    tail = (1 - config.level) / 2
    joined: dict[str, Any] = {}
    for column, (key, value) in enumerate(values.items()):
        known = samples[~np.isnan(samples[:, column]), column]
        low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
        place = joined
        for part in key[:-1]:
            place = place.setdefault(part, {})
        place[key[-1]] = {"value": rounded(value), "low": rounded(low), "high": rounded(high)}
    return joined


def rounded(number: float) -> float | None:
    """Round for a file; NaN becomes None."""
    return None if np.isnan(number) else round(float(number), DIGITS)


def _flatten(values: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    flat: dict[tuple[str, ...], float] = {}
    for key, value in values.items():
        flat |= _flatten(value, (*prefix, key)) if isinstance(value, dict) else {(*prefix, key): value}
    return flat


def _ranks(scores: Floats) -> tuple[NDArray[np.intp], int]:
    """Number the distinct scores in ascending order; return each row's number and their count."""
    distinct, groups = np.unique(scores, return_inverse=True)
    return groups, len(distinct)


def _divide(above: float, below: float) -> float:
    return float(above) / float(below) if below else float("nan")


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
