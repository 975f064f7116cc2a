"""`model init` in repositories of many kinds: it adds what is missing, keeps what is there, or says what to write."""

import subprocess
import textwrap
import tomllib

import pytest
from modelbook import commands, extras, mappings, workspace
from modelbook.commands.init import BLOCKS, STAGE, Added

from .conftest import PROJECT, SOURCE

pytestmark = pytest.mark.real

PIPELINE = """\
# The pipeline of the team.
stages:
  # Reads everything.
  fit:
    cmd: python fit.py
    deps: [fit.py]
    outs:
    - model.joblib   # others read it
"""
PARAMS = "fit: {depth: 3}  # not deeper\n"
PYPROJECT = '[project]\nname = "Flat Rents"\ndependencies = ["modelbook[train]"]\n'


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return the folder of a repository with a pipeline."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(folder, name=None, task="regression", rows=None):
    return commands.init.init(folder, name, task, rows)


def read(folder, file):
    return (folder / file).read_text(encoding="utf-8")


def content(folder):
    return {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_every_line_that_was_there_stays_with_its_comment(repository):
    done = init(repository)
    assert done.name == "flat-rents"
    assert read(repository, "dvc.yaml").replace(textwrap.indent(STAGE, "  "), "").startswith(PIPELINE)
    added = mappings.load_yaml((repository / "dvc.yaml").read_bytes())
    assert list(added["stages"]) == ["environment", "fit"]
    assert added["artifacts"] == {"flat-rents": {"path": "model", "type": "model"}}
    assert read(repository, "params.yaml").startswith(PARAMS)
    assert [key for key in BLOCKS if f"\n{key}:" in read(repository, "params.yaml")] == list(BLOCKS)[1:]
    assert not list(repository.glob(".*.new"))


def test_a_second_time_nothing_is_added(repository):
    init(repository, rows="data/rows")
    before = content(repository)
    assert init(repository, task=None).added == ()
    assert content(repository) == before


def test_only_the_blocks_that_are_missing_are_added(repository):
    init(repository)
    text = read(repository, "params.yaml")
    kept = text[: text.index("# What a model must reach")].replace("metric: rmse", "metric: mae")
    (repository / "params.yaml").write_text(kept, encoding="utf-8")
    done = init(repository, task=None)
    assert done.added == (Added("params.yaml", ("gate", "stages", "retention")),)
    assert read(repository, "params.yaml").startswith(kept)


def test_the_folder_of_the_rows_goes_into_a_block_that_is_there(repository):
    (repository / "params.yaml").write_text("data:\n  url: x  # theirs\n", encoding="utf-8")
    init(repository, rows="data/rows")
    assert read(repository, "params.yaml").startswith("data:\n  url: x  # theirs\n  prepared: data/rows\n")


def test_the_ends_of_lines_stay_those_of_the_file(repository):
    (repository / "params.yaml").write_bytes(PARAMS.replace("\n", "\r\n").encode())
    init(repository)
    text = (repository / "params.yaml").read_bytes()
    assert text.count(b"\r\n") == text.count(b"\n")
    assert b"\r\r" not in text


def test_a_rule_of_git_that_covers_a_folder_is_enough(repository):
    (repository / ".gitignore").write_text("/.*\n__pycache__", encoding="utf-8")
    done = init(repository)
    assert ".gitignore" not in {added.file for added in done.added}
    assert Added(".dvcignore", (".releases", ".venv", "__pycache__")) in done.added


@pytest.mark.parametrize(
    ("file", "text", "given", "said"),
    [
        ("params.yaml", PARAMS, {"task": None}, ("what does the model predict", "model init --task classification")),
        ("params.yaml", "task: mood\n", {}, ("task in params.yaml", "keys of your own need another name")),
        ("params.yaml", "stages: {name: x}\n", {}, ("stages.order is missing in params.yaml", "nothing was changed")),
        ("params.yaml", "[1]\n", {}, ("params.yaml holds no keys",)),
        ("params.yaml", "a: [\n", {}, ("params.yaml is not valid YAML",)),
        ("params.yaml", "{a: 1}\n", {}, ("nothing can be added to", "add by hand", "gate:")),
        ("params.yaml", "data: raw.csv\n", {"rows": "x"}, ("nothing can be added to",)),
        ("params.yaml", "data: {prepared: x}\n", {"rows": "y"}, ("data.prepared: x", "leave --rows out")),
        ("dvc.yaml", "stages: {}\n", {}, ("dvc.yaml is written in a way",)),
        ("dvc.yaml", "plots: [x.csv]\n", {}, ("dvc.yaml is written in a way", "environment:")),
        ("dvc.yaml", "stages:\n  environment: {cmd: x}\n", {}, ("has a stage `environment`", "another name")),
        ("dvc.yaml", f"{PIPELINE}artifacts:\n  rents: {{path: m.pkl, type: model}}\n", {}, ("rents is m.pkl",)),
        ("dvc.yaml", f"{PIPELINE}artifacts:\n  r: {{path: model, type: model}}\n", {"name": "q"}, ("model: r",)),
        ("dvc.yaml", PIPELINE, {"name": "Rents!"}, ("'Rents!' cannot be the name",)),
    ],
)  # fmt: skip
def test_what_cannot_be_added_is_refused_and_nothing_has_changed(repository, refused, file, text, given, said):
    (repository / file).write_text(text, encoding="utf-8")
    before = content(repository)
    with refused(*said):
        init(repository, **given)
    assert content(repository) == before


def test_a_repository_without_dvc_is_told_to_begin_with_it(repository, refused):
    (repository / ".dvc").rmdir()
    with refused("there is no .dvc", "dvc init"):
        init(repository)
    (repository / "dvc.yaml").unlink()
    with refused("there is no dvc.yaml"):
        workspace.project.top(repository)


def test_other_artifacts_stay_and_a_model_that_has_a_name_keeps_it(repository):
    (repository / "dvc.yaml").write_text(f"{PIPELINE}artifacts:\n  table:\n    path: data\n", encoding="utf-8")
    init(repository, "rents")
    found = mappings.load_yaml((repository / "dvc.yaml").read_bytes())["artifacts"]
    assert found == {"rents": {"path": "model", "type": "model"}, "table": {"path": "data"}}
    assert init(repository).name == "rents"


def test_what_is_left_to_do_is_said_until_it_is_done(repository):
    assert [step.what.split()[0] for step in init(repository).steps] == ["Lock", "The", "The", "The"]
    (repository / "uv.lock").write_text('[[package]]\nname = "x"\n', encoding="utf-8")
    text = read(repository, "dvc.yaml")
    text = text.replace("deps: [fit.py]", "deps: [fit.py, environment.json]").replace(
        "outs:\n    - m", "outs: [model, m"
    )
    (repository / "dvc.yaml").write_text(text.replace("joblib   ", "joblib] "), encoding="utf-8")
    left = init(repository).steps
    assert [step.lines[0].partition("(")[0] for step in left] == ["tables.write", "judged = evaluation.judge"]
    (repository / "pyproject.toml").write_text('[project]\nname = "x"\n', encoding="utf-8")
    assert init(repository).steps[0].what == "Name the packages in pyproject.toml"


def test_in_a_project_of_the_template_nothing_is_missing_but_the_lock_file(project_of, tmp_path):
    project = tmp_path / "penguins"
    subprocess.run(["cp", "-r", project_of("classification"), project], check=True)
    subprocess.run(["git", "init", "--quiet", project], check=True)
    done = init(project, task=None)
    assert (done.name, done.added) == ("penguins", ())
    assert [step.what for step in done.steps] == ["Lock the packages"]


def test_the_model_card_is_the_one_of_the_template():
    ours = SOURCE / "modelbook" / "commands" / "model_card.md"
    assert ours.read_bytes() == (PROJECT / "docs" / "model_card.md").read_bytes()


def test_the_packages_that_only_training_needs_are_those_of_the_extra():
    modules = {"hydra-core": "hydra", "scikit-learn": "sklearn"}
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [line.partition(">")[0].partition("[")[0] for line in project["optional-dependencies"]["train"]]
    assert sorted(modules.get(name, name) for name in names) == sorted(extras.TRAIN)


def test_a_missing_package_of_the_extra_is_named_with_the_command(monkeypatch, refused):
    monkeypatch.setattr(extras, "TRAIN", ("json", "no_such_package"))
    with refused("not installed: no_such_package", r'pip install "modelbook\[train\]=='):
        extras.need_train()
