"""How a stage runs: with the code of the folder that it runs in, without tracebacks, and with all inputs named."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import ProjectError
from . import inputs


def run(main: Callable[[], None], is_stage: bool = True) -> None:
    """Run the `main` of a stage; report a `ProjectError` as text and exit with 1.

    `pip install -e .` and `uv sync` bind the package to one folder. In a copy
    of the project (`dvc exp run --temp` and `--queue`, a git worktree) a stage
    would run that folder's code, not the copy's, which may be older or newer.
    Then it is started again with the copy's own `src/` in front.

    Parameters
    ----------
    main : callable
        Of the module that Python was started with.
    is_stage : bool
        False for what no pipeline runs: then nothing need stand in `dvc.yaml`.
    """
    module = _module(main)
    own = Path("src", *module.split(".")).with_suffix(".py") if module else None
    if own and own.is_file() and not own.samefile(main.__code__.co_filename):
        path = os.pathsep.join(filter(None, (str(Path("src").resolve()), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", str(module), *sys.argv[1:]]
        again = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)  # noqa: S603 (itself)
        sys.exit(again.returncode)
    inputs.seen.is_checked = is_stage
    try:
        main()
        if is_stage:
            inputs.check(module or sys.argv[0])
    except ProjectError as error:
        print(f"\n{error}\n", file=sys.stderr)
        sys.exit(1)


def _module(main: Callable[[], None]) -> str | None:
    """Return what stands after `python -m`, or None where a file is run."""
    spec = main.__globals__.get("__spec__")
    return None if spec is None else str(spec.name)
