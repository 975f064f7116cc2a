"""`model diff`: what changed between two versions, or between a version and the workspace, on one screen."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProjectError, counted
from ..formats import markdown_table, number, person
from ..mappings import differences
from ..progress import Say, silent
from ..registry import derive, interface, record
from ..registry.derive import Source
from ..registry.record import Record
from ..registry.registry import Registry
from ..store.yaml_file import read_yaml
from ..times import minute
from ..workspace import checks, tables
from ..workspace.project import Project, one_line
from . import card
from .history import periods

#: What is trained here, in place of a version.
WORKSPACE = "workspace"
#: Statistics that are compared, and by how much one must move to be shown (a share of the old spread).
MOVED = 0.1


@dataclass(frozen=True)
class Section:
    """A part of the comparison.

    Attributes
    ----------
    title : str
    header : tuple of str
    rows : tuple of tuple of str
        None: both are the same.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes
    ----------
    name : str
        The version, or `workspace`.
    record : Record
        From the tag; of the workspace: derived now.
    source : Source
    """

    name: str
    record: Record
    source: Source


def _version(project: Project, registry: Registry, name: str) -> Side:
    chosen = registry.get(name)
    source = derive.source(project.git, project.store, chosen.commit, project.model_path)
    return Side(chosen.name, project.record(chosen), source)


def _workspace(project: Project) -> Side:
    """Derive what a release of the workspace would record."""
    source = derive.source(project.git, project.store, "", project.model_path)
    identity = record.Identity(name=project.name, version=WORKSPACE, parent=None, title="not released")
    not_judged = record.Gate(name=WORKSPACE, passed=False, against=None, rules=[])
    return Side(WORKSPACE, derive.derive(source, identity, not_judged), source)


def diff(project: Project, old: str, new: str, say: Say = silent, fetch: bool = False) -> tuple[Section, ...]:
    """Compare two versions: metrics, code, data, params, packages, live periods.

    Parameters
    ----------
    project : Project
    old : str
        A version.
    new : str
        A version, or `workspace` for what is trained here.
    say : callable
    fetch : bool
        Bring the raw tables from the remote, if they differ, to count the rows that came and went.
    """
    say("comparing records, code and data")
    known = project.registry()
    before = _version(project, known, old)
    now = _workspace(project) if new == WORKSPACE else _version(project, known, new)
    names = (before.name, now.name)
    return (
        Section("metrics", ("test", *names), _metrics(project, before, now)),
        Section("code", ("file", "added", "removed"), _code(project, before.source, now.source)),
        Section("data", ("", *names), _data(project, before, now, fetch)),
        Section("params", ("key", *names), _params(before.source, now.source)),
        Section("packages", ("package", *names), _packages(before.record, now.record)),
        Section("live", ("version", "live in", "from (UTC)", "to (UTC)", "by", "why"), _live(known, names)),
    )


def _metrics(project: Project, before: Side, now: Side) -> tuple[tuple[str, ...], ...]:
    a, b = (side.record.metrics.values["test"] for side in (before, now))
    found = [
        (name, card.interval(a[name]) if name in a else "-", card.interval(b[name]) if name in b else "-")
        for name in {**a, **b}
    ]
    if before.record.metrics.measured_on["test"] != now.record.metrics.measured_on["test"]:
        found.append((f"({_measured_on(project, before.source, now.source)})", "", ""))
    return tuple(found)


def _measured_on(project: Project, before: Source, now: Source) -> str:
    """Say how the test rows of two versions differ: rows, or only columns."""
    try:
        difference = tables.compare_test_rows(project, before, now)
    except ProjectError as error:
        return f"measured on other test data; how it differs cannot be told: {one_line(error.what)}"
    if difference.same:
        return f"measured on the same test rows{difference.columns()}"
    return f"measured on other test rows, {difference.others()}: model gate compares on the same"


def _code(project: Project, before: Source, now: Source) -> tuple[tuple[str, ...], ...]:
    revs = [before.commit, now.commit] if now.commit else [before.commit]  # one: the files as they are here
    found = project.git.differences(*revs)
    return tuple((path, f"+{added}", f"-{removed}") for path, added, removed in found if path not in checks.MADE)


def _data(project: Project, old_side: Side, new_side: Side, fetch: bool) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[str, ...]] = []
    before, now = old_side.record, new_side.record
    a, b = {i.path: i for i in before.data.inputs}, {i.path: i for i in now.data.inputs}
    for path in {**a, **b}:
        if a.get(path) == b.get(path):
            continue
        found.append((path, *(_input(entry) for entry in (a.get(path), b.get(path)))))
    if not found:
        return ()
    for part in {**before.data.splits, **now.data.splits}:
        pair = [str(r.data.splits[part].rows) if part in r.data.splits else "-" for r in (before, now)]
        found.append((f"{part} rows", *pair))
    old, new = (interface.of(project.store, r) for r in (before, now))
    found += [("schema", "", sentence) for sentence in interface.changes(old, new)]
    found += _rows(project, old_side, new_side, fetch)
    found += _columns(project, before, now)
    return tuple(found)


def _input(entry: Any) -> str:
    return "-" if entry is None else f"{card.contents(entry)}, {entry.bytes:,} bytes"


def _rows(project: Project, before: Side, now: Side, fetch: bool) -> list[tuple[str, ...]]:
    """Count rows added, removed and changed, if both tables are at hand."""
    with tempfile.TemporaryDirectory() as scratch:
        asked: list[dict[str, Any]] = []
        names: dict[str, str] = {}
        try:
            for name, one in (("old", before), ("new", now)):
                params = read_yaml(one.source.blob("params.yaml"), "params.yaml")
                path = Path(scratch, name)
                if not {"path", "target"} <= derive.data_block(params).keys():
                    return [("rows", "", "not compared: params.yaml does not say how the raw tables are read")]
                if not _lay_out(project, one.record, params["data"]["path"], path, fetch):
                    why = "the raw tables are not both in the cache (dvc fetch --all-tags)"
                    return [("rows", "", f"not compared: {why}")]
                asked.append({**params["data"], "path": str(path)})
                names[str(path)] = params["data"]["path"]
            difference = tables.compare(project, asked)
        except ProjectError as error:
            why = one_line(error.what)
            for laid_out, name in names.items():
                why = why.replace(laid_out, name)
            return [("rows", "", f"not compared: {why}")]
    return [("rows" if n == 0 else "", "", sentence) for n, sentence in enumerate(difference.sentences())]


def _lay_out(project: Project, kept: Record, path: str, target: Path, fetch: bool) -> bool:
    """Link the raw table's objects into a folder; False if the cache lacks one."""
    store = project.store
    files: dict[str, str] = {}
    for entry in kept.data.inputs:  # the table is one input, lies in one, or consists of several
        if not f"{entry.path}/".startswith(f"{path}/") and not path.startswith(f"{entry.path}/"):
            continue
        if not (fetch or store.is_sound(entry.md5)):
            return False
        folder = entry.md5.endswith(".dir")
        inside = store.members(entry.md5) if folder else {"": entry.md5}
        files |= {f"{entry.path}/{name}" if folder else entry.path: oid for name, oid in inside.items()}
    files = {name: oid for name, oid in files.items() if f"{name}/".startswith(f"{path}/")}
    if fetch:
        store.fetch(store.unsound(files.values()))
    if not files or any(not store.path(oid).exists() for oid in files.values()):
        return False
    for name, oid in files.items():
        place = target / (name[len(path) + 1 :] or Path(name).name)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.symlink_to(store.path(oid))
        except OSError:  # Windows without the right to link
            shutil.copyfile(store.path(oid), place)
    return True


def _columns(project: Project, before: Record, now: Record) -> list[tuple[str, ...]]:
    """Show the columns whose training values moved."""
    old, new = (json.loads(project.store.read(r.interface.statistics))["columns"] for r in (before, now))
    rows: list[tuple[str, ...]] = []
    for name in (name for name in old if name in new):
        a, b = old[name], new[name]
        if "mean" in a and "mean" in b and abs(a["mean"] - b["mean"]) > MOVED * (a["std"] or 1e-12):
            rows.append((f"{name} (train)", f"mean {number(a['mean'])}", f"mean {number(b['mean'])}"))
        elif a.get("distinct") != b.get("distinct"):
            rows.append((f"{name} (train)", *(counted(one.get("distinct", 0), "value") for one in (a, b))))
        if a["missing"] != b["missing"]:
            rows.append((f"{name} (train)", f"{a['missing']} missing", f"{b['missing']} missing"))
    return rows


def _params(before: Source, now: Source) -> tuple[tuple[str, ...], ...]:
    old, new = (read_yaml(source.blob("params.yaml"), "params.yaml") for source in (before, now))
    return tuple((key, _text(a), _text(b)) for key, a, b in differences(old, new))


def _text(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _packages(before: Record, now: Record) -> tuple[tuple[str, ...], ...]:
    a, b = before.environment.packages, now.environment.packages
    rows = [(name, a.get(name, "-"), b.get(name, "-")) for name in sorted({**a, **b}) if a.get(name) != b.get(name)]
    if before.environment.python != now.environment.python:
        rows.insert(0, ("Python", before.environment.python, now.environment.python))
    return tuple(rows)


def _live(known: Registry, names: tuple[str, str]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for period in periods(known):
        if period.version in names:
            until = minute(period.until) if period.until else "now"
            rows.append(
                (
                    period.version,
                    period.stage,
                    minute(period.since),
                    until,
                    person(period.by),
                    period.reason,
                )
            )
    return tuple(rows)


def markdown(sections: Iterable[Section]) -> str:
    """Return the comparison for a pull request."""
    lines: list[str] = []
    for section in sections:
        lines += [f"### {section.title}", ""]
        if not section.rows:
            lines += ["The same.", ""]
            continue
        lines += [*markdown_table(section.header, section.rows), ""]
    return "\n".join(lines)
