"""Load the model of this folder and replay its golden rows; exit 0 only if every answer is the noted one."""

import sys
from pathlib import Path

from .. import settings as config
from . import compute, interface, model_file, stage

MODEL = Path("model")


def main() -> None:
    if sys.argv[1:] == ["--wait"]:
        # What is imported takes longer than what is read, so it may start before the files are there.
        import skops.io  # noqa: F401

        if not sys.stdin.readline():
            sys.exit(1)
    described = interface.read(MODEL / "interface.json")
    model = model_file.load(MODEL / "model.skops", described["file"])
    golden = interface.read(MODEL / "golden.json")
    with compute.pinned(config.read_rules().compute):
        interface.replay(model, described, golden)
    print(f"{len(golden['rows'])} golden rows answered as noted")


if __name__ == "__main__":
    stage.run(main, is_stage=False)
