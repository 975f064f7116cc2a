"""What the tests of the tool share: the tool itself, a generated project for each task, and small tables."""

import functools
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cookiecutter.main import cookiecutter
from filelock import FileLock

TEMPLATE = Path(__file__).resolve().parents[2]
#: The project's folder in the template; only files that Jinja leaves alone are read here.
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
SOURCE = PROJECT / "packages" / "modelbook" / "src"


def load_tool():
    """Import every module of the tool, so that tests reach each one through its package.

    Bytecode is kept elsewhere: whoever generates a project would get it, too.
    """
    sys.pycache_prefix = str(TEMPLATE / "build" / "bytecode")
    sys.path.insert(0, str(SOURCE))
    for module in pkgutil.walk_packages([str(SOURCE / "modelbook")], "modelbook."):
        importlib.import_module(module.name)
    importlib.import_module("matplotlib.font_manager")  # asks fontconfig for its fonts, once on a new machine


load_tool()
from modelbook import training  # noqa: E402
from modelbook.errors import ProjectError  # noqa: E402

training.model_file.skops_io()  # before a test imports it: as in a stage, `trust` is asked about each type


@pytest.fixture(scope="package", autouse=True)
def _children_find_the_tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SOURCE))
        patch.setenv("PYTHONPYCACHEPREFIX", sys.pycache_prefix)
        yield


@pytest.fixture(autouse=True)
def _only_real_tests_start_processes(request, monkeypatch):
    """Hold the marker `real` against what a test does: `make test-fast` runs those without it."""

    def refuse(*_, **__):
        pytest.fail("mark this test `real`: it starts a process")

    if request.node.get_closest_marker("real") is None:
        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.fixture(scope="session", params=["classification", "regression"])
def task(request):
    return request.param


@pytest.fixture(scope="session")
def project_of(tmp_path_factory, worker_id):
    """Return a function that gives the root of a project for a task, to be read only; made once for all workers."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent

    def project(task):
        folder = shared / f"generated-{task}"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                folder.mkdir()
                settings = folder / "settings.yaml"
                settings.write_text(f"replay_dir: '{folder}'\ncookiecutters_dir: '{folder}'\n", encoding="utf-8")
                cookiecutter(
                    str(TEMPLATE),
                    no_input=True,
                    extra_context={"task": task},
                    output_dir=str(folder),
                    config_file=str(settings),
                    accept_hooks=False,
                )
        return folder / "penguins"

    return project


@pytest.fixture(scope="session")
def generated(project_of, task):
    """Return the root of a project for each task in turn."""
    return project_of(task)


@pytest.fixture(scope="session")
def team(project_of):
    """Return the package of a generated project; for the tool it is the team's own, wherever a test runs."""
    is_own = training.trust.is_of_the_project
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project_of("classification"))  # the code is the same for each task
        patch.setattr(training.trust, "is_of_the_project", lambda name: name == "penguins" or is_own(name))
        for stage in ("prepare", "train", "evaluate"):
            importlib.import_module(f"penguins.{stage}")
        yield importlib.import_module("penguins")


@pytest.fixture(scope="session")
def fitted(team):
    """Return a function that builds the model that some settings describe and fits it, as the stage `train` does."""

    def fit(table, columns, params):
        rows = training.tables.Rows(table, columns)
        model = team.features.pipeline(rows, params.features, training.models.estimator(params))
        return training.models.fit(model, rows, params)

    return fit


@pytest.fixture
def refused():
    """Return a context manager that expects a `ProjectError` whose text matches."""

    def expect(*parts):
        return pytest.raises(ProjectError, match="(?s)" + ".*".join(parts))

    return expect


@pytest.fixture(scope="session")
def params(generated):
    """Return the configuration as the `conf/` of the project composes."""
    return composed(generated / "conf")


@functools.cache  # pytest makes a fixture again whenever the task changes
def composed(conf):
    return training.compose.check(training.compose.compose(conf))


@pytest.fixture(scope="session")
def columns(task):
    """Return columns of every type, with a target that suits the task."""
    kind = "category" if task == "classification" else "number"
    types = {"size": "number", "count": "number", "alive": "boolean", "place": "category", "day": "date"}
    features = [training.columns.Column(name, type_, "feature") for name, type_ in types.items()]
    return [*features, training.columns.Column("answer", kind, "target")]


@pytest.fixture(scope="session")
def table(columns):
    """Return 240 rows that a model can learn from, with gaps in every feature."""
    generator = np.random.default_rng(0)
    n = 240
    size = generator.normal(size=n)
    rows = pd.DataFrame(
        {
            "size": size,
            "count": generator.integers(0, 9, n).astype(float),
            "alive": generator.integers(0, 2, n).astype(float),
            "place": generator.choice(["north", "south", "east"], n),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 700, n), unit="D"),
        }
    )
    for position, name in enumerate(rows.columns):
        rows.loc[position::17, name] = None
    if columns[-1].type == "category":
        rows["answer"] = np.where(size > 0.4, "large", np.where(size < -0.4, "small", "medium"))
    else:
        rows["answer"] = 3 * size + generator.normal(scale=0.1, size=n)
    return training.columns.frame(rows, columns)
