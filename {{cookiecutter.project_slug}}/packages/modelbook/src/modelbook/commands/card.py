"""The model card: the facts from the record, and the part that only people can write."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import formats
from ..errors import counted
from ..progress import Say, silent
from ..store.git import Git
from ..times import utc
from ..workspace.project import Project
from .history import Period, periods

if TYPE_CHECKING:
    from ..registry.record import Input, Record, Value

CARD = "docs/model_card.md"
TODO = re.compile(r"^\s*TODO\b.*$", re.MULTILINE)


def placeholders(git: Git, commit: str) -> list[str]:
    """Return the sections of the card that nobody has written yet; all of it if there is no card."""
    content = git.file(commit, CARD)
    if content is None:
        return ["everything"]
    section, found = "the beginning", []
    for line in content.decode("utf-8", "replace").splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        elif TODO.match(line):
            found.append(section)
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Card:
    """The model card of a version.

    Attributes
    ----------
    version : str
    unwritten : tuple of str
        The sections that nobody has written yet.
    markdown : str
    """

    version: str
    unwritten: tuple[str, ...]
    markdown: str


def card(project: Project, name: str, say: Say = silent) -> Card:  # noqa: ARG001 (all commands are called alike)
    """Return the model card of a version, with the times that it was live."""
    registry = project.registry()
    version = registry.get(name)
    live = [_period(one) for one in periods(registry) if one.version == version.name]
    text = markdown(project.git, version.commit, project.record(version), live)
    return Card(version.name, tuple(placeholders(project.git, version.commit)), text)


def markdown(git: Git, commit: str, kept: "Record", live: list[str]) -> str:
    """Return the model card as Markdown: what people wrote, then what the record says.

    Parameters
    ----------
    git : Git
    commit : str
    kept : Record
    live : list of str
        A line for each time that the version was live.
    """
    written = (git.file(commit, CARD) or b"").decode("utf-8", "replace")
    written = re.sub(r"<!--.*?-->\s*", "", written, flags=re.DOTALL).strip()
    metrics, data = kept.metrics, kept.data
    lines = [f"# {kept.identity.name} {kept.identity.version}", "", kept.identity.title, ""]
    lines += [written, ""] if written else []
    measured = [(name, *(interval(part[name]) for part in metrics.values.values())) for name in metrics.values["test"]]
    lines += ["## How well it does", "", *formats.markdown_table(("metric", *metrics.values), measured)]
    rows = ", ".join(f"{part} {counted(split.rows, 'row')}" for part, split in data.splits.items())
    lines += ["", f"Intervals: {metrics.level:.0%}, {counted(metrics.resamples, 'resample')}. Data: {rows}.", ""]
    lines += [f"Baseline {metrics.primary}: {interval(metrics.baseline[metrics.primary])}.", ""]
    columns = [(column["name"], column["type"], _range(column)) for column in kept.interface.inputs.listed]
    more = kept.interface.inputs.count - len(columns)
    columns += [(f"and {more} more", "", "")] * bool(more)
    lines += ["## What it takes and gives", "", *formats.markdown_table(("column", "type", "range"), columns)]
    output = kept.interface.output
    classes = output.get("classes")
    answer = f": {', '.join(classes)}" if isinstance(classes, list) else ""
    lines += ["", f"It predicts `{output['name']}` ({output['type']}{formats.cell(answer)}).", ""]
    lines += ["## What made it", ""]
    lines += [f"- commit `{kept.code.commit}`, model sha256 `{kept.model.sha256}`"]
    lines += [f"- data: {entry.path}, {contents(entry)}, md5 `{entry.md5}`" for entry in data.inputs]
    lines += [f"- choices: {', '.join(f'{group}: {name}' for group, name in kept.params.choices.items())}"]
    lines += [
        f"- Python {kept.environment.python}, {counted(len(kept.environment.packages), 'package')}, "
        f"uv.lock sha256 `{kept.environment.uv_lock[:12]}`"
    ]
    trained = kept.governance.trained
    when = (
        f"{trained.at}, {trained.seconds:.1f} s on {trained.host}"
        if trained
        else "not known: released without the note of its training"
    )
    lines += [f"- trained: {when}", f"- author: {kept.governance.author}", ""]
    lines += [f"## Gate {kept.governance.gate.name}: {'passed' if kept.governance.gate.passed else 'not passed'}", ""]
    judged = [(rule.rule, rule.required, rule.found) for rule in kept.governance.gate.rules]
    lines += formats.markdown_table(("rule", "required", "found"), judged)
    lines += ["", "## Where it was live", ""] + ([f"- {line}" for line in live] or ["Nowhere yet."])
    return "\n".join(lines) + "\n"


def interval(entry: "Value") -> str:
    """Return a metric with its interval."""
    return formats.interval(entry.value, entry.low, entry.high)


def _period(period: Period) -> str:
    until = utc(period.until) if period.until else "now"
    why = f": {period.reason}" if period.reason else ""
    return f"{period.stage}, {utc(period.since)} to {until}, by {period.by}{why}"


def contents(entry: "Input") -> str:
    """Return how many files and rows an input has; rows are known of the table alone."""
    rows = [] if entry.rows is None else [counted(entry.rows, "row")]
    return ", ".join([counted(entry.files, "file"), *rows])


def _range(column: dict[str, Any]) -> str:
    if "min" in column:
        ends = [f"{end:.6g}" if isinstance(end, float | int) else str(end) for end in (column["min"], column["max"])]
        return " to ".join(ends)
    categories = column.get("categories")
    return (
        ", ".join(map(str, categories))
        if isinstance(categories, list)
        else counted(categories, "value")
        if categories
        else ""
    )
