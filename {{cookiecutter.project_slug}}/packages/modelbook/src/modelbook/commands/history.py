"""`model history`: what was released, and what was live, when, by whom, and why."""

import datetime as dt
from dataclasses import dataclass

from ..progress import Say, silent
from ..registry.registry import Registry
from ..workspace.project import Project


@dataclass(frozen=True)
class Period:
    """A time in which a stage held a version; `until` is None if it still does."""

    version: str
    stage: str
    since: dt.datetime
    until: dt.datetime | None
    by: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A line of the timeline."""

    at: dt.datetime
    what: str
    version: str | None
    stage: str | None
    source: str | None
    by: str
    why: str


def timeline(registry: Registry, stage: str | None = None) -> list[Entry]:
    """Return releases and stage moves, the newest first.

    Within a stage the counter gives the order, whatever the clock said.
    """
    entries = (
        []
        if stage
        else [
            Entry(v.at, "release", v.name, None, None, v.by, v.title.partition(": ")[2] or v.title)
            for v in registry.versions.values()
        ]
    )
    for name, moves in registry.events.items():
        if stage in (None, name):
            latest: dt.datetime | None = None
            for event in moves:
                # A clock that went backwards must not turn the order of a stage around.
                at = max(event.at, latest) if latest else event.at
                latest = at
                why = event.reason or (event.title if event.kind == "assign" else "")
                entries.append(Entry(at, event.kind, event.target, name, event.source, event.by, why))
    if not stage:
        entries += [
            Entry(note.at, "prune", ", ".join(note.versions), None, None, note.by, note.reason)
            for note in registry.prunes
        ]
    return sorted(entries, key=lambda entry: entry.at)[::-1]


def periods(registry: Registry) -> list[Period]:
    """Return when which version was live in which stage, in order."""
    times = []
    for stage, moves in registry.events.items():
        for event, following in zip(moves, [*moves[1:], None], strict=True):
            if event.target:
                until = following.at if following else None
                times.append(Period(event.target, stage, event.at, until, event.by, event.reason))
    return times


def history(project: Project, stage: str | None = None, say: Say = silent) -> list[Entry]:  # noqa: ARG001 (as all)
    """Return the timeline of a project as the tags are now."""
    return timeline(project.registry(), stage)
