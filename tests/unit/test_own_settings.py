"""Keys and groups of conf/ that a project declares itself: as strict as ours, and noted like ours."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from modelbook import settings, training
from modelbook.settings import Config, Group, Strict
from pydantic import Field


class Limits(Strict):
    low: float
    high: float


class Churn(Group):
    after_days: int
    limits: Limits | None = None
    by_shop: dict[str, Limits] = Field(default_factory=dict)


class Data(settings.Data):
    owner: str


class Settings(Config):
    data: Data
    churn: Churn
    threshold: float = 0.5


@pytest.fixture
def project(project_of, tmp_path, monkeypatch):
    """Return a project with a group, a key of a group, and a key at the top; it is the current folder."""
    shutil.copytree(project_of("classification") / "conf", tmp_path / "conf")
    (tmp_path / "pyproject.toml").write_text('[tool.modelbook]\nsettings = "birds.Settings"\n', encoding="utf-8")
    (tmp_path / "conf" / "churn").mkdir()
    (tmp_path / "conf" / "churn" / "late.yaml").write_text("name: late\nafter_days: 30\n", encoding="utf-8")
    edit(tmp_path / "conf" / "config.yaml", "  - _self_", "  - churn: late\n  - _self_\nthreshold: 0.7")
    edit(tmp_path / "conf" / "data" / "penguins.yaml", "path: data/raw", "path: data/raw\nowner: Ann")
    module = ModuleType("birds")
    module.__spec__ = type(sys.__spec__)("birds", None)
    module.Settings, module.Churn = Settings, Churn
    monkeypatch.setitem(sys.modules, "birds", module)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def check(*overrides):
    return training.compose.check(training.compose.compose(overrides=overrides))


@pytest.mark.usefixtures("project")
def test_conf_is_checked_with_the_class_that_pyproject_names():
    found = check()
    assert type(found) is Settings
    assert (found.churn.after_days, found.data.owner, found.threshold) == (30, "Ann", 0.7)
    assert check("churn.after_days=7").churn.after_days == 7


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("churn/late.yaml", "after_days", "after_day", "churn.after_day in conf/churn/late.yaml is not a known key; did"
         " you mean 'after_days'"),
        ("churn/late.yaml", "after_days: 30", "after_days: soon", "after_days in conf/churn/late.yaml: .*integer"),
        ("churn/late.yaml", "after_days: 30", "limits: null", "churn.after_days is missing in conf/churn/late.yaml"),
        ("churn/late.yaml", "after_days: 30", "after_days: 3\nlimits: {low: 1, hihg: 2}", "churn.limits.hihg in "
         "conf/churn/late.yaml is not a known key; did you mean 'high'"),
        ("churn/late.yaml", "after_days: 30", "after_days: 3\nby_shop: {a: {low: 1, hihg: 2}}", "by_shop.a.hihg .*did "
         "you mean 'high'"),
        ("churn/late.yaml", "name: late", "name: later", "late.yaml says name: later"),
        ("data/penguins.yaml", "owner: Ann", "ownr: Ann", "ownr in conf/data/penguins.yaml .*did you mean 'owner'"),
        ("data/penguins.yaml", "owner: Ann", "owner: 3", "data.owner in conf/data/penguins.yaml: .*string"),
        ("config.yaml", "threshold: 0.7", "treshold: 0.7", "treshold in conf/config.yaml .*did you mean 'threshold'"),
        ("config.yaml", "  - churn: late\n", "", "churn is missing in conf/config.yaml: add the line `- churn: late`"),
        ("config.yaml", "- churn: late", "- churn: lat", "there is no conf/churn/lat.yaml; did you mean 'late'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_file_and_the_nearest_right_name(project, refused, file, old, new, words):
    edit(project / "conf" / file, old, new)
    with refused(words):
        check()


def test_a_group_that_no_class_declares_is_refused_and_the_way_to_declare_it_named(project, refused):
    (project / "pyproject.toml").write_text("", encoding="utf-8")
    with refused(r"churn in conf/churn/late.yaml is not a known key.*a group of your own\? docs/extending.md shows"):
        check()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("birds.Setings", "settings: birds has no 'Setings'; did you mean 'Settings'"),
        ("bird.Settings", "settings: there is no module 'bird'"),
        ("birds.Churn", "settings names birds.Churn, which is no class of settings.*inherit from"),
    ],
)
def test_a_wrong_class_is_named_with_the_nearest_right_one(project, refused, named, words):
    (project / "pyproject.toml").write_text(f'[tool.modelbook]\nsettings = "{named}"\n', encoding="utf-8")
    with refused(words):
        check()


@pytest.mark.usefixtures("project")
def test_a_stage_reads_params_with_the_class_that_was_noted(refused):
    composed = training.compose.compose()
    Path("params.yaml").write_text(composed.text, encoding="utf-8")
    with refused("environment.json is missing"):
        settings.read_settings()
    Path("environment.json").write_text(json.dumps({"settings": "birds.Settings"}), encoding="utf-8")
    assert settings.read_settings().churn.after_days == 30
    Path("environment.json").write_text(json.dumps({"settings": None}), encoding="utf-8")
    with refused("churn in params.yaml is not a known key"):
        settings.read_settings()


@pytest.mark.usefixtures("project")
def test_the_commands_read_their_rules_without_the_code_of_the_project(monkeypatch):
    monkeypatch.delitem(sys.modules, "birds")
    values = training.compose.compose().values
    values["gate"]["patience"] = 3
    found = settings.rules(values)
    assert found.task.metric == "accuracy"
    assert "birds" not in sys.modules
    Path("params.yaml").write_text(training.yaml_text.dump(values), encoding="utf-8")
    assert settings.read_rules().gate.floors == found.gate.floors


@pytest.mark.usefixtures("project")
def test_without_conf_a_mistyped_rule_is_refused_still(refused):
    values = training.compose.compose().values
    values["gate"]["judged_bye"] = values["gate"].pop("judged_by")
    Path("params.yaml").write_text(training.yaml_text.dump(values), encoding="utf-8")
    shutil.rmtree("conf")
    with refused("gate.judged_bye in params.yaml is not a known key; did you mean 'judged_by'"):
        settings.read_rules()


@pytest.mark.usefixtures("project")
def test_keys_of_own_blocks_and_at_the_top_are_noted_when_a_stage_asks_for_them(monkeypatch):
    found = check()
    asked = settings.Asked()
    monkeypatch.setattr(settings, "asked", asked)
    assert found.churn.after_days
    assert found.data.owner
    assert found.data.path
    assert found.threshold
    assert asked.keys == {"churn.after_days", "data.owner", "data.path", "threshold"}
    assert dict(found.churn)
    assert "churn.*" in asked.keys


@pytest.mark.usefixtures("project")
def test_a_key_that_no_class_declares_is_noted_too(monkeypatch):
    found = settings.rules({**training.compose.compose().values, "mine": {"a": 1}})
    asked = settings.Asked()
    monkeypatch.setattr(settings, "asked", asked)
    assert found.mine == {"a": 1}
    assert asked.keys == {"mine"}
    with pytest.raises(AttributeError):
        _ = found.yours
