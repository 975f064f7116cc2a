"""The model file: skops, with bytes that only the model decides, and a loader that trusts nothing.

skops writes a zip of `schema.json` and one member for each array. Object
addresses, random names and times make its bytes differ from run to run; here
they are renumbered in the order of the walk through the schema, and the
members written in that order with a fixed date.
"""

import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import ProjectError

#: The earliest date that a zip archive can hold.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

#: Types that a model file may hold beside those that skops trusts by itself
#: (numbers, containers, numpy arrays, scikit-learn's public estimators).
#: Review a type before you add it: loading creates objects of it.
TRUSTED_TYPES = (
    # The type of an array's elements, by name; no code.
    "numpy.dtype",
    # Compiled trees: arrays of positions. scikit-learn does not check that they lie within bounds, so a
    # forged file could crash the process; that is why `load` checks the file's hash before it opens it.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # Private parts of public estimators: plain state, no code.
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    # This project's own transformers.
    f"{__package__}.features.DateParts",
)


def to_bytes(model: Any) -> bytes:
    """Return the canonical bytes of a model.

    Parameters
    ----------
    model : estimator
        Anything that skops can save.

    Returns
    -------
    bytes
        The same for the same fitted state in any process.
    """
    import skops.io

    try:
        return canonical(skops.io.dumps(model))
    except (TypeError, AttributeError, skops.io.exceptions.UnsupportedTypeException) as error:
        raise ProjectError(
            f"the fitted model cannot be saved: {error}",
            "skops saves scikit-learn estimators and what is built like them, without pickle",
            "choose another estimator in conf/model/",
        ) from error


def canonical(file: bytes) -> bytes:
    """Return a skops file with addresses, names, order and dates made canonical."""
    source = zipfile.ZipFile(io.BytesIO(file))
    schema = json.loads(source.read("schema.json"))
    numbers: dict[int, int] = {}
    members: dict[str, str] = {}
    _renumber(schema, numbers, members)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        text = json.dumps(schema, separators=(",", ":"), ensure_ascii=True).encode()
        for name, content in (("schema.json", text), *((new, source.read(old)) for old, new in members.items())):
            info = zipfile.ZipInfo(name, ZIP_EPOCH)
            info.create_system = 3  # as on Unix, also on Windows
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return target.getvalue()


def _renumber(node: Any, numbers: dict[int, int], members: dict[str, str]) -> None:
    """Replace addresses by their order of appearance, and member names by numbers, in place."""
    if isinstance(node, list):
        for child in node:
            _renumber(child, numbers, members)
        return
    if not isinstance(node, dict):
        return
    if node.get("__loader__") == "JsonNode":
        # Whether two equal texts or numbers are one object is up to the interpreter.
        node.pop("__id__", None)
        return
    if node.get("__loader__") == "SetNode" or node.get("__class__") in ("set", "frozenset"):
        # The order in a set hangs on PYTHONHASHSEED.
        node["content"] = sorted(node["content"], key=_without_ids)
    if "__id__" in node:
        node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
    if isinstance(node.get("file"), str) and "__loader__" in node:
        suffix = Path(node["file"]).suffix
        node["file"] = members.setdefault(node["file"], f"{len(members)}{suffix}")
    for key, child in node.items():
        if key not in ("__id__", "file"):
            _renumber(child, numbers, members)


def _without_ids(node: Any) -> str:
    text: str = json.dumps(node, sort_keys=True, default=str)
    return json.dumps(
        json.loads(text, object_hook=lambda d: {k: v for k, v in d.items() if k != "__id__"}), sort_keys=True
    )


def describe(content: bytes) -> dict[str, Any]:
    """Return what the loader checks before it opens a model file."""
    from importlib.metadata import version

    return {
        "format": "skops",
        "bytes": len(content),
        "sha256": sha256(content).hexdigest(),
        "scikit-learn": version("scikit-learn"),
    }


def load(path: Path, expected: dict[str, Any]) -> Any:
    """Load a model file that is exactly the one described.

    Parameters
    ----------
    path : Path
    expected : dict
        What `describe` returned when the file was written.

    Returns
    -------
    estimator

    Raises
    ------
    ProjectError
        If the file is missing or changed, was written with another version of
        scikit-learn, or holds a type that `TRUSTED_TYPES` does not name.
    """
    from importlib.metadata import version

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ProjectError(
            f"{path} is missing", "it holds the model", f"dvc checkout {path.parent}   (or dvc pull)"
        ) from None
    found = sha256(content).hexdigest()
    if found != expected["sha256"]:
        raise ProjectError(
            f"{path} is not the file that was trained: its sha256 is {found[:12]}..., not {expected['sha256'][:12]}...",
            "a changed model file may be damaged or forged; it was not opened",
            f"rm {path} && dvc checkout {path.parent}; if that brings the same file back, dvc repro --force train",
        )
    if version("scikit-learn") != expected["scikit-learn"]:
        raise ProjectError(
            f"{path} was written with scikit-learn {expected['scikit-learn']}; {version('scikit-learn')} is installed",
            "another version may read the same file as another model",
            f"uv sync at the commit that trained it, or pip install scikit-learn=={expected['scikit-learn']}",
        )
    return from_bytes(content, str(path))


def from_bytes(content: bytes, name: str) -> Any:
    """Load a model from bytes whose hash was checked; only trusted types are created."""
    import skops.io

    from . import features  # noqa: F401  (the file may hold its transformers)

    try:
        return skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    except skops.io.exceptions.UntrustedTypesFoundException:
        untrusted = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED_TYPES))
        raise ProjectError(
            f"{name} holds types that nobody has reviewed: {', '.join(untrusted)}",
            "loading a model creates objects of the types that its file names",
            f"look at their code; if they are safe, add them to TRUSTED_TYPES in {Path(__file__).name}",
        ) from None
