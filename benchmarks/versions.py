"""Histories and lives to measure: many tags in git, the same steps in MLflow, a model of 100 MB."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

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


#: A network whose weights do not compress: 3000 times 4000 numbers of 8 bytes.
LARGE_MODEL = """name: large
estimator:
  _target_: sklearn.neural_network.MLPClassifier
  hidden_layer_sizes: [3000, 4000]
  solver: lbfgs
  max_iter: 1
  random_state: ${compute.seed}
"""
