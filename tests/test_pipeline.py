"""The pipeline under DVC: conf/ is the truth, experiments keep their overrides, the environment is an input."""

import json
import shutil

import pytest
from conftest import copy, lock
from ruamel.yaml import YAML


def params(project):
    return YAML(typ="safe").load((project / "params.yaml").read_text(encoding="utf-8"))


def metrics(project):
    return json.loads((project / "metrics.json").read_text(encoding="utf-8"))


def stages_that_ran(output):
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def exp_params(run, project, name):
    """Return the params.yaml of an experiment, as git has it."""
    shown = json.loads(run("dvc", "exp", "show", "--json", cwd=project).stdout)
    experiment = next(
        e for row in shown for group in row["experiments"] or [] for e in group["revs"] if e["name"] == name
    )
    return YAML(typ="safe").load(run("git", "show", f"{experiment['rev']}:params.yaml", cwd=project).stdout)


def test_a_fresh_project_trains_a_good_model_and_then_has_nothing_to_do(trained_once, run, task, tmp_path):
    project = copy(trained_once(task), tmp_path / "penguins")
    few = metrics(project)
    if task == "classification":
        assert few["test"]["accuracy_low"] > 0.9
        assert few["baseline"]["accuracy"] < 0.6
    else:
        assert few["test"]["rmse_high"] < 450 < few["baseline"]["rmse"]  # grams
    assert "up to date" in run("dvc", "repro", cwd=project).output
    assert "up to date" in run("dvc", "status", cwd=project).output
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


def test_every_edit_of_conf_is_honoured_and_runs_only_what_it_touches(trained, run, edit):
    edit(trained / "conf" / "task" / "classification.yaml", "metric: accuracy", "metric: f1_macro")
    done = run("dvc", "repro", cwd=trained)
    assert stages_that_ran(done.output) == ["compose", "evaluate"]
    assert "params.yaml: task.metric: 'accuracy' -> 'f1_macro'" in done.output
    assert "f1_macro_low" in metrics(trained)["test"]

    edit(trained / "conf" / "model" / "linear.yaml", "C: 1.0", "C: 0.01")
    assert stages_that_ran(run("dvc", "repro", cwd=trained).output) == ["compose", "train", "evaluate"]

    edit(trained / "conf" / "config.yaml", "# A recipe", "# A comment")
    assert stages_that_ran(run("dvc", "repro", cwd=trained).output) == ["compose"]


def test_a_mistyped_key_stops_before_any_work(trained, run, edit):
    edit(trained / "conf" / "split" / "row.yaml", "salt:", "slat:")
    done = run("dvc", "repro", cwd=trained, fails=True)
    assert "split.slat in conf/split/row.yaml is not a known key; did you mean 'salt'?" in done.output
    assert "Traceback" not in done.output
    assert stages_that_ran(done.output) == ["compose"]
    done = run("dvc", "exp", "run", "-S", "+split.testt=0.3", cwd=trained, fails=True)
    assert "split.slat in conf/split/row.yaml is not a known key" in done.output
    assert "split.testt in the -S of `dvc exp run` is not a known key; did you mean 'test'?" in done.output
    assert "params.yaml, then" not in done.output, "nobody may edit it"


def test_a_params_file_edited_by_hand_is_refused_and_kept(trained, run, edit):
    edit(trained / "params.yaml", "C: 1.0", "C: 0.3")
    edited = (trained / "params.yaml").read_bytes()
    done = run("dvc", "repro", cwd=trained, fails=True)
    assert "params.yaml was edited by hand" in done.output
    assert "model.estimator.C is 0.3, conf/ says 1.0" in done.output
    assert "dvc exp run -S model.estimator.C=0.3" in done.output
    assert (trained / "params.yaml").read_bytes() == edited
    # The same while conf/ changes too.
    edit(trained / "conf" / "compute" / "default.yaml", "seed: 42", "seed: 43")
    run("dvc", "repro", cwd=trained, fails=True)
    assert (trained / "params.yaml").read_bytes() == edited
    (trained / "params.yaml").unlink()
    run("dvc", "repro", "compose", cwd=trained)
    assert params(trained)["compute"]["seed"] == 43
    assert params(trained)["model"]["estimator"]["C"] == 1.0


def test_the_first_run_refuses_a_params_file_that_it_did_not_write(generate, run, tmp_path):
    project = generate(tmp_path)
    (project / "params.yaml").write_text("model: mine\n", encoding="utf-8")
    done = run("dvc", "repro", cwd=project, fails=True)
    assert "edited by hand" in done.output
    assert (project / "params.yaml").read_text(encoding="utf-8") == "model: mine\n"


def test_an_experiment_keeps_its_overrides(trained, run):
    run("dvc", "exp", "run", "-n", "tried", "-S", "model.estimator.C=0.2", cwd=trained)
    assert exp_params(run, trained, "tried")["model"]["estimator"]["C"] == 0.2
    assert params(trained)["model"]["estimator"]["C"] == 0.2
    assert "C: 1.0" in (trained / "conf" / "model" / "linear.yaml").read_text(encoding="utf-8")


def test_a_queued_experiment_keeps_its_overrides_and_its_code(trained, run, edit):
    run("dvc", "exp", "run", "--queue", "-n", "queued", "-S", "model.estimator.C=0.2", cwd=trained)
    # An edit after queueing must not reach it, although the package is bound to this folder.
    edit(trained / "penguins" / "train.py", "def train(settings):", "def train(settings):\n    1 / 0")
    run("dvc", "queue", "start", cwd=trained)
    try:
        done = run("dvc", "queue", "logs", "-f", "queued", cwd=trained)
        assert "ZeroDivisionError" not in done.output
    finally:
        run("dvc", "queue", "stop", "--kill", cwd=trained)
    assert exp_params(run, trained, "queued")["model"]["estimator"]["C"] == 0.2


def test_an_experiment_applied_and_repeated_is_up_to_date(trained, run):
    run("dvc", "exp", "run", "--temp", "-n", "tried", "-S", "model=random_forest", cwd=trained)
    run("dvc", "exp", "apply", "tried", cwd=trained)
    assert "up to date" in run("dvc", "repro", cwd=trained).output
    assert params(trained)["model"]["name"] == "random_forest"
    advice = "fix: to keep this experiment: model adopt tried, then dvc repro; to drop it: dvc repro --force compose"
    assert advice in run("model", "gate", cwd=trained, fails=True).output
    run("model", "adopt", "tried", cwd=trained)
    run("dvc", "repro", cwd=trained)
    assert "not what conf/ composes to" not in run("model", "gate", cwd=trained, fails=None).output
    assert params(trained)["model"]["name"] == "random_forest"


def test_an_applied_experiment_is_dropped_as_the_advice_says(trained, run):
    run("dvc", "exp", "run", "-S", "compute.seed=7", "-S", "split.salt=0o17", cwd=trained)
    assert params(trained)["split"]["salt"] == "0o17"
    run("dvc", "repro", "--force", "compose", cwd=trained)
    assert params(trained)["compute"]["seed"] == 42


def test_a_recipe_sets_several_groups(trained, run):
    run("dvc", "exp", "run", "-S", "experiment=quick_look", "compose", cwd=trained)
    assert params(trained)["model"]["estimator"]["n_estimators"] == 20
    assert params(trained)["features"]["name"] == "unscaled"


# --- what DVC does, on which all this rests: a release that changes it must be seen ---


def test_dvc_writes_the_params_file_that_compose_writes(trained, run):
    before = (trained / "params.yaml").read_bytes()
    run("dvc", "exp", "run", cwd=trained)
    assert (trained / "params.yaml").read_bytes() == before


def test_dvc_sets_its_variable_in_experiments_and_only_there(trained, run, edit):
    seen = "python -c \"import os; open('seen', 'a').write(os.environ.get('DVC_EXP_BASELINE_REV', '-')[:1])\" && python"
    edit(
        trained / "dvc.yaml", "cmd: python -m modelbook.training.compose", f"cmd: {seen} -m modelbook.training.compose"
    )
    run("dvc", "repro", cwd=trained)
    assert (trained / "seen").read_text(encoding="utf-8") == "-"
    run("dvc", "exp", "run", "-S", "compute.seed=1", "compose", cwd=trained)
    assert (trained / "seen").read_text(encoding="utf-8")[1] != "-"


def test_dvc_repro_does_not_compose_by_itself(trained, run, edit):
    """If it ever does, the stage `compose` can go."""
    edit(trained / "conf" / "compute" / "default.yaml", "seed: 42", "seed: 43")
    run("dvc", "repro", "--single-item", "evaluate", cwd=trained)
    assert params(trained)["compute"]["seed"] == 42


# --- the environment ---


def test_without_locked_versions_the_installed_ones_count_and_it_says_so(generate, run, tmp_path):
    project = generate(tmp_path)
    done = run("dvc", "repro", "compose", cwd=project)
    assert "uv.lock locks no versions, so the" in done.output
    noted = json.loads((project / "environment.json").read_text(encoding="utf-8"))
    assert noted["source"] == "installed"
    assert {"scikit-learn", "numpy", "pandas", "skops", "joblib"} <= noted["packages"].keys()
    assert not {"dvc", "pytest", "ruff"} & noted["packages"].keys()


def test_a_locked_runtime_version_makes_training_out_of_date_and_a_tool_does_not(trained, run):
    installed = json.loads((trained / "environment.json").read_text(encoding="utf-8"))["packages"]
    lock(trained, installed)
    run("dvc", "repro", "compose", cwd=trained)
    would_run = stages_that_ran(run("dvc", "repro", "--dry", cwd=trained).output)
    assert would_run == ["prepare", "train", "evaluate"], "locked instead of installed: noted, so it counts"
    run("dvc", "commit", "--force", cwd=trained)

    lock(trained, installed, tool="9")
    assert stages_that_ran(run("dvc", "repro", cwd=trained).output) == ["compose"]

    lock(trained, installed | {"only-on-windows": "1.0"})
    run("dvc", "repro", "compose", cwd=trained)
    assert stages_that_ran(run("dvc", "repro", "--dry", cwd=trained).output) == ["prepare", "train", "evaluate"]

    lock(trained, installed | {"numpy": "1.99"})
    assert "uv.lock" in run("dvc", "status", cwd=trained).output
    done = run("dvc", "repro", cwd=trained, fails=True)
    assert "numpy" in done.output
    assert "1.99 is noted" in done.output
    assert "uv sync" in done.output


def test_a_stage_refuses_other_packages_than_those_noted(trained, run):
    noted = json.loads((trained / "environment.json").read_text(encoding="utf-8"))
    noted["packages"]["scikit-learn"] = "1.8.0"
    (trained / "environment.json").write_text(json.dumps(noted), encoding="utf-8")
    done = run("python", "-m", "penguins.train", cwd=trained, fails=True)
    assert "1.8.0 is noted" in done.output
    assert "Traceback" not in done.output


# --- data ---


def test_adding_rows_retrains_and_moves_no_old_row(trained, run):
    import pandas as pd

    before = pd.read_parquet(trained / "data" / "prepared" / "test.parquet")
    with (trained / "data" / "raw" / "penguins.csv").open("a", encoding="utf-8") as table:
        table.writelines(
            f"Gentoo,Biscoe,4{n % 10}.{n % 7},1{n % 5}.1,22{n % 10},5{n % 10}00,male,2010\n" for n in range(80)
        )
    run("dvc", "add", "data/raw", cwd=trained)
    ran = stages_that_ran(run("dvc", "repro", cwd=trained).output)
    assert ran == ["prepare", "train", "evaluate"]
    after = pd.read_parquet(trained / "data" / "prepared" / "test.parquet")
    old = after[after["year"] < 2010]
    assert old.reset_index(drop=True).equals(before)


def test_a_changed_raw_table_is_seen_without_dvc_add(trained, run):
    """DVC hashes what is in the workspace; a stale data/raw.dvc must not hide a change."""
    with (trained / "data" / "raw" / "penguins.csv").open("a", encoding="utf-8") as table:
        table.write("Gentoo,Biscoe,45.1,14.5,215,5000,male,2010\n")
    assert "prepare" in stages_that_ran(run("dvc", "repro", "--dry", cwd=trained).output)


def test_a_wide_and_untidy_table_trains(trained, run, edit):
    """Two thousand columns of every type, gaps, constants, an id, and files in two layouts."""
    raw = trained / "data" / "raw"
    shutil.rmtree(raw)
    raw.mkdir()
    names = [f"n{i}" for i in range(1990)]
    extra = ["key", "flag", "when", "remark", "same", "empty", "zip", "label"]
    for part, header in enumerate((names + extra, extra + names)):
        lines = [";".join(header)]
        for i in range(120):
            row = part * 120 + i
            values = {name: str((row * (k + 3)) % 17) if (row + k) % 11 else "" for k, name in enumerate(names)}
            values |= {
                "key": f"k{row}", "flag": ("true", "FALSE", "")[row % 3], "when": f"2024-01-{row % 28 + 1:02d}",
                "remark": f"free text {row}", "same": "x", "empty": "NA", "zip": f"0{row % 90:04d}",
                "label": "ja" if (row * 3) % 17 > 8 else "nein",
            }  # fmt: skip
            lines.append(";".join(values[name] for name in header))
        encoded = "\n".join(lines) + "\n"
        (raw / f"{part}.csv").write_bytes((b"\xef\xbb\xbf" if part else b"") + encoded.encode())
    data = trained / "conf" / "data" / "penguins.yaml"
    edit(data, "target: species", "target: label")
    edit(data, "id: []", "id: [key]")
    text = data.read_text(encoding="utf-8")
    start, end = text.index("rules:"), text.index("# Rows that have no target")
    data.write_text(text[:start] + "rules: {}\n" + text[end:], encoding="utf-8")
    edit(trained / "conf" / "task" / "classification.yaml", "slices: [island, sex]", "slices: [flag]")
    done = run("dvc", "repro", cwd=trained)
    for note in ("'empty' has no values", "'same' is constant", "'remark' holds"):
        assert note in done.output
    inputs = json.loads((trained / "model" / "interface.json").read_text(encoding="utf-8"))["inputs"]
    types = {entry["name"]: entry["type"] for entry in inputs}
    assert types["flag"] == "boolean"
    assert types["when"] == "date"
    assert types["zip"] == "category"
    assert "key" not in types
    assert metrics(trained)["test"]["accuracy"] > 0.7


# --- any estimator ---


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("sklearn.svm.LinearSVC", {"random_state": 0}),
        ("sklearn.neighbors.KNeighborsClassifier", {"n_neighbors": 3}),
        (
            "sklearn.calibration.CalibratedClassifierCV",
            {"cv": 2, "estimator": {"_target_": "sklearn.svm.LinearSVC", "random_state": 0}},
        ),
        ("sklearn.neural_network.MLPClassifier", {"max_iter": 2000, "random_state": 0}),
    ],
)
def test_any_estimator_works_by_its_path(trained, run, target, arguments):
    values = {"name": "other", "estimator": {"_target_": target, **arguments}}
    with (trained / "conf" / "model" / "other.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(values, file)
    done = run("dvc", "exp", "run", "-S", "model=other", cwd=trained)
    assert "test accuracy" in done.output
    assert metrics(trained)["test"]["accuracy"] > 0.6


def test_an_estimator_that_refuses_its_arguments_says_so_without_a_traceback(trained, run, edit):
    edit(trained / "conf" / "model" / "linear.yaml", "C: 1.0", "C: -1.0")
    done = run("dvc", "repro", cwd=trained, fails=True)
    assert "LogisticRegression refuses to fit" in done.output
    assert "Traceback" not in done.output


def test_an_estimator_for_the_other_task_is_refused(trained, run, edit):
    edit(trained / "conf" / "model" / "linear.yaml", "LogisticRegression", "RidgeClassifier")
    edit(trained / "conf" / "model" / "linear.yaml", "  C: 1.0\n", "")
    run("dvc", "repro", "compose", cwd=trained)
    edit(trained / "conf" / "model" / "linear.yaml", "RidgeClassifier", "Ridge")
    assert "does not do classification" in run("dvc", "repro", cwd=trained, fails=True).output


# --- what a changed model file meets ---


def test_a_flipped_byte_in_the_model_is_refused_with_the_cure(trained, run):
    model = trained / "model" / "model.skops"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o644)
    model.write_bytes(content)
    done = run("python", "-m", "penguins.evaluate", cwd=trained, fails=True)
    assert "is not the file that was trained" in done.output
    assert "Traceback" not in done.output
    run("sh", "-c", "rm model/model.skops && dvc checkout model", cwd=trained)
    run("python", "-m", "penguins.evaluate", cwd=trained)


def test_artifacts_are_declared_for_registries(trained):
    shown = YAML(typ="safe").load((trained / "dvc.yaml").read_text(encoding="utf-8"))["artifacts"]["penguins"]
    assert shown["path"] == "model"
    assert shown["desc"]
    assert shown["labels"]


def test_plots_are_data_and_images(trained_once, run, task, tmp_path):
    project = copy(trained_once(task), tmp_path / "p")
    shown = json.loads(run("dvc", "plots", "show", "--json", "-o", tmp_path / "html", cwd=project).stdout)
    assert not shown.get("errors")
    kinds = {name: {entry["type"] for entry in entries} for name, entries in shown["data"].items()}
    assert sum("vega" in kind for kind in kinds.values()) == (4 if task == "classification" else 2)
    assert sum("image" in kind for kind in kinds.values()) == (4 if task == "classification" else 2)
