"""The same inputs give the same bytes: in another process, folder, time zone, locale, hash seed, umask and clone."""

import pytest
from conftest import copy
from ruamel.yaml import YAML

#: `unit/test_estimators.py` fits estimators of each kind twice, for both tasks.
MODELS = [(task, "hist_gradient_boosting") for task in ("classification", "regression")]
MODELS += [("classification", "linear"), ("classification", "random_forest")]
OTHERWISE = {"TZ": "Asia/Kathmandu", "LANG": "de_DE.UTF-8", "LC_ALL": "C", "PYTHONHASHSEED": "4242", "COLUMNS": "40"}


def hashes(project):
    """Return the md5 of every output of every stage."""
    stages = YAML(typ="safe").load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


@pytest.mark.parametrize(("task", "model"), MODELS)
def test_every_output_of_every_model(trained_once, run, edit, task, model, tmp_path):
    first = copy(trained_once(task), tmp_path / "first")
    edit(first / "conf" / "config.yaml", "model: linear", f"model: {model}")
    run("dvc", "repro", cwd=first)
    second = copy(first, tmp_path / "another folder" / "zweiter größerer Ordner")
    forced = "umask 077; exec dvc repro --force --no-run-cache"
    run("sh", "-c", forced, cwd=second, **OTHERWISE)
    assert hashes(second) == hashes(first)
    assert len(hashes(first)) == 14


def test_after_a_clone(trained, run, tmp_path):
    run("dvc", "push", cwd=trained)
    clone = tmp_path / "elsewhere" / "clone"
    run("git", "clone", "--quiet", trained, clone, cwd=tmp_path)
    run("dvc", "config", "--local", "remote.storage.url", tmp_path / "penguins-storage", cwd=clone)
    run("dvc", "pull", "data/raw.dvc", cwd=clone)
    run("dvc", "repro", "--force", cwd=clone)
    assert hashes(clone) == hashes(trained)
    assert run("git", "status", "--porcelain", cwd=clone).stdout == ""
