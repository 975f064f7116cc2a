"""`model materialise`: the release directory of a version, built and proven, for whoever deploys it."""

from dataclasses import dataclass
from pathlib import Path

from ..progress import Say, silent
from ..workspace import restore
from ..workspace.project import Project


@dataclass(frozen=True)
class Materialised:
    """A version that is there and works.

    Attributes
    ----------
    version : str
    folder : Path
        The release directory.
    python : str
        The interpreter that has its packages.
    checks : tuple of str
        What was proven.
    """

    version: str
    folder: Path
    python: str
    checks: tuple[str, ...]


def materialise(project: Project, name: str, say: Say = silent) -> Materialised:
    """Build the release directory of a version and prove it, or prove the one that is there."""
    release = restore.materialise(project, project.registry().get(name), say)
    return Materialised(release.version.name, release.folder, release.python, release.checks)
