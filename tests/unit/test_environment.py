"""Runtime packages count, as locked; tools, and what another platform needs, do not. The tool counts by its code."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from modelbook import training
from modelbook.contract import TOOL_FOLDER

from .conftest import SOURCE

LOCK = """
version = 1
[[package]]
name = "mine"
version = "1"
source = { editable = "." }
dependencies = [{ name = "numpy" }, { name = "dvc" }, { name = "thing", extra = ["fast"] }]
[package.optional-dependencies]
dev = [{ name = "pytest" }]
[[package]]
name = "numpy"
version = "NUMPY"
[[package]]
name = "dvc"
version = "3"
dependencies = [{ name = "only-dvc" }]
[[package]]
name = "only-dvc"
version = "1"
[[package]]
name = "pytest"
version = "PYTEST"
[[package]]
name = "thing"
version = "1"
dependencies = [{ name = "base", marker = "sys_platform == 'win32'" }]
[package.optional-dependencies]
fast = [{ name = "speedup" }]
slow = [{ name = "brake" }]
[[package]]
name = "base"
version = "1"
[[package]]
name = "base"
version = "2"
[[package]]
name = "speedup"
version = "1"
[[package]]
name = "brake"
version = "1"
"""


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dependencies = '["dvc", "modelbook[train]", "scikit-learn"]'
    (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = {dependencies}\n", encoding="utf-8")


@pytest.fixture
def locked(tmp_path):
    def read(numpy="2.0", pytest="8"):
        (tmp_path / "uv.lock").write_text(LOCK.replace("NUMPY", numpy).replace("PYTEST", pytest), encoding="utf-8")
        return training.environment.locked_packages(tmp_path / "uv.lock")

    return read


def test_the_locked_runtime_packages_count(locked):
    assert locked() == {"base": "1 or 2", "numpy": "2.0", "speedup": "1", "thing": "1"}
    assert locked(numpy="2.1") != locked()
    assert locked(pytest="9") == locked()


def test_a_lock_file_that_locks_nothing_leaves_it_to_the_installed_packages(tmp_path):
    (tmp_path / "uv.lock").write_text("version = 1\n", encoding="utf-8")
    assert training.environment.locked_packages(tmp_path / "uv.lock") == {}
    installed = training.environment.installed_packages()
    assert {"scikit-learn", "numpy", "joblib"} <= installed.keys()
    assert not {"dvc", "pytest"} & installed.keys()


def test_a_broken_lock_file_is_refused(tmp_path, refused):
    (tmp_path / "uv.lock").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    with refused("cannot be read"):
        training.environment.locked_packages(tmp_path / "uv.lock")


def test_other_installed_versions_than_noted_are_refused_with_both_ways_out(refused, tmp_path):
    now = training.environment.describe()
    training.environment.check(now)
    other = replace(now, source="uv.lock", packages=now.packages | {"numpy": "0.1"})
    with refused(
        "numpy .* is installed, 0.1 is noted",
        "uv sync",
        "numpy==0.1",
        f"uv lock --upgrade-package 'numpy=={np.__version__}' && uv sync && dvc repro$",
    ):
        training.environment.check(other)
    with refused("Python .* runs, 2.7 is noted", "dvc repro --force environment && dvc repro$"):
        training.environment.check(replace(now, python="2.7", packages={}))
    tmp_path.joinpath("conf").mkdir()
    tmp_path.joinpath("conf", "config.yaml").touch()
    with refused("Python .* runs, 2.7 is noted", "dvc repro --force compose && dvc repro$"):
        training.environment.check(replace(now, python="2.7", packages={}))


def test_what_is_not_installed_here_is_passed_over():
    now = training.environment.describe()
    training.environment.check(replace(now, packages={"only-on-windows": "1"}))


def test_a_byte_order_mark_changes_nothing_and_a_broken_pyproject_is_named(locked, tmp_path, refused):
    before = locked()
    lock, pyproject = tmp_path / "uv.lock", tmp_path / "pyproject.toml"
    lock.write_text("\ufeff" + lock.read_text(encoding="utf-8"), encoding="utf-8")
    assert training.environment.locked_packages(lock) == before
    pyproject.write_text('\ufeff[project]\ndependencies = ["numpy"]\n', encoding="utf-8")
    assert "numpy" in training.environment.installed_packages(pyproject)
    pyproject.write_text("[project\n", encoding="utf-8")
    with refused(r"pyproject\.toml cannot be read"):
        training.environment.installed_packages(pyproject)


# --- the tool itself ---


def test_another_tool_than_the_noted_one_is_refused(refused):
    now = training.environment.describe()
    with refused("modelbook that trains is not the one that environment.json notes", "dvc repro"):
        training.environment.check(replace(now, tool="0" * 64))


def test_a_folder_that_carries_another_tool_is_refused_if_it_would_train_otherwise(tmp_path, refused):
    running = training.environment.running_tool()
    carried = shutil.copytree(SOURCE / "modelbook", tmp_path / TOOL_FOLDER)
    (carried / "commands" / "prune.py").write_text("", encoding="utf-8")
    settings = carried / "settings.py"
    settings.write_bytes(settings.read_bytes().replace(b"\n", b"\r\n"))
    assert training.environment.running_tool() == running
    (carried / "training" / "new.py").write_text("", encoding="utf-8")
    with refused("is not the one in packages/modelbook/src/modelbook", "uv sync"):
        training.environment.running_tool()
