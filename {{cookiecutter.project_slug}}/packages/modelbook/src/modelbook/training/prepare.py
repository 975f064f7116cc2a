"""Check the raw table, choose its columns, and split it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .. import settings as config
from ..errors import ProjectError, counted
from . import columns, interface, looks, spelling, split, table, threads
from .columns import Column
from .tables import to_parquet
from .values import as_text as text_of


@dataclass(frozen=True)
class Prepared:
    """The split table: each part with the columns that the model sees, and with all others.

    `raw_test` are the test rows as the files hold them, whatever type this version gives their columns.
    """

    columns: list[Column]
    parts: dict[str, pa.Table]
    left_out: dict[str, pa.Table]
    raw_test: pa.Table
    raw: dict[str, int]
    notes: list[str]


def prepare(raw: table.Table, data: config.Data, task: config.Task, how: config.Split) -> Prepared:
    """Check and split the raw table.

    Parameters
    ----------
    raw : Table
    data : Data
    task : Task
    how : Split

    Returns
    -------
    Prepared
        Features in the order of the raw table, then the target. Left out: the
        columns in `id` and `leave_out`, and columns without any value.
    """
    conf_file = f"conf/data/{data.name}.yaml"
    size = {"rows": raw.arrow.num_rows, "columns": raw.arrow.num_columns}
    if raw.source == data.path:
        size["files"] = len(raw.origins)
    notes = [f"{raw.source}: {', '.join(counted(number, name[:-1]) for name, number in size.items())}"]
    notes.extend(raw.notes)
    _check_rules(raw, data, conf_file)
    target = _target(raw, data, task, conf_file, notes)
    has_target = target.is_valid()
    kept = raw.arrow.set_column(raw.arrow.column_names.index(data.target), data.target, target).filter(has_target)

    chosen: list[Column] = []
    for name, kind in raw.types.items():
        if name in (data.target, *data.id, *data.leave_out):
            continue
        if kind == "empty":
            notes.append(f"column {name!r} has no values and is left out")
            continue
        chosen.append(_column(raw, name, "feature", data))
        _note_poor_column(kept[name], name, kind, conf_file, notes)
    if not chosen:
        raise ProjectError(
            f"{raw.source} has no column to predict from",
            "every column is the target, an id, left out or empty",
            f"take a column out of `id` or `leave_out` in {conf_file}",
        )
    target_type: config.ColumnType = "category" if task.name == "classification" else "number"
    chosen.append(Column(data.target, target_type, "target", private=data.target in data.private))
    parts = split.assign(raw, how, data, notes)[has_target.to_numpy(zero_copy_only=False)]
    split.check_parts(parts, how, raw)
    result = _divide(kept.select([column.name for column in chosen]), parts)
    _check_classes(result, data.target, task, how, notes)
    notes.append(", ".join(f"{name}: {counted(part.num_rows, 'row')}" for name, part in result.items()))
    other = _divide(kept.drop_columns([column.name for column in chosen]), parts)
    raw_test = _divide(raw.raw.filter(has_target), parts)["test"]
    return Prepared(chosen, result, other, raw_test, size, notes)


def _column(raw: table.Table, name: str, role: columns.Role, data: config.Data) -> Column:
    """Describe a column with all that is needed to read its raw values again."""
    kind, type_ = raw.types[name], raw.raw.schema.field(name).type
    how = spelling.TYPED
    if kind == "category":
        how = spelling.of_texts(raw.arrow[name]) if pa.types.is_string(type_) else spelling.of_type(type_)
    reading = columns.Reading(
        # Where such a text also stands in quotes, it is a value, and what is missing is null already.
        missing=() if name in raw.quoted else tuple(data.missing),
        decimal=data.decimal,
        date_format=data.date_format,
        verbatim=kind == "category" and pa.types.is_string(type_) and name not in raw.untyped,
        spelling=how,
    )
    return Column(name, kind, role, reading, private=name in data.private)  # type: ignore[arg-type]


def _divide(rows: pa.Table, parts: NDArray[np.int8]) -> dict[str, pa.Table]:
    """Return the rows of each part."""
    return {name: rows.filter(pa.array(parts == number)) for number, name in enumerate(split.PARTS)}


def _target(raw: table.Table, data: config.Data, task: config.Task, conf_file: str, notes: list[str]) -> pa.Array:
    """Return the target as the task needs it: numbers, or class labels as text."""
    kind = raw.types[data.target]
    values = raw.arrow[data.target].combine_chunks()
    if kind == "empty":
        raise ProjectError(
            f"the target column {data.target!r} has no values",
            "there is nothing to learn",
            f"correct `target` in {conf_file}",
        )
    if task.name == "regression" and kind != "number":
        fix = f"name another `target` in {conf_file}, or start a project for classification"
        if kind == "category" and not data.types.get(data.target):
            fix += f"; or write `{looks.quoted(data.target)}: number` below `types` to see what is no number"
            said = looks.note(values, data.target, data, conf_file, is_parquet=data.target not in raw.untyped)
            fix += f"\n       {said}" if said else ""
        raise ProjectError(
            f"the target column {data.target!r} is a {kind}, not a number", "the task is regression", fix
        )
    if task.name == "classification":
        if kind == "number" and len(pc.unique(values)) > 100:
            raise ProjectError(
                f"the target column {data.target!r} holds {len(pc.unique(values))} different numbers",
                "the task is classification, so each would be a class",
                f"name another `target` in {conf_file}, or start a project for regression",
            )
        values = _as_label(values, kind)
    absent = pc.indices_nonzero(values.is_null())
    if len(absent):
        if data.rows_without_target == "refuse":
            raise ProjectError(
                f"{raw.place(absent[0].as_py())}: the target {data.target!r} is empty ({len(absent)} such rows)",
                f"`rows_without_target: refuse` in {conf_file}",
                "fill in the targets, or write `rows_without_target: drop`",
            )
        notes.append(f"dropped: {counted(len(absent), 'row')} without a value for {data.target!r}")
    return values


def _as_label(values: pa.Array, kind: str) -> pa.Array:
    """Return class labels as text: whole numbers without `.0`."""
    return text_of(values) if kind in ("number", "date") else values.cast(pa.string())


def _check_rules(raw: table.Table, data: config.Data, conf_file: str) -> None:
    """Refuse the first value that breaks a rule of `conf/data/`."""
    for name, rule in data.rules.items():
        kind = raw.types[name]
        column = raw.arrow[name].combine_chunks()
        if (rule.min is not None or rule.max is not None) and kind not in ("number", "empty"):
            raise ProjectError(
                f"{conf_file}: rules.{name} sets min or max, but the column is a {kind}",
                "only numbers have a range",
                f"take `min` and `max` out{' or use `values`' if kind != 'date' else ''} (in {conf_file})",
            )
        if rule.values is not None and kind in ("number", "date"):
            raise ProjectError(
                f"{conf_file}: rules.{name} lists values, but the column is a {kind}",
                "only categories and booleans have a list of values",
                f"{'use `min` and `max`, or ' if kind == 'number' else ''}"
                f"write `{looks.quoted(name)}: category` below `types` (in {conf_file})",
            )
        if rule.required:
            _refuse_broken(raw, name, column, column.is_null(), "is empty", conf_file)
        if kind == "empty":
            continue
        if rule.min is not None:
            _refuse_broken(raw, name, column, pc.less(column, rule.min), f"less than min: {rule.min}", conf_file)
        if rule.max is not None:
            _refuse_broken(raw, name, column, pc.greater(column, rule.max), f"more than max: {rule.max}", conf_file)
        if rule.values is not None:
            # YAML's true, and the texts true and TRUE, are one value of a column of booleans.
            allowed = [str(value).lower() if isinstance(value, bool) else value for value in rule.values]
            if kind == "boolean":
                column, allowed = column.cast(pa.string()), [value.lower() for value in allowed]
            bad = pc.and_(column.is_valid(), pc.invert(pc.is_in(column, pa.array(allowed, pa.string()))))
            _refuse_broken(raw, name, column, bad, f"not one of {allowed}", conf_file)


def _refuse_broken(raw: table.Table, name: str, column: pa.Array, broken: pa.Array, fault: str, conf_file: str) -> None:
    """Refuse the first value that breaks a rule, if there is one."""
    rows = pc.indices_nonzero(pc.fill_null(broken, False))
    if len(rows):
        first = rows[0].as_py()
        value = column[first].as_py()
        raise ProjectError(
            f"{raw.place(first)}, column {name!r} "
            + (fault if value is None else f"is {value!r}: {fault}")
            + f" ({len(rows)} such values)",
            f"rules.{name} in {conf_file} forbids it",
            f"correct the data, or the rule in {conf_file}",
        )


def _note_poor_column(values: pa.ChunkedArray, name: str, kind: str, conf_file: str, notes: list[str]) -> None:
    """Note a column that can hardly help: constant, or a text that is different in most rows."""
    present = values.drop_null()
    distinct = pc.count_distinct(present).as_py()
    if distinct == 1 and len(present) == len(values):
        notes.append(f"column {name!r} is constant: it cannot help (leave it out with `leave_out` in {conf_file})")
    if kind == "category" and len(present) >= 50 and distinct > 0.5 * len(present):
        notes.append(
            f"column {name!r} holds {distinct} different texts in {len(present)} rows; the rare ones are taken as one"
            f" (an id? list it in `id` or `leave_out` in {conf_file})"
        )


def _check_classes(
    parts: dict[str, pa.Table], target: str, task: config.Task, how: config.Split, notes: list[str]
) -> None:
    """Refuse a split in which a class cannot be learned or was never seen in training; note one that is not judged."""
    if task.name != "classification":
        return
    counts = {name: _counts(part[target]) for name, part in parts.items()}
    seen = {name: set(counted) for name, counted in counts.items()}
    if len(seen["train"]) < 2:
        raise ProjectError(
            f"the training rows hold one class of {target!r}: {', '.join(seen['train'])}",
            "a classifier needs two",
            f"add rows of another class, or change conf/split/{how.name}.yaml",
        )
    for name in ("validation", "test"):
        unseen = sorted(seen[name] - seen["train"])
        if unseen:
            raise ProjectError(
                f"{name} holds classes of {target!r} that train does not: {', '.join(unseen[:10])}",
                "a model cannot predict a class that it never saw",
                f"add rows of these classes, or change `salt` or `by` in conf/split/{how.name}.yaml",
            )

    for label in sorted(seen["train"] - seen["test"]):
        rows = sum(counted.get(label, 0) for counted in counts.values())
        notes.append(
            f"class {label!r} of {target!r} has {rows} row{'s' if rows > 1 else ''}, none of them in test:"
            " no metric says how well it is predicted (add rows of it, or take it out)"
        )


def _counts(labels: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(labels).to_pylist()}


def write(prepared: Prepared, folder: Path) -> None:
    """Write the parts, the columns and the counts; say what should be known of the table."""
    (folder / "left_out").mkdir(parents=True, exist_ok=True)
    left_out = {f"left_out/{name}": part for name, part in prepared.left_out.items()}
    parts = {**prepared.parts, **left_out, "raw_test": prepared.raw_test}
    threads.each(lambda named: to_parquet(named[1], folder / f"{named[0]}.parquet"), parts.items())
    columns.write(prepared.columns, folder / "columns.json")
    summary = {"raw": prepared.raw, "rows": {name: part.num_rows for name, part in prepared.parts.items()}}
    interface.write(summary, folder / "summary.json")
    print("\n".join(prepared.notes))
