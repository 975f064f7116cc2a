"""Load the model of this folder and replay its golden rows; exit 0 only if every answer is the noted one."""

from pathlib import Path

from .. import settings as config
from . import compute, interface, model_file, stage

MODEL = Path("model")


def main() -> None:
    described = interface.read(MODEL / "interface.json")
    model = model_file.load(MODEL / "model.skops", described["file"])
    golden = interface.read(MODEL / "golden.json")
    with compute.pinned(config.read_rules().compute):
        interface.replay(model, described, golden)
    print(f"{len(golden['rows'])} golden rows answered as noted")


if __name__ == "__main__":
    stage.run(main, is_stage=False)
