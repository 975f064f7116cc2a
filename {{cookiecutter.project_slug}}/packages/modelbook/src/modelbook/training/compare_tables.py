"""Count the rows that were added, removed and changed between two tables: JSON in, JSON out.

Rows are compared as a bag, so equal rows and rows of one id are counted, never
merged, and a value is the same only if its type is, too.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import settings as config
from . import stage, table


def compare(old: pa.Table, new: pa.Table, ids: Sequence[Sequence[str]] = ()) -> dict[str, Any]:
    """Compare two tables row by row, by the columns that both have.

    Parameters
    ----------
    old, new : pyarrow.Table
    ids : sequence of sequence of str
        Sets of columns that may identify a row; the first whose columns are
        all compared does. Where an id stands for one row in both tables, that
        row is the same one, changed or not. Of an id with several rows it
        cannot be told which became which: they are added and removed.

    Returns
    -------
    dict
        `rows` of both; `compared`, the number of columns; `come`, `gone` and
        `retyped`, the columns that could not be compared; `added`, `removed`,
        `changed` (None without an id) and `several`, the number of ids that
        have several rows (or a part that is missing).

    Examples
    --------
    >>> old, new = pa.table({"id": [1, 2], "x": [3, 4]}), pa.table({"id": [1, 2, 2], "x": [3, 5, 4]})
    >>> found = compare(old, new, [["id"]])
    >>> found["added"], found["removed"], found["changed"]
    (1, 0, 0)
    """
    columns, retyped = {}, {}
    for name in old.column_names:
        if name in new.column_names:
            try:
                # No values, or whole numbers of one table and fractions of the other, are still of one type.
                pair = [pa.table({name: part[name]}) for part in (old, new)]
                columns[name] = pa.concat_tables(pair, promote_options="permissive")[name]
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                kinds = [_kind(part[name].type) for part in (old, new)]
                retyped[name] = kinds if kinds[0] != kinds[1] else [str(part[name].type) for part in (old, new)]
    key = next((list(names) for names in ids if names and all(name in columns for name in names)), [])
    found: dict[str, Any] = {
        "rows": [old.num_rows, new.num_rows],
        "compared": len(columns),
        "come": [name for name in new.column_names if name not in old.column_names],
        "gone": [name for name in old.column_names if name not in new.column_names],
        "retyped": retyped,
        "several": 0,
    }
    if not columns:
        return {**found, "added": new.num_rows, "removed": old.num_rows, "changed": None}
    # Names of our own, which no column of the tables can have.
    short = {name: f"c{number}" for number, name in enumerate(columns)}
    side = pa.array([1] * old.num_rows + [0] * new.num_rows, pa.int64())
    whole = pa.table({short[name]: _plain(column) for name, column in columns.items()})
    whole = whole.append_column("old", side).append_column("new", pc.subtract(1, side))
    counts = _sums(whole, list(short.values()), ["old", "new"])
    for one, other in (("old", "new"), ("new", "old")):  # what is left when equal rows are taken away
        left = pc.max_element_wise(pc.subtract(counts[one], counts[other]), 0)
        counts = counts.append_column(f"{one} left", left)
    changed, several = None, 0
    if key:
        by_id = _sums(counts, [short[name] for name in key], ["old", "new", "old left", "new left"])
        single = pc.and_(pc.less_equal(by_id["old"], 1), pc.less_equal(by_id["new"], 1))
        for name in key:
            single = pc.and_(single, by_id[short[name]].is_valid())
        changed = _total(pc.min_element_wise(by_id["old left"], by_id["new left"]).filter(single))
        several = _total(pc.invert(single).cast(pa.int64()))
    added, removed = _total(counts["new left"]), _total(counts["old left"])
    moved = {"added": added - (changed or 0), "removed": removed - (changed or 0), "changed": changed}
    return {**found, "several": several, **moved}


def _sums(table: pa.Table, by: list[str], names: list[str]) -> pa.Table:
    """Add up columns for each combination of others; missing values are a value here."""
    found = table.group_by(by).aggregate([(name, "sum") for name in names])
    return found.rename_columns({f"{name}_sum": name for name in names})


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(values, 0.0) if pa.types.is_floating(values.type) else values  # minus zero is zero


def _total(values: pa.ChunkedArray) -> int:
    return int(pc.sum(values).as_py() or 0)


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_temporal(type_):
        return "date"
    return "category" if pa.types.is_string(type_) or pa.types.is_large_string(type_) else "number"


def _read(asked: dict[str, Any]) -> tuple[pa.Table, list[str]]:
    """Read a raw table by its settings, or the prepared files that hold the columns of one table; and its id."""
    if "files" in asked:
        parts = [pq.read_table(file) for file in asked["files"]]
        return pa.table({name: part[name] for part in parts for name in part.column_names}), []
    data = config.Data.model_validate(asked)
    return table.read(data, f"conf/data/{data.name}.yaml").arrow, data.id


def main() -> None:
    (old, old_id), (new, new_id) = map(_read, json.load(sys.stdin))
    print(json.dumps(compare(old, new, [new_id, old_id])))


if __name__ == "__main__":
    stage.run(main, is_stage=False)
