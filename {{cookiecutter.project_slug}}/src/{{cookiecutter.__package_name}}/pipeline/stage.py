"""How a stage runs: with the code of the folder that it runs in, and without tracebacks."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import ProjectError


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; report a `ProjectError` as text and exit with 1.

    `pip install -e .` and `uv sync` bind the package to one folder. In a copy
    of the project (`dvc exp run --temp` and `--queue`, a git worktree) a stage
    would run that folder's code, not the copy's, which may be older or newer.
    Then it is started again with the copy's own `src/` in front.
    """
    module = str(main.__globals__["__spec__"].name)
    own = Path("src", *module.split(".")).with_suffix(".py")
    if own.is_file() and not own.samefile(main.__code__.co_filename):
        path = os.pathsep.join(filter(None, (str(Path("src").resolve()), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        again = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)  # noqa: S603 (itself)
        sys.exit(again.returncode)
    try:
        main()
    except ProjectError as error:
        print(f"\n{error}\n", file=sys.stderr)
        sys.exit(1)
