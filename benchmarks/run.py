"""Measure what the README promises, each beside what a user would do instead, in one run.

Prints medians and ratios; a single time on a busy machine says little.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import versions

TEMPLATE = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
STAGES = ("compose", "prepare", "train", "evaluate")
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
ONE_PROCESS = (
    "import importlib, sys\nfor stage in sys.argv[1:]: importlib.import_module('penguins.pipeline.' + stage).main()\n"
)


def run(*command: object, cwd: Path) -> str:
    """Run a command in a clean environment; return its standard output."""
    environment = {
        "HOME": os.environ["HOME"],
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(cwd / "src"),
        "DVC_NO_ANALYTICS": "1",
        "LANG": "C.UTF-8",
        # Where packages come from, for the part that installs a peer.
        **{key: value for key, value in os.environ.items() if key.startswith(("UV_", "PIP_", "SSL_"))},
    }
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


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


def new_project(folder: Path) -> Path:
    run("cookiecutter", TEMPLATE, "--no-input", "-o", folder, cwd=folder)
    return folder / "penguins"


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
        print(f"{label:<32}  {found[name]:.2f} s   ratio {found['project'] / found[name]:.2f}   (wanted: at most 1.1)")


def forced(project: Path, trivial: Path, repeats: int) -> None:
    title("dvc repro --force against one Python process that does the same work")
    found = medians(
        repeats,
        dvc=lambda: run("dvc", "repro", "--force", cwd=project),
        one=lambda: run("python", "-c", ONE_PROCESS, *STAGES, cwd=project),
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


#: What each stage imports on its way.
IMPORTS = {
    "compose": "import penguins.pipeline.compose, hydra, omegaconf, sklearn.linear_model",
    "prepare": "import penguins.pipeline.prepare, pandera.pandas",
    "train": "import penguins.pipeline.train, penguins.pipeline.features, skops.io, pandera.pandas, hydra.utils",
    "evaluate": "import penguins.pipeline.evaluate, skops.io, sklearn.pipeline, pandera.pandas, matplotlib.figure",
}


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
        for stage in STAGES:
            module = f"penguins.pipeline.{stage}"
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
from penguins.pipeline import interface, model_file
described = interface.read(Path("model/interface.json"))["file"]
path = Path("model/model.skops")
model = model_file.load(path, described)
joblib.dump(model, sys.argv[1] + "/m.joblib")
skops.io.dump(model, sys.argv[1] + "/m.skops")
trusted = list(model_file.TRUSTED_TYPES)
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


def model(*arguments: str, cwd: Path) -> str:
    """Run the `model` command of a project."""
    return run("python", "-m", "penguins.cli", *arguments, cwd=cwd)


def lock(project: Path) -> None:
    """Write the lock file that `uv lock` would write for the installed versions."""
    noted = json.loads((project / "environment.json").read_text(encoding="utf-8"))["packages"]
    entries = [f'[[package]]\nname = "{n}"\nversion = "{v}"\nsource = {{ registry = "x" }}\n' for n, v in noted.items()]
    own = ", ".join(f'{{ name = "{name}" }}' for name in noted)
    entries.append(f'[[package]]\nname = "penguins"\nsource = {{ editable = "." }}\ndependencies = [{own}]\n')
    (project / "uv.lock").write_text("version = 1\n" + "\n".join(entries), encoding="utf-8")


def released(project: Path, folder: Path) -> Path:
    """Return a copy of a trained project with a written card, a locked environment and v1.0.0, live in prod."""
    copy = folder / "penguins"
    shutil.copytree(project, copy, symlinks=True)
    lock(copy)
    card = copy / "docs" / "model_card.md"
    card.write_text(re.sub("(?m)^TODO.*$", "Known.", card.read_text(encoding="utf-8")), encoding="utf-8")
    new_version(copy, "conf/config.yaml", "seed", "seed")
    model("promote", "latest", "--to", "prod", cwd=copy)
    return copy


def new_version(project: Path, file: str, old: str, new: str) -> None:
    path = project / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    run("dvc", "repro", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", f"{new}", cwd=project)
    model("release", cwd=project)


def many_tags(project: Path, folder: Path, repeats: int) -> None:
    title("history, show, and what is live: against gto")
    for n in (1_000, 10_000):
        copy = folder / f"tags{n}"
        shutil.copytree(project, copy, symlinks=True)
        versions.history(copy, n, 2 * n)
        pairs = {
            "history": (("history",), ("history", "penguins")),
            "show a version": (("show", f"v2.{n // 2}.0"), ("show", f"penguins@v2.{n // 2}.0")),
            "what is live": (("show", "prod", "--json"), ("show", "penguins#prod")),
        }
        for what, (ours, theirs) in pairs.items():
            found = medians(repeats, ours=lambda ours=ours, copy=copy: model(*ours, cwd=copy))
            # gto reads every tag by itself; ten times as many would take it many minutes.
            gto = ""
            if n == 1_000:
                slow = statistics.median(
                    seconds(lambda theirs=theirs, copy=copy: run("gto", *theirs, cwd=copy)) for _ in range(3)
                )
                gto = f"   gto {slow:6.2f} s   {slow / found['ours']:5.1f} times   (wanted: 0.3 s, 20 times)"
            print(f"{n:>6,} versions, {2 * n:>6,} moves  {what:<15} {found['ours']:6.2f} s{gto}", flush=True)


def start_up(project: Path, repeats: int) -> None:
    title("model --help, and a refused command")
    refused = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], capture_output=True).returncode != 1)"
    words = (sys.executable, "-m", "penguins.cli", "show", "v99.0.0")
    found = medians(
        repeats,
        help=lambda: model("--help", cwd=project),
        refused=lambda: run("python", "-c", refused, *words, cwd=project),
        python=lambda: run("python", "-c", "pass", cwd=project),
    )
    print(f"--help    {found['help']:.2f} s   (wanted: under 0.25)")
    print(f"refused   {found['refused'] - found['python']:.2f} s   (wanted: under 0.25)")


def roll_back(project: Path, folder: Path, repeats: int) -> None:
    title("model rollback")
    there = []
    for _ in range(repeats):
        there.append(seconds(lambda: model("rollback", "--reason", "bench", cwd=project)))
        model("promote", "latest", "--to", "prod", "--force", "--reason", "bench", cwd=project)
    print(f"to a version that is materialised     {statistics.median(there):.2f} s   (wanted: under 1.5)")

    large = folder / "large"
    shutil.copytree(project, large, symlinks=True)
    shutil.rmtree(large / ".releases")
    run("git", "worktree", "prune", cwd=large)
    (large / "conf" / "model" / "large.yaml").write_text(versions.LARGE_MODEL, encoding="utf-8")
    gate = large / "conf" / "gate" / "default.yaml"
    gate.write_text(re.sub(r"(floors|no_worse): .*", r"\1: {}", gate.read_text(encoding="utf-8")), encoding="utf-8")
    gate.write_text(
        gate.read_text(encoding="utf-8").replace("beats_baseline: true", "beats_baseline: false"), encoding="utf-8"
    )
    config = (large / "conf" / "config.yaml").read_text(encoding="utf-8")
    chosen = re.search(r"  - model: \w+", config)
    assert chosen
    new_version(large, "conf/config.yaml", chosen[0], "  - model: large")
    size = (large / "model" / "model.skops").stat().st_size / 1e6
    model("promote", "latest", "--to", "prod", cwd=large)
    good = run("git", "tag", "--list", "penguins@*", "--sort=-version:refname", cwd=large).split()[0]
    new_version(large, "README.md", "# ", "# A ")
    model("promote", "latest", "--to", "prod", cwd=large)
    plain = folder / "plain"
    shutil.copytree(large, plain, symlinks=True, ignore=shutil.ignore_patterns(".releases"))
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(max(3, repeats // 2)):
        shutil.rmtree(large / ".releases")
        run("git", "worktree", "prune", cwd=large)
        times["ours"].append(seconds(lambda: model("rollback", "--reason", "bench", cwd=large)))
        model("promote", "latest", "--to", "prod", "--force", "--reason", "bench", cwd=large)
        run("git", "checkout", "--quiet", "penguins@v1.0.0", cwd=plain)
        run("dvc", "checkout", cwd=plain)
        times["plain"].append(
            seconds(lambda: (run("git", "checkout", "--quiet", good, cwd=plain), run("dvc", "checkout", cwd=plain)))
        )
    ours, other = statistics.median(times["ours"]), statistics.median(times["plain"])
    print(f"to one that is not, {size:.0f} MB of model     {ours:.2f} s")
    print(
        f"git checkout and dvc checkout instead  {other:.2f} s   ratio {ours / other:.2f}   (wanted: at most 2)",
        flush=True,
    )


def release_and_reproduce(project: Path, repeats: int) -> None:
    title("release and reproduce: time beyond the training itself")
    times = []
    for n in range(repeats):
        readme = project / "README.md"
        readme.write_text(readme.read_text(encoding="utf-8") + f"\n{n}\n", encoding="utf-8")
        run("git", "commit", "--quiet", "--all", "--message", f"Line {n}", cwd=project)
        times.append(seconds(lambda: model("release", cwd=project)))
    print(f"release                     {statistics.median(times):.2f} s")
    found = medians(
        1,
        reproduce=lambda: model("reproduce", "latest", cwd=project),
        repro=lambda: run("dvc", "repro", "--force", cwd=project),
    )
    print(f"reproduce                   {found['reproduce']:.2f} s, of which training {found['repro']:.2f} s: "
          f"{found['reproduce'] - found['repro']:.2f} s beyond")  # fmt: skip


def bytes_of_a_version(project: Path) -> None:
    title("bytes that one more version costs when only a parameter changed")

    def sizes() -> tuple[int, int]:
        run("git", "gc", "--quiet", cwd=project)
        git = sum(f.stat().st_size for f in (project / ".git" / "objects").rglob("*") if f.is_file())
        storage = project / run("dvc", "config", "remote.storage.url", cwd=project).strip().removeprefix("../")
        return git, sum(f.stat().st_size for f in storage.rglob("*") if f.is_file())

    before = sizes()
    new_version(project, "conf/model/linear.yaml", "C: 1.0", "C: 0.5")
    after = sizes()
    print(f"git {after[0] - before[0]:,} bytes, remote {after[1] - before[1]:,} bytes")


def in_mlflow(project: Path, folder: Path) -> None:
    title("the same life in MLflow 3.17 with SQLite")
    environment = folder / "mlflow"
    run("uv", "venv", "--quiet", "--python", sys.executable, environment, cwd=folder)
    python = environment / "bin" / "python"
    wanted = ("mlflow>=3.17,<3.18", "scikit-learn>=1.9,<1.10", "pandas", "pyarrow")
    run("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted, cwd=folder)
    lives = [versions.mlflow_life(project, str(python), folder / "store") for _ in range(3)]
    for step in lives[0]:
        middle = statistics.median(life[step] for life in lives)
        print(f"{step:<10}  {middle:6.2f} s   (in one process, imports not counted)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--part", choices=("all", "pipeline", "versions"), default="all")
    parser.add_argument("--rows", type=int, default=1_000_000, help="the largest table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        project, trivial = new_project(folder), trivial_project(folder)
        run("git", "config", "user.name", "Bench", cwd=project)
        run("git", "config", "user.email", "bench@example.com", cwd=project)
        run("dvc", "repro", cwd=project)
        if arguments.part in ("all", "pipeline"):
            no_op(project, trivial, arguments.repeats)
            forced(project, trivial, max(3, arguments.repeats // 2))
            growth(folder, sorted({n for n in (10_000, 100_000) if n < arguments.rows} | {arguments.rows}))
            model_files(project)
            run("git", "restore", ".", cwd=project)
            run("dvc", "checkout", "--force", cwd=project)
        if arguments.part in ("all", "versions"):
            place = folder / "versions"
            place.mkdir()
            live = released(project, place)
            many_tags(live, place, arguments.repeats)
            start_up(live, arguments.repeats)
            bytes_of_a_version(live)
            model("promote", "latest", "--to", "prod", cwd=live)
            release_and_reproduce(live, max(3, arguments.repeats // 2))
            roll_back(live, place, arguments.repeats)
            in_mlflow(live, place)


if __name__ == "__main__":
    main()
