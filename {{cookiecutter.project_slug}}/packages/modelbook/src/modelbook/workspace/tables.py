"""How the rows of two tables differ, in numbers and in words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import counted
from ..registry import derive
from ..registry.derive import Source
from ..store.yaml_file import read_yaml
from .project import Project

#: Columns that a sentence names; more are counted.
NAMED = 8


@dataclass(frozen=True)
class Difference:
    """What `pipeline/compare_tables.py` found.

    Attributes
    ----------
    rows : tuple of int
        Of both tables.
    compared : int
        Columns that both have with the same type: rows are compared by them.
    come, gone : tuple of str
        Columns that one table does not have.
    retyped : dict of str to tuple of str
        What the type of a column was and is.
    added, removed : int
    changed : int or None
        None: without an id that cannot be told.
    several : int
        Ids that do not stand for one row.
    """

    rows: tuple[int, int]
    compared: int
    come: tuple[str, ...]
    gone: tuple[str, ...]
    retyped: dict[str, tuple[str, str]]
    added: int
    removed: int
    changed: int | None
    several: int

    @property
    def same(self) -> bool:
        """Tell whether both hold the same rows, as far as columns that both have can tell."""
        return bool(self.compared) and not (self.added or self.removed or self.changed)

    def columns(self) -> str:
        """Return the columns that rows are not compared by, to go on a sentence with; nothing if there are none."""
        parts = [f"without {_names(self.gone)}"] * bool(self.gone) + [f"with the new {_names(self.come)}"] * bool(
            self.come
        )
        parts += [f"{name} was a {old} and is a {new}" for name, (old, new) in list(self.retyped.items())[:NAMED]]
        more = len(self.retyped) - NAMED
        parts += [f"{counted(more, 'more column')} of another type"] * (more > 0)
        return "".join(f", {part}" for part in parts)

    def others(self) -> str:
        """Return how many of the new rows the old table does not have."""
        new = self.added + (self.changed or 0)
        return f"{new} of {self.rows[1]}" if self.compared else "with no column in common"

    def sentences(self) -> list[str]:
        """Return what a comparison of two raw tables shows."""
        columns = self.columns().removeprefix(", ")
        if not self.compared:
            return [f"not compared: no column is in both with one type ({columns})"]
        changed = "" if self.changed is None else f", {self.changed} changed"
        found = [f"{self.added} added, {self.removed} removed{changed}"]
        if columns:
            found.append(f"compared by the columns that both have ({columns})")
        if self.changed is not None and self.several and self.added and self.removed:
            many = "1 id stands" if self.several == 1 else f"{self.several} ids stand"
            found.append(f"{many} for several rows or for none: there, a changed row is one removed and one added")
        return found


def compare(project: Project, tables: Sequence[dict[str, Any]]) -> Difference:
    """Compare an old and a new table, each told as `pipeline/compare_tables.py` takes it."""
    found = json.loads(project.python("modelbook.training.compare_tables", text=json.dumps(tables)))
    for name in ("rows", "come", "gone"):
        found[name] = tuple(found[name])
    return Difference(**found)


def compare_test_rows(project: Project, old: Source, new: Source) -> Difference:
    """Compare the test rows of two sources, by all columns that both have, whichever the models take."""
    folders = [derive.prepared(read_yaml(source.blob("params.yaml"), "params.yaml")) for source in (old, new)]
    pairs = zip((old, new), folders, strict=True)
    return compare(project, [{"files": part_files(source, folder, "test")} for source, folder in pairs])


def part_files(source: Source, prepared: str, part: str) -> list[str]:
    """Return where a part's rows lie in the cache: the columns that the model sees, and the others."""
    return [path(source, f"{prepared}/{name}{part}.parquet") for name in ("", "left_out/")]


def path(source: Source, name: str) -> str:
    """Return where the content of a file lies; it is checked, and fetched if need be."""
    oid = source.object(name)
    if not source.store.is_sound(oid):
        source.store.fetch([oid])
    return str(source.store.path(oid))


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
