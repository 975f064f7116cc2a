"""Predict the rows of a table with the model of this folder: `python -m modelbook.training.score TABLE OUT`.

TABLE is a CSV or Parquet file with raw rows, read as the training files were;
it need not hold the target. OUT is a Parquet file: the `id` columns, then the
predictions, row by row. The gate runs it in the release directory of another
version, to judge two models by the same rows.
"""

import argparse
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import settings as config
from ..errors import ProjectError
from . import columns, compute, interface, model_file, predictions, stage
from .answers import answer
from .csv_file import read_csv

CSV_SUFFIXES = (".csv", ".tsv")


def score(folder: Path, table: pa.Table, out: Path) -> None:
    """Write the predictions of the model in a folder for every row of a table.

    Parameters
    ----------
    folder : Path
        Holds `model/` and `params.yaml`.
    table : pyarrow.Table of shape (n_rows, n_columns)
        Raw rows, with the columns that the model takes.
    out : Path
    """
    described = interface.read(folder / "model" / "interface.json")
    model = model_file.load(folder / "model" / "model.skops", described["file"])
    if not table.num_rows:
        raise ProjectError("the table holds no rows", "there is nothing to predict", "name a table with rows")
    rows = columns.frame(table, interface.inputs(described))
    params = folder / "params.yaml"
    with compute.pinned(config.read_rules(params).compute):
        # Code or a table that the model uses may have changed since it was trained.
        interface.replay(model, described, interface.read(folder / "model" / "golden.json"))
        found = answer(model, rows, described["output"]["type"])
    ids = [name for name in _data(params).get("id", []) if name in table.column_names]
    predictions.write(found, out, predictions.identifiers(table.select(ids)))


def read(file: Path, params: Path) -> pa.Table:
    """Read raw rows from a Parquet file, or from a CSV file as `params.yaml` says that CSV files are written.

    The model beside `params.yaml` says which texts are values as they are.
    """
    try:
        if file.suffix.lower() not in CSV_SUFFIXES:
            return pq.read_table(file)
        how = {key: value for key, value in _data(params).items() if key in ("encoding", "separator", "missing")}
        described = interface.read(params.parent / "model" / "interface.json")
        verbatim = [column.name for column in interface.inputs(described) if column.reading.verbatim]
        return read_csv(file, config.Data(name="rows", path=str(file), target="", **how), str(params), verbatim).table
    except FileNotFoundError:
        raise ProjectError(f"{file} is missing", "it should hold the rows to predict", "correct the path") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise ProjectError(
            f"{file} is not a Parquet file: {error}", "it cannot be read", "name a .csv, .tsv or .parquet file"
        ) from None


def _data(params: Path) -> dict[str, Any]:
    """Return the block `data` of `params.yaml`; your own pipeline need not have one."""
    block = config.read_yaml(params).get("data")
    return block if isinstance(block, dict) else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="a .csv, .tsv or .parquet file")
    parser.add_argument("out", type=Path, help="the .parquet file to write")
    arguments = parser.parse_args()
    score(Path(), read(arguments.table, config.PARAMS_FILE), arguments.out)


if __name__ == "__main__":
    stage.run(main, is_stage=False)
