"""Classes as numbers, for an estimator that takes no others."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if


def numbered(labels: Any, y: Any) -> NDArray[np.intp]:
    """Return the numbers of further labels where `y` was fitted; all of them are in `y`."""
    return np.searchsorted(np.unique(np.asarray(y)), np.asarray(labels))


def _has(method: str) -> Callable[[Any], bool]:
    return lambda model: hasattr(getattr(model, "estimator_", model.estimator), method)


class NumberedLabels(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Number the classes 0 to k-1 for an estimator, and name them again in what it answers.

    Parameters
    ----------
    estimator : estimator
        A classifier that only takes such numbers, as XGBoost's does.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
        The classes as they are, sorted; class i is number i for the estimator.
    estimator_ : estimator
        Fitted on the numbers.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, **arguments: Any) -> "NumberedLabels":
        """Fit the estimator on the numbers of the classes; labels in further arguments are `numbered` already."""
        self.classes_, numbers = np.unique(np.asarray(y), return_inverse=True)
        self.estimator_ = clone(self.estimator).fit(X, numbers, **arguments)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return classes, shape (n_rows,)."""
        numbers = np.asarray(self.estimator_.predict(X)).reshape(-1).astype(np.intp)
        named: NDArray[Any] = self.classes_[numbers]
        return named

    @available_if(_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, shape (n_rows, k)."""
        return self.estimator_.predict_proba(X)

    @available_if(_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """Return scores, as the estimator gives them."""
        return self.estimator_.decision_function(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = get_tags(self.estimator).input_tags.sparse
        return tags
