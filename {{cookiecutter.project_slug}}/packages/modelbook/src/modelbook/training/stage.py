"""How a stage runs: in the noted environment, with all inputs named, and without tracebacks."""

import functools
import gc
import sys
from collections.abc import Callable
from typing import Any

from .. import settings
from ..errors import ProjectError
from . import (
    environment,
    inputs,  # first: from here on it sees what is read
)


def stage(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function the body of a pipeline stage.

    Called without arguments, as `python -m PACKAGE.MODULE` does, it checks that
    the installed packages and the tool are the noted ones, reads `params.yaml`,
    and calls the function with the settings. At the end what the process ran,
    read and wrote is compared with the stage in `dvc.yaml`. Called with
    settings, as a test does, it is just the function.

    Parameters
    ----------
    function : callable
        Takes the settings, whose blocks are the groups of `conf/`.

    Returns
    -------
    callable

    Examples
    --------
    >>> @stage
    ... def train(settings):
    ...     print(settings.compute.seed)
    """

    @functools.wraps(function)
    def runner(*arguments: Any, **named: Any) -> Any:
        if arguments or named:
            return function(*arguments, **named)
        return run(lambda: _noted(function), _module(function) or sys.argv[0])

    return runner


def _noted(function: Callable[..., Any]) -> Any:
    environment.check(environment.read())
    opened = set(inputs.seen.read)
    found = settings.read_settings()
    # The keys are noted one by one, as the function asks for them; the file would stand for all of them.
    inputs.seen.read -= {str(settings.PARAMS_FILE.absolute())} - opened
    return function(found)


def run(main: Callable[[], Any], module: str | None = None, is_stage: bool = True) -> Any:
    """Run a function as a process of its own; report a `ProjectError` as text and exit with 1.

    Parameters
    ----------
    main : callable
    module : str, optional
        What stands after `python -m`, to find the stage where DVC did not start it.
    is_stage : bool
        False for what no pipeline runs: then nothing need stand in `dvc.yaml`.
    """
    inputs.seen.is_checked = is_stage
    gc.set_threshold(50_000)  # to search all imported libraries for garbage takes a tenth of a small stage's time
    try:
        result = main()
        if is_stage:
            inputs.check(module or _module(main) or sys.argv[0])
    except ProjectError as error:
        print(f"\n{error}\n", file=sys.stderr)
        sys.exit(1)
    return result


def _module(function: Any) -> str | None:
    """Return what stands after `python -m`, or None where a file is run."""
    spec = function.__globals__.get("__spec__")
    return None if spec is None else str(spec.name)
