"""Measure what the README promises, each beside what a user would do instead, in one run.

Prints medians and ratios; a single time on a busy machine says little.
"""

import argparse
import tempfile
from pathlib import Path

import intervals
import large
import pipeline
import storage
import versions
from measure import new_project, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--part", choices=("all", "pipeline", "large", "intervals", "versions", "storage"), default="all"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="the largest table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if arguments.part in ("all", "large"):
            large.measure(folder, arguments.rows)
        if arguments.part == "large":
            return
        project = new_project(folder)
        run("git", "config", "user.name", "Bench", cwd=project)
        run("git", "config", "user.email", "bench@example.com", cwd=project)
        run("dvc", "repro", cwd=project)
        if arguments.part in ("all", "pipeline"):
            pipeline.measure(project, folder, arguments.repeats, arguments.rows)
        if arguments.part in ("all", "intervals"):
            intervals.measure(project)
        if arguments.part in ("all", "versions"):
            versions.measure(project, folder / "versions", arguments.repeats)
        if arguments.part in ("all", "storage"):
            storage.measure(versions.released(project, folder / "one"), folder / "storage", arguments.repeats)


if __name__ == "__main__":
    main()
