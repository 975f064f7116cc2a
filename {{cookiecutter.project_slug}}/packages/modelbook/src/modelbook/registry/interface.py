"""What a change of a model's interface means: for its version number, and for the requests that it gets."""

from typing import Any, Literal

from ..errors import counted
from ..mappings import differences
from ..store.dvc_repo import Store
from .record import Record, read_json

Bump = Literal["major", "minor", "patch"]
#: Changes that a reason names; more are counted.
NAMED = 5


def of(store: Store, record: Record) -> dict[str, Any]:
    """Return a version's whole interface, from the object that its record names."""
    name = f"interface.json of {record.identity.version}"
    described: dict[str, Any] = read_json(store.read(record.interface.file), name)
    return described


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return why a request that suits the old interface may not suit the new one: sentences, or none.

    A column that the new model no longer takes does no harm: it is not looked at.
    """
    before = {entry["name"]: entry["type"] for entry in old["inputs"]}
    reasons = []
    for entry in new["inputs"]:
        name = entry["name"]
        if name not in before:
            reasons.append(f"the new column {name!r} is needed")
        elif before[name] != entry["type"]:
            reasons.append(f"column {name!r} is a {entry['type']}, it was a {before[name]}")
    if old["output"]["type"] != new["output"]["type"] or old["output"]["name"] != new["output"]["name"]:
        reasons.append(f"it predicts {new['output']['name']!r}, not {old['output']['name']!r}")
    return reasons


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return how two interfaces differ, for the version number: sentences, or none."""
    reasons = breaks(old, new)
    now = {entry["name"] for entry in new["inputs"]}
    reasons += [f"column {e['name']!r} is no longer taken" for e in old["inputs"] if e["name"] not in now]
    return reasons + classes(old, new)


def classes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return which classes only one of two interfaces has: sentences, or none."""
    before, after = (set(one["output"].get("classes") or []) for one in (old, new))
    gone, come = sorted(before - after), sorted(after - before)
    return [f"class {label!r} is gone" for label in gone] + [f"class {label!r} is new" for label in come]


def bump(parent: Record, now: Record, store: Store) -> tuple[Bump, str]:
    """Return which part of the version number rises after a parent, and why.

    Major when the interface changed, minor when data, code or params did,
    patch when only the environment or documentation did.
    """
    different = changes(of(store, parent), of(store, now))
    if different:
        more = len(different) - NAMED
        named = "; ".join(different[:NAMED]) + (f"; and {counted(more, 'more change')}" if more > 0 else "")
        return "major", named
    for what, before, after in (
        ("data", parent.data.inputs, now.data.inputs),
        ("code", parent.code.stages, now.code.stages),
        ("code", parent.code.dvc_yaml, now.code.dvc_yaml),
        ("code", parent.code.tool, now.code.tool),
        ("params", parent.params.sha256, now.params.sha256),
    ):
        if before != after:
            return "minor", f"{what} changed{_params_changed(parent, now) if what == 'params' else ''}"
    return "patch", "only the environment or documentation changed"


def _params_changed(parent: Record, now: Record) -> str:
    if parent.params.config is None or now.params.config is None:
        return ""
    names = [key for key, _, _ in differences(parent.params.config, now.params.config)]
    return f": {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def raise_number(version: str, part: Bump) -> str:
    """Return the next version number; a pre-release becomes its release first."""
    from .registry import version_key

    major, minor, patch, *_ = version_key(version)
    return {
        "major": f"v{major + 1}.0.0",
        "minor": f"v{major}.{minor + 1}.0",
        "patch": f"v{major}.{minor}.{patch + 1}",
    }[part]
