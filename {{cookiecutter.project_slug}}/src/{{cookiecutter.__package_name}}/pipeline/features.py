"""Preprocessing: raw columns become numbers inside the fitted pipeline."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.utils import get_tags

from ..errors import ProjectError
from .columns import Column
from .compute import available_bytes
from .config import Features

MISSING = "(missing)"
#: What `DateParts` makes of one column.
PARTS = ("days", "year", "month", "day_of_week", "hour")
#: A table that takes more than this is announced before it is made.
ANNOUNCED_BYTES = 2**28
#: A float64; and in a sparse table with its position.
VALUE_BYTES, SPARSE_VALUE_BYTES = 8, 12


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn dates into numbers: days since 1970, year, month, day of the week, hour.

    A missing date becomes NaN in all five, for an imputer to fill.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> "DateParts":  # noqa: ARG002
        """Learn nothing but the columns."""
        self.n_features_in_ = X.shape[1]
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
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

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of what `transform` returns."""
        names = self.feature_names_in_ if input_features is None else input_features
        return np.asarray([f"{name}_{part}" for name in names for part in PARTS], dtype=object)


class FilledText(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Put empty text where there is none, for a vectorizer that takes one column of text."""

    def fit(self, X: "pd.Series[Any]", y: Any = None) -> "FilledText":  # noqa: ARG002
        """Learn nothing."""
        self.n_features_in_ = 1
        return self

    def transform(self, X: "pd.Series[Any]") -> "pd.Series[Any]":
        """Return the column, shape (n_rows,), without gaps."""
        return X.fillna("")


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
    names = _names(columns, features)
    impute = SimpleImputer(strategy=features.impute_numbers, keep_empty_features=True)
    scale = [StandardScaler()] if features.scale_numbers else []
    steps = {
        "number": make_pipeline(impute, *scale),
        "boolean": SimpleImputer(strategy="most_frequent", keep_empty_features=True),
        "category": make_pipeline(
            SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True), _encoder(features, sparse)
        ),
        "date": make_pipeline(
            DateParts(), SimpleImputer(strategy=features.impute_numbers, keep_empty_features=True), *scale
        ),
    }
    chosen: list[tuple[str, Any, list[str] | str]]
    chosen = [(kind, step, names[kind]) for kind, step in steps.items() if kind in names]
    # One vectorizer for each column of text, which it takes as a series.
    words = make_pipeline(FilledText(), TfidfVectorizer(max_features=features.max_words))
    chosen += [(f"text {number}", clone(words), name) for number, name in enumerate(features.text)]
    return ColumnTransformer(chosen, sparse_threshold=0.3 if sparse else 0)


def _names(columns: list[Column], features: Features) -> dict[str, list[str]]:
    """Return the columns of each type, without those that are read as text."""
    names: dict[str, list[str]] = {}
    for column in columns:
        if column.name not in features.text:
            names.setdefault(column.type, []).append(column.name)
    known = [column.name for column in columns if column.type == "category"]
    unknown = [name for name in features.text if name not in known]
    if unknown:
        raise ProjectError(
            f"conf/features/{features.name}.yaml: text names {', '.join(unknown)}: no feature that holds text",
            "the words of these columns become features",
            f"name some of: {', '.join(known[:30]) or '(there is none)'}",
        )
    return names


def _encoder(features: Features, sparse: bool) -> Any:
    """Return what turns categories into numbers; a category that was not there at training is known as such to each."""
    rare = {"min_frequency": features.min_frequency, "max_categories": features.max_categories}
    if features.encode_categories == "one_hot":
        return OneHotEncoder(handle_unknown="infrequent_if_exist", sparse_output=sparse, **rare)
    if features.encode_categories == "target":
        return TargetEncoder()
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, **rare)


def pipeline(columns: list[Column], features: Features, estimator: Any) -> Pipeline:
    """Return the unfitted pipeline: preprocessing, then the estimator."""
    before = preprocessor(columns, features, bool(get_tags(estimator).input_tags.sparse))
    if features.encode_categories == "native":
        _declare_categories(before, features, estimator)
    return Pipeline([("preprocess", before), ("model", estimator)])


def _declare_categories(before: ColumnTransformer, features: Features, estimator: Any) -> None:
    """Tell the estimator, or those that it is made of, which columns hold categories."""
    widths = {"number": 1, "boolean": 1, "category": 1}
    positions: list[int] = []
    start = 0
    for kind, _, names in before.transformers:
        if kind == "category":
            positions = list(range(start, start + len(names)))
        start += widths.get(kind, 0) * len(names)
    keys = [key for key in estimator.get_params(deep=True) if key.rpartition("__")[2] == "categorical_features"]
    lightgbm = type(estimator).__module__.startswith("lightgbm.")
    if not keys and not lightgbm:
        raise ProjectError(
            f"conf/features/{features.name}.yaml: encode_categories: native does not suit {type(estimator).__name__}",
            "it has no argument that says which columns hold categories",
            "choose model: hist_gradient_boosting (or LightGBM), or encode_categories: one_hot, ordinal or target",
        )
    if positions:
        estimator.set_params(**dict.fromkeys(keys or ["categorical_feature"], positions))


def check_memory(before: ColumnTransformer, rows: pd.DataFrame, answers: "pd.Series[Any]", features: Features) -> None:
    """Say what the table of features will take before it is made, and refuse one that cannot fit.

    Parameters
    ----------
    before : ColumnTransformer
        As `preprocessor` returns it.
    rows : DataFrame of shape (n_rows, n_columns)
        The training rows.
    answers : Series of shape (n_rows,)
        The target.
    features : Features
    """
    n_features, n_filled = width(before, rows, answers, features)
    is_sparse = before.sparse_threshold * n_features > n_filled
    taken = len(rows) * (n_filled * SPARSE_VALUE_BYTES if is_sparse else n_features * VALUE_BYTES)
    if taken < ANNOUNCED_BYTES:
        return
    table = f"{len(rows):,} rows x {n_features:,} features take {taken / 2**30:.1f} GiB"
    print(f"{table}, {'sparse' if is_sparse else 'dense'}", flush=True)
    free = available_bytes()
    if free is not None and taken > free:
        raise ProjectError(
            f"{table}, and {free / 2**30:.1f} GiB are free",
            "the training would be killed, or the machine would stand still",
            f"in conf/features/{features.name}.yaml: encode_categories: ordinal or target, a smaller max_categories or "
            "max_words;\n       or a model that takes a sparse table, such as model: linear",
        )


def width(
    before: ColumnTransformer, rows: pd.DataFrame, answers: "pd.Series[Any]", features: Features
) -> tuple[int, int]:
    """Return how many features there will be, and how many of a row are not zero (the words of a text are few)."""
    names = {kind: columns for kind, _, columns in before.transformers}
    categories = names.get("category", [])
    numbers = sum(len(names.get(kind, [])) for kind in ("number", "boolean")) + len(PARTS) * len(names.get("date", []))
    words = len(features.text) * features.max_words
    if features.encode_categories == "one_hot":
        one_hot = sum(_one_hot_width(rows[name], features) for name in categories)
        return numbers + words + one_hot, numbers + len(categories)
    n_classes = answers.nunique() if answers.dtype == object else 1
    copies = n_classes if features.encode_categories == "target" and n_classes > 2 else 1
    numbers += copies * len(categories)
    return numbers + words, numbers


def _one_hot_width(values: "pd.Series[Any]", features: Features) -> int:
    """Return how many columns `OneHotEncoder` makes of one: rare values share one."""
    counts = values.fillna(MISSING).value_counts()
    frequent = int((counts >= features.min_frequency).sum())
    return min(frequent + (frequent < len(counts)), features.max_categories)
