"""Names and rules that the training, the registry and the commands share."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

#: Where a project carries the tool; a project that installs it as a wheel has no such folder.
TOOL_FOLDER = "packages/modelbook/src/modelbook"
#: What of the tool makes models, relative to its package. The rest only names, moves and serves them.
TRAINING_PARTS = ("__init__.py", "contract.py", "errors.py", "mappings.py", "settings.py", "training")


def tool_hash(files: Iterable[tuple[str, bytes]]) -> str:
    """Return one hash for the part of the tool that trains.

    Parameters
    ----------
    files : iterable of (str, bytes)
        Path within the package, and content. What is no part of the training is passed over.
    """
    lines = [
        f"{sha256(content).hexdigest()}  {name}\n"
        for name, content in files
        if name.endswith(".py") and any(name == part or name.startswith(f"{part}/") for part in TRAINING_PARTS)
    ]
    return sha256("".join(sorted(lines)).encode()).hexdigest()


def tool_in(folder: Path) -> str:
    """Return the hash of the training part of a package of the tool.

    Line ends count for nothing: git may check files out with those of the system.
    """
    files = (path for part in TRAINING_PARTS for path in [folder / part, *(folder / part).rglob("*.py")])
    return tool_hash(
        (path.relative_to(folder).as_posix(), path.read_bytes().replace(b"\r\n", b"\n"))
        for path in files
        if path.is_file()
    )
