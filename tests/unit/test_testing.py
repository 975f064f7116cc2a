"""What the tests of a project are given, and that these hold whatever the team changes."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from modelbook import testing, training
from modelbook.errors import MissingError


@pytest.fixture
def project(generated, tmp_path, monkeypatch):
    """Return a copy of a project as it was generated; work there."""
    copy = shutil.copytree(generated, tmp_path / "penguins", ignore=shutil.ignore_patterns("packages"))
    monkeypatch.chdir(copy)
    return copy


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_rows_are_those_of_the_raw_table_until_there_are_prepared_ones(project, task, tmp_path):
    settings = testing.settings("compute.seed=7")
    assert (settings.task.name, settings.compute.seed) == (task, 7)
    raw = testing.rows(settings, tmp_path / "first", most=20)
    assert raw.y.value_counts().max() == 20 if task == "classification" else len(raw.y) == 20
    assert raw.y.name == settings.data.target
    assert not (project / "data" / "prepared").exists()

    prepared = training.tables.read("train", tmp_path / "first").table.assign(year=1.0)
    shutil.copytree(tmp_path / "first", project / "data" / "prepared")
    prepared.to_parquet(project / "data" / "prepared" / "train.parquet")
    found = testing.rows(settings, tmp_path / "second", most=20)
    assert set(found.X["year"]) == {1.0}
    assert not (tmp_path / "second").exists()


def test_where_there_are_no_data_it_is_said_how_to_get_them(project, tmp_path):
    shutil.rmtree(project / "data" / "raw")
    with pytest.raises(MissingError, match=r"neither data/prepared nor data/raw(?s:.*)dvc pull"):
        testing.rows(testing.settings(), tmp_path)


def run(project):
    """Run the project's own tests; return the last line."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()[-1]


@pytest.mark.real
def test_the_tests_of_a_project_pass_as_it_was_generated_and_leave_nothing_behind(project):
    before = {path for path in project.rglob("*") if path.is_file()}
    assert "passed" in run(project)
    assert {path for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.real
def test_the_tests_of_a_project_pass_with_another_table_a_derived_column_and_other_choices(project, task):
    generator = np.random.default_rng(0)
    n = 300
    rows = {
        "day": pd.date_range("2026-01-01", periods=n),
        "width": generator.normal(size=n),
        "height": generator.normal(size=n) + 5,
        "note": generator.choice(["good and cheap", "bad", ""], n),
        "sold": generator.choice(["yes", "no", "later"], n, p=[0.5, 0.4, 0.1]),
        "price": generator.normal(size=n),
    }
    (project / "data" / "shop").mkdir()
    pd.DataFrame(rows).to_csv(project / "data" / "shop" / "rows.csv", index=False)
    target = "sold" if task == "classification" else "price"
    (project / "conf" / "data" / "shop.yaml").write_text(f"name: shop\npath: data/shop\ntarget: {target}\n")
    edit(project / "conf" / "config.yaml", "data: penguins", "data: shop")
    edit(project / "conf" / "features" / "default.yaml", "text: []", "text: [note]")
    edit(project / "conf" / "features" / "default.yaml", "encode_categories: one_hot", "encode_categories: target")
    if task == "classification":
        edit(project / "conf" / "model" / "linear.yaml", "estimator:\n", "estimator:\n  class_weight: balanced\n")
    own = project / "penguins" / "features.py"
    edit(own, "        return X\n", '        return X.assign(area=X["width"] * X["height"])\n')
    assert "passed" in run(project)


@pytest.mark.real
@pytest.mark.parametrize("task", ["classification"], indirect=True)
def test_the_tests_of_a_project_that_need_no_data_pass_without_them(project):
    shutil.rmtree(project / "data" / "raw")
    assert "passed, 3 skipped" in run(project)


def test_a_table_that_only_the_stage_prepare_can_read_is_no_failure(project, tmp_path):
    (project / "data" / "raw" / "penguins.csv").rename(project / "data" / "raw" / "penguins.sqlite")
    with pytest.raises(MissingError, match=r"not a CSV or Parquet file(?s:.*)fix: dvc repro"):
        testing.rows(testing.settings(), tmp_path)
