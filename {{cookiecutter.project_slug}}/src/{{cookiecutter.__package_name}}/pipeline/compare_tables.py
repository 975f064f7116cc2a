"""Count the rows that were added, removed and changed between two raw tables: JSON in, JSON out."""

import json
import sys
from collections import Counter
from typing import Any

from . import config, stage, table


def compare(old: config.Data, new: config.Data) -> dict[str, int | None]:
    """Compare two raw tables row by row.

    Parameters
    ----------
    old, new : Data
        How to read each; with the same `id` columns, rows of one id are the same row.

    Returns
    -------
    dict
        `added`, `removed`, and `changed` (None without `id` columns: a changed
        row is then one removed and one added).
    """
    before, now = (_rows(data) for data in (old, new))
    if old.id and old.id == new.id:
        a, b = ({_key(row, old.id): row for row in rows} for rows in (before, now))
        changed = sum(1 for key in a.keys() & b.keys() if a[key] != b[key])
        return {"added": len(b.keys() - a.keys()), "removed": len(a.keys() - b.keys()), "changed": changed}
    counts, counts_now = Counter(map(_flat, before)), Counter(map(_flat, now))
    return {"added": (counts_now - counts).total(), "removed": (counts - counts_now).total(), "changed": None}


def _rows(data: config.Data) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.read(data, f"conf/data/{data.name}.yaml").arrow.to_pylist()
    return rows


def _key(row: dict[str, Any], names: list[str]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in names)


def _flat(row: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in row.items()))


def main() -> None:
    old, new = (config.Data.model_validate(entry) for entry in json.load(sys.stdin))
    print(json.dumps(compare(old, new)))


if __name__ == "__main__":
    stage.run(main, is_stage=False)
