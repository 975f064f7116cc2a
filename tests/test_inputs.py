"""Code and tables of the team's own are inputs: named in dvc.yaml, or the stage that uses them does not count."""

import re

from test_pipeline import metrics, stages_that_ran

ESTIMATOR = """
from sklearn.linear_model import LogisticRegression


class Careful(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        self.C = 1.0
        return super().fit(X, y, sample_weight)
"""
CHOICE = "name: careful\nestimator:\n  _target_: penguins.estimators.Careful\n  max_iter: 1000\n"


def add_what_is_printed(project, output):
    """Write the lines into dvc.yaml that a stage asked for; return the stage and the lines."""
    stage = re.search(r"add to the stage (\w+) in dvc.yaml", output)[1]
    lines = re.findall(r"^ +- (\S+)$", output.split("add to the stage")[1], re.MULTILINE)
    file = project / "dvc.yaml"
    before, after = file.read_text(encoding="utf-8").split(f"  {stage}:\n", 1)
    added = "".join(f"      - {line}\n" for line in lines)
    file.write_text(f"{before}  {stage}:\n" + after.replace("    deps:\n", f"    deps:\n{added}", 1), encoding="utf-8")
    return stage, lines


def test_an_estimator_and_a_table_of_the_team_retrain_when_they_change(trained, run, edit, commit):
    (trained / "penguins" / "estimators.py").write_text(ESTIMATOR, encoding="utf-8")
    (trained / "conf" / "model" / "careful.yaml").write_text(CHOICE, encoding="utf-8")
    edit(trained / "conf" / "config.yaml", "model: linear", "model: careful")
    (trained / "data" / "bonus.json").write_text('{"add": 0}', encoding="utf-8")
    edit(
        trained / "penguins" / "estimators.py",
        "        self.C = 1.0\n",
        "        self.C = 1.0 + json.loads(pathlib.Path('data/bonus.json').read_text())['add']\n",
    )
    edit(trained / "penguins" / "estimators.py", "\nfrom sk", "import json\nimport pathlib\n\nfrom sk")
    asked = {}
    for _ in range(4):
        done = run("dvc", "repro", cwd=trained, fails=None)
        assert "Traceback" not in done.output
        if not done.returncode:
            break
        stage, lines = add_what_is_printed(trained, done.output)
        asked.setdefault(stage, []).extend(lines)
    own = "penguins/estimators.py"
    assert asked == {"compose": [own], "train": ["data/bonus.json", own], "evaluate": [own]}
    assert "up to date" in run("dvc", "repro", cwd=trained).output

    (trained / "data" / "bonus.json").write_text('{"add": -0.999}', encoding="utf-8")
    first = metrics(trained)["test"]["log_loss"]
    assert stages_that_ran(run("dvc", "repro", cwd=trained).output) == ["train", "evaluate"]
    assert metrics(trained)["test"]["log_loss"] != first
    edit(trained / own, "self.C = 1.0", "self.C = 2.0")
    assert "train" in stages_that_ran(run("dvc", "repro", cwd=trained).output)
    # The copy of an experiment is held the same way.
    edit(trained / "dvc.yaml", "      - data/bonus.json\n", "")
    commit(trained, "Forget the table")
    done = run("dvc", "exp", "run", "--temp", "-S", "compute.seed=7", cwd=trained, fails=True)
    assert "the stage train reads data/bonus.json" in done.output


def test_a_table_beside_the_raw_one_is_refused_until_dvc_yaml_names_it(trained, run, edit):
    (trained / "data" / "mine.csv").write_bytes((trained / "data" / "raw" / "penguins.csv").read_bytes())
    edit(trained / "conf" / "data" / "penguins.yaml", "path: data/raw\n", "path: data/mine.csv\n")
    done = run("dvc", "repro", cwd=trained, fails=True)
    assert "the stage prepare reads data/mine.csv" in done.output
    assert add_what_is_printed(trained, done.output) == ("prepare", ["data/mine.csv"])
    run("dvc", "repro", cwd=trained)
    with (trained / "data" / "mine.csv").open("a", encoding="utf-8") as file:
        file.write("Adelie,Dream,39.0,18.0,190,4000,male,2009\n")
    assert "prepare" in stages_that_ran(run("dvc", "repro", cwd=trained).output)
