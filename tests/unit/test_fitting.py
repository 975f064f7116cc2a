"""What `fit` in conf/model/ asks for reaches the estimator: weights, the validation rows, other arguments."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from modelbook import training
from modelbook.settings import Fit, Model
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

of_classes = pytest.mark.parametrize("task", ["classification"], indirect=True)
BOOSTING = {"classification": HistGradientBoostingClassifier, "regression": HistGradientBoostingRegressor}


class Pairs(ClassifierMixin, BaseEstimator):
    """Takes validation rows and their weights as XGBoost does, and no labels but 0..k-1."""

    seen = None

    def fit(self, X, y, sample_weight=None, eval_set=None, sample_weight_eval_set=None, verbose=True):
        if np.asarray(y).dtype.kind not in "iu":
            raise ValueError("labels must be numbers")
        Pairs.seen = {"weights": sample_weight, "pairs": eval_set, "of": sample_weight_eval_set, "verbose": verbose}
        self.inner_ = LogisticRegression().fit(X, y, sample_weight)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, X):
        return self.inner_.predict(X)


@pytest.fixture
def folder(table, columns, tmp_path, monkeypatch):
    """Return a folder with prepared rows and what is left out of them; each row has a weight."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "prepared"
    parts = {"train": table.iloc[:150], "validation": table.iloc[150:], "test": table.iloc[150:]}
    place.joinpath("left_out").mkdir(parents=True)
    for name, rows in parts.items():
        beside = pd.DataFrame({"weight": np.arange(len(rows)) + 1.0, "code": "a"})
        training.tables.to_parquet(pa.Table.from_pandas(rows, preserve_index=False), place / f"{name}.parquet")
        training.tables.to_parquet(pa.Table.from_pandas(beside), place / "left_out" / f"{name}.parquet")
    training.columns.write(columns, place / "columns.json")
    return place


@pytest.fixture
def fit(team, params, folder):
    """Return a function that fits an estimator to the prepared rows with a block `fit`."""

    def fitter(estimator, **how):
        target = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        model = Model(name="mine", estimator={"_target_": target}, fit=Fit(**how))
        chosen = params.model_copy(update={"model": model})
        training.estimator.check_fit(estimator, model.fit, "conf/model/mine.yaml")
        rows = training.tables.read("train", folder)
        built = team.features.pipeline(rows, chosen.features, estimator)
        return training.models.fit(built, rows, chosen)

    return fitter


def test_rows_that_weigh_nothing_are_as_if_they_were_not_there(fit, folder, task, team, params):
    beside = pd.read_parquet(folder / "left_out" / "train.parquet")
    beside["weight"] = np.where(np.arange(len(beside)) < 100, 2.0, 0.0)
    beside.to_parquet(folder / "left_out" / "train.parquet")
    boosting = BOOSTING[task](max_iter=5, early_stopping=False)
    weighted, plain = fit(boosting, sample_weight="weight"), fit(BOOSTING[task](max_iter=5, early_stopping=False))
    rows = training.tables.read("train", folder)
    fewer = replace(rows, table=rows.table.head(100))
    same = training.models.fit(team.features.pipeline(rows, params.features, boosting), fewer, params)
    asked = training.tables.read("test", folder).X
    score = "decision_function" if task == "classification" else "predict"
    # The bins of the boosting see all rows, so the trees differ a little.
    distance = [np.abs(getattr(m, score)(asked) - getattr(same, score)(asked)).mean() for m in (weighted, plain)]
    assert distance[0] < distance[1] / 2


def test_the_estimator_stops_by_the_validation_rows_as_the_fitted_steps_transform_them(fit, folder, task):
    class Noted(BOOSTING[task]):
        def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
            Noted.last = {"X": X_val, "y": y_val, "weights": sample_weight_val}
            return super().fit(X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)

    Noted.__module__ = "test_noted"
    model = fit(BOOSTING[task](max_iter=500, n_iter_no_change=3, early_stopping=True), validation=["X_val", "y_val"])
    assert model[-1].n_iter_ < 500
    rows = training.tables.read("validation", folder)
    noted = Pipeline([*model.steps[:-1], ("model", Noted())])
    given = training.fitting.Fitting(
        training.fitting.Examples(*(getattr(training.tables.read("train", folder), name) for name in "Xy")),
        Fit(validation=["X_val", "y_val"]),
        training.fitting.Examples(rows.X, rows.y, np.ones(len(rows.X))),
    )
    again = given.fit(noted)
    np.testing.assert_array_equal(Noted.last["X"], again[:-1].transform(rows.X))
    assert list(Noted.last["y"]) == list(rows.y)
    assert Noted.last["weights"].sum() == len(rows.X)
    np.testing.assert_array_equal(again[:-1].transform(rows.X), model[:-1].transform(rows.X))


@of_classes
def test_pairs_weights_and_other_arguments_arrive_with_labels_of_the_same_encoding(fit, folder, capsys, tmp_path):
    (tmp_path / "trusted_types.txt").write_text(f"{__name__}.Pairs\n", encoding="utf-8")
    model = fit(Pairs(), sample_weight="weight", validation="eval_set", arguments={"verbose": False})
    assert "takes no text as class labels" in capsys.readouterr().out
    train, validation = (training.tables.read(part, folder) for part in ("train", "validation"))
    assert Pairs.seen["verbose"] is False
    np.testing.assert_array_equal(Pairs.seen["weights"], train.left_out("weight"))
    np.testing.assert_array_equal(Pairs.seen["of"][0], validation.left_out("weight"))
    ((seen, y),) = Pairs.seen["pairs"]
    np.testing.assert_array_equal(seen, model[:-1].transform(validation.X))
    assert [model.classes_[number] for number in y] == list(validation.y)


def test_weights_belong_to_the_rows_that_are_left_when_the_teams_code_takes_some_out(folder):
    rows = training.tables.read("train", folder)
    some = replace(rows, table=rows.table.iloc[[3, 1]])
    assert list(some.left_out("weight")) == [4.0, 2.0]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, None, -1.0], "1 row of 3 has no weight in the column 'weight'"),
        ([1.0, -2.0, -1.0], "2 rows of 3 have a negative weight"),
        ([1.0, np.inf, 1.0], "1 row of 3 has an infinite weight"),
        ([0.0, 0.0, 0.0], "all weights in the column 'weight' are 0"),
        (["1", "heavy", None], "the weights in the column 'weight' are not numbers, such as '1'"),
        ([True, False, True], "are not numbers, such as True"),
        ([None, None, None], "3 rows of 3 have no weight"),
    ],
)
def test_what_is_no_weight_is_refused_in_words(folder, refused, weights, words):
    beside = pd.DataFrame({"weight": weights})
    training.tables.to_parquet(pa.Table.from_pandas(beside), folder / "left_out" / "train.parquet")
    rows = training.tables.read("train", folder)
    with refused(words, "fit.sample_weight in conf/model/mine.yaml"):
        training.fitting._weights(replace(rows, table=rows.table.head(3)), "weight", "conf/model/mine.yaml")


def test_a_column_that_is_not_left_out_is_no_weight(folder, refused):
    with refused("left_out/train.parquet has no column 'size'", "add size to `leave_out`"):
        training.tables.read("train", folder).left_out("size")


def test_what_a_fit_does_not_take_is_refused_before_training(refused):
    check, file = training.estimator.check_fit, "conf/model/mine.yaml"
    with refused("mine.yaml: OrdinalEncoder takes no sample weights", "take `sample_weight` out"):
        check(OrdinalEncoder(), Fit(sample_weight="weight"), file)
    with refused("the fit of Pairs has no argument called 'eval_sets'; did you mean 'eval_set'"):
        check(Pairs(), Fit(validation="eval_sets"), file)
    with refused("no argument called 'verbos'; did you mean 'verbose'"):
        check(Pairs(), Fit(arguments={"verbos": True}), file)
    check(Pipeline([("model", Pairs())]), Fit(arguments={"model__verbose": True}), file)


def test_a_weight_that_is_a_feature_is_refused_with_the_line_to_add(generated, refused):
    compose = training.compose
    composed = compose.compose(generated / "conf", ("+model.fit.sample_weight=year",))
    with refused("fit.sample_weight names 'year'", "add year to `leave_out` in conf/data/penguins.yaml"):
        compose.check(composed)
    compose.check(compose.compose(generated / "conf", ("+model.fit.sample_weight=year", "data.leave_out=[year]")))
    for wrong in ("+model.fit.sample_weights=year", "+model.fit.validation=[a,b,c]", "+model.fit.validation=1"):
        with refused("The configuration is not valid", "model.fit."):
            compose.check(compose.compose(generated / "conf", (wrong,)))


def test_a_fit_that_fails_for_its_arguments_blames_the_model_and_not_the_features(fit, task, refused):
    with refused("refuses to fit: X_val and y_val are passed", "correct conf/model/mine.yaml"):
        fit(BOOSTING[task](early_stopping=False), sample_weight="weight", validation=["X_val", "y_val"])


def test_what_cannot_be_saved_is_named(refused):
    model = LogisticRegression()
    model.low_ = [1, pd.Series({"a": 1.0})]
    with refused("the fitted model cannot be saved: LogisticRegression.low_ is a pandas", "to_numpy"):
        training.model_file.to_bytes(Pipeline([("model", model)]))
