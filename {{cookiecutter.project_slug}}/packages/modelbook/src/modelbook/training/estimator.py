"""Find the estimator class that `conf/model/` names, and build it."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from ..errors import ProjectError
from ..settings import Compute, Fit, nearest
from . import trust

#: What to install for a module that is called otherwise than its package.
PACKAGES = {"imblearn": "imbalanced-learn", "pytorch_tabnet": "pytorch-tabnet", "sklearn_extra": "scikit-learn-extra"}
#: scikit-learn shows its experimental estimators only after one of these was imported.
EXPERIMENTAL = ("sklearn.experimental.enable_halving_search_cv", "sklearn.experimental.enable_iterative_imputer")


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
    methods = ("fit", "predict", "get_params", "set_params", "__sklearn_tags__")
    lacking = [m for m in methods if not callable(getattr(found, m, None))]
    if not isinstance(found, type) or lacking:
        raise ProjectError(
            f"{file}: _target_ {target!r} is not an estimator" + (f" (no {', '.join(lacking)})" if lacking else ""),
            "the pipeline fits it and predicts with it as scikit-learn does",
            "name a class with scikit-learn's interface, such as sklearn.linear_model.LogisticRegression\n"
            "       (your own class: inherit from sklearn.base.ClassifierMixin or RegressorMixin, then BaseEstimator)",
        )
    return found


def import_target(target: str, file: str) -> Any:
    """Import what a `_target_` names; a wrong path is a `ProjectError`."""
    module, _, name = target.rpartition(".")
    try:
        if module.startswith("sklearn."):
            for experimental in EXPERIMENTAL:
                importlib.import_module(experimental)
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        root = target.partition(".")[0]
        package = PACKAGES.get(root, root)
        add = f"uv add {package}   (pip: add {package} to `dependencies` in pyproject.toml, pip install -e .)"
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == root
        raise ProjectError(
            f"{file}: _target_ {target!r} cannot be imported: {error}",
            "the model is built from it",
            f"{add}\n       or correct the path, if it should be another one" if is_missing else "correct the path",
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
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # some built-in types have none
        return [], []
    known = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return [], known
    return [key for key in arguments if key not in known and not key.startswith("_")], known


def check_trust(arguments: dict[str, Any], file: str) -> None:
    """Refuse estimators whose fitted model could not be loaded, before they are fitted."""
    names = set()
    for _, block in nested_targets(arguments, ""):
        found = import_target(block["_target_"], file)
        if isinstance(found, type) and callable(getattr(found, "fit", None)):
            names.add(f"{found.__module__}.{found.__qualname__}")
            names.update(*(held for prefix, held in trust.HELD.items() if found.__module__.startswith(prefix)))
    known = trust.trusted(names)
    if names - known:
        trust.refuse(names - known, f"{file} names")


def build(arguments: dict[str, Any], file: str = "conf/model/") -> Any:
    """Build the estimator, nested ones included; wrong arguments are a `ProjectError`."""
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    estimator_class(arguments, file)
    try:
        return instantiate(arguments, _convert_="all")
    except HydraException as error:
        raise ProjectError(
            f"{arguments['_target_']} cannot be built: {error.__cause__ or error}",
            f"{file} holds its arguments",
            f"correct the arguments in {file} (in an experiment: its -S)",
        ) from error


def check_task(built: Any, target: str, task: str, file: str) -> None:
    """Refuse a classifier for a regression, and the other way round."""
    from sklearn.base import is_classifier, is_regressor

    if not {"classification": is_classifier, "regression": is_regressor}[task](built):
        kind = {"classification": "Classifier", "regression": "Regressor"}[task]
        raise ProjectError(
            f"{file}: {target} does not do {task}",
            f"conf/task/{task}.yaml is chosen",
            f"choose an estimator for that task; a class of your own must inherit from sklearn.base.{kind}Mixin, "
            "left of BaseEstimator",
        )


def check_fit(built: Any, how: Fit, file: str) -> None:
    """Refuse what the `fit` of an estimator does not take; one that passes on whatever it is given finds out itself."""
    parameters = inspect.signature(built.fit).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known, name = [parameter.name for parameter in parameters], type(built).__name__
    if how.sample_weight and "sample_weight" not in known:
        raise ProjectError(
            f"{file}: {name} takes no sample weights",
            f"fit.sample_weight names the column {how.sample_weight!r}, which would change nothing",
            f"take `sample_weight` out of `fit` in {file} (in an experiment: of its -S), or choose another estimator",
        )
    for argument in [*(how.validation or []), *how.arguments]:
        if argument not in known:
            raise ProjectError(
                f"{file}: the fit of {name} has no argument called {argument!r}{nearest(argument, known)}",
                "`fit` in that file passes it on",
                f"correct `fit` in {file} (in an experiment: its -S)",
            )


def pin(model: Any, compute: Compute) -> None:
    """Give the seed and the threads of `conf/compute/` to every part of a model that names none itself.

    Without a seed, fits that run side by side draw in the order of their threads. `n_jobs` of
    scikit-learn runs whole fits side by side and changes nothing; other packages split sums by it.
    """
    params = model.get_params(deep=True)
    for key, value in params.items():
        place, _, name = key.rpartition("__")
        # A class of yours that inherits from scikit-learn's has its arguments.
        owner = getattr(type(params[place] if place else model).__init__, "__module__", "")
        if value is None and name == "random_state":
            model.set_params(**{key: compute.seed})
        elif value is None and name == "n_jobs" and not owner.startswith("sklearn."):
            model.set_params(**{key: compute.threads})
