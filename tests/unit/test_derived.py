"""Columns that the team's code derives go by what they hold, and are part of the model; what no step takes is told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from modelbook import training
from modelbook.training.preprocessing import Stateless


class Derived(Stateless):
    """What a test says."""

    derive = None

    def transform(self, X):
        return Derived.derive(X)


@pytest.fixture
def kinds(team, params, table, columns, monkeypatch):
    """Return a function that fits a model with derived columns, and gives the type that each feature has in it."""
    monkeypatch.setattr(team.features, "Derived", Derived)

    def fitter(derive):
        monkeypatch.setattr(Derived, "derive", staticmethod(derive))
        rows = training.tables.Rows(table, columns)
        model = team.features.pipeline(rows, params.features, training.models.estimator(params))
        training.models.fit(model, rows, params)
        raw = table.drop(columns="answer")
        assert len(model.predict(raw)) == len(raw)
        # One row, and one in which all is missing, as a request may be.
        assert len(model.predict(raw.head(1))) == 1
        assert len(model.predict(training.columns.frame([dict.fromkeys(raw.columns)], rows.columns))) == 1
        return {name: kind for kind, _, names in model["preprocess"].transformers_ for name in names}

    return fitter


@pytest.mark.parametrize(
    ("derive", "kind"),
    [
        (lambda X: X["size"] / (X["count"] + 1), "number"),
        (lambda X: X["count"].astype("Int64"), "number"),
        (lambda X: X["size"] > 0, "boolean"),
        (lambda X: X["size"].astype("Float64") > 0, "boolean"),
        (lambda X: X["place"] + "-" + X["place"], "category"),
        (lambda X: X["place"].str.upper(), "category"),
        (lambda X: X["place"].astype("category"), "category"),
        (lambda X: pd.cut(X["size"], [-9, 0, 9], labels=["low", "high"]), "category"),
        (lambda X: X["day"] + pd.Timedelta(days=1), "date"),
        (lambda X: (X["day"] - pd.Timestamp("2024-01-01")).dt.days, "number"),
    ],
)
def test_a_derived_column_goes_by_its_type(kinds, derive, kind):
    assert kinds(lambda X: X.assign(new=derive(X)))["new"] == kind


def test_a_column_that_is_replaced_has_the_type_of_the_new_one_and_one_that_is_not_keeps_its_own(kinds):
    found = kinds(lambda X: X.assign(place=X["place"].map({"north": 1.0, "south": 2.0}), count=X["count"] * 2))
    assert (found["place"], found["count"], found["alive"]) == ("number", "number", "boolean")
    assert "place" not in kinds(lambda X: X.drop(columns="place"))


@pytest.mark.parametrize(
    ("derive", "words"),
    [
        (lambda X: X.assign(new=X["size"] / 0), "the derived column 'new' is infinite in some rows.*np.inf"),
        (lambda X: X.assign(new=pd.cut(X["size"], [-9, 0, 9])), "'new' holds values of the type Interval.*astype"),
        (lambda X: X.assign(new=X["day"] - X["day"].min()), "'new' holds values of the type Timedelta.*dt.days"),
        (lambda X: X.to_numpy(), "the derived columns are a ndarray, not a DataFrame.*X.assign"),
    ],
)
def test_what_no_step_takes_is_told_by_its_name(kinds, refused, derive, words):
    with refused(words):
        kinds(derive)


def test_missing_booleans_are_filled(team, params, table, columns):
    rows = training.tables.Rows(table, columns)
    model = team.features.pipeline(rows, params.features, training.models.estimator(params))
    gaps = replace(rows, table=table.assign(alive=np.where(np.arange(len(table)) % 2, 1.0, np.nan)))
    assert np.isfinite(model[:-1].fit_transform(gaps.X, gaps.y)).all()
