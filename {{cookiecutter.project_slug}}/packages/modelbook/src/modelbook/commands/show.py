"""`model show`: the record of a version, and where it is live."""

from dataclasses import dataclass
from typing import Any

from ..progress import Say, silent
from ..registry.record import Record
from ..registry.registry import Event, Pruned, Version
from ..workspace.project import Project


@dataclass(frozen=True)
class Shown:
    """A version with what the tags say of it since.

    Attributes
    ----------
    version : Version
    record : Record
    live_in : tuple of str
        Deployment stages.
    quarantined : dict of str to Event
        The roll-backs that left it, by deployment stage.
    pruned : Pruned or None
    """

    version: Version
    record: Record
    live_in: tuple[str, ...]
    quarantined: dict[str, Event]
    pruned: Pruned | None

    def as_dict(self) -> dict[str, Any]:
        """Return the record, and who tagged it when; what changes later is no part of it."""
        version = self.version
        return {"tag": version.tag, "tagger": version.by, "at": version.at, **self.record.as_dict()}


def show(project: Project, name: str, say: Say = silent) -> Shown:  # noqa: ARG001 (all commands are called alike)
    """Return what is known of a version."""
    registry = project.registry()
    version = registry.get(name)
    return Shown(
        version,
        project.record(version),
        tuple(registry.stages_of(version.name)),
        registry.quarantined_by(version.name),
        registry.pruned(version.name),
    )
