"""Predict the rows of a table with the model of this folder: `python -m PACKAGE.pipeline.score TABLE OUT`.

The gate runs it in the release directory of another version, to judge two
models by the same rows.
"""

import argparse
from pathlib import Path

import pandas as pd

from ..errors import ProjectError
from . import columns, compute, config, evaluate, interface, model_file, predictions, stage
from .columns import Column


def score(folder: Path, table: pd.DataFrame, out: Path) -> None:
    """Write the predictions of the model in a folder for every row of a table.

    Parameters
    ----------
    folder : Path
        Holds `model/` and `params.yaml`.
    table : DataFrame of shape (n_rows, n_columns)
        Needs the columns that the model takes, and its target.
    out : Path
    """
    described = interface.read(folder / "model" / "interface.json")
    model = model_file.load(folder / "model" / "model.skops", described["file"])
    taken = [Column(entry["name"], entry["type"], "feature") for entry in described["inputs"]]
    target = described["output"]
    if target["name"] not in table:
        raise ProjectError(
            f"the table has no column {target['name']!r}",
            "that is what this model predicts",
            "models with different targets cannot be compared",
        )
    rows = columns.frame(table, taken)
    # The truth plays no part here: any known class will do.
    stand_in = target["classes"][0] if "classes" in target else 0.0
    rows[target["name"]] = stand_in
    with compute.pinned(config.read_rules(folder / "params.yaml").compute):
        judged = evaluate.score(model, rows, [*taken, Column(target["name"], target["type"], "target")])
    predictions.write(judged, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    score(Path(), pd.read_parquet(arguments.table), arguments.out)


if __name__ == "__main__":
    stage.run(main, is_stage=False)
