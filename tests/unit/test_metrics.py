"""Metrics agree with scikit-learn, weighted or not; plots hold what they promise."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelbook import training
from modelbook.settings import Bootstrap
from sklearn import metrics as sk

LABELS = ["a", "b", "c"]


@pytest.fixture
def scores():
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 120)
    probabilities = generator.dirichlet([1, 1, 1], 120).round(1) + 0.01
    probabilities[np.arange(120), truth] += 0.4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return training.metrics.Classification(LABELS, truth, probabilities.argmax(axis=1), probabilities, probabilities)


def test_classification_metrics_are_scikit_learns(scores):
    weights = np.random.default_rng(2).integers(1, 4, 120).astype(float)
    found = scores.metrics(weights)
    truth, predicted, p = scores.truth, scores.predicted, scores.probabilities
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted, sample_weight=weights))
    assert found["f1_macro"] == pytest.approx(sk.f1_score(truth, predicted, average="macro", sample_weight=weights))
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, p, sample_weight=weights))
    auc = [sk.roc_auc_score(truth == k, p[:, k], sample_weight=weights) for k in range(3)]
    assert found["roc_auc"] == pytest.approx(np.mean(auc))


def test_regression_metrics_are_scikit_learns():
    generator = np.random.default_rng(3)
    truth = generator.normal(size=50)
    predicted = truth + generator.normal(size=50)
    weights = generator.integers(1, 4, 50).astype(float)
    found = training.metrics.Regression(truth, predicted).metrics(weights)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, predicted, sample_weight=weights))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(truth, predicted, sample_weight=weights))
    assert found["r2"] == pytest.approx(sk.r2_score(truth, predicted, sample_weight=weights))


def test_the_roc_curve_has_the_area_that_is_reported(scores):
    for k in range(3):
        points = training.plots.roc_curve(scores, k)
        assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(scores.roc_auc(np.ones(120), k), abs=1e-3)
        assert points[0].tolist() == [0, 0]
        assert points[-1].tolist() == [1, 1]


def test_plots_are_written_for_estimators_without_probabilities(scores, tmp_path):
    without = training.metrics.Classification(LABELS, scores.truth, scores.predicted, None, np.eye(3)[scores.predicted])
    training.plots.write(without, tmp_path)
    assert (tmp_path / "calibration.csv").read_text(encoding="utf-8") == "class,predicted,observed\n"
    assert {p.name for p in (tmp_path / "images").iterdir()} == {
        "calibration.png", "confusion.png", "precision_recall.png", "roc.png",
    }  # fmt: skip
    assert "log_loss" not in without.metrics(np.ones(120))


def test_labels_with_special_characters_are_drawn(scores, tmp_path):
    odd = ["$x^2$ \\frac", "<b>" * 20, "größer"]
    named = training.metrics.Classification(
        odd, scores.truth, scores.predicted, scores.probabilities, scores.probabilities
    )
    training.plots.write(named, tmp_path)


def test_the_baseline_is_the_model_that_knows_no_feature(generated, fitted, table, columns):
    composed = training.compose.compose(generated / "conf", ("model=baseline",))
    model = fitted(table, columns, training.compose.check(composed))
    scores = training.evaluation.score(model, table, columns)
    described = training.interface.describe(table, columns, model, {})
    ones = np.ones(len(table))
    dummy = training.evaluation.baseline(described, scores)
    assert dummy.metrics(ones) == pytest.approx(scores.metrics(ones))


def test_slices_and_classes_are_reported(fitted, table, columns, params):
    model = fitted(table, columns, params)
    scores = training.evaluation.score(model, table, columns)
    task = params.task.model_copy(update={"slices": ["place"], "bootstrap": Bootstrap(resamples=50, level=0.9)})
    dummy = training.evaluation.baseline(training.interface.describe(table, columns, model, {}), scores)
    result = training.evaluation.figures(scores, dummy, pa.Table.from_pandas(table), task, 0)
    assert set(result["slices"]["place"]) == {"north", "south", "east", "(missing)"}
    assert result["rows"] == len(table)
    if params.task.name == "classification":
        assert set(result["classes"]) == {"small", "medium", "large"}


# --- slices ---


@given(
    st.lists(st.none() | st.sampled_from(["", "(missing)", "((missing))", "None", "1", "1.0"]), max_size=30)
    | st.lists(st.none() | st.sampled_from([1.0, 1.5, 0.0, -0.0, 1e22, 10.0]), max_size=30)
    | st.lists(st.none() | st.booleans(), max_size=30)
    | st.lists(st.none() | st.datetimes(min_value=datetime(1700, 1, 1)), max_size=30)
)
@settings(deadline=None)  # the first example imports the module
def test_every_row_is_in_the_slice_of_its_value_and_no_two_values_share_one(values):
    groups = training.evaluation.slices(pa.chunked_array([pa.array(values)]))
    assert sorted(row for rows in groups.values() for row in rows) == list(range(len(values)))
    assert len(groups) == len(set(values))
    for rows in groups.values():
        assert len({values[row] for row in rows}) == 1


def test_slices_are_named_as_people_write_their_values():
    def names(*values):
        return list(training.evaluation.slices(pa.chunked_array([pa.array(values)])))

    assert names(3.0, 2.5, 3.0, None) == ["3", "(missing)", "2.5"]
    assert names(True, False) == ["false", "true"]
    assert names(datetime(2024, 1, 31), datetime(2024, 1, 31, 5)) == ["2024-01-31", "2024-01-31T05:00:00"]


def test_slices_by_what_is_no_column_or_measures_are_refused(params, refused):
    table = pa.table({"size": [float(n) for n in range(60)], "code": [f"c{n}" for n in range(60)], "few": [1.0] * 60})
    for name, words in (("colour", "which is no column"), ("size", "which holds 60 different numbers.*leave_out")):
        with refused(f"slices names '{name}', {words}"):
            training.evaluation._check_slices(table, params.task.model_copy(update={"slices": [name]}))
    training.evaluation._check_slices(table, params.task.model_copy(update={"slices": ["code", "few"]}))


def test_values_that_a_report_leaves_out_are_counted(params):
    n, limit = 400, training.evaluation.MOST_SLICES
    common = [f"c{k}" for k in range(limit + 10)]
    table = pa.table({"shop": (common * 5 + ["rare"] * 3)[:n] + ["c0"] * max(0, n - 5 * len(common) - 3)})
    scores = training.metrics.Regression(np.zeros(n), np.ones(n))
    task = params.task.model_copy(
        update={"slices": ["shop"], "metric": "rmse", "bootstrap": Bootstrap(resamples=50, level=0.9)}
    )
    result = training.evaluation.figures(scores, scores, table, task, 0)
    assert len(result["slices"]["shop"]) == limit
    assert result["not_in_slices"] == {"shop": {"values": 11, "rows": 53}}


def test_where_one_class_is_there_is_no_roc_curve(scores):
    one = scores.take(np.flatnonzero(scores.truth == 0))
    assert np.isnan(one.metrics(np.ones(one.n_rows))["roc_auc"])


def test_a_column_that_the_model_must_not_see_has_slices_in_every_part(
    fitted, table, columns, params, tmp_path, monkeypatch
):
    """As one looks for a model that is unfair to a group of people that it is not told about."""
    monkeypatch.chdir(tmp_path)
    model = fitted(table, columns, params)
    prepared = tmp_path / "prepared"
    (prepared / "left_out").mkdir(parents=True)
    training.columns.write(columns, prepared / "columns.json")
    hidden = pa.table({"sex": ["f", "m"] * (len(table) // 2)})
    for part in ("test", "validation"):
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), prepared / f"{part}.parquet")
        pq.write_table(hidden, prepared / "left_out" / f"{part}.parquet")
    described = training.interface.describe(table, columns, model, {})
    monkeypatch.setattr(training.interface, "read", lambda _: {**described, "file": None})
    monkeypatch.setattr(training.model_file, "load", lambda *_: model)
    task = params.task.model_copy(update={"slices": ["sex"], "bootstrap": Bootstrap(resamples=50, level=0.9)})
    _, results = training.evaluation._judge(("test", "validation"), prepared, task, params.compute)
    for part in ("test", "validation"):
        assert set(results[part]["slices"]["sex"]) == {"f", "m"}


def test_the_gate_is_told_of_each_value_of_each_part(tmp_path):
    files = []
    for part, shops, notes in (
        ("test", ["a"] * 6 + ["b"] * 2 + [None], ["x"] * 9),
        ("train", ["a", "only in train", "(missing)"], ["x"] * 3),
    ):
        pq.write_table(pa.table({"x": [float(n) for n in range(len(notes))]}), tmp_path / f"{part}.parquet")
        pq.write_table(pa.table({"shop": shops}), tmp_path / f"left {part}.parquet")
        files.append([str(tmp_path / f"{part}.parquet"), str(tmp_path / f"left {part}.parquet")])
    groups, refused = training.compare.find_slices(files, ["shop", "x", "colour"])
    expected = {"a": 6, "b": 2, "((missing))": 1, "only in train": 0, "(missing)": 0}
    assert {value: len(rows) for value, rows in groups["shop"].items()} == expected
    assert refused == {"colour": "no such column"}
    ours = training.metrics.Regression(np.zeros(9), np.ones(9))
    found = training.compare.compare(ours, ours, groups, Bootstrap(resamples=50, level=0.9), 0)
    assert {value: entry["rows"] for value, entry in found["slices"]["shop"].items()} == expected
    assert [value for value, entry in found["slices"]["shop"].items() if "metrics" in entry] == ["a"]
