"""Run commands in a clean environment, and measure them."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: What `python -m` runs for each stage.
STAGES = {
    "compose": "modelbook.training.compose",
    "prepare": "penguins.prepare",
    "train": "penguins.train",
    "evaluate": "penguins.evaluate",
}
TEMPLATE = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def run(*command: object, cwd: Path) -> str:
    """Run a command in a clean environment; return its standard output."""
    environment = {
        "HOME": os.environ["HOME"],
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(cwd / "packages" / "modelbook" / "src"),
        "DVC_NO_ANALYTICS": "1",
        "LANG": "C.UTF-8",
        # Where packages come from, for the part that installs a peer; the key of the part with a bucket.
        **{key: value for key, value in os.environ.items() if key.startswith(("UV_", "PIP_", "SSL_", "AWS_"))},
    }
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def model(*arguments: str, cwd: Path) -> str:
    """Run the `model` command of a project."""
    return run("model", *arguments, cwd=cwd)


def seconds(action: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def medians(repeats: int, **actions: Callable[[], object]) -> dict[str, float]:
    """Return the median time of each action in seconds; the actions take turns, so that all meet the same machine."""
    for action in actions.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            times[name].append(seconds(action))
    return {name: statistics.median(values) for name, values in times.items()}


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def new_project(folder: Path, task: str = "classification") -> Path:
    run("cookiecutter", TEMPLATE, "--no-input", "-o", folder, f"task={task}", cwd=folder)
    return folder / "penguins"


def lock(project: Path) -> None:
    """Write the lock file that `uv lock` would write for the installed versions."""
    noted = json.loads((project / "environment.json").read_text(encoding="utf-8"))["packages"]
    entries = [f'[[package]]\nname = "{n}"\nversion = "{v}"\nsource = {{ registry = "x" }}\n' for n, v in noted.items()]
    own = ", ".join(f'{{ name = "{name}" }}' for name in noted)
    entries.append(f'[[package]]\nname = "penguins"\nsource = {{ editable = "." }}\ndependencies = [{own}]\n')
    (project / "uv.lock").write_text("version = 1\n" + "\n".join(entries), encoding="utf-8")
