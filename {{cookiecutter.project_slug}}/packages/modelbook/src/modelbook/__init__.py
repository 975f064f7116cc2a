"""modelbook: every model version explained, rebuilt bit for bit, used, and rolled back.

The functions that the stages of a pipeline call. They are loaded when they are
asked for, so that `import modelbook` alone takes no time.

Examples
--------
>>> from modelbook import models, stage, tables  # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import settings as settings
    from .training import evaluation as evaluation
    from .training import models as models
    from .training import plots as plots
    from .training import preprocessing as preprocessing
    from .training import tables as tables
    from .training.inputs import reads as reads
    from .training.stage import stage as stage

#: Where each public name stands: a module, or a function in one.
PUBLIC = {
    "evaluation": "training.evaluation",
    "models": "training.models",
    "plots": "training.plots",
    "preprocessing": "training.preprocessing",
    "reads": "training.inputs:reads",
    "settings": "settings",
    "stage": "training.stage:stage",
    "tables": "training.tables",
}
__all__ = ["evaluation", "models", "plots", "preprocessing", "reads", "settings", "stage", "tables"]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'modelbook' has no attribute {name!r}")
    module, _, function = PUBLIC[name].partition(":")
    try:
        # What a stage reads is noted from here on.
        importlib.import_module("modelbook.training.inputs")
        found = importlib.import_module(f"modelbook.{module}")
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed; it comes with the extra: modelbook[train]") from None
    return getattr(found, function) if function else found
