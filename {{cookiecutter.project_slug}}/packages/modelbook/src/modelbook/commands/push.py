"""Data goes to the remote, and is seen there, before a tag names it; `model push` does it for old versions.

What lacks is found by asking the remote. `dvc push` trusts its own notes of
what it sent, which are wrong where somebody deleted something, or where
another storage has the same address.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import ProjectError, UnavailableError, counted
from ..progress import Say, silent
from ..registry.registry import Registry, Version
from ..store.dvc_repo import Out
from ..workspace.project import Project, listed


@dataclass(frozen=True)
class Pushed:
    """What was sent of a version.

    Attributes
    ----------
    version : str
    sent, objects : int
        Objects that were sent now, and that are in the remote.
    fault : ProjectError or None
        Why not all of them are.
    pruned : bool
        Nothing is to be sent.
    """

    version: str
    sent: int = 0
    objects: int = 0
    fault: ProjectError | None = None
    pruned: bool = False

    @property
    def complete(self) -> bool:
        return self.fault is None


def push(project: Project, name: str = "latest", every: bool = False, say: Say = silent) -> list[Pushed]:
    """Send what the remote lacks of a version, or of every one."""
    registry = project.registry()
    chosen = list(registry.versions.values()) if every else [registry.get(name)]
    return list(versions(project, chosen, registry, say))


def versions(project: Project, chosen: Sequence[Version], registry: Registry, say: Say = silent) -> Iterator[Pushed]:
    """Send what the remote lacks of versions, one after the other; what one version lacks leaves the others."""
    for version in chosen:
        if registry.pruned(version.name):
            yield Pushed(version.name, pruned=True)
            continue
        try:
            sent, objects = everything(project, project.store.outs(version.commit), say)
            yield Pushed(version.name, sent, objects)
        except UnavailableError:
            raise  # so it would be with each
        except ProjectError as error:
            yield Pushed(version.name, fault=error)


def everything(project: Project, outs: Iterable[Out], say: Say = silent) -> tuple[int, int]:
    """Send what the remote lacks of outputs, then see every object of them there.

    Returns
    -------
    sent, total : int
        Objects.

    Raises
    ------
    ProjectError
        If the cache has lost or damaged one that must be sent, or the remote does not list it afterwards.
    """
    store = project.store
    wanted = store.objects(outs)
    missing = store.lacking(wanted, say(f"looking for {counted(len(wanted), 'object')} in the DVC remote", len(wanted)))
    if missing:
        damaged = store.unsound(missing, say(f"checking {counted(len(missing), 'object')}", len(missing)))
        if damaged:
            raise ProjectError(
                f"the cache has lost or damaged {counted(len(damaged), 'object')}:\n"
                f"{listed([wanted[oid] for oid in damaged])}",
                "they would be sent as they are, and the version could never be restored",
                "dvc repro --force makes outputs again; for inputs: dvc add again from a good copy",
            )
        store.push(
            missing, say(f"sending {len(missing)} of {counted(len(wanted), 'object')} to the DVC remote", len(missing))
        )
        left = store.lacking(wanted)
        if left:
            names = listed([wanted[oid] for oid in left])
            raise ProjectError(
                f"the remote does not list {counted(len(left), 'object')} sent:\n{names}",
                "a version whose data cannot come back must not have a name",
                "look at the storage (space, permissions), then the same command again",
            )
    return len(missing), len(wanted)
