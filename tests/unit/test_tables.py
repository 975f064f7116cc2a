"""What a pipeline that splits its rows itself calls: it writes what the template's own stages write."""

import json
import re

import pandas as pd
import pyarrow as pa
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


@pytest.fixture
def data(params):
    return params.data.model_copy(update={"rules": {}, "target": "y"})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"x": [1, "a"], "y": ["a", "b"]}, "makes: the column 'x' holds values of the types int, str.*rows\\['x'\\]"),
        ({"x": [b"1", b"2"], "y": ["a", "b"]}, "makes: the column 'x' has the type binary.*leave_out"),
        ({"x": pd.cut([1, 2], [0, 1, 2]), "y": ["a", "b"]}, "makes: the column 'x' has the type dictionary"),
        ({"x": [], "y": []}, "the table that prepare makes has no rows"),
        ({"x": [1, 2]}, "target names the column 'y', which the table that prepare makes does not have"),
        ({"x": [1.0, float("inf")], "y": ["a", "b"]}, "makes, row 2, column 'x' is infinite"),
    ],
)
def test_a_table_that_code_made_is_refused_by_the_name_of_its_column(data, refused, rows, words):
    with refused(words):
        training.table.of(pd.DataFrame(rows), data, "conf/data/penguins.yaml")


def test_two_columns_of_one_name_as_a_join_gives_them_and_what_is_no_table_are_refused(data, refused):
    with refused("two columns are called 'y'", "rename one in the table that prepare makes"):
        training.table.of(pd.DataFrame([[1, 2]], columns=["y", "y"]), data, "conf/data/penguins.yaml")
    with refused("takes a DataFrame or a pyarrow.Table, not a dict"):
        training.table.of({"y": [1]}, data, "conf/data/penguins.yaml")


def test_a_frame_has_the_types_of_its_columns_and_no_index(data):
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2026-01-01", None]),
            "kind": pd.Categorical(["a", None]),
            "size": pd.array([1, None], dtype="Int64"),
            "flag": [True, False],
            "y": ["a", "b"],
        },
        index=[7, 7],
    )
    found = training.table.of(frame, data, "conf/data/penguins.yaml")
    assert found.types == {"day": "date", "kind": "category", "size": "number", "flag": "boolean", "y": "category"}
    same = training.table.of(pa.Table.from_pandas(frame, preserve_index=False), data, "conf/data/penguins.yaml")
    assert found.arrow.equals(same.arrow)
