"""Metrics of predictions, as weighted sums over rows; `resampling` gives them their intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Digits after the point; far below what resampling can tell, far above noise in the last bits.
DIGITS = 6
#: The smallest probability that the log loss takes the logarithm of (as in scikit-learn, for float64).
EPSILON = float(np.finfo(np.float64).eps)


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
    scores : ndarray of float, shape (n_rows, k), or None
        What ranks the rows for each class; the probabilities if there are any. Without them there is no ROC AUC.
    """

    labels: list[str]
    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    probabilities: Floats | None
    scores: Floats | None

    @property
    def n_rows(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[np.intp]) -> "Classification":
        """Return the same for some of the rows."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        scores = None if self.scores is None else self.scores[rows]
        return Classification(self.labels, self.truth[rows], self.predicted[rows], probabilities, scores)

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
            found["log_loss"] = _divide(float(weights @ self.losses()), weights.sum())
        found["roc_auc"] = _mean(np.array([self.roc_auc(weights, k) for k in self.ranked_classes()]))
        return found

    def losses(self) -> Floats:
        """Return the log loss of each row; there must be probabilities."""
        assert self.probabilities is not None
        chosen = np.clip(self.probabilities[np.arange(self.n_rows), self.truth], EPSILON, 1 - EPSILON)
        losses: Floats = -np.log(chosen)
        return losses

    def ranked_classes(self) -> range:
        """Return the classes whose ROC AUC counts: of two, one ranking is the other one reversed."""
        return range(1) if len(self.labels) == 2 else range(len(self.labels))

    def ranks(self, k: int) -> tuple[NDArray[np.intp], int]:
        """Number the distinct scores for class k in ascending order; return each row's number and their count."""
        assert self.scores is not None
        distinct, groups = np.unique(self.scores[:, k], return_inverse=True)
        return groups, len(distinct)

    def roc_auc(self, weights: Floats, k: int) -> float:
        """Return the area under the ROC curve of class k against the rest.

        It is the chance that a row of the class outranks a row of the rest,
        ties counted half (Mann and Whitney, 1947).
        """
        if self.scores is None:
            return float("nan")
        groups, n_groups = self.ranks(k)
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
        drawn = self.truth[weights > 0]
        is_constant = len(drawn) == 0 or drawn.min() == drawn.max()  # the mean of equal numbers may not be quite theirs
        spread = 0.0 if is_constant else float(weights @ (self.truth - mean) ** 2)
        return {
            "rmse": _divide(squared, total) ** 0.5,
            "mae": _divide(float(weights @ np.abs(error)), total),
            "r2": 1 - _divide(squared, spread),
        }


def per_class(confusion: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1 of every class, each of shape (k,).

    A class that is neither true nor predicted anywhere has no value (NaN).
    """
    return rates(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0))


def rates(hits: Floats, true: Floats, predicted: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1 by how many rows of each class were hit, true and predicted."""
    nan = np.full(hits.shape, np.nan)
    return {
        "precision": np.divide(hits, predicted, out=nan.copy(), where=predicted > 0),
        "recall": np.divide(hits, true, out=nan.copy(), where=true > 0),
        "f1": np.divide(2 * hits, true + predicted, out=nan.copy(), where=true + predicted > 0),
    }


def rounded(number: float) -> float | None:
    """Round for a file; NaN becomes None, and minus zero 0."""
    return None if np.isnan(number) else round(float(number), DIGITS) + 0.0


def _divide(above: float, below: float) -> float:
    return float(above) / float(below) if below else float("nan")


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
