"""What a model answers to rows, checked before it counts: shapes, classes, and numbers that are numbers."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ProjectError
from .metrics import Floats

#: Squares of larger numbers overflow when they are added up.
LARGEST = 1e149
#: How far probabilities of one row may be from adding up to 1; some libraries count with 32 bits.
SUM_TOLERANCE = 1e-3
#: Scores of classes rank the predicted class first in this share of its rows, for every class, or they are something
#: else. Not in all: where each of three classes beats another one, a vote has no winner.
AGREEMENT = 0.5


@dataclass(frozen=True)
class Answers:
    """Predictions without the truth.

    Attributes
    ----------
    labels : list of str or None
        The k classes; None for a regressor.
    predicted : ndarray, shape (n_rows,)
        Positions in `labels`; or numbers.
    probabilities, scores : ndarray of float, shape (n_rows, k), or None
        `scores` rank the rows for each class: the probabilities if there are any.
    """

    labels: list[str] | None
    predicted: NDArray[Any]
    probabilities: Floats | None = None
    scores: Floats | None = None


def answer(model: Any, rows: pd.DataFrame, kind: str) -> Answers:
    """Ask a model.

    Parameters
    ----------
    model : estimator
        A fitted pipeline.
    rows : DataFrame of shape (n_rows, n_features)
    kind : str
        The type of the target: `number`, or `category` for classes.

    Raises
    ------
    ProjectError
        If the model cannot answer, or if the answers are not one for each row,
        not finite, or not of known classes.
    """
    try:
        predicted = _one_each(model.predict(rows), len(rows))
    except ValueError as error:
        raise ProjectError(
            f"the model cannot answer these rows: {error}",
            "its pipeline has no step that makes them fit",
            "fill in or correct the values, or add such a step (a SimpleImputer for missing ones)",
        ) from error
    if kind == "number":
        return Answers(None, _finite(predicted))
    labels = [str(label) for label in model.classes_]
    positions = pd.Index(labels).get_indexer([str(label) for label in predicted]).astype(np.intp)
    if (positions < 0).any():
        row = int(np.flatnonzero(positions < 0)[0])
        raise ProjectError(
            f"row {row + 1}: the model predicts {str(predicted[row])!r}, which is none of its classes",
            f"its classes_ are {', '.join(labels[:10])}",
            "predict() must return values of classes_; correct the estimator",
        )
    if hasattr(model, "predict_proba"):
        probabilities = _probabilities(model.predict_proba(rows), len(rows), labels)
        return Answers(labels, positions, probabilities, probabilities)
    if not hasattr(model, "decision_function"):
        return Answers(labels, positions, None, np.eye(len(labels))[positions])
    return Answers(labels, positions, None, _class_scores(model, rows, positions, len(labels)))


def _one_each(found: Any, n_rows: int) -> NDArray[Any]:
    predicted = np.asarray(found)
    if predicted.shape == (n_rows, 1):
        predicted = predicted[:, 0]
    if predicted.shape != (n_rows,):
        raise ProjectError(
            f"the model's predict() returns the shape {predicted.shape} for {n_rows} rows",
            "it must give one value for each row",
            "choose an estimator for one target, or correct its predict()",
        )
    return predicted


def _finite(predicted: NDArray[Any]) -> Floats:
    numbers: Floats = np.asarray(predicted, dtype=np.float64)
    bad = ~(np.abs(numbers) <= LARGEST)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ProjectError(
            f"row {row + 1}: the model predicts {numbers[row]:g} ({int(bad.sum())} such rows)",
            "no error can be measured with a number that is not finite or too large to be squared",
            "look for extreme values in the table, or choose another estimator or target in conf/",
        )
    return numbers


def _probabilities(found: Any, n_rows: int, labels: list[str]) -> Floats:
    fix = "choose another estimator, or correct its predict_proba()"
    if isinstance(found, list) or np.shape(found) != (n_rows, len(labels)):
        shape = f"a list of {len(found)} arrays" if isinstance(found, list) else f"the shape {np.shape(found)}"
        raise ProjectError(
            f"the model's predict_proba() returns {shape} for {n_rows} rows and {len(labels)} classes",
            "it must give one probability for each row and class, in the order of classes_",
            fix,
        )
    probabilities: Floats = np.asarray(found, dtype=np.float64)
    inside = (probabilities >= -SUM_TOLERANCE) & (probabilities <= 1 + SUM_TOLERANCE)
    good = inside.all(axis=1) & (np.abs(probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ProjectError(
            f"row {row + 1}: the model's probabilities are {np.array2string(probabilities[row], precision=4)}"
            f" ({int((~good).sum())} such rows)",
            "probabilities lie between 0 and 1 and add up to 1; a log loss of anything else would be wrong",
            fix,
        )
    return np.clip(probabilities, 0.0, 1.0)


def _class_scores(model: Any, rows: pd.DataFrame, predicted: NDArray[np.intp], n_classes: int) -> Floats | None:
    """Return scores that rank the rows for each class; None if what the estimator gives cannot be read so."""
    scores: Floats = np.asarray(model.decision_function(rows), dtype=np.float64)
    if not np.isfinite(scores).all():
        raise ProjectError(
            "the model's decision_function() returns numbers that are not finite",
            "rows cannot be ranked by them",
            "look for extreme values in the table, or choose another estimator in conf/model/",
        )
    n_rows = len(predicted)
    if n_classes == 2:
        if scores.shape == (n_rows, 1):
            scores = scores[:, 0]
        if scores.ndim == 1:
            means = [scores[predicted == k].mean() if (predicted == k).any() else None for k in (0, 1)]
            rising = means[0] is None or means[1] is None or means[0] <= means[1]
            return np.column_stack([-scores, scores]) if rising else None
    # Three classes have three pairs: there the shape alone does not tell which it is.
    if scores.shape == (n_rows, n_classes * (n_classes - 1) // 2) and (n_classes > 3 or _asks_for_pairs(model)):
        scores = _votes(scores, n_classes)
    if scores.shape != (n_rows, n_classes):
        return None
    first = scores.argmax(axis=1) == predicted
    agree = all(first[predicted == k].mean() >= AGREEMENT for k in np.unique(predicted))
    return scores if agree else None


def _asks_for_pairs(model: Any) -> bool:
    """Tell whether scikit-learn's argument for scores of pairs is set, at any depth."""
    found = getattr(model, "best_estimator_", model).get_params(deep=True)
    return any(key.endswith("decision_function_shape") and value == "ovo" for key, value in found.items())


def _votes(pairs: Floats, n_classes: int) -> Floats:
    """Count for each class the pairs that it wins; their confidences, squeezed below half a vote, break ties.

    Column by column `pairs` holds classes 0 and 1, 0 and 2 … 1 and 2 …, positive
    where the first of the two wins, as in scikit-learn's one-vs-one decision function.
    """
    votes = np.zeros((len(pairs), n_classes))
    confidences = np.zeros_like(votes)
    for column, (i, j) in enumerate(itertools.combinations(range(n_classes), 2)):
        first_wins = pairs[:, column] > 0
        votes[:, i] += first_wins
        votes[:, j] += ~first_wins
        confidences[:, i] += pairs[:, column]
        confidences[:, j] -= pairs[:, column]
    squeezed: Floats = votes + confidences / (3 * (np.abs(confidences) + 1))
    return squeezed
