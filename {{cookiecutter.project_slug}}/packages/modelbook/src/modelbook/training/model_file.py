"""The model file: skops, with bytes that only the model decides, and a loader that trusts nothing.

skops writes a zip of `schema.json` and one member for each array. Object
addresses, random names and times make its bytes differ from run to run; here
they are renumbered in the order of the walk through the schema, and the
members written in that order with a fixed date. What an estimator notes of the
training itself (how long the fits of a search took) is left out.
"""

import importlib
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ProjectError
from . import trust

#: The earliest date that a zip archive can hold.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
#: So much of a member tells whether it is worth compressing.
SAMPLE_BYTES = 2**20
#: The dtype of an array stands within so many bytes of the file (numpy.lib.format).
HEADER_BYTES = 128

#: What a fitted state holds of this one training: how long its fits took, and an address in memory. The bytes leave it
#: out, so the loaded estimator does not have it. By the module that its class begins with, and the attribute.
TIMES = ("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time")
VOLATILE: dict[str, dict[str, tuple[str, ...] | None]] = {
    "sklearn.model_selection.": {"cv_results_": TIMES, "refit_time_": None},
    "sklearn.feature_extraction.": {"_stop_words_id": None},
}

#: What skops raises; its own exception is a TypeError.
CANNOT_BE_SAVED = (TypeError, AttributeError)


def skops_io() -> ModuleType:
    """Import skops, but let it not make its list of all of scikit-learn's estimators.

    For that it would import all of scikit-learn with its tests, which takes longer than most fits. Without the list,
    skops trusts no estimator by itself in this process, and `trust` is asked about each.
    """
    import sklearn.utils

    every = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = list
    try:
        return importlib.import_module("skops.io")
    finally:
        sklearn.utils.all_estimators = every


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
    skops = skops_io()
    try:
        return canonical(skops.dumps(model))
    except CANNOT_BE_SAVED as error:
        place, part = _unsaved(model, type(model).__name__)
        kind = f"{type(part).__module__}.{type(part).__qualname__}"
        raise ProjectError(
            f"the fitted model cannot be saved: {place} is a {kind} ({error})",
            "skops saves scikit-learn estimators and what is built like them, without pickle",
            "in a class of yours keep numbers, texts, lists, dicts and numpy arrays (of a Series: .to_numpy());\n"
            "       or choose another estimator in conf/model/",
        ) from error


def _unsaved(value: Any, place: str) -> tuple[str, Any]:
    """Return the innermost part of a model that cannot be saved, and what it is called."""
    from sklearn.base import BaseEstimator

    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(value, BaseEstimator):
        parts = ((f"{type(value).__name__}.{name}", part) for name, part in vars(value).items())
    elif isinstance(value, list | tuple):
        parts = ((place, part) for part in value)
    return next((_unsaved(part, name) for name, part in parts if not _can_be_saved(part)), (place, value))


def _can_be_saved(part: Any) -> bool:
    try:
        skops_io().dumps(part)
    except CANNOT_BE_SAVED:
        return False
    return True


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
        contents = ((new, _clean(source.read(old))) for old, new in members.items())
        for name, content in (("schema.json", text), *contents):
            info = zipfile.ZipInfo(name, ZIP_EPOCH)
            info.create_system = 3  # as on Unix, also on Windows
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED if _shrinks(content) else zipfile.ZIP_STORED
            archive.writestr(info, content)
    return target.getvalue()


def _shrinks(member: bytes) -> bool:
    """Tell whether compression saves a tenth, by the first MiB: weights do not shrink, and take a second per 100 MB."""
    sample = member[:SAMPLE_BYTES]
    return len(zlib.compress(sample, 1)) < 0.9 * len(sample)


def _clean(member: bytes) -> bytes:
    """Return an array or a foreign model without what is no part of its values."""
    if member.startswith(b"CBM1"):
        return _clean_catboost(member)
    if not (member.startswith(b"\x93NUMPY") and b"'descr': [" in member[:HEADER_BYTES]):
        return member
    import numpy as np

    # Between the fields of a structured array, such as a tree's nodes, lies whatever was in memory before.
    array = np.load(io.BytesIO(member), allow_pickle=False)
    copy = np.zeros(array.shape, array.dtype)  # zeros_like would leave the gaps as they are
    for name in array.dtype.names:
        copy[name] = array[name]
    target = io.BytesIO()
    np.save(target, copy, allow_pickle=False)
    return target.getvalue()


def _clean_catboost(member: bytes) -> bytes:
    """Return a model of CatBoost without its random identity and the time when its training ended."""
    model = importlib.import_module("catboost").CatBoost()
    model.load_model(blob=member)
    metadata = model.get_metadata()
    for key in ("model_guid", "train_finish_time"):
        metadata[key] = ""
    with tempfile.TemporaryDirectory() as folder:
        model.save_model(str(Path(folder, "model.cbm")))
        return Path(folder, "model.cbm").read_bytes()


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
    _forget(node)
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


def _forget(node: dict[str, Any]) -> None:
    """Leave out what a fitted state holds of this one training."""
    for prefix, attributes in VOLATILE.items():
        if node.get("__loader__") == "ObjectNode" and str(node.get("__module__")).startswith(prefix):
            for name, keys in attributes.items():
                if keys is None:
                    _drop(node["content"], name)
                elif name in node["content"]["content"]:
                    for key in keys:
                        _drop(node["content"]["content"][name], key)
            if "param_distributions" in node["content"]["content"]:
                _name_distributions(node["content"]["content"]["param_distributions"])


def _name_distributions(node: Any) -> None:
    """Put a name in the place of each distribution that a search drew from: loading one would run text as code."""
    if isinstance(node, dict) and str(node.get("__module__")).startswith("scipy.stats."):
        name = f"{node['__module__']}.{node['__class__']}"
        node.clear()
        node |= {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(name)}
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _name_distributions(child)


def _drop(mapping: dict[str, Any], key: str) -> None:
    """Drop a key from a dict in the schema, where the types of the keys stand in a list beside it."""
    if key in mapping["content"]:
        del mapping["key_types"]["content"][list(mapping["content"]).index(key)]
        del mapping["content"][key]


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
        scikit-learn, or holds a type that `trust` does not know.
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
    from . import labels, preprocessing  # noqa: F401  (the file may hold their classes)

    skops = skops_io()
    names = skops.get_untrusted_types(data=_schema_alone(content))
    allowed = trust.trusted(names)
    if set(names) - allowed:
        trust.refuse(set(names) - allowed, f"{name} holds")
    return skops.loads(content, trusted=sorted(allowed))


def _schema_alone(content: bytes) -> bytes:
    """Return a skops file with empty members: the schema alone names the types, and arrays need not be unpacked twice.

    This saves time, not care: `skops.io.loads` checks the types of the whole file again.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in dict.fromkeys(source.namelist()):
            archive.writestr(name, source.read(name) if name == "schema.json" else b"")
    return target.getvalue()
