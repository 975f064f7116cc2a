"""conf/ composes, every choice in it is valid, and mistakes are named."""

import importlib.util
import re
import shutil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelbook import training

from .conftest import PROJECT

#: Each choice but that of the task: a project has one, with which all others compose.
OPTIONS = sorted((file.parent.name, file.stem) for file in (PROJECT / "conf").glob("*/[a-z]*.yaml"))


@pytest.mark.usefixtures("team")  # its class of settings is imported
@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_is_valid(generated, task, refused, monkeypatch, group, option):
    monkeypatch.chdir(generated)
    composed = training.compose.compose(generated / "conf", (f"{group}={option}",))
    if option in ("lightgbm", "xgboost") and not importlib.util.find_spec(option):
        with refused(f"fix: uv add {option} "):
            training.compose.check(composed)
    elif option == "stratified" and task == "regression":
        with refused(r"config\.yaml: split: stratified .* a regression has no classes; choose split: row"):
            training.compose.check(composed)
    else:
        training.compose.check(composed)


@pytest.fixture
def conf(project_of, tmp_path):
    """Return a copy of a conf/ to write into."""
    return shutil.copytree(project_of("classification") / "conf", tmp_path / "conf")


def check(conf):
    return training.compose.check(training.compose.compose(conf))


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def chosen(conf, group):
    """Return the file of the group that conf/ chooses."""
    choice = re.search(rf"- {group}: (\w+)", (conf / "config.yaml").read_text(encoding="utf-8"))[1]
    return conf / group / f"{choice}.yaml"


def test_an_unknown_key_is_named_with_its_file_and_the_nearest_key(conf, refused):
    file = chosen(conf, "split")
    file.write_text(file.read_text(encoding="utf-8") + "slat: x\n", encoding="utf-8")
    with refused("split.slat", f"split/{file.name}", "did you mean 'salt'"):
        check(conf)


def test_an_unknown_key_in_config_yaml_is_named_with_that_file(conf, refused):
    with (conf / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("compute:\n  sed: 3\n")
    with refused("compute.sed", r"config\.yaml", "did you mean 'seed'"):
        check(conf)


def test_a_value_of_the_wrong_type_is_named(conf, refused):
    file = chosen(conf, "compute")
    file.write_text(file.read_text(encoding="utf-8").replace("seed: ", "seed: 'x'  # "), encoding="utf-8")
    with refused("compute.seed", f"compute/{file.name}", "integer", "'x'"):
        check(conf)


def test_all_faults_are_reported_at_once(conf, refused):
    for group, key in (("split", "slat"), ("features", "scale")):
        file = chosen(conf, group)
        file.write_text(file.read_text(encoding="utf-8") + f"{key}: x\n", encoding="utf-8")
    with refused("features.scale", "split.slat"):
        check(conf)


def test_an_argument_that_the_estimator_does_not_have_is_named(conf, refused):
    file = chosen(conf, "model")
    file.write_text(file.read_text(encoding="utf-8").rstrip() + "\n  randomstate: 1\n", encoding="utf-8")
    with refused("randomstate", f"model/{file.name}"):
        check(conf)


def test_nested_targets_are_checked_too(conf, refused):
    file = chosen(conf, "model")
    nested = "  _target_: sklearn.ensemble.BaggingClassifier\n  estimator:\n    _target_: sklearn.svm.{}\n    CC: 1\n"
    file.write_text(f"name: {file.stem}\nestimator:\n" + nested.format("SVC"), encoding="utf-8")
    with refused("SVC has no argument called model.estimator.estimator.CC; did you mean 'C'"):
        check(conf)
    file.write_text(f"name: {file.stem}\nestimator:\n" + nested.format("Nope"), encoding="utf-8")
    with refused("_target_ 'sklearn.svm.Nope' cannot be imported"):
        check(conf)


def test_an_empty_file_is_named(conf, refused):
    file = chosen(conf, "model")
    file.write_text("", encoding="utf-8")
    with refused("model", f"model/{file.name}"):
        check(conf)


def test_an_interpolation_that_leads_nowhere_is_named(conf, refused):
    file = chosen(conf, "compute")
    file.write_text(file.read_text(encoding="utf-8").replace("seed: ", "seed: ${nowhere.x}  # "), encoding="utf-8")
    with refused("'nowhere.x' not found, used in", f"compute/{file.name}"):
        check(conf)


def test_a_choice_that_does_not_exist_is_named(conf, refused):
    with refused("chooses model: no_such_model, but there is no .*no_such_model.yaml; known here: .*linear"):
        training.compose.compose(conf, ("model=no_such_model",))


def test_a_mistyped_choice_is_named_with_its_file_and_the_nearest_one(conf, refused):
    model = chosen(conf, "model").stem
    edit(conf / "config.yaml", f"- model: {model}", "- model: random_forst")
    with refused(r"config\.yaml chooses model: random_forst", "did you mean 'random_forest'"):
        check(conf)
    edit(conf / "config.yaml", "- model: random_forst", f"- model: {model}")
    edit(conf / "config.yaml", "experiment: null", "experiment: quick_look")
    edit(conf / "experiment" / "quick_look.yaml", "/model: random_forest", "/model: random_forrest")
    with refused(r"quick_look\.yaml chooses model: random_forrest", "did you mean 'random_forest'"):
        check(conf)
    edit(conf / "experiment" / "quick_look.yaml", "/model: random_forrest", "/modle: random_forest")
    with refused("Could not override 'modle'", "did you mean 'model'"):
        check(conf)


def test_a_copied_file_that_keeps_the_old_name_is_refused(conf, refused):
    file = chosen(conf, "model")
    shutil.copy(file, file.with_stem("copied"))
    config = conf / "config.yaml"
    config.write_text(
        config.read_text(encoding="utf-8").replace(f"model: {file.stem}", "model: copied"), encoding="utf-8"
    )
    with refused("copied.yaml says name", "write `name: copied`"):
        check(conf)


def test_a_target_that_is_no_estimator_is_refused(refused):
    with refused("os.system", "is not an estimator"):
        training.estimator.estimator_class({"_target_": "os.system"})
    with refused("no_such_package", "cannot be imported"):
        training.estimator.estimator_class({"_target_": "no_such_package.Model"})


def test_the_hand_edited_values_are_shown_with_the_command_that_does_it_right(conf, tmp_path, refused):
    composed = training.compose.compose(conf)
    params = tmp_path / "params.yaml"
    edited = composed.text.replace("\n  by: ", "\n  by: x")
    params.write_text(edited, encoding="utf-8")
    with refused("edited by hand", r"split\.by", "dvc exp run -S split.by=x"):
        training.compose.refuse_hand_edit(composed, params, tmp_path / "dvc.lock")
    assert params.read_text(encoding="utf-8") == edited


@settings(deadline=None, max_examples=60)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=3))
@example('a "quoted" \\" \\')
@example(["no", "1", "a, b", "x=[y]", "'", " ", "\\"])
def test_a_printed_override_is_read_as_the_value_that_was_edited(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    printed = training.compose._override("a.b", {"a": {"b": 0}}, {"a": {"b": value}})
    assert repr(OverridesParser.create().parse_override(printed).value()) == repr(value)


def test_a_printed_override_adds_and_drops_keys():
    assert training.compose._override("a.b", {"a": {}}, {"a": {"b": "x"}}) == "+a.b=x"
    assert training.compose._override("a.b", {"a": {"b": 1}}, {"a": {}}) == "~a.b"


@pytest.mark.parametrize("text", ["", "[]", "x", "3", "a: [", "\ta: 1", "defaults: 3", "- a: 1", "# @a b c"])
@pytest.mark.parametrize("name", ["config.yaml", "experiment/quick_look.yaml"])
def test_a_malformed_file_is_a_sentence(conf, refused, name, text):
    edit(conf / "config.yaml", "experiment: null", "experiment: quick_look")
    edit(conf / "experiment" / "quick_look.yaml", "random_forest", "linear")
    (conf / name).write_text(text + "\n", encoding="utf-8")
    with refused("conf"):
        check(conf)


def test_a_recipe_without_its_first_line_is_told_so(conf, refused):
    edit(conf / "config.yaml", "experiment: null", "experiment: quick_look")
    recipe = conf / "experiment" / "quick_look.yaml"
    edit(recipe, "# @package _global_\n", "")
    with refused(r"quick_look", "the first line of a recipe must be `# @package _global_`"):
        check(conf)
    recipe.write_text("model: {estimator: {random_state: 1}}\n", encoding="utf-8")
    with refused(r"quick_look\.yaml: the first line of a recipe must be `# @package _global_`"):
        check(conf)


def experiment(conf, *overrides):
    """Check the experiment that `dvc exp run` with these overrides would compose."""
    import hydra
    from omegaconf import OmegaConf

    with hydra.initialize_config_dir(str(conf), version_base=None):
        config = hydra.compose("config", list(overrides))
    OmegaConf.resolve(config)
    params = conf.parent / "params.yaml"
    params.write_text(OmegaConf.to_yaml(config), encoding="utf-8")
    training.compose.check(training.compose.of_experiment(params, conf))


def test_a_fault_of_an_experiment_is_sought_where_it_was_made(conf, refused):
    experiment(conf, "experiment=quick_look", "split.salt=0o17")
    own = "the -S of `dvc exp run`"
    for override in ("+model.estimator.n_estimator=5", "+split.slat=1", "compute.seed=x", "split.by=rows"):
        with refused(own, f"correct {own}"):
            experiment(conf, override)
    model = chosen(conf, "model")
    edit(model, "estimator:\n", "estimator:\n  no_such_argument: 1\n")
    with refused(r"has no argument called model\.estimator\.no_such_argument", rf"correct .*model/{model.name}"):
        experiment(conf, "compute.seed=1")
    split = chosen(conf, "split")
    edit(split, "salt:", "slat:")
    with refused(rf"split\.slat in .*split/{split.name} is not a known key"):
        experiment(conf, "model=random_forest")


def test_a_number_where_a_text_belongs_is_told_how_to_become_one(conf, refused):
    edit(conf / "split" / "row.yaml", "salt: ", "salt: 7  # ")
    with refused(r"split\.salt", 'in quotes it is a text: "7"'):
        check(conf)


def test_hydra_composes_once(conf, monkeypatch):
    import hydra

    calls, compose = [], hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda *given, **more: calls.append(given) or compose(*given, **more))
    composed = training.compose.compose(conf)
    assert len(calls) == 1
    assert "hydra" not in composed.values
