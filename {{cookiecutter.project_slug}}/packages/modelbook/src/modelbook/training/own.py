"""Functions of the project's own that a file of `conf/` names: found, called, and held to what they promise."""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from ..settings import imported, nearest


@dataclass(frozen=True)
class Own:
    """A function of the project's own.

    Attributes
    ----------
    path : str
        Its import path.
    place : str
        The file and key that name it, for messages.
    function : callable
    """

    path: str
    place: str
    function: Callable[..., Any]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it; what it raises becomes a `ProjectError` that names its line."""
        try:
            return self.function(*arguments, **named)
        except ProjectError:
            raise
        except Exception as error:
            line = line_of(error)
            raise ProjectError(
                f"{self.path} fails: {type(error).__name__}: {error}" + (f" ({line})" if line else ""),
                f"{self.place} names it",
                f"correct {line or self.path}, or {self.place}",
            ) from error


def function(path: str, place: str, arguments: dict[str, Any] | None = None) -> Own:
    """Import a function.

    Parameters
    ----------
    path : str
        Its import path.
    place : str
        The file and key that name it.
    arguments : dict, optional
        What it will be given by name; it must take all of them.
    """
    found = imported(path, place, "it is called by the import path of a function")
    if not callable(found):
        raise ProjectError(
            f"{place}: {path} is no function, but of the type {type(found).__name__}",
            "it is called with the rows",
            "name a function, by its import path",
        )
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:  # some built-in functions have none
        return Own(path, place, found)
    known = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        for name in arguments or ():
            if name not in known:
                raise ProjectError(
                    f"{path} has no argument called {name}{nearest(name, known)}",
                    f"{place} passes it on to the function",
                    f"correct `arguments` in {place}",
                )
    return Own(path, place, found)


def line_of(error: Exception) -> str | None:
    """Return the last line of the team's own code that an error passed, or None."""
    tool, found = Path(__file__).parents[1], None
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_relative_to(Path.cwd()) and tool not in file.parents and "site-packages" not in file.parts:
            found = f"{file.relative_to(Path.cwd())}, line {frame.lineno}"
    return found
