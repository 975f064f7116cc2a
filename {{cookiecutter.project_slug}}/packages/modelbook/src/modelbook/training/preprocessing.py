"""Parts of a preprocessing pipeline that scikit-learn does not have; the team's `features.py` puts them together."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.utils import get_tags

from ..errors import ProjectError
from ..settings import ColumnType, Features
from .compute import available_bytes
from .tables import Rows, kind_of

MISSING = "(missing)"
#: What `DateParts` makes of one column.
PARTS = ("days", "year", "month", "day_of_week", "hour")
#: A table that takes more than this is announced before it is made.
ANNOUNCED_BYTES = 2**28
#: A float64; and in a sparse table with its position.
VALUE_BYTES, SPARSE_VALUE_BYTES = 8, 12


class Stateless(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Base of transformers that learn nothing: write `transform`, which takes and returns a DataFrame.

    Examples
    --------
    >>> class Ratio(Stateless):
    ...     def transform(self, X):
    ...         return X.assign(ratio=X["length"] / X["depth"])
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> "Stateless":  # noqa: ARG002
        """Learn nothing but the names of the columns."""
        self.n_features_in_ = X.shape[1]
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self


class Numbers(OneToOneFeatureMixin, Stateless):  # type: ignore[misc]
    """Booleans as 0.0 and 1.0, missing as NaN: so the table has them, and columns that your code derived need not."""

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the columns as float64."""
        return X.astype("float64")


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


def by_type(rows: Rows, X: pd.DataFrame, settings: Features) -> dict[str, list[str]]:
    """Return the columns of each type, for a `ColumnTransformer`.

    Parameters
    ----------
    rows : Rows
        The training rows, whose columns have a type.
    X : DataFrame of shape (n_rows, n_columns)
        Their features, and columns that your code derived from them; these go by their dtype.
    settings : Features
        The block `features`; columns that its `text` names have the type `text`.

    Returns
    -------
    dict of str to list of str
        By `number`, `boolean`, `category`, `date` and `text`, in the order of `X`; types without columns are left out.
    """
    if not isinstance(X, pd.DataFrame):
        raise ProjectError(
            f"the derived columns are a {type(X).__name__}, not a DataFrame",
            "columns are found by their names",
            "let `transform` return a DataFrame, such as X.assign(name=...)",
        )
    kinds = {str(name): _kind(X[name], rows) for name in X.columns}
    texts = [name for name, kind in kinds.items() if kind == "category"]
    unknown = [name for name in settings.text if name not in texts]
    if unknown:
        raise ProjectError(
            f"conf/features/{settings.name}.yaml: text names {', '.join(unknown)}: no feature that holds text",
            "the words of these columns become features",
            f"name some of: {', '.join(texts[:30]) or '(there is none)'}",
        )
    names: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        names.setdefault("text" if name in settings.text else kind, []).append(name)
    return names


def _kind(values: "pd.Series[Any]", rows: Rows) -> ColumnType:
    """Return the type of a feature: the one that it has in the table, unless your code derived another one."""
    name = str(values.name)
    known = {column.name: column.type for column in rows.columns}
    kind = kind_of(values)
    if name in known and kind == kind_of(rows.table[name]):
        return known[name]
    fix = None
    if kind == "number" and np.isinf(values.to_numpy(dtype="float64", na_value=np.nan)).any():
        fault, fix = (
            "is infinite in some rows",
            "divide only where there is no 0, or .replace([np.inf, -np.inf], np.nan)",
        )
    present = values.dropna()
    if kind == "category" and len(present) and not isinstance(present.iloc[0], str):
        of = type(present.iloc[0]).__name__
        fault, fix = f"holds values of the type {of}", ".dt.days" if of == "Timedelta" else ".astype(str)"
    if fix is not None:
        raise ProjectError(
            f"the derived column {name!r} {fault}",
            "a feature holds finite numbers, booleans, texts or dates",
            f"change it where it is made: {fix}",
        )
    return kind


def takes_sparse(estimator: Any) -> bool:
    """Tell whether an estimator takes a sparse table."""
    return bool(get_tags(estimator).input_tags.sparse)


def encoder(settings: Features, sparse: bool) -> Any:
    """Return what turns categories into numbers, as `encode_categories` says.

    Each of them knows a category that was not there at training as such.
    """
    rare = {"min_frequency": settings.min_frequency, "max_categories": settings.max_categories}
    if settings.encode_categories == "one_hot":
        return OneHotEncoder(handle_unknown="infrequent_if_exist", sparse_output=sparse, **rare)
    if settings.encode_categories == "target":
        return TargetEncoder()
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, **rare)


def declare_categories(before: ColumnTransformer, settings: Features, estimator: Any) -> None:
    """Tell an estimator which columns hold categories, where `encode_categories: native` asks for it.

    Parameters
    ----------
    before : ColumnTransformer
        Unfitted. Its step `category` gives one column for each that it takes.
    settings : Features
    estimator : estimator
        Changed in place; or those that it is made of.
    """
    if settings.encode_categories != "native":
        return
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
            f"conf/features/{settings.name}.yaml: encode_categories: native does not suit {type(estimator).__name__}",
            "it has no argument that says which columns hold categories",
            "choose model: hist_gradient_boosting (or LightGBM), or encode_categories: one_hot, ordinal or target",
        )
    if positions:
        estimator.set_params(**dict.fromkeys(keys or ["categorical_feature"], positions))


def check_memory(model: Any, X: pd.DataFrame, y: "pd.Series[Any]") -> None:
    """Say what the table of features will take before it is made, and refuse one that cannot fit.

    Parameters
    ----------
    model : estimator
        If it is a `Pipeline` with a `ColumnTransformer`, that is looked at.
    X : DataFrame of shape (n_rows, n_columns)
        The training rows.
    y : Series of shape (n_rows,)
        The target.
    """
    steps = [step for _, step in getattr(model, "steps", [])]
    place = next((n for n, step in enumerate(steps) if isinstance(step, ColumnTransformer)), None)
    if place is None:
        return
    rows = X
    for step in steps[:place]:
        rows = clone(step).fit(rows, y).transform(rows)
    n_features, n_filled = width(steps[place], rows, y)
    is_sparse = steps[place].sparse_threshold * n_features > n_filled
    taken = len(X) * (n_filled * SPARSE_VALUE_BYTES if is_sparse else n_features * VALUE_BYTES)
    if taken < ANNOUNCED_BYTES:
        return
    table = f"{len(X):,} rows x {n_features:,} features take {taken / 2**30:.1f} GiB"
    print(f"{table}, {'sparse' if is_sparse else 'dense'}", flush=True)
    free = available_bytes()
    if free is not None and taken > free:
        raise ProjectError(
            f"{table}, and {free / 2**30:.1f} GiB are free",
            "the training would be killed, or the machine would stand still",
            "in conf/features/: encode_categories: ordinal or target, a smaller max_categories or max_words;\n"
            "       or a model that takes a sparse table, such as model: linear",
        )


def width(before: ColumnTransformer, X: pd.DataFrame, y: "pd.Series[Any]") -> tuple[int, int]:
    """Return how many features there will be, and how many of a row are not zero (the words of a text are few)."""
    n_features = n_filled = 0
    for _, step, names in before.transformers:
        chosen = [names] if isinstance(names, str) else list(names)
        last = step.steps if isinstance(step, Pipeline) else [("", step)]
        kinds = {type(one): one for _, one in last}
        if DateParts in kinds:
            made = filled = len(PARTS) * len(chosen)
        elif OneHotEncoder in kinds:
            made, filled = sum(_one_hot_width(X[name], kinds[OneHotEncoder]) for name in chosen), len(chosen)
        elif TfidfVectorizer in kinds:
            made, filled = kinds[TfidfVectorizer].max_features or 0, 0
        else:
            n_classes = y.nunique() if TargetEncoder in kinds and y.dtype == object else 1
            made = filled = len(chosen) * (n_classes if n_classes > 2 else 1)
        n_features, n_filled = n_features + made, n_filled + filled
    return n_features, n_filled


def _one_hot_width(values: "pd.Series[Any]", encoder: OneHotEncoder) -> int:
    """Return how many columns `OneHotEncoder` makes of one: rare values share one."""
    counts = values.astype(object).fillna(MISSING).value_counts()
    frequent = int((counts >= (encoder.min_frequency or 1)).sum())
    return min(frequent + (frequent < len(counts)), encoder.max_categories or len(counts))
