"""What docs/extending.md adds, by its own code: columns, models, weights, early stopping, SQL; then the whole life."""

import csv
import json
import re
import sqlite3
from contextlib import closing

from conftest import configure, write_card
from ruamel.yaml import YAML
from test_inputs import add_what_is_printed

#: Asked of the trained model.
ASKED = """
import json
from modelbook import models, testing
model = models.load()
boosting = model[-1]
names = {kind: columns for kind, _, columns in model["preprocess"].transformers_}
print(json.dumps({
    "names": names,
    "steps": [type(step).__name__ for step in model["preprocess"].named_transformers_["number"]],
    "encoder": type(model["preprocess"].named_transformers_["category"][-1]).__name__,
    "rounds": boosting.n_iter_,
    "other": type(models.estimator(testing.settings("model=extra_trees"))).__name__,
}))
"""


def blocks(project):
    """Return the code blocks of the page, by section: pairs of the file that each belongs to, and its text."""
    text = (project / "docs" / "extending.md").read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        codes = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", section, re.DOTALL)
        found[section.partition("\n")[0]] = codes
    return found


def merge(file, text):
    """Write the keys of a block into a file of conf/."""
    yaml = YAML()

    def into(there, new):
        for key, value in new.items():
            if isinstance(value, dict) and isinstance(there.get(key), dict):
                into(there[key], value)
            else:
                there[key] = value

    values = yaml.load(file.read_text(encoding="utf-8"))
    into(values, yaml.load(text))
    with file.open("w", encoding="utf-8") as target:
        yaml.dump(values, target)


def put_into_a_database(project):
    """Make two tables of the sample table, and a weight for each row."""
    table = project / "data" / "raw" / "penguins.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = [{key: None if value == "NA" else value for key, value in row.items()} for row in csv.DictReader(file)]
    with closing(sqlite3.connect(table.with_suffix(".sqlite"))) as database:
        database.execute("CREATE TABLE penguins (penguin INT, species TEXT, island TEXT, year INT, weight REAL)")
        database.execute(
            "CREATE TABLE measures (penguin INT, bill_length_mm REAL, bill_depth_mm REAL, flipper_length_mm REAL,"
            " body_mass_g REAL, sex TEXT)"
        )
        for number, row in enumerate(rows):
            who = (number, row["species"], row["island"], row["year"], 1 + number % 3)
            database.execute("INSERT INTO penguins VALUES (?, ?, ?, ?, ?)", who)
            names = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex")
            database.execute("INSERT INTO measures VALUES (?, ?, ?, ?, ?, ?)", (number, *(row[name] for name in names)))
        database.commit()
    table.unlink()


def extend(project, edit):
    """Do what each section of the page says."""
    sections = blocks(project)
    ((path, text),) = sections["Another source"]
    (project / path).write_text(text, encoding="utf-8")
    edit(project / "conf" / "data" / "penguins.yaml", "path: data/raw", "path: data/raw/penguins.sqlite")
    edit(project / "conf" / "data" / "penguins.yaml", "id: []", "id: [penguin]")
    put_into_a_database(project)

    features = project / "penguins" / "features.py"
    ((_, text),) = sections["A derived column"]
    code = features.read_text(encoding="utf-8")
    changed = re.sub(r"class Derived.*?(?=\n\n\ndef )", lambda _: text.rstrip("\n"), code, flags=re.DOTALL)
    assert changed != code
    features.write_text(changed, encoding="utf-8")

    ((path, text),) = sections["A transformer or a helper module"]
    (project / path).write_text(text, encoding="utf-8")
    edit(features, "import StandardScaler\n", "import StandardScaler\n\nfrom .clipping import Clipped\n")
    edit(features, '"number": make_pipeline(numbers, *scaler)', '"number": make_pipeline(Clipped(), numbers, *scaler)')

    ((path, text),) = sections["An estimator"]
    (project / path).write_text(text, encoding="utf-8")
    for section in ("Sample weights", "Early stopping", "Columns with many values"):
        assert sections[section]
        for path, text in sections[section]:
            merge(project / path, text)
    edit(project / "conf" / "config.yaml", "model: linear", "model: hist_gradient_boosting")


def test_what_a_team_adds_goes_the_whole_life(generate, run, edit, lock_installed, tmp_path):
    project = generate(tmp_path)
    configure(run, project)
    lock_installed(project)
    write_card(project)
    extend(project, edit)
    run("prek", "install", cwd=project)

    done = run("dvc", "repro", cwd=project, fails=True)
    assert "the table that prepare makes: 344 rows, 10 columns" in done.output
    assert add_what_is_printed(project, done.output) == ("train", ["penguins/clipping.py"])
    own = "      - penguins/evaluate.py\n"
    edit(project / "dvc.yaml", own, f"{own}      - penguins/clipping.py\n")
    run("dvc", "repro", cwd=project)

    found = json.loads(run("python", "-c", ASKED, cwd=project).stdout)
    assert {"bill_ratio", "year"} <= set(found["names"]["number"])
    assert found["names"]["boolean"] == ["is_long"]
    assert not {"weight", "penguin"} & {name for names in found["names"].values() for name in names}
    assert (found["steps"][0], found["encoder"]) == ("Clipped", "TargetEncoder")
    assert found["rounds"] < 100, "it stopped by the validation rows"
    assert found["other"] == "ExtraTreesClassifier"
    described = json.loads((project / "model" / "interface.json").read_text(encoding="utf-8"))
    raw = ["species", "island", "year", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"]
    assert [entry["name"] for entry in described["inputs"]] == [name for name in raw if name != "species"]

    assert " passed" in run("python", "-m", "pytest", "-q", cwd=project).stdout
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "Our own", cwd=project)  # the hooks have no objection
    assert "v1.0.0" in run("model", "release", cwd=project).stdout
    assert "prod: v1.0.0 is live" in run("model", "promote", "v1.0.0", "--to", "prod", cwd=project).stdout
    assert "v1.0.0: identical" in run("model", "reproduce", "v1.0.0", cwd=project).stdout

    edit(project / "penguins" / "clipping.py", "low=0.01", "low=0.02")
    changed = json.loads(run("dvc", "status", "--json", cwd=project).stdout)
    assert {"train", "evaluate"} <= set(changed)
    assert "prepare" not in changed
