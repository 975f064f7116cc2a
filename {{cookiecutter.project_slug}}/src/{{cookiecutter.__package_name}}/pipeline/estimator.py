"""Find the estimator class that `conf/model/` names, and build it."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from ..errors import ProjectError


def estimator_class(arguments: dict[str, Any], file: str = "conf/model/") -> type:
    """Import the class named by `_target_`.

    Parameters
    ----------
    arguments : dict
        The block `model.estimator`: `_target_` and the keyword arguments.
    file : str
        The file to name in an error.

    Returns
    -------
    type
        A class with scikit-learn's `fit`, `predict` and `get_params`.
    """
    target = arguments["_target_"]
    found = import_target(target, file)
    lacking = [m for m in ("fit", "predict", "get_params", "set_params") if not callable(getattr(found, m, None))]
    if not isinstance(found, type) or lacking:
        raise ProjectError(
            f"{file}: _target_ {target!r} is not an estimator" + (f" (no {', '.join(lacking)})" if lacking else ""),
            "the pipeline fits it and predicts with it as scikit-learn does",
            "name a class with scikit-learn's interface, such as sklearn.linear_model.LogisticRegression",
        )
    return found


def import_target(target: str, file: str) -> Any:
    """Import what a `_target_` names; a wrong path is a `ProjectError`."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ProjectError(
            f"{file}: _target_ {target!r} cannot be imported: {error}",
            "the model is built from it",
            "correct the path, or add its package: uv add PACKAGE (pip: add it to pyproject.toml, pip install -e .)",
        ) from None


def nested_targets(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every block with a `_target_`, and its dotted place, outermost first."""
    if isinstance(value, dict):
        if isinstance(value.get("_target_"), str):
            yield place, value
        for key, child in value.items():
            yield from nested_targets(child, f"{place}.{key}")
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from nested_targets(child, f"{place}[{number}]")


def unknown_arguments(target: Any, arguments: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the arguments that a class or function does not take, and the ones that it does."""
    parameters = inspect.signature(target).parameters.values()
    known = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return [], known
    return [key for key in arguments if key not in known and not key.startswith("_")], known


def build(arguments: dict[str, Any]) -> Any:
    """Build the estimator, nested ones included; wrong arguments are a `ProjectError`."""
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    estimator_class(arguments)
    try:
        return instantiate(arguments, _convert_="all")
    except HydraException as error:
        raise ProjectError(
            f"{arguments['_target_']} cannot be built: {error.__cause__ or error}",
            "conf/model/ holds its arguments",
            "correct the arguments in conf/model/ (in an experiment: its -S)",
        ) from error
