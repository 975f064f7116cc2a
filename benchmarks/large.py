"""A large table: what the stages cost beside one plain script that reads, fits, predicts and scores."""

import re
import sys
from pathlib import Path

from measure import STAGES, new_project, run, seconds, title

#: What is wanted: seconds of `evaluate`; time and memory of everything as multiples of the script's.
EVALUATE_SECONDS, TIMES, MEMORY = 8, 2, 1.5

#: Runs a command; prints its seconds and the largest resident memory of any process in it, in MiB.
PEAK = (
    "import resource, subprocess, sys, time; start = time.perf_counter();"
    "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
    "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(code)"
)

#: What a user writes without a template: the same preprocessing, estimator, shares and threads.
SCRIPT = """
import os, sys
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import joblib
import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

file, task = sys.argv[1:]
table = pd.read_csv(file)
numbers = [name for name in table if name.startswith("n")]
categories = [name for name in table if name.startswith("c")]
one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2, max_categories=30)
before = make_column_transformer(
    (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    (one_hot, categories),
    (SimpleImputer(strategy="most_frequent"), ["flag"]),
)
X, y = table.drop(columns="answer"), table["answer"]
X["flag"] = X["flag"].astype(float)
X, others, y, other_answers = train_test_split(X, y, test_size=0.4, random_state=0)
estimator = LogisticRegression(max_iter=1000) if task == "classification" else Ridge()
model = make_pipeline(before, estimator).fit(X, y)
joblib.dump(model, "model.joblib")
for rows, truth in ((others[::2], other_answers[::2]), (others[1::2], other_answers[1::2])):
    predicted = model.predict(rows)
    if task == "classification":
        probabilities = model.predict_proba(rows)
        print(
            metrics.accuracy_score(truth, predicted), metrics.f1_score(truth, predicted, average="macro"),
            metrics.log_loss(truth, probabilities), metrics.roc_auc_score(truth, probabilities[:, 1]),
        )
    else:
        print(
            metrics.root_mean_squared_error(truth, predicted), metrics.mean_absolute_error(truth, predicted),
            metrics.r2_score(truth, predicted),
        )
"""


def write_table(file: Path, rows: int, task: str) -> None:
    """Write 15 numbers, 3 categories, a boolean and the target, `answer`: 20 columns."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(rows, 15)).round(4), columns=[f"n{i}" for i in range(15)])
    for i in range(3):
        table[f"c{i}"] = generator.choice([f"v{k}" for k in range(5 * 4**i)], rows)
    table["flag"] = generator.choice(["true", "false"], rows)
    score = table["n0"] + table["n1"] * table["n2"] + (table["c0"] == "v1") + generator.normal(size=rows)
    table["answer"] = np.where(score > 0, "yes", "no") if task == "classification" else score.round(4)
    table.iloc[::50, 0] = None
    table.to_csv(file, index=False)


def project_with(folder: Path, rows: int, task: str) -> Path:
    """Return a new project with that table."""
    project = new_project(folder, task)
    for file in (project / "data" / "raw").glob("*.csv"):
        file.unlink()
    write_table(project / "data" / "raw" / "table.csv", rows, task)
    conf = project / "conf" / "data" / "penguins.yaml"
    text = conf.read_text(encoding="utf-8")
    start, end = text.index("rules:"), text.index("# Rows that have no target")
    text = text[:start] + "rules: {}\n" + text[end:]
    conf.write_text(re.sub(r"^target: .*$", "target: answer", text, flags=re.MULTILINE), encoding="utf-8")
    conf = project / "conf" / "task" / f"{task}.yaml"
    conf.write_text(re.sub(r"^slices: .*$", "slices: [flag, c0]", conf.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return project


def peak(*command: object, cwd: Path) -> tuple[float, float]:
    """Return the seconds of a command, and the MiB of its largest process."""
    took, memory = run(sys.executable, "-c", PEAK, *command, cwd=cwd).split()[-2:]
    return float(took), float(memory)


def measure(folder: Path, rows: int) -> None:
    """Measure one table for each task."""
    for task in ("classification", "regression"):
        title(f"{task}, {rows:,} rows x 20 columns: all of dvc repro against a plain script")
        parent = folder / f"large-{task}"
        parent.mkdir(parents=True)
        project = project_with(parent, rows, task)
        script = parent / "plain.py"
        script.write_text(SCRIPT, encoding="utf-8")
        plain, plain_memory = peak("python", script, project / "data" / "raw" / "table.csv", task, cwd=parent)
        whole = seconds(lambda project=project: run("dvc", "repro", cwd=project))
        print(f"{'plain script':<12} {plain:6.1f} s {plain_memory:6.0f} MiB")
        stages = {stage: peak("python", "-m", module, cwd=project) for stage, module in STAGES.items()}
        for stage, (took, memory) in stages.items():
            wanted = f"   (wanted: at most {EVALUATE_SECONDS} s)" if stage == "evaluate" else ""
            print(f"{stage:<12} {took:6.1f} s {memory:6.0f} MiB{wanted}")
        largest = max(memory for _, memory in stages.values())
        print(f"dvc repro    {whole:6.1f} s   ratio {whole / plain:.2f}   (wanted: at most {TIMES})")
        print(f"peak memory  {largest:6.0f} MiB ratio {largest / plain_memory:.2f}   (wanted: at most {MEMORY})")
        sys.stdout.flush()
