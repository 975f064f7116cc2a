"""What people put into conf/model/ and conf/features/ first trains and gives the same bytes twice, or is refused."""

import importlib
import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from modelbook import training
from modelbook.settings import Features, Model
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge

KINDS = {"classification": "Classifier", "regression": "Regressor"}
of_classes = pytest.mark.parametrize("task", ["classification"], indirect=True)


class Strict(LogisticRegression):
    """Takes classes only as 0..k-1, as XGBoost does."""

    def fit(self, X, y):
        found = np.unique(np.asarray(y))
        if list(found) != list(range(len(found))):
            raise RuntimeError(f"Expected: {np.arange(len(found))}, got {found}")
        return super().fit(X, y)


class Moody(DummyClassifier):
    """Fails with whatever labels, as anyone's own code may."""

    def fit(self, *_):
        raise KeyError("nothing here")


class Restless(DummyClassifier):
    """Notes when it was fitted, to how many rows, and whatever `what` says."""

    most_rows = 0

    def __init__(self, what=None):
        super().__init__()
        self.what = what

    def fit(self, X, y):
        Restless.most_rows = max(Restless.most_rows, X.shape[0])
        self.at_ = time.perf_counter_ns()
        self.stranger_ = Bare() if self.what == "stranger" else (lambda: 0) if self.what == "lambda" else None
        return super().fit(X, y)


class Bare:
    """Has scikit-learn's methods, but none of its base classes."""

    def fit(self, *_):
        return self

    predict = set_params = fit

    def get_params(self, *_):
        return {}


def target(import_path, **arguments):
    return {"_target_": import_path, **arguments}


@pytest.fixture
def train(fitted, params, table, columns, tmp_path, monkeypatch):
    """Return a function that checks an estimator as `compose` does and fits it, in a folder that lists nothing."""
    monkeypatch.chdir(tmp_path)

    def trainer(estimator, features=None, rows=None):
        values = params.model_dump(mode="json", by_alias=True) | {"model": {"name": "mine", "estimator": estimator}}
        values["features"] |= features or {}
        chosen = params.model_copy(
            update={
                "model": Model(**values["model"]),
                "features": Features(**values["features"]),
            }
        )
        training.compose.check_estimator(chosen, (Path("conf/model/mine.yaml"),))
        return fitted(table if rows is None else rows, columns, chosen)

    return trainer


def linear(task):
    return target(f"sklearn.linear_model.{'LogisticRegression' if task == 'classification' else 'Ridge'}")


def forest(task):
    return target(f"sklearn.ensemble.RandomForest{KINDS[task]}", n_estimators=4)


def first_tried(task):
    """Return what people try first, without a seed, as they write it."""
    kind, strength = KINDS[task], "C" if task == "classification" else "alpha"
    function = "f_classif" if task == "classification" else "f_regression"
    score = target("hydra.utils.get_method", path=f"sklearn.feature_selection.{function}")
    spread = target("scipy.stats.loguniform", a=0.01, b=10.0)
    members = [["a", linear(task)], ["b", forest(task)]]
    search = {"estimator": linear(task), "cv": 3}
    found = {
        "grid": target("sklearn.model_selection.GridSearchCV", param_grid={strength: [0.1, 1.0]}, **search),
        "grid of forests": target(
            "sklearn.model_selection.GridSearchCV", estimator=forest(task), param_grid={"max_depth": [2, 3]}, cv=2
        ),
        "halving": target("sklearn.model_selection.HalvingGridSearchCV", param_grid={strength: [0.1, 1.0]}, **search),
        "random": target(
            "sklearn.model_selection.RandomizedSearchCV", param_distributions={strength: spread}, n_iter=2, **search
        ),
        "voting": target(f"sklearn.ensemble.Voting{kind}", estimators=members),
        "stacking": target(f"sklearn.ensemble.Stacking{kind}", estimators=members, cv=2),
        "best": target(
            "sklearn.pipeline.Pipeline",
            steps=[
                ["select", target("sklearn.feature_selection.SelectKBest", k=3, score_func=score)],
                ["model", linear(task)],
            ],
        ),
        "spline": target(
            "sklearn.pipeline.Pipeline",
            steps=[["spline", target("sklearn.preprocessing.SplineTransformer")], ["model", linear(task)]],
        ),
        "boosting": target(f"sklearn.ensemble.GradientBoosting{kind}", n_estimators=3),
        "neighbours": target(f"sklearn.neighbors.KNeighbors{kind}", algorithm="ball_tree"),
    }
    if task == "classification":
        found["threshold"] = target("sklearn.model_selection.TunedThresholdClassifierCV", estimator=linear(task), cv=2)
        found["calibrated"] = target("sklearn.calibration.CalibratedClassifierCV", estimator=linear(task), cv=2)
    return found


@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task in KINDS for name in sorted(first_tried(task))], indirect=["task"]
)
def test_it_trains_as_it_is_and_gives_the_same_bytes_twice(task, train, table, columns, name):
    estimator, rows = first_tried(task)[name], table
    if name == "threshold":  # for two classes
        rows = table.assign(answer=table["answer"].where(table["answer"] != "medium", "small"))
    first, second = (training.model_file.to_bytes(train(estimator, rows=rows)) for _ in range(2))
    assert first == second
    loaded = training.model_file.from_bytes(first, "model.skops")
    described = training.interface.describe(rows, columns, loaded, {})
    training.interface.replay(loaded, described, training.interface.golden(rows, columns, loaded))


def test_times_of_a_search_are_left_out_and_its_scores_are_not(params, train):
    model = train(first_tried(params.task.name)["grid"])
    search = training.model_file.from_bytes(training.model_file.to_bytes(model), "model.skops")[-1]
    assert not hasattr(search, "refit_time_")
    assert {key for key in model[-1].cv_results_ if key not in search.cv_results_} == set(training.model_file.TIMES)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], model[-1].cv_results_["mean_test_score"])


def test_what_lies_between_the_fields_of_an_array_is_no_part_of_the_bytes():
    dtype = np.dtype([("a", "i8"), ("b", "u1")], align=True)
    contents = set()
    for filling in (b"\0", b"\xff"):
        array = np.frombuffer(bytearray(filling * dtype.itemsize * 3), dtype)
        array["a"], array["b"] = 1, 2
        contents.add(training.model_file.to_bytes([array]))
    assert len(contents) == 1
    (read,) = training.model_file.from_bytes(contents.pop(), "model.skops")
    assert read.tolist() == [(1, 2)] * 3


# --- labels ---


@of_classes
def test_classes_are_numbered_for_an_estimator_that_takes_no_text_wherever_it_stands(
    train, table, columns, tmp_path, capsys
):
    (tmp_path / "trusted_types.txt").write_text(f"# mine\n{__name__}.Strict  # read by me\n", encoding="utf-8")
    strict = target(f"{__name__}.Strict", max_iter=500)
    search = target("sklearn.model_selection.GridSearchCV", estimator=strict, param_grid={"C": [0.5, 1.0]}, cv=2)
    plain = train(target("sklearn.linear_model.LogisticRegression", max_iter=500))
    capsys.readouterr()
    for estimator in (strict, search):
        model = train(estimator)
        assert "takes no text as class labels" in capsys.readouterr().out
        loaded = training.model_file.from_bytes(training.model_file.to_bytes(model), "model.skops")
        assert list(loaded.classes_) == ["large", "medium", "small"]
        inputs = table[[column.name for column in training.columns.features(columns)]]
        if estimator is strict:
            np.testing.assert_array_equal(loaded.predict(inputs), plain.predict(inputs))
            np.testing.assert_allclose(loaded.predict_proba(inputs), plain.predict_proba(inputs), rtol=1e-6)


# --- refusals ---


def test_a_fit_that_fails_names_the_file_that_decides(params, train, table, tmp_path, refused):
    with refused("refuses to fit: .*n_estimators.*Got -1", "correct conf/model/mine.yaml"):
        train(forest(params.task.name) | {"n_estimators": -1})
    grid = {"estimator": forest(params.task.name), "param_grid": {"n_estimators": [-1]}}
    with refused("All the 5 fits failed. .*Got -1 instead", "correct conf/model/mine.yaml") as caught:
        train(target("sklearn.model_selection.GridSearchCV", **grid))
    assert "Traceback" not in str(caught.value)
    with refused("empty vocabulary", f"correct conf/features/{params.features.name}.yaml"):
        train(linear(params.task.name), {"text": ["place"]}, table.assign(place="a"))
    if params.task.name == "classification":
        (tmp_path / "trusted_types.txt").write_text(f"{__name__}.Moody\n", encoding="utf-8")
        with refused("refuses to fit: KeyError: 'nothing here'", "correct conf/model/mine.yaml"):
            train(target(f"{__name__}.Moody"))


def test_a_fault_in_the_teams_own_code_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_fault.py").write_text("def fit():\n    raise KeyError('x')\n", encoding="utf-8")
    with pytest.raises(KeyError) as caught:
        importlib.import_module("own_fault").fit()
    assert training.own.line_of(caught.value) == "own_fault.py, line 2"


def test_what_cannot_be_used_is_refused_before_training(params, train, refused):
    other = {"classification": "regression", "regression": "classification"}[params.task.name]
    with refused("mine.yaml: sklearn.ensemble.RandomForest.* does not do", "Mixin"):
        train(forest(other))
    with refused(f"'{__name__}.Bare' is not an estimator", "BaseEstimator"):
        train(target(f"{__name__}.Bare"))
    with refused("mine.yaml names types that nobody has reviewed", f"add to trusted_types.txt:\n +{__name__}.Strict"):
        training.estimator.check_trust(
            target("sklearn.ensemble.BaggingClassifier", estimator=target(f"{__name__}.Strict")), "mine.yaml"
        )


@of_classes
@pytest.mark.parametrize("what", ["stranger", "lambda"])
def test_what_cannot_be_kept_is_refused_after_a_few_rows(train, tmp_path, refused, what):
    (tmp_path / "trusted_types.txt").write_text(f"{__name__}.Restless\n", encoding="utf-8")
    Restless.most_rows = 0
    words = {"stranger": f"nobody has reviewed: {__name__}.Bare", "lambda": "cannot be saved: .*lambda.*`def`"}
    with refused(words[what]):
        train(target(f"{__name__}.Restless", what=what))
    assert Restless.most_rows == 200


@of_classes
def test_an_estimator_that_cannot_give_the_same_bytes_is_told_when_it_trains(train, tmp_path, capsys):
    (tmp_path / "trusted_types.txt").write_text(f"{__name__}.Restless\n", encoding="utf-8")
    train(target(f"{__name__}.Restless"))
    assert "do not give the same bytes" in capsys.readouterr().out


def test_parts_without_a_seed_get_the_one_of_compute(params):
    steps = [["a", forest(params.task.name)], ["b", forest(params.task.name) | {"random_state": 7}]]
    built = training.estimator.build(target(f"sklearn.ensemble.Voting{KINDS[params.task.name]}", estimators=steps))
    training.estimator.pin(built, params.compute)
    found = built.get_params(deep=True)
    assert (found["a__random_state"], found["b__random_state"]) == (params.compute.seed, 7)
    assert found["a__n_jobs"] is None


# --- trust ---

HARMLESS = [
    "numpy.dtype",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.metrics._classification.f1_score",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.utils._bunch.Bunch",
    "modelbook.training.preprocessing.DateParts",
    "modelbook.training.labels.NumberedLabels",
]
HARMFUL = [
    "builtins.eval",
    "os.system",
    "numpy.load",
    "scipy.stats._distn_infrastructure.rv_continuous_frozen",
    "sklearn.datasets._base.load_files",
    "sklearn.datasets._openml.fetch_openml",
    "sklearn.utils.os",
    "sklearn.base.clone",
    "sklearn.base.BaseEstimator.fit",
    "sklearn.utils._testing.ignore_warnings",
    "modelbook.errors.ProjectError",
    "modelbook.training.models.fit",
    "modelbook.settings.Data",
    "modelbook.commands.prune.prune",
]


def test_state_and_computations_are_trusted_and_what_reads_writes_or_runs_is_not():
    assert training.trust.trusted(HARMLESS) == set(HARMLESS)
    assert training.trust.trusted(HARMFUL) == frozenset()


@settings(deadline=None)
@given(st.sampled_from(HARMLESS + HARMFUL).flatmap(lambda name: st.tuples(st.just(name), st.integers(0, len(name)))))
def test_a_name_that_is_not_whole_is_never_trusted(name):
    text, cut = name
    for part in (text[:cut], text[cut:], f"{text[:cut]}.{text[cut:]}"):
        if part not in HARMLESS:
            assert not training.trust.trusted([part]) or part in training.trust.PARTS | training.trust.BASES


def test_a_forged_file_that_calls_a_function_is_refused_and_calls_nothing(tmp_path, refused):
    witness = tmp_path / "witness"
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(["touch", [f"touch {witness}"]])))
    schema = json.loads(source.read("schema.json"))
    command = schema["content"][1]
    command.update(__class__="tuple", __loader__="TupleNode")
    call = {"__module__": "os", "__class__": "system", "__loader__": "ConstructorFromReduceNode", "content": command}
    schema["content"][0] = call
    forged = io.BytesIO()
    with zipfile.ZipFile(forged, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    with refused("types that nobody has reviewed: os.system", "trusted_types.txt:\n +os.system"):
        training.model_file.from_bytes(forged.getvalue(), "model.skops")
    assert not witness.exists()


def test_a_line_that_names_no_type_is_refused_with_its_number(tmp_path, refused):
    file = tmp_path / "trusted_types.txt"
    file.write_text("\ufeff# a comment\n\nxgboost.core.Booster\nXGBClassifier\n", encoding="utf-8")
    with refused("line 4: 'XGBClassifier' is not the name of a type"):
        training.trust.listed(file)
    file.write_text("\ufeffxgboost.core.Booster  # read\n", encoding="utf-8")
    assert training.trust.listed(file) == {"xgboost.core.Booster"}


# --- features ---

TARGET = training.columns.Column("y", "number", "target")
ENCODERS = [{"encode_categories": name} for name in ("one_hot", "ordinal", "target", "native")]


@pytest.mark.parametrize("estimator", ["linear", "boosting"])
@pytest.mark.parametrize("features", [*ENCODERS, {"text": ["place"], "max_words": 2}], ids=str)
def test_every_feature_has_a_name_and_the_width_that_was_foreseen(
    params, train, table, columns, refused, features, estimator
):
    boosting = target(f"sklearn.ensemble.HistGradientBoosting{KINDS[params.task.name]}", max_iter=2)
    chosen = linear(params.task.name) if estimator == "linear" else boosting
    if features == {"encode_categories": "native"} and estimator == "linear":
        with refused("native does not suit", "hist_gradient_boosting"):
            train(chosen, features)
        return
    first, second = (train(chosen, features) for _ in range(2))
    assert training.model_file.to_bytes(first) == training.model_file.to_bytes(second)
    inputs = table[[column.name for column in training.columns.features(columns)]]
    before = first["preprocess"]
    names = list(before.get_feature_names_out())
    made = before.transform(inputs)
    assert (len(table), training.preprocessing.width(before, inputs, table["answer"])[0]) == made.shape
    assert len(names) == len(set(names)) == made.shape[1]
    assert "date__day_year" in names
    if features == {"encode_categories": "native"}:
        assert [name for name, is_one in zip(names, first[-1].is_categorical_, strict=True) if is_one] == [
            "category__place"
        ]


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    gaps=st.integers(0, 3),
    rare=st.integers(1, 4),
    most=st.integers(2, 8),
)
def test_the_width_of_one_hot_is_foreseen(team, params, counts, gaps, rare, most):
    values = [f"v{number}" for number, count in enumerate(counts) for _ in range(count)] + [np.nan] * gaps
    rows = pd.DataFrame({"c": pd.Series(values, dtype=object)})
    block = params.features.model_copy(
        update={"encode_categories": "one_hot", "min_frequency": rare, "max_categories": most}
    )
    found = training.tables.Rows(rows.assign(y=1.0), [training.columns.Column("c", "category", "feature"), TARGET])
    before = team.features.pipeline(found, block, Ridge())["preprocess"]
    made = before.fit_transform(rows)
    assert training.preprocessing.width(before, rows, found.y)[0] == made.shape[1]


def test_a_table_that_does_not_fit_is_refused_before_it_is_made(params, train, monkeypatch, refused, capsys):
    monkeypatch.setattr(training.preprocessing, "ANNOUNCED_BYTES", 1)
    train(linear(params.task.name))
    assert "240 rows x " in capsys.readouterr().out
    monkeypatch.setattr(training.preprocessing, "available_bytes", lambda: 5)
    with refused("240 rows x .* features take .* GiB are free", "encode_categories: ordinal"):
        train(linear(params.task.name))


def test_thousands_of_categories_stay_sparse_where_the_estimator_can(team, params):
    rows = pd.DataFrame({"c": [f"v{number % 500}" for number in range(1500)], "n": np.arange(1500.0)})
    block = params.features.model_copy(update={"encode_categories": "one_hot", "max_categories": 1000})
    kinds = {"n": "number", "c": "category"}
    features = [training.columns.Column(name, kind, "feature") for name, kind in kinds.items()]
    found = training.tables.Rows(rows.assign(y=1.0), [*features, TARGET])
    assert team.features.pipeline(found, block, Ridge())["preprocess"].fit_transform(rows).nnz <= 3000


def test_a_text_column_that_is_none_is_refused(params, train, refused):
    with refused("text names size: no feature that holds text", "name some of: place"):
        train(linear(params.task.name), {"text": ["size"]})
