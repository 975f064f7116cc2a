"""What the tests of a project need: its settings, some of its rows, and a model that was saved and loaded.

Unlike a stage, none of this asks for `params.yaml` or a trained model.

Examples
--------
>>> settings = testing.settings()  # doctest: +SKIP
>>> rows = testing.rows(settings, tmp_path)  # doctest: +SKIP
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MissingError, ProjectError
from .settings import Config
from .training import compose, model_file, tables
from .training import prepare as preparing
from .training.tables import Rows


def settings(*overrides: str) -> Config:
    """Compose and check `conf/`, as the stage `compose` does.

    Parameters
    ----------
    overrides : str
        As for `dvc exp run -S`, such as `model=random_forest`.

    Returns
    -------
    Config
    """
    return compose.check(compose.compose(overrides=overrides))


def rows(settings: Config, folder: Path, most: int = 200) -> Rows:
    """Return some of the training rows.

    They come from `data/prepared` or, before the first `dvc repro`, from the raw table that `conf/data/` names.

    Parameters
    ----------
    settings : Config
    folder : Path
        Where the raw table is prepared if it must be; an empty folder.
    most : int
        So many rows at most, and of classes so many rows of each.

    Returns
    -------
    Rows

    Raises
    ------
    MissingError
        If this clone has neither, or if the raw table cannot be read as it is.
    """
    prepared = tables.PREPARED
    if not (prepared / "columns.json").exists():
        if not Path(settings.data.path).exists():
            raise MissingError(
                f"there is neither {prepared} nor {settings.data.path} here", "they hold the rows", "dvc pull"
            )
        try:
            raw = tables.raw(settings.data)
        except ProjectError as error:  # the stage `prepare` may read something else there
            raise MissingError(error.what, f"there is no {prepared} here", "dvc repro") from error
        found = preparing.prepare(raw, settings.data, settings.task, settings.split)
        preparing.write(found, folder)
        prepared = folder
    train = tables.read("train", prepared)
    if settings.task.name == "classification":
        few = train.table.groupby(train.y, sort=False).head(most)
    else:
        few = train.table.iloc[np.unique(np.linspace(0, len(train.table) - 1, most).astype(int))]
    return replace(train, table=few)


def reloaded(model: Any) -> Any:
    """Return a fitted model as it is once it was saved and loaded; what cannot be saved is a `ProjectError`."""
    return model_file.from_bytes(model_file.to_bytes(model), "the model")
