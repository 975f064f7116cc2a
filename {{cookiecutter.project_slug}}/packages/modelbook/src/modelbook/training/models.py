"""The models of a pipeline: built from `conf/model/`, fitted, saved with all that explains them, and loaded."""

import os
import time
import warnings
from hashlib import md5
from pathlib import Path
from typing import Any

from ..errors import ProjectError, counted
from ..settings import Compute, Config, Rules
from . import fitting, inputs
from .compute import pinned
from .fitting import Fitting
from .own import line_of
from .tables import Rows

FOLDER = Path("model")
#: Names a file for the md5 of the model, which is then not written: `model reproduce workspace` fits once more.
FIT_AGAIN = "MODELBOOK_FIT_AGAIN"


def estimator(settings: Config) -> Any:
    """Build the estimator that `conf/model/` names, unfitted.

    Parameters
    ----------
    settings : Config

    Returns
    -------
    estimator

    Raises
    ------
    ProjectError
        If it cannot be imported or built, or does not suit the task.
    """
    from . import estimator as estimators

    file, target = f"conf/model/{settings.model.name}.yaml", settings.model.estimator["_target_"]
    built = estimators.build(settings.model.estimator, file)
    estimators.check_task(built, target, settings.task.name, file)
    estimators.check_fit(built, settings.model.fit, file)
    return built


def fit(model: Any, rows: Rows, settings: Config | Rules) -> Any:
    """Fit a model to rows, with fixed seeds and threads.

    What cannot be saved or does not fit into memory is refused first. Where an
    estimator takes no text as class labels, they are numbered for it. Weights and
    validation rows are passed on as `fit` in conf/model/ says.

    Parameters
    ----------
    model : estimator
        Of scikit-learn's interface; mostly a `Pipeline` whose last step is the estimator.
    rows : Rows
        As `tables.read("train")` returns them.
    settings : Config or Rules

    Returns
    -------
    estimator
        Fitted; takes raw rows.

    Examples
    --------
    >>> rows = tables.read("train")  # doctest: +SKIP
    >>> model = models.fit(features.pipeline(rows, settings), rows, settings)  # doctest: +SKIP
    """
    from . import estimator as estimators
    from . import preprocessing

    estimators.pin(model, settings.compute)
    given = fitting.fitting(rows, settings)
    preprocessing.check_memory(model, given.train.X, given.train.y)
    start = time.perf_counter()
    fitted = _fit(model, given, settings)
    _seconds[id(fitted)] = time.perf_counter() - start
    return fitted


#: How long the fits of this process took, by the model.
_seconds: dict[int, float] = {}


def _fit(model: Any, given: Fitting, settings: Config | Rules) -> Any:
    """Fit, with numbers for the classes if the estimator takes nothing else."""
    from sklearn.base import clone

    from .labels import NumberedLabels

    last = model[-1] if hasattr(model, "steps") else model
    name = f"{type(last).__module__}.{type(last).__qualname__}"
    if isinstance(settings, Config):
        name = settings.model.estimator["_target_"]
    few = given.few()
    if _is_foreign(last):
        _rehearse(model, name, few, settings.compute)
    try:
        with pinned(settings.compute, settings.compute.jobs):
            return given.fit(model)
    except Exception as error:
        if settings.task.name == "classification" and not isinstance(last, NumberedLabels):
            if last is model:
                numbered = NumberedLabels(clone(model))
            else:
                numbered = clone(model).set_params(**{model.steps[-1][0]: NumberedLabels(last)})
            if _trial(model, few, settings.compute) is None and _trial(numbered, few, settings.compute) is not None:
                print(f"{name} takes no text as class labels: they are numbered for it, and named in what it answers")
                return _fit(numbered, given, settings)
        line = line_of(error)
        where = "its arguments"
        if isinstance(settings, Config):
            before = few.of_the_steps_before()
            blamed = last is model or _trial(model[:-1], before, settings.compute) is not None
            group = "model" if blamed else "features"
            where = f"conf/{group}/{getattr(settings, group).name}.yaml"
        raise ProjectError(
            f"{name} refuses to fit: {_words(error)}" + (f" ({line})" if line else ""),
            "an argument has a value that it does not take, or it cannot handle this table",
            f"correct {where}" + (f", or the code at {line}" if line else ""),
        ) from error


def _is_foreign(estimator: Any) -> bool:
    """Tell whether an estimator, or one that it is made of, is not scikit-learn's."""
    parts = [part for part in (estimator, *estimator.get_params(deep=True).values()) if hasattr(part, "fit")]
    return any(not type(part).__module__.startswith("sklearn.") for part in parts)


def _rehearse(model: Any, name: str, few: Fitting, compute: Compute) -> None:
    """Fit a few rows, save and load the result: what cannot be kept is refused before the long fit, not after it."""
    from . import model_file

    fits = [_trial(model, few, compute) for _ in range(2)]
    if None in fits:
        return  # the fit to all rows says why
    first, second = map(model_file.to_bytes, fits)
    model_file.from_bytes(first, f"{name}, fitted to {len(few.train.X)} rows,")
    if first != second:
        print(
            f"{name}: two fits to the same rows do not give the same bytes, so "
            "`model reproduce` will find another model file"
        )


def _trial(model: Any, few: Fitting, compute: Compute) -> Any:
    """Return a copy of a model fitted to a few rows, or None if that fails."""
    from sklearn.base import clone

    try:
        with pinned(compute, compute.jobs), warnings.catch_warnings(action="ignore"):
            return few.fit(clone(model))
    except Exception:  # noqa: BLE001 (an estimator of anybody's may raise anything)
        return None


def _words(error: Exception) -> str:
    """Return the message of an error; of a search, which quotes tracebacks, how it begins and ends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = f"{lines[0]} {lines[-1]}" if any(line.startswith("Traceback") for line in lines) else "\n".join(lines)
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def save(model: Any, rows: Rows, settings: Config | Rules) -> None:
    """Write a fitted model to `model/`, with its interface, golden rows and statistics.

    Parameters
    ----------
    model : estimator
        Fitted; takes `rows.X`.
    rows : Rows
        The rows that it was fitted to.
    settings : Config or Rules
    """
    from . import interface, model_file, statistics, trained

    inputs.expect_check()
    content = model_file.to_bytes(model)
    if FIT_AGAIN in os.environ:
        Path(os.environ[FIT_AGAIN]).write_text(md5(content, usedforsecurity=False).hexdigest(), encoding="ascii")
        return
    # What is described and replayed is the model as it will be loaded, not the one in memory.
    loaded = model_file.from_bytes(content, str(FOLDER / "model.skops"))
    described = interface.describe(rows.table, rows.all_columns, loaded, model_file.describe(content))
    with pinned(settings.compute):
        golden = interface.golden(rows.table, rows.all_columns, loaded)
        interface.replay(model, described, golden)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "model.skops").write_bytes(content)
    interface.write(described, FOLDER / "interface.json")
    interface.write(golden, FOLDER / "golden.json")
    interface.write(statistics.describe(rows.table, rows.all_columns), FOLDER / "statistics.json")
    noted = trained.describe(_seconds.get(id(model), 0.0), settings.compute.threads)
    trained.note(described["file"]["sha256"], noted)
    name = settings.model.name if isinstance(settings, Config) else type(model).__name__
    print(f"{FOLDER}/model.skops: {name}, {counted(len(rows.table), 'row')}, {len(content):,} bytes")


def load(folder: str | Path = FOLDER) -> Any:
    """Load the model in a folder, after its hash was checked.

    Parameters
    ----------
    folder : str or path
        With `model.skops` and `interface.json`.

    Returns
    -------
    estimator
        Fitted. It takes rows as `tables.frame` returns them.
    """
    from . import interface, model_file

    described = interface.read(Path(folder) / "interface.json")
    return model_file.load(Path(folder) / "model.skops", described["file"])
