"""From raw rows to what the estimator takes. All of this is part of the model, so predictions take raw rows, too."""

from modelbook import preprocessing
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


class Derived(preprocessing.Stateless):
    """Columns that are computed from others; add yours here."""

    def transform(self, X):
        # return X.assign(bill_ratio=X["bill_length_mm"] / X["bill_depth_mm"])
        return X


def pipeline(rows, settings, estimator):
    """Return the model, unfitted: derived columns, then preprocessing by type, then the estimator.

    Parameters
    ----------
    rows : modelbook.tables.Rows
        The training rows; their columns have a type.
    settings : modelbook.settings.Features
        The block `features` of conf/.
    estimator : estimator
        From conf/model/.
    """
    derived = Derived()
    names = preprocessing.by_type(rows, derived.fit_transform(rows.X), settings)
    sparse = preprocessing.takes_sparse(estimator)
    numbers = SimpleImputer(strategy=settings.impute_numbers, keep_empty_features=True)
    scaler = [StandardScaler()] if settings.scale_numbers else []
    flags = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
    gaps = SimpleImputer(strategy="constant", fill_value="(missing)", keep_empty_features=True)
    steps = {
        "number": make_pipeline(numbers, *scaler),
        "boolean": make_pipeline(preprocessing.Numbers(), flags),
        "category": make_pipeline(gaps, preprocessing.encoder(settings, sparse)),
        "date": make_pipeline(preprocessing.DateParts(), numbers, *scaler),
    }
    chosen = [(kind, step, names[kind]) for kind, step in steps.items() if kind in names]
    # A vectorizer takes one column of text.
    for number, name in enumerate(names.get("text", [])):
        words = make_pipeline(preprocessing.FilledText(), TfidfVectorizer(max_features=settings.max_words))
        chosen.append((f"text {number}", words, name))
    before = ColumnTransformer(chosen, sparse_threshold=0.3 if sparse else 0)
    preprocessing.declare_categories(before, settings, estimator)
    return Pipeline([("derived", derived), ("preprocess", before), ("model", estimator)])
