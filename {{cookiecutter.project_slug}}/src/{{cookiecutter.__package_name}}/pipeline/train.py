"""Stage `train`: fit preprocessing and estimator as one pipeline, and write the model."""

import sys
import time
import traceback
import warnings
from hashlib import md5
from pathlib import Path
from typing import Any

from ..errors import ProjectError, counted
from . import columns, config, environment, stage
from .compute import pinned

PREPARED = Path("data/prepared")
OUT = Path("model")
#: Rows on which a fit is tried: before it, of an estimator from elsewhere; after it failed, to find out why.
TRIAL_ROWS = 200


def train(table: Any, table_columns: list[columns.Column], params: config.Config) -> Any:
    """Fit the pipeline.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The training rows, as `columns.prepared` returns them, target included.
    table_columns : list of Column
    params : Config

    Returns
    -------
    sklearn.pipeline.Pipeline
        Fitted; takes raw rows.
    """
    from . import estimator, features

    file = f"conf/model/{params.model.name}.yaml"
    inputs = columns.features(table_columns)
    rows, answers = table[[column.name for column in inputs]], table[columns.target(table_columns).name]
    built = estimator.build(params.model.estimator, file)
    estimator.check_task(built, params.model.estimator["_target_"], params.task.name, file)
    model = features.pipeline(inputs, params.features, built)
    estimator.pin(model, params.compute)
    features.check_memory(model[0], rows, answers, params.features)
    return _fit(model, rows, answers, params)


def _fit(model: Any, rows: Any, answers: Any, params: config.Config) -> Any:
    """Fit, with numbers for the classes if the estimator takes nothing else."""
    import numpy as np
    from sklearn.base import clone

    from .labels import NumberedLabels

    name = params.model.estimator["_target_"]
    chosen = np.unique(np.linspace(0, len(rows) - 1, TRIAL_ROWS).astype(int))
    few = rows.iloc[chosen], answers.iloc[chosen]
    if _is_foreign(model[-1]):
        _rehearse(model, *few, params)
    try:
        with pinned(params.compute, params.compute.jobs):
            return model.fit(rows, answers)
    except Exception as error:
        if params.task.name == "classification" and not isinstance(model[-1], NumberedLabels):
            numbered = clone(model).set_params(model=NumberedLabels(model[-1]))
            if _trial(model, *few, params.compute) is None and _trial(numbered, *few, params.compute) is not None:
                print(f"{name} takes no text as class labels: they are numbered for it, and named in what it answers")
                return _fit(numbered, rows, answers, params)
        group = "features" if _trial(model[:-1], *few, params.compute) is None else "model"
        own = _own_line(error)
        raise ProjectError(
            f"{name} refuses to fit: {_words(error)}" + (f" ({own})" if own else ""),
            "an argument has a value that it does not take, or it cannot handle this table",
            f"correct conf/{group}/{getattr(params, group).name}.yaml" + (f", or the code at {own}" if own else ""),
        ) from error


def _own_line(error: Exception) -> str | None:
    """Return the last line of the team's own code that an error passed, or None."""
    here, found = Path(__file__).parent, None
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_relative_to(Path.cwd()) and here not in file.parents and "site-packages" not in file.parts:
            found = f"{file.relative_to(Path.cwd())}, line {frame.lineno}"
    return found


def _is_foreign(estimator: Any) -> bool:
    """Tell whether an estimator, or one that it is made of, is not scikit-learn's."""
    parts = [part for part in (estimator, *estimator.get_params(deep=True).values()) if hasattr(part, "fit")]
    return any(not type(part).__module__.startswith("sklearn.") for part in parts)


def _rehearse(model: Any, rows: Any, answers: Any, params: config.Config) -> None:
    """Fit a few rows, save and load the result: what cannot be kept is refused before the long fit, not after it."""
    from . import model_file

    fits = [_trial(model, rows, answers, params.compute) for _ in range(2)]
    if None in fits:
        return  # the fit to all rows says why
    first, second = map(model_file.to_bytes, fits)
    model_file.from_bytes(first, f"{params.model.estimator['_target_']}, fitted to {len(rows)} rows,")
    if first != second:
        print(
            f"{params.model.estimator['_target_']}: two fits to the same rows do not give the same bytes, so "
            "`model reproduce` will find another model file"
        )


def _trial(model: Any, rows: Any, answers: Any, compute: config.Compute) -> Any:
    """Return a copy of a model fitted to a few rows, or None if that fails."""
    from sklearn.base import clone

    try:
        with pinned(compute, compute.jobs), warnings.catch_warnings(action="ignore"):
            return clone(model).fit(rows, answers)
    except Exception:  # noqa: BLE001 (an estimator of anybody's may raise anything)
        return None


def _words(error: Exception) -> str:
    """Return the message of an error; of a search, which quotes tracebacks, how it begins and ends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = f"{lines[0]} {lines[-1]}" if any(line.startswith("Traceback") for line in lines) else "\n".join(lines)
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


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

    from . import model_file

    table_columns = columns.read(PREPARED / "columns.json")
    table = columns.prepared(pd.read_parquet(PREPARED / "train.parquet"), table_columns)
    columns.validate(table, table_columns, str(PREPARED / "train.parquet"))
    start = time.perf_counter()
    model = train(table, table_columns, params)
    if sys.argv[1:] == ["--again"]:  # `model reproduce workspace` compares; nothing is written
        print(md5(model_file.to_bytes(model), usedforsecurity=False).hexdigest())
        return
    described = write(model, table, table_columns, params.compute, time.perf_counter() - start)
    print(f"{OUT}/model.skops: {params.model.name}, {counted(len(table), 'row')}, {described['file']['bytes']:,} bytes")


if __name__ == "__main__":
    stage.run(main)
