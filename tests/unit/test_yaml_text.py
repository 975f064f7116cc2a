"""What conf/ says is what every reader of params.yaml reads."""

import math
import shutil

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelbook import store, training
from modelbook.settings import read_params

#: What YAML 1.1 and 1.2 read differently, or nearly do.
WORDS = "yes no on Off y N true Null ~ 010 08 0o17 0x1F 0b11 1_000 1:30 1e5 1.e5 .5 +1 .inf .nan 2024-01-01 = << - ?"
words = st.sampled_from(WORDS.split())
texts = st.one_of(
    words,
    st.text(max_size=20),
    st.text("0123456789_:.+-eExobinfaTZ ", max_size=8),
    st.text("'\"\\\n\t #:{}[]&*!|>%@,", max_size=8),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
keys = st.one_of(texts, st.integers(0, 99), st.booleans())
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(texts, values, min_size=1, max_size=3))
@example({"a": "0o17", "on": {"no": "no", 1: "1", False: "1:30"}, "b": [1e5, 1e-5, math.inf, "2024-01-01", None]})
def test_what_is_written_is_what_hydra_dvc_and_this_project_read(values):
    from dvc.utils.serialize import parse_yaml

    text = training.yaml_text.dump(values)
    assert repr(parse_yaml(text, "params.yaml")) == repr(values)
    assert repr(store.yaml_file.read_yaml(text.encode(), "params.yaml")) == repr(values)
    assert repr(yaml.safe_load(text)) == repr(values)


@pytest.mark.parametrize("word", ["yes", "Off", "010", "08", "0o17", "1:30"])
@pytest.mark.parametrize("line", ["{}: 1", "key: {}", "key: [1, {}]"])
def test_a_word_with_two_meanings_is_refused_with_file_line_and_what_to_write(tmp_path, refused, word, line):
    file = tmp_path / "x.yaml"
    file.write_text(f"name: x\n{line.format(word)}\n", encoding="utf-8")
    with refused(r"x\.yaml, line 2", f"{word} has two meanings", f'fix: .*"{word}"'):
        training.yaml_text.check_file(file)


@pytest.mark.parametrize(
    "word", ['"0o17"', "'yes'", "!!str 010", "1_000", "1e5", "0x1F", "0b11", "~", "2024-01-01", ".inf", "a b"]
)
def test_a_word_with_one_meaning_is_taken(tmp_path, word):
    file = tmp_path / "x.yaml"
    file.write_text(f"key: {word}\n", encoding="utf-8")
    training.yaml_text.check_file(file)


@pytest.fixture
def conf(project_of, tmp_path):
    """Return a copy of a conf/ to write into."""
    return shutil.copytree(project_of("classification") / "conf", tmp_path / "conf")


def test_the_text_of_conf_is_the_one_that_dvc_writes_where_all_read_it_alike(generated):
    import hydra
    from omegaconf import OmegaConf

    conf = generated / "conf"
    composed = training.compose.compose(conf)
    with hydra.initialize_config_dir(str(conf), version_base=None):
        config = hydra.compose("config")
    OmegaConf.resolve(config)
    assert composed.text == OmegaConf.to_yaml(config)


@pytest.mark.parametrize("word", ["0o17", "08", "no", "1:30", "a: b", "2024-01-01"])
def test_a_text_of_conf_arrives_as_a_text_in_a_run_and_in_an_experiment(conf, tmp_path, word):
    from omegaconf import OmegaConf

    file = conf / "split" / "row.yaml"
    file.write_text(f"name: row\nby: row\nsalt: '{word}'\nvalidation: 0.2\ntest: 0.2\n", encoding="utf-8")
    composed = training.compose.compose(conf)
    params = tmp_path / "params.yaml"
    params.write_text(composed.text, encoding="utf-8")
    assert read_params(params).split.salt == word
    # As `dvc exp run` writes it.
    params.write_text(OmegaConf.to_yaml(OmegaConf.create(composed.values)), encoding="utf-8")
    assert training.compose.of_experiment(params, conf).text == composed.text


def test_a_mark_that_hides_the_package_of_a_recipe_is_named(conf, refused):
    recipe = conf / "experiment" / "quick_look.yaml"
    recipe.write_text("\ufeff" + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    with refused(r"quick_look\.yaml begins with a byte-order mark", "without a mark"):
        training.compose.compose(conf)


def test_files_with_a_mark_that_hides_nothing_are_read(conf):
    before = training.compose.compose(conf)
    for file in conf.rglob("*.yaml"):
        if file.parent.name != "experiment":
            file.write_text("\ufeff" + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert training.compose.compose(conf).text == before.text
    training.compose.check(training.compose.compose(conf))


def test_a_file_of_another_encoding_is_named(conf, refused):
    file = conf / "split" / "row.yaml"
    for encoding in ("utf-16", "latin-1"):
        file.write_text("name: row # größe\n", encoding=encoding)
        with refused(r"row\.yaml is not UTF-8"):
            training.compose.compose(conf)
