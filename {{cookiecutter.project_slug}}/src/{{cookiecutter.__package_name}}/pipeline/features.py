"""Preprocessing: raw columns become numbers inside the fitted pipeline."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .columns import Column
from .config import Features

MISSING = "(missing)"


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn dates into numbers: days since 1970, year, month, day of the week, hour.

    A missing date becomes NaN in all five, for an imputer to fill.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> "DateParts":  # noqa: ARG002
        """Learn nothing but the number of columns."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return an array of shape (n_rows, 5 * n_columns)."""
        parts = []
        for name in X.columns:
            dates = X[name]
            # In microseconds: pandas' own difference counts in nanoseconds, which end in the year 2262.
            days = pd.Series((dates.to_numpy("datetime64[us]") - np.datetime64(0, "us")) / np.timedelta64(1, "D"))
            parts += [days, dates.dt.year, dates.dt.month, dates.dt.day_of_week, dates.dt.hour]
        return np.column_stack([part.to_numpy(dtype="float64", na_value=np.nan) for part in parts])


def preprocessor(columns: list[Column], features: Features, sparse: bool) -> ColumnTransformer:
    """Return the transformer for the columns' types.

    Parameters
    ----------
    columns : list of Column
        The features.
    features : Features
        The block `features` of the configuration.
    sparse : bool
        Whether the estimator takes sparse input.
    """
    names: dict[str, list[str]] = {}
    for column in columns:
        names.setdefault(column.type, []).append(column.name)
    impute = SimpleImputer(strategy=features.impute_numbers, keep_empty_features=True)
    scale = [StandardScaler()] if features.scale_numbers else []
    steps = {
        "number": make_pipeline(impute, *scale),
        "boolean": SimpleImputer(strategy="most_frequent", keep_empty_features=True),
        "category": make_pipeline(
            SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True),
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=features.min_frequency,
                max_categories=features.max_categories,
                sparse_output=sparse,
            ),
        ),
        "date": make_pipeline(
            DateParts(), SimpleImputer(strategy=features.impute_numbers, keep_empty_features=True), *scale
        ),
    }
    return ColumnTransformer([(kind, step, names[kind]) for kind, step in steps.items() if kind in names])


def pipeline(columns: list[Column], features: Features, estimator: Any) -> Pipeline:
    """Return the unfitted pipeline: preprocessing, then the estimator."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    sparse = bool(tags().input_tags.sparse) if callable(tags) else False
    return Pipeline([("preprocess", preprocessor(columns, features, sparse)), ("model", estimator)])
