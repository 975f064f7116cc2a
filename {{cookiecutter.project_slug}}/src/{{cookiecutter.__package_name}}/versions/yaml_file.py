"""Read YAML as DVC does."""

from typing import Any

from ..errors import ProjectError


def read_yaml(content: bytes, name: str) -> dict[str, Any]:
    """Read YAML 1.2, as DVC does: PyYAML takes `1e-05` for a text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        loaded = YAML(typ="safe", pure=True).load(content.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ProjectError(
            f"{name} is not valid YAML: {first}", "it is part of the record", f"git diff {name}, then correct it"
        ) from None
    if not isinstance(loaded, dict):
        raise ProjectError(f"{name} holds nothing", "it is part of the record", "dvc repro, then commit")
    return loaded
