"""docs/extending.md: what it says is done in one project, as it is written there, and then goes the whole life."""

import json
import re

import pandas as pd
from conftest import configure, write_card
from ruamel.yaml import YAML

SECTIONS = ("A metric", "A plot", "A split", "A key or group of conf/", "A stage")

#: A block of code, the first line of which names the file that it is for.
BLOCK = re.compile(r"^```(python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(project, *sections):
    """Do what some sections say: Python files are written, keys are added to YAML files."""
    text = (project / "docs" / "extending.md").read_text(encoding="utf-8")
    by_title = dict(section.split("\n", 1) for section in text.split("\n## ")[1:])
    for title in sections:
        blocks = BLOCK.findall(by_title[title])
        assert blocks, f"{title} shows no code"
        for language, name, code in blocks:
            file = project / name
            file.parent.mkdir(exist_ok=True)
            if language == "yaml" and file.exists():
                add(file, code)
            else:
                file.write_text(code, encoding="utf-8")


def add(file, fragment):
    """Add keys to a YAML file where the fragment has them; comments stay."""
    yaml = YAML()
    yaml.width = 1000
    yaml.preserve_quotes = True
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.indent(mapping=2, sequence=4, offset=2)
    values = yaml.load(file)
    merge(values, YAML(typ="safe").load(fragment))
    yaml.dump(values, file)


def merge(there, more):
    for key, value in more.items():
        if key == "defaults":
            for choice in value:
                choose(there[key], choice)
        elif isinstance(there.get(key), dict):
            merge(there[key], value)
        elif isinstance(there.get(key), list):
            there[key].extend(value)
        else:
            there[key] = value


def choose(defaults, choice):
    """Choose a file of a group: in its line of the defaults list, or in a new one above the last."""
    ((group, name),) = choice.items()
    line = next((line for line in defaults if isinstance(line, dict) and group in line), None)
    if line is None:
        defaults.insert(defaults.index("_self_"), choice)
    else:
        line[group] = name


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def bytes_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_metric_a_plot_a_split_a_group_and_a_stage_of_ones_own_go_the_whole_life(
    generate, run, commit, lock_installed, edit, tmp_path
):
    project = generate(tmp_path)
    configure(run, project)
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", tmp_path / "origin.git", cwd=tmp_path)
    run("git", "remote", "add", "origin", tmp_path / "origin.git", cwd=project)
    run("prek", "install", cwd=project)
    lock_installed(project)
    write_card(project)
    follow(project, *SECTIONS)
    edit(project / "conf" / "gate" / "default.yaml", "floors: {roc_auc: 0.7}", "floors: {roc_auc: 0.7, csot: 0.1}")
    edit(project / "conf" / "task" / "classification.yaml", "resamples: 500", "resamples: 100")
    name_each_mistake(project, run, edit)
    look_at_what_was_made(project, run)

    # git's hooks look at it.
    commit(project, "Judge by what mistakes cost")
    run("prek", "uninstall", cwd=project)
    run("model", "release", cwd=project)
    run("model", "promote", "v1.0.0", "--to", "prod", cwd=project)
    record = json.loads(run("model", "show", "v1.0.0", "--json", cwd=project).stdout)
    assert record["metrics"]["values"]["test"]["cost"] == read(project / "evaluation.json")["test"]["metrics"]["cost"]
    assert record["metrics"]["lower_is_better"] == ["cost", "log_loss"]
    assert record["params"]["choices"]["report"] == "default"
    (floor,) = (rule for rule in record["governance"]["gate"]["rules"] if rule["rule"] == "test cost")
    assert floor["required"] == "at most 0.1"

    try_a_choice_of_the_group(project, run, commit)
    judge_by_the_own_metric(project, run, commit, edit)
    run("model", "promote", "v1.1.0", "--to", "prod", cwd=project)
    assert "cost" in run("model", "diff", "v1.0.0", "v1.1.0", cwd=project).stdout
    assert "| cost |" in run("model", "card", "v1.1.0", cwd=project).stdout
    assert "v1.1.0: identical, all 15 outputs" in run("model", "reproduce", "v1.1.0", cwd=project).output
    run("model", "verify", "--all", cwd=project)


def name_each_mistake(project, run, edit):
    """Train in the end; before, a wrong name of a metric or a key, and a missing line of dvc.yaml, stop it."""
    gate, report = project / "conf" / "gate" / "default.yaml", project / "conf" / "report" / "default.yaml"
    said = run("dvc", "repro", cwd=project, fails=True).output
    assert f"gate.floors.csot in {gate.relative_to(project)}: 'csot' is no metric of this project" in said
    assert "did you mean 'cost'?" in said
    edit(gate, "csot", "cost")
    edit(report, "rows: 10", "row: 10")
    said = run("dvc", "repro", cwd=project, fails=True).output
    assert "report.row in conf/report/default.yaml is not a known key; did you mean 'rows'?" in said
    assert "report.rows is missing in conf/report/default.yaml" in said
    edit(report, "row: 10", "rows: 10")
    edit(project / "dvc.yaml", "      - data.owner\n", "")
    said = run("dvc", "repro", cwd=project, fails=True).output
    assert "the stage report reads data.owner of params.yaml, which dvc.yaml does not name for it" in said
    edit(project / "dvc.yaml", "      - report\n    outs:", "      - data.owner\n      - report\n    outs:")
    run("dvc", "repro", cwd=project)


def look_at_what_was_made(project, run):
    metrics = read(project / "metrics.json")
    assert {"cost", "chinstrap_precision"} <= metrics["test"].keys() & metrics["validation"].keys()
    test = read(project / "evaluation.json")["test"]
    cost = test["metrics"]["cost"]
    assert cost["low"] <= cost["value"] <= cost["high"]
    assert "cost" in test["slices"]["island"]["Dream"]
    prepared = project / "data" / "prepared"
    years = {part: set(pd.read_parquet(prepared / f"{part}.parquet")["year"]) for part in ("train", "test")}
    assert years == {"train": {2007}, "test": {2009}}
    assert (project / "plots" / "images" / "sure.png").read_bytes().startswith(b"\x89PNG")
    run("dvc", "plots", "show", "plots/sure.csv", cwd=project)
    assert "sure.csv" in (project / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert len(pd.read_csv(project / "report" / "rows.csv")) == 10
    run("python", "-m", "pytest", "-q", cwd=project)


def try_a_choice_of_the_group(project, run, commit):
    """Adopt an experiment that chose another model, and another file of the own group."""
    (project / "conf" / "report" / "long.yaml").write_text("name: long\nrows: 50\n", encoding="utf-8")
    commit(project, "A longer report")
    run("dvc", "exp", "run", "-n", "forest", "-S", "model=random_forest", "-S", "report=long", cwd=project)
    run("git", "restore", ".", cwd=project)
    run("dvc", "checkout", cwd=project)
    assert "report" in run("model", "adopt", "forest", cwd=project).output


def judge_by_the_own_metric(project, run, commit, edit):
    """Release a second version: the floor is first out of reach, and then the live version is no better."""
    gate = project / "conf" / "gate" / "default.yaml"
    edit(project / "conf" / "task" / "classification.yaml", "metric: accuracy", "metric: cost")
    edit(gate, "cost: 0.1", "cost: 0.001")
    edit(gate, "\nno_worse: {", "\nno_worse: {cost: 0.5, ")
    edit(gate, "slices_no_worse: {}", "slices_no_worse: {island: {chinstrap_precision: 0.2}}")
    run("dvc", "repro", cwd=project)
    assert len(pd.read_csv(project / "report" / "rows.csv")) == 50
    said = run("model", "gate", cwd=project, fails=True).output
    assert re.search(r"test cost .*at most 0.001 +0\.\d+ \[", said)
    edit(gate, "cost: 0.001", "cost: 0.1")
    run("dvc", "repro", cwd=project)
    commit(project, "A forest")
    said = run("model", "release", cwd=project).output
    for rule in ("test cost", "gain in cost over the baseline", "test chinstrap_precision where island is Dream"):
        assert f"\n  {rule} " in said
    assert "at most 0.5 of it worse than v1.0.0" in said
    # Where there are no Chinstraps, there is nothing to find.
    assert re.search(
        r"chinstrap_precision where island is Biscoe .* no value for these \d+ test rows: not judged", said
    )


def test_the_same_pages_lead_a_regression_to_a_model(generate, run, tmp_path):
    project = generate(tmp_path, task="regression")
    follow(project, *SECTIONS)
    run("dvc", "repro", cwd=project)
    run("ruff", "check", "penguins", cwd=project)
    run("ruff", "format", "--check", "penguins", cwd=project)
    assert {"close", "median_error"} <= read(project / "metrics.json")["test"].keys()
    assert (project / "plots" / "images" / "error.png").exists()
    made = bytes_of(project / "plots")
    run("dvc", "repro", "--force", "--single-item", "evaluate", cwd=project)
    assert bytes_of(project / "plots") == made
