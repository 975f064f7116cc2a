"""What a pipeline of your own making hands over, so that its models get versions: one function for each stage.

`tables` for the stage that makes the rows which the model takes, `train` for
the one that fits, `evaluate` for the one that judges. docs/adopting.md of the
template shows them at work.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api import types

from . import columns, config, environment, inputs, interface
from .columns import Column
from .compute import pinned
from .evaluate import judge
from .train import write


def tables(parts: Mapping[str, pd.DataFrame], target: str, folder: Path) -> None:
    """Write the rows that a model is trained on and judged by.

    Parameters
    ----------
    parts : mapping of str to DataFrame
        `train` and `test`, and others if you like; all with the same columns.
    target : str
        The column to predict. All others are features.
    folder : Path
        An output of the stage. Where it is not `data/prepared`, `params.yaml`
        says so: `data: {prepared: FOLDER}`.
    """
    inputs.expect_check()
    task = config.read_rules().task.name
    train = parts["train"]
    chosen = [Column(str(name), _kind(train[name]), "feature") for name in train.columns if name != target]
    chosen.append(Column(target, "category" if task == "classification" else "number", "target"))
    (folder / "left_out").mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        table = columns.frame(rows, chosen)
        columns.validate(table, chosen, f"{folder / name}.parquet")
        _to_parquet(pa.Table.from_pandas(table, preserve_index=False), folder / f"{name}.parquet")
        _to_parquet(pa.table({}), folder / "left_out" / f"{name}.parquet")
    columns.write(chosen, folder / "columns.json")
    interface.write({"rows": {name: len(rows) for name, rows in parts.items()}}, folder / "summary.json")


def _kind(values: "pd.Series[Any]") -> config.ColumnType:
    if types.is_bool_dtype(values):
        return "boolean"
    if types.is_numeric_dtype(values):
        return "number"
    return "date" if types.is_datetime64_any_dtype(values) else "category"


def _to_parquet(table: pa.Table, path: Path) -> None:
    # pandas' own metadata holds versions and would tie the bytes to them.
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")


def train(estimator: Any, folder: Path) -> None:
    """Fit an estimator on the part `train`, and write `model/`.

    Parameters
    ----------
    estimator : estimator
        With scikit-learn's interface, and every seed fixed.
    folder : Path
        Where `tables` wrote.
    """
    inputs.expect_check()
    environment.check(environment.read())
    compute = config.read_rules().compute
    table_columns = columns.read(folder / "columns.json")
    table = columns.frame(pd.read_parquet(folder / "train.parquet"), table_columns)
    start = time.perf_counter()
    with pinned(compute, compute.jobs):
        features = [column.name for column in columns.features(table_columns)]
        fitted = estimator.fit(table[features], table[columns.target(table_columns).name])
    write(fitted, table, table_columns, compute, time.perf_counter() - start)


def evaluate(folder: Path) -> dict[str, dict[str, Any]]:
    """Judge `model/` by every part but `train`; write `evaluation.json` and `predictions/`.

    Parameters
    ----------
    folder : Path
        Where `tables` wrote.

    Returns
    -------
    dict of str to dict
        By part: every metric with its interval, for your own metrics and plots.
    """
    inputs.expect_check()
    environment.check(environment.read())
    rules = config.read_rules()
    parts = [part for part in interface.read(folder / "summary.json")["rows"] if part != "train"]
    return judge(parts, folder, rules.task, rules.compute)[1]
