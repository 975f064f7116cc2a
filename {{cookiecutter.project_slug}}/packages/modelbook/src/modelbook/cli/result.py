"""What a command returns, as plain values for JSON."""

import dataclasses
import datetime as dt
from pathlib import PurePath
from typing import Any


def plain(value: Any) -> Any:
    """Return a result as JSON holds it.

    A dataclass gives its fields and its public properties; a class that knows better has `as_dict`. Sets are sorted,
    times are ISO 8601.
    """
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value):
        properties = [name for name, kind in vars(type(value)).items() if isinstance(kind, property) and name[0] != "_"]
        names = [*(field.name for field in dataclasses.fields(value)), *properties]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value) if isinstance(value, PurePath) else value
