"""The pipeline: what DVC and the stages cost, how they grow, and what a model file weighs."""

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from measure import STAGES, medians, new_project, run, seconds, title

TRIVIAL = """stages:
  a: {cmd: echo 1 > a, deps: [in], outs: [a]}
  b: {cmd: echo 1 > b, deps: [a], outs: [b]}
  c: {cmd: echo 1 > c, deps: [b], outs: [c]}
  d: {cmd: echo 1 > d, deps: [c], outs: [d]}
"""


#: Runs a command and prints the largest resident memory of any process in it, in MiB.
PEAK = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(code)"
)


#: Does the work of all stages in one process.
ONE_PROCESS = """
from modelbook import settings
from modelbook.training import compose, inputs
compose.main()
inputs.seen.is_checked = True
from penguins import evaluate, prepare, train
for stage in (prepare.prepare, train.train, evaluate.evaluate):
    stage(settings.read_settings())
"""


SKOPS = "from modelbook.training import model_file; model_file.skops_io()"
#: What each stage imports on its way.
IMPORTS = {
    "compose": "import modelbook.training.compose, hydra, omegaconf, sklearn.linear_model",
    "prepare": "import penguins.prepare, pandera.pandas",
    "train": "import penguins.train, pandera.pandas, hydra.utils; " + SKOPS,
    "evaluate": "import penguins.evaluate, sklearn.pipeline, pandera.pandas, matplotlib.figure; " + SKOPS,
}


def trivial_project(folder: Path) -> Path:
    project = folder / "trivial"
    project.mkdir()
    run("git", "init", "-q", cwd=project)
    run("dvc", "init", "-q", cwd=project)
    (project / "in").mkdir()
    (project / "in" / "table.csv").write_text("1\n", encoding="utf-8")
    run("dvc", "add", "in", cwd=project)  # as the generated project tracks data/raw
    (project / "dvc.yaml").write_text(TRIVIAL, encoding="utf-8")
    run("dvc", "repro", cwd=project)
    return project


def without_work(project: Path) -> Path:
    """Return a copy of a project in which every stage has the same inputs and outputs, but a trivial command."""
    copy = project.with_name("same-stages")
    shutil.copytree(project, copy, symlinks=True)
    stages = (copy / "dvc.yaml").read_text(encoding="utf-8")
    (copy / "dvc.yaml").write_text(re.sub(r"cmd: .*", "cmd: exit 0", stages), encoding="utf-8")
    run("dvc", "commit", "--force", cwd=copy)
    return copy


def no_op(project: Path, trivial: Path, repeats: int) -> None:
    title("dvc repro with nothing to do")
    same = without_work(project)
    found = medians(
        repeats,
        project=lambda: run("dvc", "repro", cwd=project),
        same=lambda: run("dvc", "repro", cwd=same),
        trivial=lambda: run("dvc", "repro", cwd=trivial),
    )
    print(f"generated project                 {found['project']:.2f} s")
    for name, label in (("same", "its stages, trivial commands"), ("trivial", "4 bare stages, 1 dependency each")):
        print(f"{label:<32}  {found[name]:.2f} s   ratio {found['project'] / found[name]:.2f}   (wanted: at most 1.05)")


def forced(project: Path, trivial: Path, repeats: int) -> None:
    title("dvc repro --force against one Python process that does the same work")
    found = medians(
        repeats,
        dvc=lambda: run("dvc", "repro", "--force", cwd=project),
        one=lambda: run("python", "-c", ONE_PROCESS, cwd=project),
        trivial=lambda: run("dvc", "repro", "--force", cwd=trivial),
        **{
            f"import {stage}": (lambda stage=stage: run("python", "-c", IMPORTS[stage], cwd=project))
            for stage in STAGES
        },
    )
    imports = sum(found[f"import {stage}"] for stage in STAGES)
    print(f"dvc repro --force   {found['dvc']:.2f} s")
    print(f"one process         {found['one']:.2f} s")
    print(f"ratio               {found['dvc'] / found['one']:.2f}")
    print(f"of it: DVC itself   {found['trivial']:.2f} s   (4 trivial stages, forced)")
    print(f"of it: imports      {imports:.2f} s   (a process for each stage: " + ", ".join(
        f"{stage} {found[f'import {stage}']:.2f}" for stage in STAGES) + ")")  # fmt: skip


def write_rows(project: Path, rows: int) -> None:
    """Write a table of 16 numbers, 3 categories, a boolean and a target."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(rows, 16)).round(4), columns=[f"n{i}" for i in range(16)])
    for i in range(3):
        table[f"c{i}"] = generator.choice([f"v{k}" for k in range(5 * 4**i)], rows)
    table["flag"] = generator.choice(["true", "false"], rows)
    noise = generator.normal(size=rows)
    table["species"] = np.where(table["n0"] + table["n1"] * table["n2"] + noise > 0, "yes", "no")
    table.iloc[::50, 0] = None
    (project / "data" / "raw" / "penguins.csv").unlink()
    table.to_csv(project / "data" / "raw" / "table.csv", index=False)
    conf = project / "conf" / "data" / "penguins.yaml"
    text = conf.read_text(encoding="utf-8")
    start, end = text.index("rules:"), text.index("# Rows that have no target")
    conf.write_text(text[:start] + "rules: {}\n" + text[end:], encoding="utf-8")
    task = project / "conf" / "task" / "classification.yaml"
    task.write_text(task.read_text(encoding="utf-8").replace("[island, sex]", "[flag]"), encoding="utf-8")


def growth(folder: Path, sizes: list[int]) -> None:
    title("first training, 20 columns: time and peak memory of each stage")
    print(f"{'rows':>9}  {'CSV MB':>6}  " + "  ".join(f"{stage:>18}" for stage in STAGES) + f"  {'dvc repro':>10}")
    for rows in sizes:
        parent = folder / f"rows{rows}"
        parent.mkdir()
        project = new_project(parent)
        write_rows(project, rows)
        size = (project / "data" / "raw" / "table.csv").stat().st_size / 1e6
        total = seconds(lambda project=project: run("dvc", "repro", cwd=project))
        cells = []
        for module in STAGES.values():
            start = time.perf_counter()
            peak = float(run("python", "-c", PEAK, sys.executable, "-m", module, cwd=project).splitlines()[-1])
            cells.append(f"{time.perf_counter() - start:6.1f} s {peak:5.0f} MiB")
        print(
            f"{rows:>9,}  {size:>6.0f}  " + "  ".join(f"{cell:>18}" for cell in cells) + f"  {total:>8.1f} s",
            flush=True,
        )


#: Writes a model three ways, and prints size and median load time of each.
MODEL_FILES = """
import statistics, sys, time
from pathlib import Path
import joblib, skops.io
from modelbook.training import interface, model_file, trust
described = interface.read(Path("model/interface.json"))["file"]
path = Path("model/model.skops")
model = model_file.load(path, described)
joblib.dump(model, sys.argv[1] + "/m.joblib")
skops.io.dump(model, sys.argv[1] + "/m.skops")
ours = ["modelbook.training.preprocessing.DateParts", "modelbook.training.preprocessing.Numbers"]
trusted = list(trust.PARTS) + ours + ["penguins.features.Derived"]
ways = {
    "ours": (path, lambda: model_file.load(path, described)),
    "skops": (Path(sys.argv[1] + "/m.skops"), lambda: skops.io.load(sys.argv[1] + "/m.skops", trusted=trusted)),
    "joblib": (Path(sys.argv[1] + "/m.joblib"), lambda: joblib.load(sys.argv[1] + "/m.joblib")),
}
times = {name: [] for name in ways}
for _ in range(7):
    for name, (_, load) in ways.items():
        start = time.perf_counter(); load(); times[name].append(time.perf_counter() - start)
for name, (file, _) in ways.items():
    print(name, file.stat().st_size, statistics.median(times[name]))
"""


def model_files(project: Path) -> None:
    title("size and load time of a model file (imports not counted)")
    print(f"{'model':<24}{'model.skops':>22}{'plain skops':>22}{'joblib (a pickle)':>22}")
    for name in ("linear", "random_forest", "hist_gradient_boosting"):
        run("dvc", "exp", "run", "-S", f"model={name}", cwd=project)
        with tempfile.TemporaryDirectory() as scratch:
            lines = run("python", "-c", MODEL_FILES, scratch, cwd=project).splitlines()
        cells = []
        for line in lines:
            _, size, load = line.split()
            cells.append(f"{int(size) / 1000:,.0f} kB, {float(load) * 1000:.0f} ms")
        print(f"{name:<24}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def measure(project: Path, folder: Path, repeats: int, rows: int) -> None:
    """Measure all of it; the project is left as it was."""
    trivial = trivial_project(folder)
    no_op(project, trivial, repeats)
    forced(project, trivial, max(3, repeats // 2))
    growth(folder, sorted({n for n in (10_000, 100_000) if n < rows} | {rows}))
    model_files(project)
    run("git", "restore", ".", cwd=project)
    run("dvc", "checkout", "--force", cwd=project)
