"""What a pipeline of your own making calls: it writes what this project's own stages write."""

import json
import platform

import pandas as pd
import pytest
import yaml
from conftest import ROOT

ROWS = 60


@pytest.fixture
def elsewhere(pipeline, tmp_path, monkeypatch):
    """Return a folder with rules in a `params.yaml` that has more in it, and with an environment; work there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline.inputs.seen, "is_checked", True)
    values = yaml.safe_load(pipeline.compose.compose(ROOT / "conf").text)
    rules = {key: values[key] for key in ("task", "compute", "gate", "stages")}
    rules["task"]["slices"] = ["place"]
    rules["task"]["bootstrap"]["resamples"] = 50
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**rules, "own": {"alpha": 1}}), encoding="utf-8")
    python = ".".join(platform.python_version_tuple()[:2])
    noted = {"source": "installed", "python": python, "packages": {}}
    (tmp_path / "environment.json").write_text(json.dumps(noted), encoding="utf-8")
    return tmp_path


@pytest.fixture
def rows(params):
    days = pd.date_range("2026-01-01", periods=ROWS)
    place = ["north", "south", None] * (ROWS // 3)
    alive = [True, False] * (ROWS // 2)
    answer = alive if params.task.name == "classification" else range(ROWS)
    return pd.DataFrame({"answer": answer, "size": range(ROWS), "alive": alive, "place": place, "day": days})


def test_tables_model_and_evaluation_are_written_as_the_record_reads_them(pipeline, params, elsewhere, rows):
    folder = elsewhere / "rows"
    pipeline.handover.tables({"train": rows, "test": rows}, "answer", folder)
    before = {file.name: file.read_bytes() for file in folder.rglob("*.*")}
    pipeline.handover.tables({"train": rows, "test": rows}, "answer", folder)
    assert {file.name: file.read_bytes() for file in folder.rglob("*.*")} == before
    found = pipeline.columns.read(folder / "columns.json")
    target = "category" if params.task.name == "classification" else "number"
    kinds = {"size": "number", "alive": "boolean", "place": "category", "day": "date", "answer": target}
    assert {column.name: column.type for column in found} == kinds
    assert json.loads(before["summary.json"]) == {"rows": {"train": ROWS, "test": ROWS}}
    assert pd.read_parquet(folder / "left_out" / "test.parquet").columns.empty

    estimator = pipeline.estimator.build(params.model.estimator)
    model = pipeline.features.pipeline(pipeline.columns.features(found), params.features, estimator)
    pipeline.handover.train(model, folder)
    described = pipeline.interface.read(elsewhere / "model" / "interface.json")
    assert [entry["name"] for entry in described["inputs"]] == ["size", "alive", "place", "day"]
    results = pipeline.handover.evaluate(folder)
    assert results.keys() == {"test"}
    assert {*results["test"]["slices"]["place"]} == {"north", "south", "(missing)"}
    written = json.loads((elsewhere / "evaluation.json").read_text(encoding="utf-8"))
    assert written["test"]["metrics"] == results["test"]["metrics"]
    assert len(pd.read_parquet(elsewhere / "predictions" / "test.parquet")) == ROWS


def test_rows_of_another_environment_and_rules_that_nobody_reads_are_refused(pipeline, elsewhere, rows, refused):
    folder = elsewhere / "rows"
    pipeline.handover.tables({"train": rows, "test": rows}, "answer", folder)
    noted = {"source": "installed", "python": "3.1", "packages": {}}
    (elsewhere / "environment.json").write_text(json.dumps(noted), encoding="utf-8")
    with refused("Python .* runs, 3.1 is noted"):
        pipeline.handover.train(None, folder)
    params = elsewhere / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("judged_by:", "judged_bye:"), encoding="utf-8")
    with refused("gate.judged_bye in params.yaml is not a known key; did you mean 'judged_by'?"):
        pipeline.handover.tables({"train": rows, "test": rows}, "answer", folder)
