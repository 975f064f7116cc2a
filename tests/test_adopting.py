"""Versions for a pipeline that the template did not make: docs/adopting.md, step by step, on a small DVC project."""

import csv
import json
import random
import re

import jsonschema
import pytest
from conftest import TEMPLATE, Team, configure, write_card

PAGE = TEMPLATE / "docs" / "adopting.md"

BEFORE = {
    "params.yaml": "prepare: {test_share: 0.25, seed: 7}\ntrain: {alpha: 1.0}\n",
    "requirements.txt": "dvc\npandas\nscikit-learn\n",
    "dvc.yaml": """\
stages:
  prepare:
    cmd: python src/prepare.py
    deps: [data/rents.csv, src/prepare.py]
    params: [prepare]
    outs: [data/prepared]
  featurize:
    cmd: python src/featurize.py
    deps: [data/prepared, src/featurize.py]
    outs: [data/features]
  train:
    cmd: python src/train.py
    deps: [data/features, src/train.py]
    params: [train]
    outs: [model.joblib]
  evaluate:
    cmd: python src/evaluate.py
    deps: [data/features, model.joblib, src/evaluate.py]
    metrics:
      - eval/metrics.json: {cache: false}
    plots:
      - eval/predicted.csv: {x: predicted, y: actual}
""",
    "src/prepare.py": """\
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))["prepare"]
rows = pd.read_csv("data/rents.csv").dropna()
test = rows.sample(frac=params["test_share"], random_state=params["seed"])
Path("data/prepared").mkdir(exist_ok=True)
test.to_csv("data/prepared/test.csv", index=False)
rows.drop(test.index).to_csv("data/prepared/train.csv", index=False)
""",
    "src/featurize.py": """\
from pathlib import Path

import pandas as pd

Path("data/features").mkdir(exist_ok=True)
for part in ("train", "test"):
    rows = pd.read_csv(f"data/prepared/{part}.csv")
    rows["per_room"] = rows["size"] / rows["rooms"]
    rows["central"] = (rows.pop("district") == "centre").astype(int)
    rows.to_csv(f"data/features/{part}.csv", index=False)
""",
    "src/train.py": """\
from pathlib import Path

import joblib
import pandas as pd
from ruamel.yaml import YAML
from sklearn.linear_model import Ridge

params = YAML(typ="safe").load(Path("params.yaml"))["train"]
rows = pd.read_csv("data/features/train.csv")
joblib.dump(Ridge(alpha=params["alpha"]).fit(rows.drop(columns="rent"), rows["rent"]), "model.joblib")
""",
    "src/evaluate.py": """\
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import root_mean_squared_error

rows = pd.read_csv("data/features/test.csv")
predicted = joblib.load("model.joblib").predict(rows.drop(columns="rent"))
Path("eval").mkdir(exist_ok=True)
Path("eval/metrics.json").write_text(json.dumps({"rmse": root_mean_squared_error(rows["rent"], predicted)}))
pd.DataFrame({"predicted": predicted, "actual": rows["rent"]}).to_csv("eval/predicted.csv", index=False)
""",
}


class Rents(Team):
    """The project of the page, in the places that `Team` gives it."""

    def __init__(self, folder, run, environment):
        super().__init__(folder, run, environment)
        self.project, self.storage = folder / "rents", folder / "storage"

    def live_in_prod(self):
        return json.loads(self.model("status", "--json").stdout)["live"][0]["version"]

    def edit(self, file, old, new):
        text = (self.project / file).read_text(encoding="utf-8")
        assert old in text
        (self.project / file).write_text(text.replace(old, new), encoding="utf-8")

    def train(self, message):
        said = self.dvc("repro")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return said


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def files():
    """Return the files that the page shows whole."""
    shown = r"^`([\w/.]+)`[^\n]*:\n\n```\w+\n(.*?)^```"
    return dict(re.findall(shown, PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def adopted(run, environment, lock_installed, tmp_path_factory):
    """Build the project as it was, then do what the page says; return it with its first version."""
    rents = Rents(tmp_path_factory.mktemp("adopting"), run, environment)
    project = rents.project
    for name, text in BEFORE.items():
        project.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        project.joinpath(name).write_text(text, encoding="utf-8")
    write_rents(project / "data" / "rents.csv")
    rents.git("init", "--quiet", "--initial-branch=main")
    configure(run, project)
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", rents.origin, cwd=rents.folder)
    rents.git("remote", "add", "origin", rents.origin)
    rents.dvc("init", "--quiet")
    rents.dvc("remote", "add", "--default", "storage", "../../storage")
    rents.dvc("add", "--quiet", "data/rents.csv")
    rents.train("A pipeline as there are many")
    assert (project / "model.joblib").exists()

    copying, locking, training = blocks("bash")
    for line in copying.replace("https://example.com/your-team/template.git", str(TEMPLATE)).splitlines():
        run("sh", "-ec", line, cwd=project)
    assert "uv add" in locking
    lock_installed(project)
    with (project / "params.yaml").open("a", encoding="utf-8") as params:
        params.write(blocks("yaml")[0])
    assert {*files()} == {"src/featurize.py", "src/train.py", "src/evaluate.py", "dvc.yaml"}
    for name, text in files().items():
        (project / name).write_text(text, encoding="utf-8")
    for line in training.splitlines():
        done = run("sh", "-ec", line, cwd=project)
    assert "v1.0.0" in done.output
    return rents


def write_rents(path):
    draw = random.Random(7)
    lines = [("size", "rooms", "age", "district", "rent")]
    for _ in range(240):
        size, age, district = draw.randint(20, 140), draw.randint(0, 90), draw.choice(["centre", "north", "south"])
        rent = round(9 * size - 2 * age + 180 * (district == "centre") + draw.gauss(0, 60), 2)
        lines.append((size, max(1, size // 25), age, district, rent))
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def test_the_record_tells_what_is_known_and_nothing_else(adopted):
    found = json.loads(adopted.git("cat-file", "tag", "rents@v1.0.0").partition("\n\n")[2].partition("\n\n")[2])
    schema = adopted.project / "src" / "rents" / "versions" / "record.schema.json"
    jsonschema.validate(found, json.loads(schema.read_text(encoding="utf-8")))
    assert found["identity"]["name"] == "rents"
    assert found["data"]["inputs"][0]["path"] == "data/rents.csv"
    assert found["data"]["inputs"][0]["rows"] is None
    assert {part: split["rows"] for part, split in found["data"]["splits"].items()} == {"train": 180, "test": 60}
    assert {*found["code"]["stages"]} == {"environment", "prepare", "featurize", "train", "evaluate"}
    columns = {entry["name"]: entry["type"] for entry in found["interface"]["inputs"]["listed"]}
    assert columns == {"size": "number", "rooms": "number", "age": "number", "per_room": "number", "central": "boolean"}
    assert found["interface"]["golden"]["rows"] == 12  # this model takes no row without values
    own = json.loads((adopted.project / "eval" / "metrics.json").read_text(encoding="utf-8"))
    assert own["rmse"] == found["metrics"]["values"]["test"]["rmse"]["value"] < 80
    assert found["metrics"]["measured_on"]["test"] == found["data"]["splits"]["test"]["md5"]
    assert "| rmse |" in adopted.model("card", "v1.0.0").stdout


def test_a_life_of_versions(adopted):
    said = adopted.model("promote", "v1.0.0", "--to", "prod", fails=True).output
    assert "stages in params.yaml: prod needs a model card" in said
    write_card(adopted.project)
    adopted.git("commit", "--quiet", "--all", "--message", "Write the card")
    assert "v1.0.1: patch" in adopted.model("release").output
    adopted.model("promote", "v1.0.1", "--to", "prod")
    assert "nothing is wrong" in adopted.model("status").output

    # Judged by the same rows; the folder of modules that a stage depends on counts as its code.
    adopted.edit("params.yaml", "alpha: 1.0", "alpha: 2.0")
    adopted.edit("src/rents/pipeline/statistics.py", "QUANTILES = (", "QUANTILES = (0.01, ")
    adopted.train("More cautious")
    said = adopted.model("release").output
    assert "v1.1.0: minor after v1.0.1: code changed" in said
    assert "at most 0.2 of it worse than v1.0.1" in adopted.model("gate", "--against", "v1.0.1").stdout
    adopted.model("promote", "v1.1.0", "--to", "prod")
    shown = adopted.model("diff", "v1.0.0", "v1.1.0").output
    assert "train.alpha" in shown
    assert "statistics.py" in shown

    # Judged by other rows: the live version predicts them itself.
    adopted.edit("params.yaml", "seed: 7", "seed: 8")
    adopted.dvc("repro")
    said = adopted.model("gate")
    assert "test rows are others than those of v1.1.0" in said.stderr
    assert "at most 0.2 of it worse than v1.1.0" in said.stdout
    adopted.git("restore", ".")
    adopted.dvc("checkout")

    adopted.model("rollback", "--reason", "tenants complain")
    assert adopted.live_in_prod() == "v1.0.1"
    assert adopted.model("verify", "--all").output.count("sound") == 3
    assert "v1.0.0: identical" in adopted.model("reproduce", "v1.0.0").output


def test_what_is_wrong_in_params_by_hand_is_refused_with_its_key(adopted):
    file = adopted.project / "params.yaml"
    kept = file.read_text(encoding="utf-8")
    try:
        adopted.edit("params.yaml", "judged_by: interval", "judged_bye: interval")
        said = adopted.model("gate", fails=True).output
        assert "gate.judged_bye in params.yaml is not a known key; did you mean 'judged_by'?" in said
        said = adopted.model("release", fails=True).output
        assert re.search(
            r"judged_bye.*fix: correct params.yaml, then dvc repro, then git add --all && git commit", said, re.DOTALL
        ), said
        assert "Traceback" not in said
    finally:
        file.write_text(kept, encoding="utf-8")


def test_experiments_are_kept_by_dvc(adopted):
    adopted.dvc("exp", "run", "--quiet", "--name", "three", "-S", "train.alpha=3")
    adopted.git("restore", ".")
    said = adopted.model("adopt", "three", fails=True).output
    assert "without conf/ the values stand in params.yaml" in said
    command = re.search("fix: (dvc exp apply three)", said)[1]
    adopted.dvc(*command.split()[1:])
    assert "alpha: 3" in (adopted.project / "params.yaml").read_text(encoding="utf-8")
    adopted.git("restore", ".")
    adopted.dvc("checkout")
