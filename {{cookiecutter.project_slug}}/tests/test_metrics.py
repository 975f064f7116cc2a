"""Metrics agree with scikit-learn, weighted or not; intervals and plots hold what they promise."""

import numpy as np
import pytest
from conftest import ROOT
from sklearn import metrics as sk

LABELS = ["a", "b", "c"]


@pytest.fixture
def scores(pipeline):
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 120)
    probabilities = generator.dirichlet([1, 1, 1], 120).round(1) + 0.01
    probabilities[np.arange(120), truth] += 0.4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return pipeline.metrics.Classification(LABELS, truth, probabilities.argmax(axis=1), probabilities, probabilities)


def test_classification_metrics_are_scikit_learns(scores):
    weights = np.random.default_rng(2).integers(1, 4, 120).astype(float)
    found = scores.metrics(weights)
    truth, predicted, p = scores.truth, scores.predicted, scores.probabilities
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted, sample_weight=weights))
    assert found["f1_macro"] == pytest.approx(sk.f1_score(truth, predicted, average="macro", sample_weight=weights))
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, p, sample_weight=weights))
    auc = [sk.roc_auc_score(truth == k, p[:, k], sample_weight=weights) for k in range(3)]
    assert found["roc_auc"] == pytest.approx(np.mean(auc))


def test_regression_metrics_are_scikit_learns(pipeline):
    generator = np.random.default_rng(3)
    truth = generator.normal(size=50)
    predicted = truth + generator.normal(size=50)
    weights = generator.integers(1, 4, 50).astype(float)
    found = pipeline.metrics.Regression(truth, predicted).metrics(weights)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, predicted, sample_weight=weights))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(truth, predicted, sample_weight=weights))
    assert found["r2"] == pytest.approx(sk.r2_score(truth, predicted, sample_weight=weights))


def test_the_interval_holds_the_value_and_narrows_with_rows(pipeline):
    config = pipeline.config.Bootstrap(resamples=200, level=0.9)

    def width(n):
        rows = pipeline.metrics.Regression(np.zeros(n), np.random.default_rng(0).normal(size=n))
        entry = pipeline.metrics.intervals(n, rows.metrics, config, 0)["mae"]
        assert entry["low"] < entry["value"] < entry["high"]
        return entry["high"] - entry["low"]

    assert width(4000) < width(40) / 3


def test_a_metric_without_a_value_is_null(pipeline):
    config = pipeline.config.Bootstrap(resamples=50, level=0.9)
    entry = pipeline.metrics.intervals(3, lambda weights: {"x": float("nan")}, config, 0)["x"]
    assert entry == {"value": None, "low": None, "high": None}


def test_the_roc_curve_has_the_area_that_is_reported(pipeline, scores):
    for k in range(3):
        points = pipeline.plots.roc_curve(scores, k)
        assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(scores.roc_auc(np.ones(120), k), abs=1e-3)
        assert points[0].tolist() == [0, 0]
        assert points[-1].tolist() == [1, 1]


def test_plots_are_written_for_estimators_without_probabilities(pipeline, scores, tmp_path):
    without = pipeline.metrics.Classification(LABELS, scores.truth, scores.predicted, None, np.eye(3)[scores.predicted])
    pipeline.plots.write(without, tmp_path)
    assert (tmp_path / "calibration.csv").read_text(encoding="utf-8") == "class,predicted,observed\n"
    assert {p.name for p in (tmp_path / "images").iterdir()} == {
        "calibration.png", "confusion.png", "precision_recall.png", "roc.png",
    }  # fmt: skip
    assert "log_loss" not in without.metrics(np.ones(120))


def test_labels_with_special_characters_are_drawn(pipeline, scores, tmp_path):
    odd = ["$x^2$ \\frac", "<b>" * 20, "größer"]
    named = pipeline.metrics.Classification(
        odd, scores.truth, scores.predicted, scores.probabilities, scores.probabilities
    )
    pipeline.plots.write(named, tmp_path)


def test_the_baseline_is_the_model_that_knows_no_feature(pipeline, table, columns):
    composed = pipeline.compose.compose(ROOT / "conf", ("model=baseline",))
    model = pipeline.train.train(table, columns, pipeline.compose.check(composed))
    scores = pipeline.evaluate.score(model, table, columns)
    described = pipeline.interface.describe(table, columns, model, {})
    ones = np.ones(len(table))
    dummy = pipeline.evaluate.baseline(described, scores)
    assert dummy.metrics(ones) == pytest.approx(scores.metrics(ones))


def test_slices_and_classes_are_reported(pipeline, table, columns, params):
    model = pipeline.train.train(table, columns, params)
    scores = pipeline.evaluate.score(model, table, columns)
    task = params.task.model_copy(
        update={"slices": ["place"], "bootstrap": pipeline.config.Bootstrap(resamples=50, level=0.9)}
    )
    dummy = pipeline.evaluate.baseline(pipeline.interface.describe(table, columns, model, {}), scores)
    result = pipeline.evaluate.evaluate(scores, dummy, table, task, 0)
    assert set(result["slices"]["place"]) == {"north", "south", "east", "(missing)"}
    assert result["rows"] == len(table)
    if params.task.name == "classification":
        assert set(result["classes"]) == {"small", "medium", "large"}


def test_a_slice_that_does_not_exist_is_refused(pipeline, table, params, refused):
    with refused("slices names 'no_such_column'"):
        pipeline.evaluate._check_slices(table, params.task.model_copy(update={"slices": ["no_such_column"]}))
