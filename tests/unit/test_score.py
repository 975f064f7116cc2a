"""A file of raw rows gets the predictions that were recorded when the model was judged."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from modelbook import training
from modelbook.settings import Data, Split, Task

from .test_prepare import BOOTSTRAP, ROW
from .test_table import BASE


@pytest.fixture(scope="module")
def trained(team, params, tmp_path_factory):
    """Return a folder in which a model of codes, booleans, dates and names was prepared, trained and judged."""
    folder = tmp_path_factory.mktemp("trained")
    generator = np.random.default_rng(0)
    code = generator.integers(1, 4, 300)
    is_class = params.task.name == "classification"
    rows = {
        "id": [f"{n:03d}" for n in range(300)],
        "code": code,
        "member": generator.choice(["true", "false", "unknown", " true"], 300),
        "day": pd.Series(pd.date_range("9998-01-01", periods=300, unit="us")).dt.strftime("%d.%m.%Y"),
        "x": [f"{value:.3f}".replace(".", ",") for value in generator.normal(size=300)],
        "y": np.where(code == 2, "up", "down") if is_class else [f"{value},5" for value in code],
    }
    (folder / "raw").mkdir()
    pd.DataFrame(rows).to_csv(folder / "raw" / "0.csv", sep=";", index=False)
    how = {"id": ["id"], "types": {"code": "category"}, "decimal": ",", "date_format": "%d.%m.%Y"}
    data = Data(**{**BASE, **how, "path": str(folder / "raw")})
    task = Task(**{**params.task.model_dump(), "slices": [], "bootstrap": BOOTSTRAP})
    settings = params.model_copy(update={"data": data, "task": task, "split": Split(**ROW)})
    (folder / "params.yaml").write_text(settings.model_dump_json(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(training.inputs.seen, "is_checked", True)
        for stage in (team.prepare.prepare, team.train.train, team.evaluate.evaluate):
            stage(settings)
    return folder


def test_recorded_predictions_name_their_rows_and_the_truth(trained):
    recorded = pd.read_parquet(trained / "predictions" / "test.parquet")
    raw = pd.read_csv(trained / "raw" / "0.csv", sep=";", dtype=str).set_index("id")
    truth = raw.loc[recorded["id"], "y"].tolist()
    is_text = pd.api.types.is_string_dtype(recorded["y"])
    assert recorded["y"].tolist() == (truth if is_text else [float(value.replace(",", ".")) for value in truth])


@pytest.mark.parametrize("form", ["csv", "parquet of texts", "parquet as pandas reads the csv"])
def test_the_file_that_trained_gets_the_predictions_that_were_recorded(trained, tmp_path, form):
    source = trained / "raw" / "0.csv"
    file = source
    if form != "csv":
        how = {"dtype": str, "keep_default_na": False} if "texts" in form else {"dtype": {"id": str}}
        rows = pd.read_csv(source, sep=";", **how).drop(columns="y")
        file = tmp_path / "rows.parquet"
        pq.write_table(pa.Table.from_pandas(rows), file)
    table = training.score.read(file, trained / "params.yaml")
    training.score.score(trained, table, tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet").set_index("id")
    recorded = pd.read_parquet(trained / "predictions" / "test.parquet").set_index("id").drop(columns="y")
    pd.testing.assert_frame_equal(found.loc[recorded.index], recorded, check_exact=False, rtol=1e-9)


def test_texts_that_training_took_as_they_are_are_so_in_a_csv_file(tmp_path):
    verbatim = training.columns.Reading(verbatim=True)
    inputs = [
        training.columns.Column("a", "category", "feature", verbatim),
        training.columns.Column("b", "category", "feature"),
    ]
    (tmp_path / "model").mkdir()
    described = {"inputs": [training.columns.to_json(column) for column in inputs]}
    (tmp_path / "model" / "interface.json").write_text(json.dumps(described), encoding="utf-8")
    (tmp_path / "params.yaml").write_text("data: {missing: [NA]}\n", encoding="utf-8")
    (tmp_path / "rows.csv").write_text('a,b\nNA,NA\n" x", z\n"",""\n,\n', encoding="utf-8")
    table = training.score.read(tmp_path / "rows.csv", tmp_path / "params.yaml")
    rows = training.columns.frame(table, inputs)
    assert rows["a"].fillna("missing").tolist() == ["NA", " x", "", "missing"]
    assert rows["b"].fillna("missing").tolist() == ["missing", "z", "missing", "missing"]


def test_rows_that_cannot_be_read_are_refused(trained, tmp_path, refused):
    params = trained / "params.yaml"
    with refused("nowhere.csv is missing"):
        training.score.read(tmp_path / "nowhere.csv", params)
    (tmp_path / "rows.txt").write_text("a", encoding="utf-8")
    with refused("rows.txt is not a Parquet file", "name a .csv, .tsv or .parquet file"):
        training.score.read(tmp_path / "rows.txt", params)
    table = training.score.read(trained / "raw" / "0.csv", params)
    with refused("holds no rows"):
        training.score.score(trained, table.slice(0, 0), tmp_path / "out.parquet")
    with refused("this column is missing: code"):
        training.score.score(trained, table.drop_columns("code"), tmp_path / "out.parquet")
    fraction = table.set_column(1, "code", pa.array([1.0, 2.5, 3.0] * 100))
    with refused("row 2, column 'code': 2.5 is not text", "how training wrote it is not known"):
        training.score.score(trained, fraction, tmp_path / "out.parquet")


def test_a_model_whose_code_or_tables_changed_predicts_nothing(trained, tmp_path, refused):
    golden = trained / "model" / "golden.json"
    kept = golden.read_text(encoding="utf-8")
    found = json.loads(kept)
    found["predictions"] = found["predictions"][1:] + found["predictions"][:1]
    try:
        golden.write_text(json.dumps(found), encoding="utf-8")
        with refused("golden row .*: the model now answers"):
            training.score.score(trained, pq.read_table(trained / "data/prepared/raw_test.parquet"), tmp_path / "out")
    finally:
        golden.write_text(kept, encoding="utf-8")
