"""The YAML files that are part of a version."""

from typing import Any

from ..errors import ProjectError
from ..mappings import load_yaml


def read_yaml(content: bytes, name: str) -> dict[str, Any]:
    """Read a file of a commit that holds keys; what is none is a `ProjectError`."""
    try:
        loaded = load_yaml(content)
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise ProjectError(
            f"{name} is not valid YAML: {first}", "it is part of the record", f"git diff {name}, then correct it"
        ) from None
    if not isinstance(loaded, dict):
        raise ProjectError(f"{name} holds nothing", "it is part of the record", "dvc repro, then commit")
    return loaded
