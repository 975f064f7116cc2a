"""Metrics of a project's own: what their functions get, what they may return, and where they count."""

import sys
from types import ModuleType

import numpy as np
import pytest
from modelbook import settings, training
from modelbook.settings import Bootstrap, OwnMetric, Task
from sklearn import metrics as sklearn_metrics

BOOTSTRAP = Bootstrap(resamples=60, level=0.9)
Classification, Regression = training.metrics.Classification, training.metrics.Regression


@pytest.fixture
def team(monkeypatch):
    """Return a module of the team's to write functions into."""
    module = ModuleType("birds")
    module.__spec__ = type(sys.__spec__)("birds", None)
    monkeypatch.setitem(sys.modules, "birds", module)
    return module


def task(name="classification", **metrics):
    metrics = {key: OwnMetric(**value) for key, value in metrics.items()}
    return Task(name=name, metric=settings.METRICS[name][0], slices=[], bootstrap=BOOTSTRAP, metrics=metrics)


def load(function, **more):
    """Return one metric of the team's, which classifies unless the arguments say otherwise."""
    asks = {"function": function, "direction": "higher", **more}
    (metric,) = training.own_metrics.load(task(own=asks))
    return metric


@pytest.fixture
def three():
    """Return the predictions of a classifier for 30 rows of three classes."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1, 1, 1], 30)
    truth = generator.integers(0, 3, 30)
    return Classification(["a", "b", "c"], truth, probabilities.argmax(axis=1), probabilities, probabilities)


@pytest.fixture
def two():
    probabilities = np.random.default_rng(0).dirichlet([1, 1], 40)
    truth = np.arange(40) % 2
    return Classification(["no", "yes"], truth, probabilities.argmax(axis=1), probabilities, probabilities)


# --- what a function gets ---


def test_predictions_are_labels(three):
    labels = np.array(three.labels)
    expected = sklearn_metrics.matthews_corrcoef(labels[three.truth], labels[three.predicted])
    assert load("sklearn.metrics.matthews_corrcoef").value(three) == pytest.approx(expected)
    score = load("sklearn.metrics.fbeta_score", arguments={"beta": 2, "average": "macro"}).value(three)
    assert score == pytest.approx(
        sklearn_metrics.fbeta_score(labels[three.truth], labels[three.predicted], beta=2, average="macro")
    )


def test_of_two_classes_a_function_gets_zeros_and_ones_as_scikit_learn_does(two):
    positive = two.probabilities[:, 1]
    ours = load("sklearn.metrics.average_precision_score", takes="probabilities").value(two)
    assert ours == pytest.approx(sklearn_metrics.average_precision_score(two.truth, positive))
    other = load("sklearn.metrics.average_precision_score", takes="probabilities", positive="no").value(two)
    assert other == pytest.approx(sklearn_metrics.average_precision_score(1 - two.truth, 1 - positive))


def test_of_more_classes_a_function_gets_a_column_for_each_or_those_of_one(three):
    one_hot = np.eye(3)[three.truth]
    whole = load("sklearn.metrics.log_loss", takes="probabilities").value(three)
    assert whole == pytest.approx(three.metrics(np.ones(30))["log_loss"])
    one = load("sklearn.metrics.brier_score_loss", takes="probabilities", positive="b").value(three)
    assert one == pytest.approx(np.mean((one_hot[:, 1] - three.probabilities[:, 1]) ** 2))


def test_a_function_cannot_change_the_predictions(team):
    def spoil(truth, predicted):
        truth[:], predicted[:] = 0, 0
        return 1

    team.spoil = spoil
    scores = Regression(np.arange(5.0), np.arange(5.0) + 1)
    (metric,) = training.own_metrics.load(task("regression", own={"function": "birds.spoil", "direction": "lower"}))
    assert metric.value(scores) == 1
    assert scores.truth.tolist() == [0, 1, 2, 3, 4]


def test_rows_without_the_class_and_models_without_probabilities_have_no_value(three):
    metric = load("sklearn.metrics.average_precision_score", takes="probabilities", positive="b")
    assert np.isnan(metric.value(three.take(np.flatnonzero(three.truth != 1))))
    silent = Classification(three.labels, three.truth, three.predicted, None, three.scores)
    value = metric.value(silent)
    assert np.isnan(value)
    metric.check(None, silent, "test rows")  # like our log loss, it has no value then


# --- what it may not do ---


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("good", "returns 'good'"),
        (None, "returns None"),
        (True, "returns True"),
        (np.bool(True), "returns np.True_"),
        (np.ones(3), r"an array of the shape \(3,\)"),
        (float("inf"), "returns inf"),
        (1 + 2j, r"returns \(1\+2j\)"),
    ],
)
def test_what_is_no_number_is_refused(team, refused, three, answer, shown):
    team.odd = lambda *_: answer
    with refused("birds.odd", shown, r"metric own would be wrong", "return one number", r"metrics\.own out"):
        load("birds.odd").value(three)


@pytest.mark.parametrize("answer", [1, 0.5, np.float32(0.5), np.int64(3), np.array(0.25)])
def test_numbers_of_every_kind_are_taken(team, three, answer):
    team.fine = lambda *_: answer
    assert load("birds.fine").value(three) == float(answer)


def test_a_function_that_fails_is_named_with_its_words_and_place(team, refused, three, project_of, monkeypatch):
    def fails(*_):
        raise IndexError("no such row")

    team.fails = fails
    with refused("birds.fails fails: IndexError: no such row", r"params.yaml: task.metrics.own.function names it"):
        load("birds.fails").value(three)
    monkeypatch.chdir(project_of("classification"))
    with refused("birds.fails fails", r"conf/task/classification.yaml: metrics.own.function names it"):
        load("birds.fails").value(three)


def test_no_value_for_all_rows_of_a_part_is_refused(team, refused, three):
    team.nothing = lambda *_: float("nan")
    with refused("birds.nothing gives no value for the test rows", "take .*metrics.own out"):
        load("birds.nothing").check(None, three, "test rows")


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        ("sklearn.metrics.fbeta_scor", {}, "has no 'fbeta_scor'; did you mean 'fbeta_score'"),
        ("sklearn.metricks.fbeta_score", {}, "there is no module 'sklearn.metricks'"),
        ("nowhere.at.all", {}, "there is no module 'nowhere.at'"),
        ("sklearn.metrics.fbeta_score", {"bta": 2}, "has no argument called bta; did you mean 'beta'"),
        ("sys.maxsize", {}, "sys.maxsize is no function, but of the type int"),
    ],
)
def test_a_mistyped_function_or_argument_is_named_with_the_nearest(refused, function, arguments, words):
    with refused(words):
        load(function, arguments=arguments)


def test_a_class_that_is_not_there_is_named_with_the_nearest(refused, two):
    metric = load("sklearn.metrics.average_precision_score", takes="probabilities", positive="yess")
    with refused("metrics.own: positive is 'yess', which is no class; did you mean 'yes'"):
        metric.value(two)


# --- what conf/ may say ---


@pytest.fixture
def classifies(project_of):
    return training.compose.check(training.compose.compose(project_of("classification") / "conf"))


COST = {"function": "birds.cost", "direction": "lower"}


def with_metrics(params, gate=(), **task):
    values = params.model_dump(mode="json")
    values["task"] |= {"metrics": {"cost": COST}, **task}
    values["gate"] |= dict(gate)
    return settings.parse(values)


def test_an_own_metric_is_one_like_ours(classifies):
    rules = {"floors": {"cost": 3}, "no_worse": {"cost": 0.1}, "slices_no_worse": {"island": {"cost": 1}}}
    found = with_metrics(classifies, rules, metric="cost")
    assert found.task.metric == "cost"
    assert found.task.losses == {"log_loss", "cost"}
    assert found.gate.floors == {"cost": 3}


@pytest.mark.parametrize(
    ("gate", "task", "words"),
    [
        ({"floors": {"csot": 1}}, {}, "gate.floors.csot in .*'csot' is no metric of this project; did you mean 'cost'"),
        ({"no_worse": {"acuracy": 1}}, {}, "gate.no_worse.acuracy in .*did you mean 'accuracy'"),
        ({"slices_no_worse": {"island": {"kost": 1}}}, {}, "gate.slices_no_worse.island.kost in .*did you mean 'cost'"),
        ({"floors": {"rmse": 1}}, {}, "gate.floors.rmse in .*'rmse' does not suit classification; one of accuracy, "),
        ({}, {"metric": "kost"}, "task.metric in .*'kost' is no metric of this project; did you mean 'cost'"),
        ({}, {"metrics": {"rmse": COST}}, "task.metrics.rmse in .*the tool has a metric of this name"),
        ({}, {"metrics": {"cost_low": COST}}, "task.metrics.cost_low in .*no end of an interval"),
        ({}, {"metrics": {"cost of it": COST}}, "task.metrics.cost of it in .*letters, digits and _"),
        ({}, {"metrics": {"cost": {**COST, "directon": 1}}}, "cost.directon in .*did you mean 'direction'"),
        ({}, {"metrics": {"cost": {**COST, "direction": "up"}}}, "cost.direction in .*'higher' or 'lower'"),
        ({}, {"metrics": {"cost": {**COST, "positive": "Adelie"}}}, "it needs takes: probabilities"),
        ({}, {"metrics": {"cost": {**COST, "function": "cost"}}}, "cost.function in .*should match"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_the_nearest_right_name(classifies, refused, gate, task, words):
    with refused(words):
        with_metrics(classifies, gate, **task)


def test_a_regression_has_no_probabilities(refused, project_of):
    params = training.compose.check(training.compose.compose(project_of("regression") / "conf"))
    with refused("task.metrics.cost.takes in .*a regression gives no probabilities"):
        with_metrics(params, metrics={"cost": {**COST, "takes": "probabilities"}})


# --- intervals, and the comparison of two models ---


def test_an_own_metric_that_is_ours_has_the_interval_of_ours(three):
    """Up to a few thousand rows the resamples are the same ones, so that is exact."""
    own = load("sklearn.metrics.log_loss", takes="probabilities", direction="lower")
    ((values, samples),) = training.own_metrics.measured([three], [own], three.n_rows, BOOTSTRAP, 3)
    assert values["own"] == pytest.approx(values["log_loss"])
    np.testing.assert_allclose(samples["own"], samples["log_loss"])


def test_a_slice_is_resampled_with_the_rows_around_it_and_both_sides_alike(team):
    def mean_error(truth, predicted):
        return np.abs(truth - predicted).mean()

    team.mean_error = mean_error
    (own,) = training.own_metrics.load(task("regression", own={"function": "birds.mean_error", "direction": "lower"}))
    generator = np.random.default_rng(1)
    truth = generator.normal(size=6)
    sides = [Regression(truth, truth + generator.normal(size=6)) for _ in range(2)]
    for (_, samples), side in zip(training.own_metrics.measured(sides, [own], 500, BOOTSTRAP, 5), sides, strict=True):
        np.testing.assert_allclose(samples["own"], samples["mae"])
        assert np.isnan(samples["own"]).any()  # now and then a resample has none of six rows
        assert side.n_rows == 6


def test_many_rows_are_drawn_one_by_one():
    """Nothing is known of a function but that it takes rows; the interval is as wide as that of ours."""
    generator = np.random.default_rng(2)
    truth = generator.normal(size=5000)
    side = Regression(truth, truth + generator.normal(size=5000))
    asks = {"function": "sklearn.metrics.mean_absolute_error", "direction": "lower"}
    (own,) = training.own_metrics.load(task("regression", own=asks))
    ((_, samples),) = training.own_metrics.measured([side], [own], 5000, Bootstrap(resamples=200, level=0.9), 7)
    assert np.std(samples["own"]) == pytest.approx(np.std(samples["mae"]), rel=0.2)
    assert np.mean(samples["own"]) == pytest.approx(np.mean(samples["mae"]), rel=0.01)


def test_the_gain_over_the_baseline_goes_by_the_direction(three):
    asks = {"function": "sklearn.metrics.zero_one_loss", "direction": "lower"}
    chosen = task(own=asks).model_copy(update={"metric": "own"})
    right = Classification(three.labels, three.truth, three.truth, None, None)
    own = training.own_metrics.load(chosen)
    found = training.evaluation.figures(right, three, None, chosen, 0, own)
    assert found["metrics"]["own"]["value"] == 0
    assert found["gain_over_baseline"]["own"]["value"] > 0


def test_two_models_are_compared_by_own_metrics_over_all_rows_and_by_slice(three):
    own = [load("sklearn.metrics.matthews_corrcoef")]
    right = Classification(three.labels, three.truth, three.truth, None, None)
    groups = {"place": {"north": np.arange(12), "south": np.arange(12, 15)}}
    found = training.compare.compare(right, three, groups, BOOTSTRAP, 0, own)
    assert found["metrics"]["own"]["ours"]["value"] == 1
    assert found["metrics"]["own"]["difference"]["value"] > 0
    assert "own" in found["slices"]["place"]["north"]["metrics"]
    assert "metrics" not in found["slices"]["place"]["south"]
