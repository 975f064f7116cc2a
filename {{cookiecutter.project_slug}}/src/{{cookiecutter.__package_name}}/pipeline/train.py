"""Stage `train`: fit preprocessing and estimator as one pipeline, and write the model."""

import time
from pathlib import Path
from typing import Any

from ..errors import ProjectError, counted
from . import columns, config, environment, stage
from .compute import pinned

PREPARED = Path("data/prepared")
OUT = Path("model")


def train(table: Any, table_columns: list[columns.Column], params: config.Config) -> Any:
    """Fit the pipeline.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The training rows, as `columns.frame` returns them, target included.
    table_columns : list of Column
    params : Config

    Returns
    -------
    sklearn.pipeline.Pipeline
        Fitted; takes raw rows.
    """
    from sklearn.base import is_classifier

    from . import estimator, features

    model = features.pipeline(columns.features(table_columns), params.features, estimator.build(params.model.estimator))
    if is_classifier(model) != (params.task.name == "classification"):
        raise ProjectError(
            f"conf/model/{params.model.name}.yaml: {params.model.estimator['_target_']} does not do {params.task.name}",
            f"conf/task/{params.task.name}.yaml is chosen",
            "choose an estimator for that task",
        )
    target = columns.target(table_columns)
    try:
        with pinned(params.compute, params.compute.jobs):
            return model.fit(table[[c.name for c in columns.features(table_columns)]], table[target.name])
    except ValueError as error:
        raise ProjectError(
            f"{params.model.estimator['_target_']} refuses to fit: {error}",
            "an argument has a value that it does not take, or it cannot handle this table",
            f"correct conf/model/{params.model.name}.yaml or conf/features/{params.features.name}.yaml",
        ) from error


def write(
    model: Any, table: Any, table_columns: list[columns.Column], compute: config.Compute, seconds: float
) -> dict[str, Any]:
    """Write a fitted model with its interface, golden rows and statistics; return the interface.

    Parameters
    ----------
    model : estimator
        Fitted; takes the features of the table.
    table : DataFrame of shape (n_rows, n_columns)
        The rows that it was fitted on, target included.
    table_columns : list of Column
    compute : Compute
    seconds : float
        How long the fit took.
    """
    from . import interface, model_file, statistics, trained

    content = model_file.to_bytes(model)
    # What is described and replayed is the model as it will be loaded, not the one in memory.
    loaded = model_file.from_bytes(content, str(OUT / "model.skops"))
    described = interface.describe(table, table_columns, loaded, model_file.describe(content))
    with pinned(compute):
        golden = interface.golden(table, table_columns, loaded)
        interface.replay(model, described, golden)
    OUT.mkdir(exist_ok=True)
    (OUT / "model.skops").write_bytes(content)
    interface.write(described, OUT / "interface.json")
    interface.write(golden, OUT / "golden.json")
    interface.write(statistics.describe(table, table_columns), OUT / "statistics.json")
    trained.note(described["file"]["sha256"], trained.describe(seconds, compute.threads))
    return described


def main() -> None:
    environment.check(environment.read())
    params = config.read_params()
    import pandas as pd

    table_columns = columns.read(PREPARED / "columns.json")
    table = columns.frame(pd.read_parquet(PREPARED / "train.parquet"), table_columns)
    columns.validate(table, table_columns, str(PREPARED / "train.parquet"))
    start = time.perf_counter()
    model = train(table, table_columns, params)
    described = write(model, table, table_columns, params.compute, time.perf_counter() - start)
    print(f"{OUT}/model.skops: {params.model.name}, {counted(len(table), 'row')}, {described['file']['bytes']:,} bytes")


if __name__ == "__main__":
    stage.run(main)
