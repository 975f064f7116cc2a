"""What a model is fitted to: the training rows, their weights, and the validation rows to stop by."""

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ProjectError, counted
from ..settings import Config, Fit, Model, Rules
from . import tables
from .tables import Rows

#: Rows on which a fit is tried: before it, of an estimator from elsewhere; after it failed, to find out why.
TRIAL_ROWS = 200
#: What takes the weights of the validation rows, where the training rows have some: in scikit-learn as they are,
#: in LightGBM and XGBoost in a list.
WEIGHTS, LISTS_OF_WEIGHTS = ("sample_weight_val",), ("eval_sample_weight", "sample_weight_eval_set")


@dataclass(frozen=True)
class Examples:
    """Features, target and weights of some rows.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_features)
    y : Series of shape (n_rows,)
    weights : ndarray of shape (n_rows,), or None
    """

    X: pd.DataFrame
    y: "pd.Series[Any]"
    weights: NDArray[np.float64] | None = None

    def few(self) -> "Examples":
        """Return rows for a trial, spread evenly over all of them."""
        return self._take(np.unique(np.linspace(0, len(self.X) - 1, TRIAL_ROWS).astype(int)))

    def with_classes_of(self, others: "Examples") -> "Examples":
        """Return the rows of classes that other rows have, too."""
        return self if self.y.dtype != object else self._take(np.flatnonzero(self.y.isin(others.y)))

    def _take(self, chosen: NDArray[np.intp]) -> "Examples":
        weights = None if self.weights is None else self.weights[chosen]
        return Examples(self.X.iloc[chosen], self.y.iloc[chosen], weights)


@dataclass(frozen=True)
class Fitting:
    """All that the fit of a model is given.

    Attributes
    ----------
    train : Examples
    how : Fit
        The block `fit` of conf/model/.
    validation : Examples or None
    """

    train: Examples
    how: Fit
    validation: Examples | None = None

    def few(self) -> "Fitting":
        """Return the same with few rows, for a trial."""
        train = self.train.few()
        return replace(self, train=train, validation=self.validation and self.validation.few().with_classes_of(train))

    def of_the_steps_before(self) -> "Fitting":
        """Return what the steps before the last one of a `Pipeline` are given: neither weights nor arguments."""
        return Fitting(Examples(self.train.X, self.train.y), Fit())

    def fit(self, model: Any) -> Any:
        """Fit a model in place, and return it.

        The steps before the last one of a `Pipeline` see the training rows alone; the last one sees
        the validation rows as those steps transform them.
        """
        steps = getattr(model, "steps", [("", model)])
        name, last = steps[-1]
        seen, y = self.train.X, self.train.y
        arguments = dict(self.how.arguments)
        if self.train.weights is not None:
            arguments["sample_weight"] = self.train.weights
        if self.validation is None:
            prefix = f"{name}__" if last is not model else ""
            return model.fit(seen, y, **{f"{prefix}{key}": value for key, value in arguments.items()})
        unseen = self.validation.X
        if len(steps) > 1:
            before = model[:-1]
            seen, unseen = before.fit_transform(seen, y), before.transform(unseen)
            model.steps[:-1] = before.steps
        last.fit(seen, y, **arguments, **self._to_stop_by(last, unseen))
        return model

    def _to_stop_by(self, last: Any, unseen: Any) -> dict[str, Any]:
        """Return the arguments that hold the validation rows."""
        from .labels import NumberedLabels, numbered

        assert self.validation is not None
        assert self.how.validation is not None
        y: Any = self.validation.y
        inner = last
        if isinstance(last, NumberedLabels):
            y, inner = numbered(y, self.train.y), last.estimator
        values = [[(unseen, y)]] if len(self.how.validation) == 1 else [unseen, y]
        found: dict[str, Any] = dict(zip(self.how.validation, values, strict=True))
        weights = self.validation.weights
        if weights is not None:
            takes = inspect.signature(inner.fit).parameters
            found |= {name: weights for name in WEIGHTS if name in takes}
            found |= {name: [weights] for name in LISTS_OF_WEIGHTS if name in takes}
        return found


def fitting(rows: Rows, settings: Config | Rules) -> Fitting:
    """Gather what `fit` in conf/model/ asks for; weights that are none are a `ProjectError`.

    Parameters
    ----------
    rows : Rows
        The training rows.
    settings : Config or Rules
        Without a block `model` (your own pipeline) only the rows count.
    """
    if not isinstance(settings, Config):
        return Fitting(Examples(rows.X, rows.y), Fit())
    how = settings.model.fit
    validation = None
    if how.validation:
        folder = rows.file.parent if rows.file else tables.PREPARED
        validation = _examples(tables.read("validation", folder), settings.model)
    return Fitting(_examples(rows, settings.model), how, validation)


def _examples(rows: Rows, model: Model) -> Examples:
    name = model.fit.sample_weight
    return Examples(rows.X, rows.y, _weights(rows, name, f"conf/model/{model.name}.yaml") if name else None)


def _weights(rows: Rows, name: str, conf_file: str) -> NDArray[np.float64]:
    """Return the weights of rows; refuse what is missing, negative, infinite or no number, and nothing but zeros."""
    column = rows.left_out(name)
    why = f"fit.sample_weight in {conf_file} names the column, and each row counts as much as its weight says"
    if pd.api.types.is_bool_dtype(column) or not (pd.api.types.is_numeric_dtype(column) or column.isna().all()):
        example = column.dropna().astype(object).iloc[0]
        raise ProjectError(
            f"the weights in the column {name!r} are not numbers, such as {example!r}",
            why,
            f"write numbers into {name}; or write `{name}: number` below `types` in conf/data/ to see what is none",
        )
    weights: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    for fault, wrong in {
        "no weight": np.isnan(weights),
        "a negative weight": weights < 0,
        "an infinite weight": np.isinf(weights),
    }.items():
        if wrong.any():
            number = counted(int(wrong.sum()), "row")
            raise ProjectError(
                f"{number} of {len(weights)} {'has' if wrong.sum() == 1 else 'have'} {fault} in the column {name!r}",
                why,
                f"correct the data. To see the first of these rows, write `{name}: "
                "{required: true, min: 0}` below "
                "`rules` in conf/data/, then dvc repro",
            )
    if not weights.any():
        raise ProjectError(f"all weights in the column {name!r} are 0", why, "give the rows that count a weight")
    return weights
