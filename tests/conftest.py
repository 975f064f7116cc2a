"""What the tests share: a clean environment, the real cookiecutter, and projects that are trained once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
#: Longest that any one command of a test may take.
TIMEOUT_SECONDS = 300


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Return an empty home folder: no identity, no settings, no caches."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def environment(home):
    """Return the variables of a fresh account that has only this test's tools."""
    return {
        "HOME": str(home),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "COLUMNS": "200",
        # DVC's site-wide caches would tie one test to another.
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
    }


@pytest.fixture(scope="session")
def run(environment):
    """Return a function that runs a command and returns it, output and all; a failure fails the test."""

    def runner(*command, cwd, fails=False, **variables):
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**environment, "PYTHONPATH": str(Path(cwd) / "src"), **variables},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        done.output = done.stdout + done.stderr
        expected = done.returncode != 0 if fails else done.returncode == 0
        assert expected, f"{command} ended with {done.returncode}:\n{done.output}"
        return done

    return runner


@pytest.fixture(scope="session")
def generate(run):
    """Return a function that generates a project with the real cookiecutter."""

    def generator(folder, fails=False, **answers):
        given = [f"{key}={value}" for key, value in answers.items()]
        done = run("cookiecutter", TEMPLATE, "--no-input", "-o", folder, *given, cwd=folder, fails=fails)
        if fails:
            return done
        return folder / answers.get("project_slug", "penguins")

    return generator


@pytest.fixture(scope="session")
def commit(run):
    """Return a function that commits everything in a project."""

    def committer(project, message, *options):
        run("git", "add", "--all", cwd=project)
        run("git", "commit", *options, "--quiet", "--message", message, cwd=project)

    return committer


@pytest.fixture(scope="session", params=["classification", "regression"])
def task(request):
    return request.param


@pytest.fixture(scope="session")
def trained_once(generate, run, commit, tmp_path_factory):
    """Return a function that gives a trained and committed project for a task, made once."""
    made = {}

    def maker(task):
        if task not in made:
            project = generate(tmp_path_factory.mktemp(task), task=task)
            for name, value in (("user.name", "Test"), ("user.email", "test@example.com")):
                run("git", "config", name, value, cwd=project)
            run("dvc", "repro", cwd=project)
            commit(project, "Train")
            made[task] = project
        return made[task]

    return maker


@pytest.fixture
def trained(trained_once, tmp_path):
    """Return a copy of a trained classification project."""
    return copy(trained_once("classification"), tmp_path / "penguins")


def copy(project, target):
    shutil.copytree(project, target, symlinks=True)
    return target


@pytest.fixture
def edit():
    """Return a function that replaces text in a file, and fails if the text is not there."""

    def editor(file, old, new):
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{file} does not hold {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    return editor
