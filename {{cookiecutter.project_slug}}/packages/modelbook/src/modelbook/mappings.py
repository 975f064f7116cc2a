"""Nested mappings, such as the files of `conf/` hold: read from YAML, and compared."""

from collections.abc import Mapping
from typing import Any


def load_yaml(content: bytes) -> Any:
    """Read YAML 1.2 with the parser that DVC takes: PyYAML takes `1e-05` for a text. What is none is a `ValueError`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(content.decode("utf-8"))
    except YAMLError as error:
        raise ValueError(str(error)) from None


def differences(old: Mapping[Any, Any], new: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    """Return each dotted key whose value differs, with both values (None where absent).

    Examples
    --------
    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": True}, "d": 3})
    [('a.c', 2, True), ('d', None, 3)]
    """
    pairs: list[tuple[str, Any, Any]] = []
    for key in sorted({*old, *new}, key=str):
        left, right = old.get(key), new.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            pairs += differences(left, right, f"{prefix}{key}.")
        elif left != right or type(left) is not type(right):
            pairs.append((f"{prefix}{key}", left, right))
    return pairs
