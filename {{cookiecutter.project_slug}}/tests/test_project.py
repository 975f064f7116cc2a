"""Tests of this project's own code with its own data. They name no column and no model, so both may change."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from modelbook import models, testing
from modelbook.errors import MissingError

ROOT = Path(__file__).resolve().parents[1]
#: What the stages run, such as `penguins.train`.
MODULES = re.findall(r"python -m ([\w.]+)", (ROOT / "dvc.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def in_the_project():
    """Work in the project's folder: paths in conf/ are relative to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield


@pytest.fixture(scope="module")
def settings():
    return testing.settings()


@pytest.fixture(scope="module")
def rows(settings, tmp_path_factory):
    """Return some of the training rows."""
    try:
        return testing.rows(settings, tmp_path_factory.mktemp("prepared"))
    except MissingError as error:  # as in CI, where nobody pulled the data
        pytest.skip(f"{error.what}: {error.fix}")


@pytest.fixture(scope="module")
def fitted(rows, settings):
    """Return the model that conf/ chooses, fitted to these rows."""
    file = next(ROOT.glob("*/features.py"))
    features = importlib.import_module(f"{file.parent.name}.features")
    model = features.pipeline(rows, settings.features, models.estimator(settings))
    return models.fit(model, rows, settings)


def test_conf_composes_and_every_value_in_it_is_valid(settings):
    assert settings.data.name


@pytest.mark.parametrize("name", MODULES)
def test_a_stage_can_be_imported(name):
    importlib.import_module(name)


def test_the_model_answers_each_row(fitted, rows, settings):
    answers = fitted.predict(rows.X)
    assert len(answers) == len(rows.X)
    if settings.task.name == "classification":
        assert set(answers) <= set(rows.y)
    else:
        assert np.isfinite(answers).all()


def test_an_answer_does_not_depend_on_the_rows_beside_it(fitted, rows):
    few = rows.X.head(5)
    together, alone = fitted.predict(few), [fitted.predict(few[n : n + 1])[0] for n in range(len(few))]
    if together.dtype.kind == "f":
        np.testing.assert_allclose(alone, together, rtol=1e-6, atol=1e-6 * np.abs(together).max())
    else:
        assert alone == list(together)


def test_the_model_answers_the_same_after_it_was_saved_and_loaded(fitted, rows):
    np.testing.assert_array_equal(testing.reloaded(fitted).predict(rows.X), fitted.predict(rows.X))
