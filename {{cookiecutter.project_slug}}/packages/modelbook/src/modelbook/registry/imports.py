"""The modules of a project that a module loads whenever it is loaded: its imports outside of functions and `if`."""

import ast
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import PurePosixPath

#: Folders that Python looks for top-level modules in, beside the one of the script that is run.
BASES = (PurePosixPath(), PurePosixPath("src"))


def imported(path: str, content: bytes, files: Collection[str]) -> list[str]:
    """Return the files of a project that a module imports.

    Parameters
    ----------
    path : str
        Of the module, relative to the project.
    content : bytes
    files : collection of str
        All files of the project.

    Returns
    -------
    list of str
        Their paths, sorted; packages on the way included.
    """
    folder = PurePosixPath(path).parent
    found: set[str] = set()
    for level, names in _statements(content):
        for base in [folder.joinpath(*[".."] * (level - 1))] if level else [*BASES, folder]:
            found |= _files(base, names, files)
    return sorted(found - {path})


def _files(base: PurePosixPath, names: tuple[str, ...], files: Collection[str]) -> set[str]:
    parts = [part for part in base.parts if part != ".."]
    up = len(base.parts) - len(parts)
    place = PurePosixPath(*parts[: len(parts) - up])
    found = set()
    for name in names:
        place = place / name
        found |= {str(file) for file in (place.with_suffix(".py"), place / "__init__.py") if str(file) in files}
    return found


@lru_cache(maxsize=4096)
def _statements(content: bytes) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Return how many folders up, and the dotted path, of each import; the last part may be no module."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # it did not run, or not as this version of Python
        return ()
    found: list[tuple[int, tuple[str, ...]]] = []
    for node in _always(tree):
        if isinstance(node, ast.Import):
            found += [(0, tuple(alias.name.split("."))) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = tuple(node.module.split(".")) if node.module else ()
            found += [(node.level, (*base, alias.name)) for alias in node.names]
    return tuple(found)


def _always(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements that run whenever a module is loaded."""
    for child in getattr(node, "body", []):
        yield child
        if isinstance(child, ast.Try | ast.With | ast.ClassDef):
            yield from _always(child)
