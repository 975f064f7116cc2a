"""What a pipeline that splits its rows itself calls: it writes what the template's own stages write."""

import json
import re

import pandas as pd
import pytest
import yaml
from modelbook import settings, stage, training

ROWS = 60


@pytest.fixture
def elsewhere(generated, tmp_path, monkeypatch):
    """Return a folder with rules in a `params.yaml` that has more in it, and with an environment; work there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training.inputs.seen, "is_checked", True)
    values = yaml.safe_load(training.compose.compose(generated / "conf").text)
    rules = {key: values[key] for key in ("task", "compute", "gate", "stages")}
    rules["task"]["slices"] = ["place"]
    rules["task"]["bootstrap"]["resamples"] = 50
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**rules, "own": {"alpha": 1}}), encoding="utf-8")
    note(tmp_path, training.packages.python_version())
    return tmp_path


def note(folder, python):
    """Write the environment that the stages find noted."""
    tool = training.environment.running_tool()
    noted = {"source": "installed", "python": python, "packages": {}, "tool": tool}
    (folder / "environment.json").write_text(json.dumps(noted), encoding="utf-8")


@pytest.fixture
def rows(params):
    days = pd.date_range("2026-01-01", periods=ROWS)
    place = ["north", "south", None] * (ROWS // 3)
    alive = [True, False] * (ROWS // 2)
    answer = alive if params.task.name == "classification" else range(ROWS)
    return pd.DataFrame({"answer": answer, "size": range(ROWS), "alive": alive, "place": place, "day": days})


def test_tables_model_and_evaluation_are_written_as_the_record_reads_them(team, params, elsewhere, rows):
    folder = elsewhere / "rows"
    training.tables.write({"train": rows, "test": rows}, "answer", folder)
    before = {file.name: file.read_bytes() for file in folder.rglob("*.*")}
    training.tables.write({"train": rows, "test": rows}, "answer", folder)
    assert {file.name: file.read_bytes() for file in folder.rglob("*.*")} == before
    found = training.columns.read(folder / "columns.json")
    target = "category" if params.task.name == "classification" else "number"
    kinds = {"size": "number", "alive": "boolean", "place": "category", "day": "date", "answer": target}
    assert {column.name: column.type for column in found} == kinds
    assert json.loads(before["summary.json"]) == {"rows": {"train": ROWS, "test": ROWS}}
    assert pd.read_parquet(folder / "left_out" / "test.parquet").columns.empty

    rules = settings.read_settings()
    train = training.tables.read("train", folder)
    model = team.features.pipeline(train, params.features, training.models.estimator(params))
    training.models.save(training.models.fit(model, train, rules), train, rules)
    described = training.interface.read(elsewhere / "model" / "interface.json")
    assert [entry["name"] for entry in described["inputs"]] == ["size", "alive", "place", "day"]
    results = training.evaluation.judge(rules, folder).results
    assert results.keys() == {"test"}
    assert {*results["test"]["slices"]["place"]} == {"north", "south", "(missing)"}
    written = json.loads((elsewhere / "evaluation.json").read_text(encoding="utf-8"))
    assert written["test"]["metrics"] == results["test"]["metrics"]
    assert len(pd.read_parquet(elsewhere / "predictions" / "test.parquet")) == ROWS


def test_rows_of_another_environment_and_rules_that_nobody_reads_are_refused(elsewhere, rows, refused, capsys):
    folder = elsewhere / "rows"
    note(elsewhere, "3.1")
    with pytest.raises(SystemExit):
        stage(lambda _: pytest.fail("it ran in another environment"))()
    assert re.search("Python .* runs, 3.1 is noted", capsys.readouterr().err)
    params = elsewhere / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("judged_by:", "judged_bye:"), encoding="utf-8")
    with refused("gate.judged_bye in params.yaml is not a known key; did you mean 'judged_by'?"):
        training.tables.write({"train": rows, "test": rows}, "answer", folder)
