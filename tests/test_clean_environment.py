"""The README's first commands for real: an environment made by uv, and one made by pip."""

import json
import os
import shutil

import pytest
from conftest import BIN

#: What lets package clients reach their index on this machine; no project setting.
CLIENT = ("PIP_", "UV_INDEX", "UV_DEFAULT_INDEX", "SSL_", "REQUESTS_", "http", "https", "HTTP", "NO_PROXY", "no_proxy")


@pytest.fixture
def clean(generate, cold, run, tmp_path):
    """Return a fresh project, and a function that runs a command in it with no tool of this test in PATH but `uv`."""
    project = generate(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    tools.joinpath("uv").symlink_to(BIN / "uv")
    system = os.pathsep.join(p for p in cold["PATH"].split(os.pathsep) if p != str(BIN))
    client = {key: value for key, value in os.environ.items() if key.startswith(CLIENT)}
    # The interpreter of the tests; another one may lack the headers or the index may lack its wheels.
    client |= {"PATH": f"{tools}{os.pathsep}{system}", "PYTHONPATH": "", "UV_PYTHON": str(python_of_tests())}

    def runner(*command, **variables):
        return run(*command, cwd=project, **{**client, **variables})

    return project, runner


def python_of_tests():
    return (BIN / "python").resolve()


def test_uv_locks_the_environment_and_trains_in_it(clean):
    project, run = clean
    (project / ".python-version").unlink()
    run("uv", "sync", "--compile-bytecode")
    lock = (project / "uv.lock").read_text(encoding="utf-8")
    assert 'name = "scikit-learn"' in lock
    done = run("uv", "run", "dvc", "repro")
    assert "runtime packages as uv.lock locks them" in done.output
    noted = json.loads((project / "environment.json").read_text(encoding="utf-8"))
    assert noted["source"] == "uv.lock"
    assert {"numpy", "scikit-learn", "skops", "pandas"} <= noted["packages"].keys()
    assert not {"dvc", "pytest", "ruff", "mypy"} & noted["packages"].keys()
    assert "up to date" in run("uv", "run", "dvc", "repro").output
    run("uv", "run", "pytest", "--version")


def test_pip_installs_the_project_and_its_stages_run_in_it(clean):
    project, run = clean
    run(python_of_tests(), "-m", "venv", ".venv")
    path = f"{project / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    # All that the project asks for is there already, as pip sees it: uv has brought the same from the index above.
    (packages,) = project.glob(".venv/lib/*/site-packages")
    (tests,) = BIN.parent.glob("lib/*/site-packages")
    for entry in tests.iterdir():
        if "modelbook" not in entry.name and not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    run("pip", "install", "--quiet", "-e", "packages/modelbook", "-e", ".[dev]", PATH=path)
    done = run("python", "-m", "dvc", "repro", "prepare", PATH=path)
    assert "uv.lock locks no versions, so the" in done.output
    assert (project / "data" / "prepared" / "train.parquet").exists()
    run("python", "-m", "pytest", "-q", "tests/test_project.py", PATH=path)
    shutil.rmtree(project / ".venv")
