"""Which types a model file may hold: loading one creates objects of the types that it names.

skops trusts numbers, containers and numpy's arrays. The rest is decided here, by
name and without a look at the file's own claims: scikit-learn's estimators, its
parts that only hold state, classes of this project, and what the project lists
in `trusted_types.txt`.

A file may also *call* what it names, with arguments of its own (skops'
`ConstructorFromReduceNode`). So a function is trusted only if any call of it is
harmless, and no package as a whole is: `scipy.stats` distributions run text of
their state as code, `sklearn.datasets` reads and downloads files.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ProjectError

NAME = re.compile(r"\w+(\.\w+)+")
#: The project's own list, one type a line.
FILE = Path("trusted_types.txt")
TOOL = __package__.partition(".")[0]

#: Parts of fitted estimators that were looked at one by one: arrays and numbers, and functions that only check arrays.
PARTS = frozenset(
    {
        "collections.OrderedDict",
        # Holds a function that must itself be trusted.
        "functools.partial",
        # The type of an array's elements, by name.
        "numpy.dtype",
        # Compiled trees: arrays of positions. scikit-learn does not check that they lie within bounds, so a
        # forged file could crash the process; that is why `load` checks the file's hash before it opens it.
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.impute._iterative._ImputerTriplet",
        "sklearn.metrics._scorer._MultimetricScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._interpolate.interp1d",
    }
)
#: What scikit-learn's classes of state inherit from.
BASES = frozenset(
    {
        "sklearn.base.BaseEstimator",
        "sklearn.gaussian_process.kernels.Kernel",
        "sklearn.metrics._dist_metrics.DistanceMetric",
        "sklearn.metrics._dist_metrics.DistanceMetric32",
        "sklearn.metrics._dist_metrics.DistanceMetric64",
        "sklearn.metrics._scorer._BaseScorer",
        "sklearn.model_selection._split.BaseCrossValidator",
        "sklearn.model_selection._split.BaseShuffleSplit",
        "sklearn.model_selection._split._RepeatedSplits",
    }
)
#: Where public functions only compute with arrays, whatever their arguments.
FUNCTIONS = ("sklearn.feature_selection", "sklearn.metrics")
#: What fitted estimators of these modules are known to hold beside themselves; to name all lines at once.
HELD = {
    "catboost.": ("catboost.core._CatBoostBase",),
    "imblearn.ensemble.": ("imblearn.under_sampling._prototype_selection._random_under_sampler.RandomUnderSampler",),
    "lightgbm.": ("lightgbm.basic.Booster",),
    "xgboost.": ("xgboost.core.Booster",),
}


def listed(file: Path = FILE) -> frozenset[str]:
    """Read the project's own list; without the file there is none."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return frozenset()
    except UnicodeDecodeError as error:
        raise ProjectError(f"{file} is not UTF-8: {error}", "it lists types by name", f"save {file} as UTF-8") from None
    names = [line.partition("#")[0].strip() for line in lines]
    for number, name in enumerate(names, 1):
        if name and not NAME.fullmatch(name):
            raise ProjectError(
                f"{file}, line {number}: {name!r} is not the name of a type",
                "each line names one type, with its module",
                "write it like xgboost.core.Booster; # starts a comment",
            )
    return frozenset(filter(None, names))


def is_of_the_project(package: str) -> bool:
    """Tell whether a package, or a module beside it, lies in the folder of the project, and not in its environment."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a specification, such as __main__
        return False
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    files = [Path(place).resolve() for place in places if place]
    inside = any(file.is_relative_to(Path.cwd()) for file in files)
    return inside and not any(file.is_relative_to(sys.prefix) or "site-packages" in file.parts for file in files)


def _is_found(name: str) -> bool:
    """Tell whether the package that a type is in can be imported."""
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except ValueError:
        return True


def trusted(names: Iterable[str]) -> frozenset[str]:
    """Return those of some names that a model file may hold."""
    own = listed()
    return frozenset(name for name in names if name in PARTS or name in own or _is_harmless(name))


def _is_harmless(name: str) -> bool:
    """Tell whether a name is a class of state of scikit-learn, a computation, or a class of this project."""
    module, _, attribute = name.rpartition(".")
    root, *inner = module.split(".")
    if root == TOOL or is_of_the_project(root):
        return _is_own(module, attribute)
    # The tests, data sets and borrowed code in scikit-learn are no part of a model, and are not even imported.
    if root != "sklearn" or {"conftest", "datasets", "externals", "tests", "_build_utils", "_testing"} & set(inner):
        return False
    value = _find(module, attribute)
    if isinstance(value, type):
        return bool(BASES & {f"{base.__module__}.{base.__qualname__}" for base in value.__mro__})
    return value is not None and any(_is_public(value, attribute, place) for place in FUNCTIONS)


def _is_public(value: Any, name: str, place: str) -> bool:
    public = importlib.import_module(place)
    return name in public.__all__ and getattr(public, name) is value


def _is_own(module: str, attribute: str) -> bool:
    """Tell whether a name is an estimator of this project, or a class that the team's modules define."""
    value = _find(module, attribute)
    if not isinstance(value, type) or issubclass(value, BaseException):
        return False
    bases = {f"{base.__module__}.{base.__qualname__}" for base in value.__mro__}
    return "sklearn.base.BaseEstimator" in bases or module.partition(".")[0] != TOOL


def _find(module: str, attribute: str) -> Any:
    """Return what a module itself defines under a name; what it only imported does not count."""
    try:
        value = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None
    return value if getattr(value, "__module__", None) == module else None


def refuse(names: Iterable[str], holder: str) -> None:
    """Refuse types that are not trusted, with the lines to add."""
    names = list(names)
    nameless = sorted(name for name in names if not NAME.fullmatch(name))
    if nameless:
        raise ProjectError(
            f"{holder} what cannot be saved: {', '.join(nameless)}",
            "a model file names its parts, and a function without a name cannot be found again",
            "define it with `def` in a module of the project, and refer to it by its name",
        )
    lost = sorted({name.partition(".")[0] for name in names if not _is_found(name)})
    if lost:
        raise ProjectError(
            f"{holder} types of what Python does not find here: {', '.join(lost)}",
            "a model is made of objects whose classes must be importable",
            "run in the folder of the project that trained it; install what else is named",
        )
    lines = "".join(f"\n       {name}" for name in sorted(names))
    raise ProjectError(
        f"{holder} types that nobody has reviewed: {', '.join(sorted(names))}",
        "loading a model creates objects of the types that its file names",
        f"look at their code; if they are safe, add to {FILE}:{lines}",
    )
