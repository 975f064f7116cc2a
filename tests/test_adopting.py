"""Versions for a pipeline that the template did not make: docs/adopting.md, step by step, on a small DVC project."""

import csv
import json
import random
import re

import jsonschema
import pytest
import wheels
from conftest import BIN, TEMPLATE, Team, configure, lock, write_card
from ruamel.yaml import YAML

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
    """The project of the page, in the places that `Team` gives it, with an environment that has the wheel alone."""

    def __init__(self, folder, run, environment):
        def with_wheel(*command, **options):
            return run(*command, **{**self.variables, **options})

        super().__init__(folder, with_wheel, environment)
        self.project, self.storage = folder / "rents", folder / "storage"
        self.variables = {"PYTHONPATH": ""}

    def live(self, cwd=None, stage="prod"):
        found = json.loads(self.model("status", "--json", cwd=cwd).stdout)["live"]
        return next(entry["version"] for entry in found if entry["stage"] == stage)

    def edit(self, file, old, new):
        text = (self.project / file).read_text(encoding="utf-8")
        assert old in text
        (self.project / file).write_text(text.replace(old, new), encoding="utf-8")

    def train(self, message):
        said = self.dvc("repro")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return said

    def type(self, line, **options):
        """Run a line of the page."""
        return self._run("sh", "-ec", line, cwd=self.project, **options)


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def scripts():
    """Return the files that the page shows whole."""
    shown = r"`([\w/]+\.py)`[^`]*:\n\n```python\n(.*?)^```"
    return dict(re.findall(shown, PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def rents(run, environment, tmp_path_factory):
    """Return the project as it was before: a pipeline as there are many."""
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
    return rents


@pytest.fixture(scope="module")
def initialised(rents, generate, run):
    """Take steps 1 and 2 of the page; return the project and what `model init` said."""
    project = rents.project
    generate(rents.folder)
    installing, adding = blocks("bash")[:2]
    for line in installing.splitlines():
        # The versions of the environment of the tests are locked instead of the newest ones: nothing is downloaded.
        frozen = {} if line.startswith("uv build") else {"UV_FROZEN": "1", "UV_OFFLINE": "1"}
        rents.type(line, **wheels.client(), **frozen)
    (wheel,) = (project / "wheels").glob("*.whl")
    commands = wheels.install(run, project / ".venv", wheel, ["train"])
    rents.variables = wheels.variables(commands) | {"UV_NO_SYNC": "1"}
    commands.joinpath("uv").symlink_to(BIN / "uv")
    ask = "import json; from modelbook.training import environment as e; print(json.dumps(e.installed_packages()))"
    lock(project, json.loads(rents._run("python", "-c", ask, cwd=project).stdout))
    return rents, rents.type(adding).output


@pytest.fixture(scope="module")
def adopted(initialised):
    """Take steps 3 and 4; return the project with its first version, live in staging."""
    rents, _ = initialised
    project = rents.project
    assert {*scripts()} == {"src/featurize.py", "src/train.py", "src/evaluate.py"}
    for name, text in scripts().items():
        (project / name).write_text(text, encoding="utf-8")
    yaml = YAML()
    pipeline = yaml.load(project / "dvc.yaml")
    pipeline["stages"].update(yaml.load(blocks("yaml")[0])["stages"])
    yaml.dump(pipeline, project / "dvc.yaml")
    for line in blocks("bash")[2].splitlines():
        said = rents.type(line).output
        assert "model status" not in line or "nothing is wrong" in said, said
    assert rents.live(stage="staging") == "v1.0.0"
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


def test_init_adds_what_is_missing_and_changes_nothing_else(initialised):
    rents, said = initialised
    before, after = BEFORE["dvc.yaml"].splitlines(), (rents.project / "dvc.yaml").read_text("utf-8").splitlines()
    assert [line for line in after if line in before] == before
    assert "  rents:" in after
    params = (rents.project / "params.yaml").read_text(encoding="utf-8")
    assert params.startswith(BEFORE["params.yaml"])
    assert YAML(typ="safe").load(params)["data"] == {"prepared": "data/features"}
    for file in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", "docs/model_card.md"):
        assert f"added to {file}: " in said
    for call in ("tables.write", "models.save", "evaluation.judge"):
        assert call in said
    assert rents.git("log", "--format=%s") == "A pipeline as there are many"


def test_init_a_second_time_says_what_is_left(adopted):
    before = adopted.git("status", "--porcelain")
    said = json.loads(adopted.model("init", "--json").stdout)
    assert said == {"name": "rents", "added": [], "steps": []}
    assert adopted.git("status", "--porcelain") == before


def test_the_record_tells_what_is_known_and_nothing_else(adopted):
    found = json.loads(adopted.git("cat-file", "tag", "rents@v1.0.0").partition("\n\n")[2].partition("\n\n")[2])
    schema = wheels.SOURCE / "src" / "modelbook" / "registry" / "record.schema.json"
    jsonschema.validate(found, json.loads(schema.read_text(encoding="utf-8")))
    assert found["identity"]["name"] == "rents"
    assert found["data"]["inputs"][0]["path"] == "data/rents.csv"
    assert found["data"]["inputs"][0]["rows"] is None
    assert {part: split["rows"] for part, split in found["data"]["splits"].items()} == {"train": 180, "test": 60}
    assert {*found["code"]["stages"]} == {"environment", "prepare", "featurize", "train", "evaluate"}
    noted = json.loads((adopted.project / "environment.json").read_text(encoding="utf-8"))
    assert found["code"]["tool"] == noted["tool"]
    assert "modelbook" not in noted["packages"]
    columns = {entry["name"]: entry["type"] for entry in found["interface"]["inputs"]["listed"]}
    assert columns == {"size": "number", "rooms": "number", "age": "number", "per_room": "number", "central": "boolean"}
    assert found["interface"]["golden"]["rows"] == 12  # this model takes no row without values
    own = json.loads((adopted.project / "eval" / "metrics.json").read_text(encoding="utf-8"))
    assert own["rmse"] == found["metrics"]["values"]["test"]["rmse"]["value"] < 80
    assert found["metrics"]["measured_on"]["test"] == found["data"]["splits"]["test"]["md5"]
    assert "| rmse |" in adopted.model("card", "v1.0.0").stdout


def test_a_wheel_that_git_does_not_have_is_named_before_a_release(adopted):
    (wheel,) = (adopted.project / "wheels").glob("*.whl")
    name = wheel.relative_to(adopted.project).as_posix()
    with (adopted.project / "uv.lock").open("a", encoding="utf-8") as lock_file:
        lock_file.write(f'[[package]]\nname = "modelbook"\nversion = "0.1.0"\nsource = {{ path = "{name}" }}\n')
    adopted.git("commit", "--quiet", "--all", "--message", "Lock the wheel")
    assert "from which uv.lock installs" not in adopted.model("status").output
    adopted.git("rm", "--quiet", "--cached", name)
    adopted.git("commit", "--quiet", "--message", "Forget the wheel")
    said = adopted.model("release", fails=True).output
    assert f"{name}, from which uv.lock installs a package, is not in git" in said
    assert f"git add --force {name}" in said
    adopted.git("reset", "--quiet", "--hard", "HEAD~2")


def test_a_life_of_versions(adopted):
    said = adopted.model("promote", "v1.0.0", "--to", "prod", fails=True).output
    assert "stages in params.yaml: prod needs a model card" in said
    write_card(adopted.project)
    adopted.git("commit", "--quiet", "--all", "--message", "Write the card")
    assert "v1.0.1: patch" in adopted.model("release").output
    adopted.model("promote", "v1.0.1", "--to", "prod")

    # Judged by the same rows; a rule is one line more.
    adopted.edit("params.yaml", "  no_worse: {}", "  no_worse: {rmse: 0.2}")
    adopted.edit("params.yaml", "alpha: 1.0", "alpha: 2.0")
    adopted.train("More cautious")
    said = adopted.model("release").output
    assert "v1.1.0: minor after v1.0.1" in said
    assert "at most 0.2 of it worse than v1.0.1" in adopted.model("gate", "--against", "v1.0.1").stdout
    adopted.model("promote", "v1.1.0", "--to", "prod")
    assert "train.alpha" in adopted.model("diff", "v1.0.0", "v1.1.0").output

    # Judged by other rows: the live version predicts them itself.
    adopted.edit("params.yaml", "seed: 7", "seed: 8")
    adopted.dvc("repro")
    said = adopted.model("gate")
    assert "test rows are others than those of v1.1.0" in said.stderr
    assert "at most 0.2 of it worse than v1.1.0" in said.stdout
    adopted.git("restore", ".")
    adopted.dvc("checkout")

    rolling_back, reproducing = blocks("bash")[3].splitlines()
    adopted.type(rolling_back)
    assert adopted.live() == "v1.0.1"
    assert "v1.0.0: identical" in adopted.type(reproducing).output
    assert adopted.model("verify", "--all").output.count("sound") == 3


def test_a_block_of_its_own_that_a_stage_reads_stands_in_dvc_yaml(adopted):
    adopted.edit("dvc.yaml", "task.name, train]", "task.name]")
    said = adopted._run("python", "src/train.py", cwd=adopted.project, fails=True).output
    assert "the stage train reads train of params.yaml, which dvc.yaml does not name for it" in said
    adopted.git("restore", ".")


def test_forgotten_outputs_are_named_as_they_stand_in_dvc_yaml(adopted):
    adopted.edit("dvc.yaml", "outs: [model, model.joblib]", "outs: [model.joblib]")
    adopted.edit("dvc.yaml", "    - evaluation.json: {cache: false}\n", "")
    named = {"train": ["model"], "evaluate": ["evaluation.json: {cache: false}"]}
    for name, outs in named.items():
        said = adopted._run("python", f"src/{name}.py", cwd=adopted.project, fails=True).output
        assert re.findall(r"^ +- (.*)", said.partition("outs:")[2], re.MULTILINE) == outs, said
    adopted.git("restore", ".")


def test_another_tool_than_the_noted_one_is_refused_with_the_way_on(adopted):
    file = next((adopted.project / ".venv").glob("lib/*/site-packages/modelbook/training/statistics.py"))
    text = file.read_text(encoding="utf-8")
    try:
        file.unlink()  # the file may be shared with a cache
        file.write_text(text + "\n# another release\n", encoding="utf-8")
        said = adopted._run("python", "src/train.py", cwd=adopted.project, fails=True).output
        assert "the part of modelbook that trains is not the one that environment.json notes" in said
        fix = re.search("to go on with this one: (dvc repro --force environment)", said)[1]
        adopted.type(fix)
        assert "train" in adopted.dvc("status")
        # What was made with the noted tool is not made again with this one.
        said = adopted.model("reproduce", "v1.0.0", fails=True, UV_OFFLINE="1").output
        assert "the version's environment cannot be installed" in said
    finally:
        file.write_text(text, encoding="utf-8")
        adopted.git("restore", ".")


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
