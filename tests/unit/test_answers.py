"""What a model answers is checked before it counts: no metric is made of the wrong shape."""

import numpy as np
import pandas as pd
import pytest
from modelbook import training
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC, NuSVC

ROWS = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})


def blobs(n_classes):
    rows, y = make_blobs(60 * n_classes, centers=n_classes, cluster_std=4.0, random_state=0)
    return pd.DataFrame(rows, columns=["a", "b"]), np.array(list("abcdefg"))[y]


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "estimator",
    [
        SVC(decision_function_shape="ovo"),
        NuSVC(nu=0.5, decision_function_shape="ovo"),
        make_pipeline(SVC(decision_function_shape="ovo")),
        GridSearchCV(SVC(decision_function_shape="ovo"), {"C": [1.0]}, cv=2),
        SVC(),
        LinearSVC(),
        OneVsOneClassifier(LinearSVC()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scores_rank_the_classes_whatever_shape_the_estimator_gives(estimator, n_classes):
    rows, y = blobs(n_classes)
    model = estimator.fit(rows, y)
    found = training.answers.answer(model, rows, "category")
    if hasattr(estimator, "decision_function_shape"):
        reference = SVC() if isinstance(estimator, SVC) else NuSVC(nu=0.5)
        expected = reference.fit(rows, y).decision_function(rows)
    else:
        expected = found.scores
    expected = np.column_stack([-expected, expected]) if expected.ndim == 1 else expected
    assert found.scores.shape == (len(rows), n_classes)
    for k, label in enumerate(found.labels):
        assert roc_auc_score(y == label, found.scores[:, k]) == pytest.approx(roc_auc_score(y == label, expected[:, k]))


class Classifier:
    """Answers what it is told to."""

    classes_ = np.array(["a", "b", "c"])

    def __init__(self, predicted=("a", "b", "c", "a"), **answers):
        self.predicted = np.array(predicted)
        for name, answer in answers.items():
            setattr(self, name, lambda rows, answer=answer: answer)

    def predict(self, _rows):
        return self.predicted

    def get_params(self, deep):  # noqa: ARG002
        return {}


SURE = np.eye(3)[[0, 1, 2, 0]]


def test_one_column_of_predictions_is_a_list_of_them():
    model = Classifier([["a"], ["b"], ["c"], ["a"]], predict_proba=SURE)
    assert training.answers.answer(model, ROWS, "category").predicted.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (Classifier(["a", "b", "c", "x"]), "row 4: the model predicts 'x', which is none of its classes"),
        (Classifier([["a", "b"]] * 4), r"predict\(\) returns the shape \(4, 2\) for 4 rows"),
        (Classifier(["a", "b", "c"]), r"predict\(\) returns the shape \(3,\) for 4 rows"),
        (
            Classifier(predict_proba=SURE[:, :2]),
            r"predict_proba\(\) returns the shape \(4, 2\) for 4 rows and 3 classes",
        ),
        (Classifier(predict_proba=[SURE, SURE]), r"predict_proba\(\) returns a list of 2 arrays"),
        (Classifier(predict_proba=SURE * [[1], [2], [1], [1]]), "row 2: the model's probabilities are"),
        (
            Classifier(predict_proba=SURE + np.outer([0, 0, 0, 1], [-1.5, 1.5, 0])),
            "row 4: the model's probabilities are",
        ),
        (Classifier(predict_proba=np.where(SURE > 0, np.nan, 0.0)), "row 1: the model's probabilities are"),
        (
            Classifier(decision_function=np.full((4, 3), np.inf)),
            r"decision_function\(\) returns numbers that are not finite",
        ),
    ],
)
def test_answers_that_fit_no_metric_are_refused(refused, model, fault):
    with refused(fault, "fix: "), np.errstate(invalid="ignore"):
        training.answers.answer(model, ROWS, "category")


@pytest.mark.parametrize("scores", [SURE[:, [2, 0, 1]], SURE[:, :1], SURE[:, 0], np.ones((4, 7))])
def test_scores_that_cannot_be_read_give_no_roc_auc_instead_of_a_wrong_one(scores):
    found = training.answers.answer(Classifier(decision_function=scores), ROWS, "category")
    assert found.scores is None
    judged = training.metrics.Classification(found.labels, np.array([0, 1, 2, 0]), found.predicted, None, found.scores)
    measured = judged.metrics(np.ones(4))
    assert measured["accuracy"] == 1.0
    assert np.isnan(measured["roc_auc"])
    assert len(training.plots.roc_curve(judged, 0)) == len(training.plots.precision_recall_curve(judged, 0)) == 0


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e200, -1e300])
def test_predictions_that_no_error_can_be_measured_with_are_refused(refused, value):
    with refused("row 3: the model predicts", r"\(1 such rows\)", "extreme values"):
        training.answers.answer(Classifier([1.0, 2.0, value, 3.0]), ROWS, "number")


def test_predictions_stand_beside_ids_and_truth_and_are_read_back(tmp_path):
    predictions, path = training.predictions, tmp_path / "p.parquet"
    raw = pd.DataFrame({"id": ["1", "2", "30"], "predicted": ["01", "2", "3"], "score: a": ["1", "x", None]})
    ids = predictions.identifiers(predictions.pa.Table.from_pandas(raw))
    truth = pd.Series(["a", "b", "b"])
    found = training.answers.Answers(["a", "b"], np.array([0, 1, 0]), np.eye(2)[[0, 1, 0]], np.eye(2)[[0, 1, 0]])
    predictions.write(found, path, {**ids, "y": truth})
    table = pd.read_parquet(path)
    assert table["id"].tolist() == [1, 2, 30]
    assert table["predicted (raw)"].tolist() == ["01", "2", "3"]
    assert table["y"].tolist() == ["a", "b", "b"]
    assert table["predicted"].tolist() == ["a", "b", "a"]
    assert predictions.classes(list(table.columns)) == ["a", "b"]
    judged = predictions.read(path, truth, ["a", "b"])
    assert judged.probabilities.tolist() == np.eye(2)[[0, 1, 0]].tolist()
    assert judged.metrics(np.ones(3))["accuracy"] == pytest.approx(2 / 3)


def test_predictions_without_probabilities_and_scores_stay_without(tmp_path):
    path = tmp_path / "p.parquet"
    training.predictions.write(training.answers.Answers(["a", "b"], np.array([0, 1])), path, {})
    judged = training.predictions.read(path, pd.Series(["a", "b"]), ["a", "b"])
    assert judged.probabilities is judged.scores is None
    assert {name: value for name, value in judged.metrics(np.ones(2)).items() if not np.isnan(value)} == {
        "accuracy": 1.0,
        "f1_macro": 1.0,
    }


def test_a_constant_model_of_three_classes_keeps_its_scores():
    rows, y = blobs(3)
    model = LogisticRegression(C=1e-9).fit(rows, y)
    assert training.answers.answer(model, rows, "category").probabilities.shape == (len(rows), 3)
