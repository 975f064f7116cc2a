"""What git cannot know about a training: when, how long, where, with which libraries.

It would make the bytes of every training different, so it is no output of the
stage: it lies in a side file of this machine, under the hash of the model that
the training made. A release on this machine takes it into the version record.
"""

import datetime as dt
import json
import platform
import time
from pathlib import Path
from typing import Any

#: Ignored by git and by DVC, kept by `dvc gc`.
NOTES = Path(".dvc/tmp/trained")


def describe(seconds: float, threads: int) -> dict[str, Any]:
    """Describe a training that has just ended.

    Parameters
    ----------
    seconds : float
        How long the fit took.
    threads : int
        Of the numeric libraries, as `conf/compute/` says.
    """
    from threadpoolctl import threadpool_info

    libraries = [library for library in threadpool_info() if library.get("user_api") == "blas"]
    blas = sorted(
        {f"{lib['internal_api']} {lib['version']} {lib.get('architecture') or ''}".strip() for lib in libraries}
    )
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "host": platform.node(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": threads,
        "blas": ", ".join(blas) or "none",
    }


def note(sha256: str, described: dict[str, Any]) -> None:
    """Keep a description under the hash of the model.

    `dvc exp run --temp` and `--queue` run in a copy below `.dvc/tmp/exps/` that
    is removed; the note goes to the project that it is a copy of.
    """
    copies = [place for place in Path.cwd().parents if place.parts[-3:] == (".dvc", "tmp", "exps")]
    folder = (copies[0].parents[2] if copies else Path.cwd()) / NOTES
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{sha256}.{time.monotonic_ns()}"
    draft.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    draft.replace(folder / f"{sha256}.json")
