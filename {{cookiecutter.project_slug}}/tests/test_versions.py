"""The parts of the versions room that need no trained model: record, interface, gate, YAML edits."""

import json
import os

import pytest
import yaml
from conftest import PACKAGE, ROOT
from hypothesis import given
from hypothesis import strategies as st

# --- the record ---


def test_the_schema_file_describes_the_record(versions):
    file = ROOT / "src" / PACKAGE / "versions" / "record.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == versions.record.json_schema()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_canonical_json_says_the_same_and_has_one_form(versions, value):
    text = versions.record.canonical(value)
    assert json.loads(text) == value
    assert versions.record.canonical(json.loads(text)) == text


@pytest.mark.parametrize(
    "message", ["", "line", "line\n\nno json", "line\n\n{", 'line\n\n{"schema":1}', "line\n\n[]", "\n\n{}"]
)
def test_a_message_without_a_record_is_refused(versions, refused, message):
    with refused("holds no version record", "by hand or by another tool"):
        versions.record.parse(message, "m@v1.0.0")


@given(st.text(max_size=200))
def test_any_message_is_read_or_refused(versions, message):
    from importlib import import_module

    error = import_module(f"{PACKAGE}.errors").ProjectError
    with pytest.raises(error):
        versions.record.parse(f"line\n\n{message}", "m@v1.0.0")


# --- the interface ---


def interface(columns, classes=("a", "b"), target="y"):
    inputs = [{"name": name, "type": kind} for name, kind in columns.items()]
    return {"inputs": inputs, "output": {"name": target, "type": "category", "classes": list(classes)}}


def test_a_new_or_retyped_column_may_break_a_request_and_a_dropped_one_may_not(versions):
    old = interface({"a": "number", "b": "category"})
    assert versions.interface.breaks(old, interface({"a": "number"})) == []
    assert "'c' is needed" in versions.interface.breaks(old, interface({"a": "number", "c": "number"}))[0]
    assert "is a date, it was a number" in versions.interface.breaks(old, interface({"a": "date"}))[0]
    assert "predicts 'z'" in versions.interface.breaks(old, interface({"a": "number"}, target="z"))[0]


def test_columns_types_and_classes_are_the_interface(versions):
    old = interface({"a": "number", "b": "category"})
    assert versions.interface.changes(old, old) == []
    assert versions.interface.changes(old, interface({"a": "number"})) == ["column 'b' is no longer taken"]
    assert versions.interface.changes(old, interface({"a": "number", "b": "category"}, ("b", "c"))) == [
        "class 'a' is gone",
        "class 'c' is new",
    ]


@pytest.mark.parametrize(
    ("before", "part", "after"),
    [
        ("v1.2.3", "major", "v2.0.0"),
        ("v1.2.3", "minor", "v1.3.0"),
        ("v1.2.3", "patch", "v1.2.4"),
        ("v1.0.0-rc.1", "patch", "v1.0.1"),
    ],
)
def test_the_next_number(versions, before, part, after):
    assert versions.interface.raise_number(before, part) == after


# --- the gate ---


def value(number, low=None, high=None):
    return {"value": number, "low": number if low is None else low, "high": number if high is None else high}


@pytest.mark.parametrize(
    ("metric", "entry", "limit", "by", "passed"),
    [
        ("accuracy", value(0.9, 0.8, 0.95), 0.8, "interval", True),
        ("accuracy", value(0.9, 0.79, 0.95), 0.8, "interval", False),
        ("accuracy", value(0.9, 0.79, 0.95), 0.8, "value", True),
        ("rmse", value(10, 9, 12), 11, "interval", False),
        ("rmse", value(10, 9, 12), 11, "value", True),
        ("log_loss", {"value": None, "low": None, "high": None}, 1, "value", False),
    ],
)
def test_a_floor_is_judged_by_the_end_that_speaks_against_the_candidate(versions, metric, entry, limit, by, passed):
    assert versions.gate._floor(versions.gate.Judge(by), {metric: entry}, metric, limit).passed is passed


@pytest.mark.parametrize(
    ("metric", "theirs", "difference", "share", "passed"),
    [
        ("accuracy", 0.8, value(-0.04, -0.04), 0.05, True),  # exactly the margin
        ("accuracy", 0.8, value(-0.04, -0.05), 0.05, False),
        ("accuracy", 0.8, value(0.1, 0.05), 0, True),
        ("rmse", 100, value(5, high=10), 0.1, True),
        ("rmse", 100, value(5, high=10.1), 0.1, False),
        ("r2", -0.5, value(-0.01), 0.1, True),  # a share of its size, whatever its sign
    ],
)
def test_no_worse_is_a_share_of_the_live_value(versions, metric, theirs, difference, share, passed):
    entry = {"ours": value(theirs), "theirs": value(theirs), "difference": difference}
    judge = versions.gate.Judge("interval")
    assert versions.gate._difference(judge, entry, metric, share, "v1.0.0", "x").passed is passed


def test_a_metric_that_one_of_them_does_not_have_fails(versions):
    judge = versions.gate.Judge("value")
    assert not versions.gate._difference(judge, None, "log_loss", 0.1, "v1.0.0", "x").passed


# --- YAML in place ---

SAMPLE = """\
# The head.
name: sample   # which one
block:
  a: 1.0  # one
  # before b
  b: [x, 'y']
  inner:
    c: null
    d: ${block.a}
flow: {e: 1, f: two}
list:
  - 1   # first
  - 2
# The tail.
last: "quoted"
"""
PATHS = [
    ("name",),
    ("block", "a"),
    ("block", "b"),
    ("block", "inner", "c"),
    ("flow", "e"),
    ("flow", "f"),
    ("list",),
    ("last",),
]
scalars = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=20)
yaml_values = scalars | st.lists(scalars, max_size=4)


def at(values, path):
    for part in path:
        values = values[part]
    return values


@given(st.sampled_from(PATHS), yaml_values)
def test_a_replaced_value_is_the_only_change(versions, path, new):
    text = versions.yaml_edit.replace(SAMPLE, path, new)
    before, after = yaml.safe_load(SAMPLE), yaml.safe_load(text)
    assert at(after, path) == new
    holder = at(after, path[:-1])
    holder[path[-1]] = at(before, path)
    assert after == before
    for comment in ("# The head.", "# which one", "# one", "# before b", "# The tail."):
        assert comment in text


@given(st.sampled_from([(), ("block",), ("block", "inner"), ("flow",)]), yaml_values)
def test_an_added_key_is_the_only_change_and_can_be_removed(versions, parent, new):
    text = versions.yaml_edit.add(SAMPLE, (*parent, "new_key"), new)
    after = yaml.safe_load(text)
    assert at(after, parent).pop("new_key") == new
    assert after == yaml.safe_load(SAMPLE)
    assert yaml.safe_load(versions.yaml_edit.remove(text, (*parent, "new_key"))) == yaml.safe_load(SAMPLE)


@pytest.mark.parametrize("path", [*PATHS, ("block", "inner"), ("block",)])
def test_a_removed_key_is_the_only_change(versions, path):
    before, after = yaml.safe_load(SAMPLE), yaml.safe_load(versions.yaml_edit.remove(SAMPLE, path))
    del at(before, path[:-1])[path[-1]]
    assert after == before


def test_numbers_read_alike_in_both_versions_of_yaml(versions, pipeline, tmp_path):
    for number in (1e-05, 1e22, -2.5e-8, 0.1, 3.0, float("inf")):
        file = tmp_path / "a.yaml"
        file.write_text(f"a: {versions.yaml_edit.scalar(number)}\n", encoding="utf-8")
        assert yaml.safe_load(file.read_text(encoding="utf-8")) == {"a": number}
        assert pipeline.config.read_yaml(file) == {"a": number}


def test_a_proof_ends_when_a_package_is_installed_anew(versions, tmp_path):
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    for name in ("scikit_learn-1.9.0", "Other-2.0"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
        (packages / f"{name}.dist-info" / "RECORD").write_text("", encoding="utf-8")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("", encoding="utf-8")
    noted = {"packages": {"scikit-learn": "1.9.0"}}

    def fingerprint():
        return versions.interpreter.fingerprint(str(python), noted)

    first = fingerprint()
    os.utime(packages / "Other-2.0.dist-info" / "RECORD", (1, 1))
    assert fingerprint() == first, "a package that no model needs"
    os.utime(packages / "scikit_learn-1.9.0.dist-info" / "RECORD", (1, 1))
    second = fingerprint()
    assert second != first
    (packages / "scikit_learn-1.9.0.dist-info").rename(packages / "scikit_learn-1.9.1.dist-info")
    assert fingerprint() not in (first, second)
