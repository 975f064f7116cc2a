"""The life of versions: against gto with many tags, against git and DVC by hand, and in MLflow."""

import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import lock, medians, model, run, seconds, title

#: One life in MLflow: log, register, promote, roll back, load. Prints the seconds of each.
MLFLOW = """
import json, sys, time
import mlflow, pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
table = pd.read_parquet("data/prepared/train.parquet").select_dtypes("number").dropna()
target = (table.iloc[:, 0] > table.iloc[:, 0].median()).astype(int)
times = {}

def timed(name, action):
    start = time.perf_counter(); result = action(); times[name] = time.perf_counter() - start
    return result

def log():
    with mlflow.start_run():
        return mlflow.sklearn.log_model(LogisticRegression(max_iter=500).fit(table, target), name="m")

client = MlflowClient()
first, second = timed("log", log), log()
timed("register", lambda: mlflow.register_model(first.model_uri, "m"))
mlflow.register_model(second.model_uri, "m")
client.set_registered_model_alias("m", "prod", 1)
timed("promote", lambda: client.set_registered_model_alias("m", "prod", 2))
timed("roll back", lambda: client.set_registered_model_alias("m", "prod", 1))
timed("load", lambda: mlflow.sklearn.load_model("models:/m@prod"))
print(json.dumps(times))
"""


#: A network whose weights do not compress: 2500 times 2500 numbers, twice, of 8 bytes.
LARGE_MODEL = """name: large
estimator:
  _target_: sklearn.neural_network.MLPClassifier
  hidden_layer_sizes: [2500, 2500]
  solver: lbfgs
  max_iter: 1
  random_state: ${compute.seed}
"""


def released(project: Path, folder: Path) -> Path:
    """Return a copy of a trained project with a written card, a locked environment and v1.0.0, live in prod."""
    folder.mkdir(exist_ok=True)
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


def history(project: Path, versions: int, moves: int) -> None:
    """Give a project with one version many more, and as many stage moves, with git's own importer."""

    def git(*words: str, content: bytes | None = None) -> str:
        done = subprocess.run(["git", *words], cwd=project, input=content, capture_output=True, check=True)
        return done.stdout.decode()

    def data(text: str) -> bytes:
        return b"data %d\n%s\n" % (len(text.encode()), text.encode())

    line, _, body = git("tag", "--list", "--format=%(contents)", "penguins@v1.0.0").partition("\n\n")
    record, now, who, out = json.loads(body), int(time.time()), b"Bench <bench@example.com>", []
    for n in range(1, versions + 1):
        start = b"from refs/heads/main^0\n" if n == 1 else b""
        out.append(b"commit refs/heads/many\nmark :%d\ncommitter %s %d +0000\n" % (n, who, now + n) + data("c") + start)
        record["identity"]["version"] = f"v2.{n}.0"
        head = f"tag penguins@v2.{n}.0\nfrom :{n}\ntagger ".encode() + who + b" %d +0000\n" % (now + n)
        out.append(head + data(f"{line}\n\n{json.dumps(record)}\n"))
    for n in range(1, moves + 1):
        stage, version = ("prod", "staging")[n % 2], n * 7 % versions + 1
        event = {"schema": 1, "kind": "promote", "stage": stage, "from": None, "to": f"v2.{version}.0", "reason": "r"}
        event |= {"actor": who.decode(), "checks": ["a" * 40] * 3, "forced": False, "version_tag": "0" * 40}
        head = f"tag penguins#{stage}#{n // 2 + 100}\nfrom :{version}\ntagger ".encode() + who
        out.append(head + b" %d +0000\n" % (now + versions + n) + data(f"line\n\n{json.dumps(event)}\n"))
    git("fast-import", "--quiet", content=b"".join(out))


def many_tags(project: Path, folder: Path, repeats: int) -> None:
    title("history, show, and what is live: against gto")
    for n in (1_000, 10_000):
        copy = folder / f"tags{n}"
        shutil.copytree(project, copy, symlinks=True)
        history(copy, n, 2 * n)
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
    words = (sys.executable, "-m", "modelbook.cli.app", "show", "v99.0.0")
    found = medians(
        repeats,
        help=lambda: model("--help", cwd=project),
        refused=lambda: run("python", "-c", refused, *words, cwd=project),
        python=lambda: run("python", "-c", "pass", cwd=project),
    )
    print(f"--help    {found['help']:.2f} s   (wanted: under 0.2)")
    print(f"refused   {found['refused'] - found['python']:.2f} s   (wanted: under 0.25)")


def roll_back(project: Path, folder: Path, repeats: int) -> None:
    title("model rollback")
    there = []
    for _ in range(repeats):
        there.append(seconds(lambda: model("rollback", "--reason", "bench", cwd=project)))
        forward(project)
    print(f"to a version that is materialised      {statistics.median(there):.2f} s   (wanted: under 1.5)")

    large = large_model(project, folder)
    size = (large / "model" / "model.skops").stat().st_size / 1e6
    before, _ = run("git", "tag", "--list", "penguins@*", "--sort=version:refname", cwd=large).split()[-2:]
    plain = folder / "plain"
    shutil.copytree(large, plain, symlinks=True, ignore=shutil.ignore_patterns(".releases"))
    by_hand = (("git", "checkout", "--quiet", before), ("dvc", "checkout"))
    times: dict[str, list[float]] = {"proven": [], "new": [], "plain": []}
    for _ in range(max(3, repeats // 2)):
        for kind, gone in (("proven", f".releases/{before.partition('@')[2]}"), ("new", ".releases")):
            shutil.rmtree(large / gone)
            run("git", "worktree", "prune", cwd=large)
            times[kind].append(seconds(lambda: model("rollback", "--reason", "bench", cwd=large)))
            forward(large)
        run("git", "checkout", "--quiet", "penguins@v1.0.0", cwd=plain)
        run("dvc", "checkout", cwd=plain)
        times["plain"].append(seconds(lambda: [run(*words, cwd=plain) for words in by_hand]))
    other = statistics.median(times["plain"])
    print(f"git checkout and dvc checkout, {size:.0f} MB   {other:.2f} s")
    for kind, what, wanted in (
        ("proven", "not materialised, proven here before", 2),
        ("new", "in a clone that never had it", 3),
    ):
        ours = statistics.median(times[kind])
        print(f"{what:<37}  {ours:.2f} s   ratio {ours / other:.2f}   (wanted: at most {wanted})", flush=True)


def forward(project: Path) -> None:
    model("promote", "latest", "--to", "prod", "--force", "--reason", "bench", cwd=project)


def large_model(project: Path, folder: Path) -> Path:
    """Return a copy of a project with two versions more, whose model takes 100 MB; the last one is live."""
    large = folder / "large"
    shutil.copytree(project, large, symlinks=True, ignore=shutil.ignore_patterns(".releases"))
    run("git", "worktree", "prune", cwd=large)
    (large / "conf" / "model" / "large.yaml").write_text(LARGE_MODEL, encoding="utf-8")
    gate = large / "conf" / "gate" / "default.yaml"
    text = re.sub(r"(floors|no_worse): .*", r"\1: {}", gate.read_text(encoding="utf-8"))
    gate.write_text(text.replace("beats_baseline: true", "beats_baseline: false"), encoding="utf-8")
    chosen = re.search(r"  - model: \w+", (large / "conf" / "config.yaml").read_text(encoding="utf-8"))
    assert chosen
    new_version(large, "conf/config.yaml", chosen[0], "  - model: large")
    model("promote", "latest", "--to", "prod", cwd=large)
    new_version(large, "README.md", "# ", "# A ")
    model("promote", "latest", "--to", "prod", cwd=large)
    return large


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


def mlflow_life(project: Path, python: str, folder: Path) -> dict[str, float]:
    """Return the seconds of each step of one life in MLflow."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    command = [python, "-c", MLFLOW, str(folder)]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"MLflow failed:\n{done.stderr}")
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def in_mlflow(project: Path, folder: Path) -> None:
    title("the same life in MLflow 3.17 with SQLite")
    environment = folder / "mlflow"
    run("uv", "venv", "--quiet", "--python", sys.executable, environment, cwd=folder)
    python = environment / "bin" / "python"
    wanted = ("mlflow>=3.17,<3.18", "scikit-learn>=1.9,<1.10", "pandas", "pyarrow")
    run("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted, cwd=folder)
    lives = [mlflow_life(project, str(python), folder / "store") for _ in range(3)]
    for step in lives[0]:
        middle = statistics.median(life[step] for life in lives)
        print(f"{step:<10}  {middle:6.2f} s   (in one process, imports not counted)")


def measure(project: Path, folder: Path, repeats: int) -> None:
    """Measure all of it, in copies of a trained project."""
    folder.mkdir()
    live = released(project, folder)
    many_tags(live, folder, repeats)
    start_up(live, repeats)
    bytes_of_a_version(live)
    model("promote", "latest", "--to", "prod", cwd=live)
    release_and_reproduce(live, max(3, repeats // 2))
    roll_back(live, folder, repeats)
    in_mlflow(live, folder)
