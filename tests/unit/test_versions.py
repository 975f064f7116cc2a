"""What the commands need no trained model for: record, interface, gate, YAML edits."""

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from modelbook import commands, errors, registry, training, workspace
from modelbook.settings import Bootstrap, Task, read_yaml

from .conftest import SOURCE

# --- the record ---


def test_the_schema_file_describes_the_record():
    file = SOURCE / "modelbook" / "registry" / "record.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == registry.record.json_schema()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_canonical_json_says_the_same_and_has_one_form(value):
    text = registry.record.canonical(value)
    assert json.loads(text) == value
    assert registry.record.canonical(json.loads(text)) == text


@pytest.mark.parametrize(
    "message", ["", "line", "line\n\nno json", "line\n\n{", 'line\n\n{"schema":1}', "line\n\n[]", "\n\n{}"]
)
def test_a_message_without_a_record_is_refused(refused, message):
    with refused("holds no version record", "by hand or by another tool"):
        registry.record.parse(message, "m@v1.0.0")


@given(st.text(max_size=200))
def test_any_message_is_read_or_refused(message):
    with pytest.raises(errors.ProjectError):
        registry.record.parse(f"line\n\n{message}", "m@v1.0.0")


# --- the interface ---


def interface(columns, classes=("a", "b"), target="y"):
    inputs = [{"name": name, "type": kind} for name, kind in columns.items()]
    return {"inputs": inputs, "output": {"name": target, "type": "category", "classes": list(classes)}}


def test_a_new_or_retyped_column_may_break_a_request_and_a_dropped_one_may_not():
    old = interface({"a": "number", "b": "category"})
    assert registry.interface.breaks(old, interface({"a": "number"})) == []
    assert "'c' is needed" in registry.interface.breaks(old, interface({"a": "number", "c": "number"}))[0]
    assert "is a date, it was a number" in registry.interface.breaks(old, interface({"a": "date"}))[0]
    assert "predicts 'z'" in registry.interface.breaks(old, interface({"a": "number"}, target="z"))[0]


def test_a_new_major_number_names_what_changed(monkeypatch):
    old = interface(dict.fromkeys("abcdefg", "number"))
    pair = iter([old, interface({"c": "number", "d": "number", "e": "number", "f": "number", "g": "number"})])
    monkeypatch.setattr(registry.interface, "of", lambda *_: next(pair))
    gone = "column 'a' is no longer taken; column 'b' is no longer taken"
    assert registry.interface.bump(None, None, None) == ("major", gone)
    pair = iter([old, interface({"g": "number"})])
    assert registry.interface.bump(None, None, None)[1].endswith("; and 1 more change")


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (interface({"a": "number"}), None),
        (interface({"a": "number", "b": "number", "c": "number"}), "the new column 'b' is needed; the new column 'c'"),
        (interface({"a": "number"}, classes=("a", "c")), "class 'b' is gone; class 'c' is new"),
        (interface({"a": "number"}, target="z"), "it predicts 'z', not 'y'"),
    ],
)
def test_a_roll_back_goes_on_and_warns_of_what_callers_may_meet(monkeypatch, new, words):
    release = SimpleNamespace(version=SimpleNamespace(name="v1.0.0"))
    monkeypatch.setattr(commands.promote, "_interfaces", lambda *_: (interface({"a": "number"}), new))
    warning = commands.promote._warning(None, None, release, "prod", "v2.0.0")
    if words is None:
        assert warning is None
    else:
        assert warning.startswith("WARNING: v1.0.0 may not serve every request that v2.0.0 served: ")
        assert words in warning


def test_what_cannot_be_reached_names_the_versions_to_choose_instead():
    said = commands.promote._or_choose("prod", ["v1.1.0", "v1.0.0"])
    assert 'model rollback --stage prod --to v1.1.0 (or v1.0.0) --reason "why"' in said
    assert commands.promote._or_choose("prod", []) == ""


def test_columns_types_and_classes_are_the_interface():
    old = interface({"a": "number", "b": "category"})
    assert registry.interface.changes(old, old) == []
    assert registry.interface.changes(old, interface({"a": "number"})) == ["column 'b' is no longer taken"]
    assert registry.interface.changes(old, interface({"a": "number", "b": "category"}, ("b", "c"))) == [
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
def test_the_next_number(before, part, after):
    assert registry.interface.raise_number(before, part) == after


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
def test_a_floor_is_judged_by_the_end_that_speaks_against_the_candidate(metric, entry, limit, by, passed):
    assert commands.gate._floor(commands.gate.Judge(by), {metric: entry}, metric, limit).passed is passed


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
def test_no_worse_is_a_share_of_the_live_value(metric, theirs, difference, share, passed):
    entry = {"ours": value(theirs), "theirs": value(theirs), "difference": difference}
    judge = commands.gate.Judge("interval")
    assert commands.gate._difference(judge, entry, metric, share, "v1.0.0", "x").passed is passed


def test_a_metric_that_one_of_them_does_not_have_fails():
    judge = commands.gate.Judge("value")
    assert not commands.gate._difference(judge, None, "log_loss", 0.1, "v1.0.0", "x").passed


def evaluated(labels, truth):
    """Return what `evaluate` says of a model that knows `labels`, for rows with these true ones."""
    places = np.array([labels.index(label) for label in truth])
    scores = training.metrics.Classification(labels, places, np.zeros_like(places), None, None)
    bootstrap = Bootstrap(resamples=50, level=0.9)
    task = Task(name="classification", metric="accuracy", slices=[], bootstrap=bootstrap)
    return training.evaluation.figures(scores, scores, pa.table({}), task, 0)


@pytest.mark.parametrize(
    ("known", "now"),
    [
        (["no", "yes"], ["No", "Yes"]),
        (["0", "1"], ["false", "true"]),
        (["no", "yes"], ["Y", "no"]),  # one of them is enough
        (["no", "yes"], ["maybe", "no", "yes"]),
        (["no", "yes"], [f"{'x' * 99}{n}" for n in range(99)]),
    ],
)
def test_test_rows_of_a_class_that_the_live_version_never_learned_are_not_compared(refused, known, now):
    output = {"name": "answer", "classes": known}
    first = repr(min(set(now) - set(known)))[:50]
    with refused("v1.0.0 knows", repr(known[0]), repr(known[1]), "test rows also hold", re.escape(first)) as error:
        commands.gate._check_classes(evaluated(now, now), output, "v1.0.0")
    assert len(error.value.what) < 600


def test_classes_that_no_test_row_has_do_not_hinder_a_comparison():
    output = {"name": "answer", "classes": ["gone", "no", "yes"]}
    evaluation = evaluated(["new", "no", "yes"], ["no", "yes", "yes"])
    commands.gate._check_classes(evaluation, output, "v1.0.0")
    commands.gate._check_classes({"metrics": {}}, {"name": "answer", "type": "number"}, "v1.0.0")


LOSSES = {"lower_is_better": ["rmse"]}
GATE = {"name": "default", "judged_by": "value", "beats_baseline": False, "floors": {}, "slices_no_worse": {}}


@pytest.mark.parametrize(("incomparable", "passed"), [("refuse", False), ("pass", True)])
def test_the_rules_say_what_an_unknown_class_means_and_no_number_is_shown(monkeypatch, incomparable, passed):
    gate = commands.gate
    params = {"gate": {**GATE, "no_worse": {"accuracy": 0.1}, "incomparable": incomparable}}
    target = {"name": "answer", "type": "category", "role": "target"}
    source = SimpleNamespace(blob=lambda _: yaml.safe_dump(params).encode(), json=lambda _: [target])
    monkeypatch.setattr(gate.derive, "evaluation", lambda _: {**LOSSES, "test": evaluated(["No", "Yes"], ["No"])})
    monkeypatch.setattr(gate.derive, "prepared", lambda _: "data/prepared")
    monkeypatch.setattr(gate.interface, "of", lambda *_: {"output": {**target, "classes": ["no", "yes"]}})
    project = SimpleNamespace(record=lambda _: None, store=None)
    verdict = gate.judge(project, source, SimpleNamespace(get=lambda _: None), against="v1.0.0")
    (rule,) = verdict.rules
    assert (verdict.passed, rule.rule) == (passed, "comparison with v1.0.0")
    assert "knows the classes 'no', 'yes' of answer; the test rows also hold 'No': " in rule.found


@pytest.mark.parametrize("more", [{}, {"classes": {}}])
def test_only_a_regressor_is_doubted_when_it_does_worse_than_the_baseline(monkeypatch, more):
    gate = commands.gate
    params = {"gate": {**GATE, "no_worse": {"rmse": 0.1}, "incomparable": "refuse"}}
    source = SimpleNamespace(blob=lambda _: yaml.safe_dump(params).encode())
    evaluation = {"metrics": {}, "baseline": {"rmse": value(1)}, **more}
    monkeypatch.setattr(gate.derive, "evaluation", lambda _: {**LOSSES, "test": evaluation})
    pair = {"ours": value(1), "theirs": value(4000), "difference": value(-3999)}
    monkeypatch.setattr(gate, "_compare", lambda *_: {"metrics": {"rmse": pair}})
    (rule,) = gate.judge(None, source, None, against="v1.0.0").rules
    assert ("was the unit" in rule.found) == (not more)


@pytest.mark.parametrize(
    ("metric", "theirs", "baseline", "is_told"),
    [("rmse", 4000, 0.8, True), ("r2", -9, 0, True), ("rmse", 0.5, 0.8, False), ("r2", 0.4, 0, False)],
)
def test_a_live_version_below_the_baseline_is_told_beside_an_unchanged_verdict(metric, theirs, baseline, is_told):
    pair = {"ours": value(theirs), "theirs": value(theirs), "difference": value(0)}
    rules = {"no_worse": {metric: 0.1}, "slices_no_worse": {}}
    found = {"metrics": {metric: pair}}
    (rule,) = commands.gate._no_worse(commands.gate.Judge("value"), found, rules, "v1.0.0", {metric: value(baseline)})
    assert rule.passed
    assert ("was the unit of the target changed?" in rule.found) is is_told


def compared(rows_of, metric="accuracy", difference=0.0, **more):
    pair = {"ours": value(0.8), "theirs": value(0.8), "difference": value(difference)}
    slices = {
        name: {"rows": rows, **({"metrics": {metric: pair}} if rows >= 5 else {})} for name, rows in rows_of.items()
    }
    return {"slices": {"shop": slices}, "metrics": {}, "refused": {}, "smallest": 5, **more}


def judged(found, metric="accuracy"):
    rules = {"no_worse": {}, "slices_no_worse": {"shop": {metric: 0.1}}}
    return commands.gate._no_worse(commands.gate.Judge("value"), found, rules, "v1.0.0", {})


def test_each_value_is_judged_or_the_verdict_names_it_with_its_rows():
    found = {rule.rule: rule for rule in judged(compared({"a": 40, "b": 4, "c": 1, "d": 0}))}
    assert list(found) == [
        "test accuracy where shop is a", "slice where shop is b", "slice where shop is c", "slice where shop is d"
    ]  # fmt: skip
    assert [rule.found for rule in found.values()][1:] == [
        "4 test rows: not judged", "1 test row: not judged", "0 test rows: not judged"
    ]  # fmt: skip
    assert all(rule.passed for rule in found.values())


def test_what_the_rows_give_no_value_is_not_judged_and_what_a_model_does_not_give_fails():
    found = compared({"a": 9, "b": 9})
    nothing = {"value": None, "low": None, "high": None}
    found["slices"]["shop"]["a"]["metrics"]["accuracy"] = dict.fromkeys(("ours", "theirs", "difference"), nothing)
    one, other = judged(found)
    assert (one.found, one.passed, other.passed) == ("no value for these 9 test rows: not judged", True, True)
    assert not any(rule.passed for rule in judged(compared({"a": 9}), metric="log_loss"))


@pytest.mark.parametrize(
    "found",
    [
        compared({"a": 3, "b": 0}),
        compared({}),
        {**compared({}), "refused": {"shop": "60 different numbers, too many to look at one by one"}},
    ],
)
def test_a_column_of_which_nothing_can_be_judged_does_not_pass(found):
    assert not all(rule.passed for rule in judged(found))


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.integers(1, 200))
@settings(max_examples=20, deadline=None)
def test_rules_of_any_number_of_values_fit_into_a_record_and_none_is_lost(good, bad, rare, length):
    found = compared({f"{'g' * length}{n}": 9 for n in range(good)} | {f"{'r' * length}{n}": 2 for n in range(rare)})
    worse = compared({f"{'b' * length}{n}": 9 for n in range(bad)}, difference=-0.5)
    found["slices"]["shop"] |= worse["slices"]["shop"]
    rules = judged(found)
    text = registry.record.canonical([rule.model_dump() for rule in rules])
    assert len(text) < commands.gate.RULES_BYTES + 2000
    counted = {True: 0, False: 0}
    for rule in rules:
        if rule.rule.startswith("slices of"):
            continue
        other = re.search(r": (\d+) other value", rule.rule)
        counted[rule.passed] += int(other[1]) if other else 1
    assert counted == {True: good + rare, False: bad}
    if bad:
        assert not rules[0].passed or not rules[-1].passed


# --- how rows differ ---


def test_the_difference_of_two_tables_in_words():
    def difference(**more):
        plain = {
            "rows": (5, 5), "compared": 3, "come": (), "gone": (), "retyped": {}, "added": 0, "removed": 0,
            "changed": None, "several": 0,
        }  # fmt: skip
        return workspace.tables.Difference(**{**plain, **more})

    assert difference(gone=("year",)).same
    assert difference(gone=("year",)).columns() == ", without year"
    assert not difference(added=1).same
    assert difference(added=1, changed=2).others() == "3 of 5"
    assert difference(added=50, changed=0, several=1).sentences() == ["50 added, 0 removed, 0 changed"]
    assert difference(added=2, removed=1, changed=0, several=1).sentences() == [
        "2 added, 1 removed, 0 changed",
        "1 id stands for several rows or for none: there, a changed row is one removed and one added",
    ]
    assert difference(come=("a", "b"), retyped={"zip": ("number", "category")}).sentences()[1] == (
        "compared by the columns that both have (with the new a, b, zip was a number and is a category)"
    )
    assert "not compared" in difference(compared=0, come=("a",), gone=("b",)).sentences()[0]


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
def test_a_replaced_value_is_the_only_change(path, new):
    text = workspace.yaml_edit.replace(SAMPLE, path, new)
    before, after = yaml.safe_load(SAMPLE), yaml.safe_load(text)
    assert at(after, path) == new
    holder = at(after, path[:-1])
    holder[path[-1]] = at(before, path)
    assert after == before
    for comment in ("# The head.", "# which one", "# one", "# before b", "# The tail."):
        assert comment in text


@given(st.sampled_from([(), ("block",), ("block", "inner"), ("flow",)]), yaml_values)
def test_an_added_key_is_the_only_change_and_can_be_removed(parent, new):
    text = workspace.yaml_edit.add(SAMPLE, (*parent, "new_key"), new)
    after = yaml.safe_load(text)
    assert at(after, parent).pop("new_key") == new
    assert after == yaml.safe_load(SAMPLE)
    assert yaml.safe_load(workspace.yaml_edit.remove(text, (*parent, "new_key"))) == yaml.safe_load(SAMPLE)


@pytest.mark.parametrize("path", [*PATHS, ("block", "inner"), ("block",)])
def test_a_removed_key_is_the_only_change(path):
    before, after = yaml.safe_load(SAMPLE), yaml.safe_load(workspace.yaml_edit.remove(SAMPLE, path))
    del at(before, path[:-1])[path[-1]]
    assert after == before


def test_numbers_read_alike_in_both_versions_of_yaml(tmp_path):
    for number in (1e-05, 1e22, -2.5e-8, 0.1, 3.0, float("inf")):
        file = tmp_path / "a.yaml"
        file.write_text(f"a: {workspace.yaml_edit.scalar(number)}\n", encoding="utf-8")
        assert yaml.safe_load(file.read_text(encoding="utf-8")) == {"a": number}
        assert read_yaml(file) == {"a": number}


def test_a_proof_ends_when_a_package_is_installed_anew(tmp_path):
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    for name in ("scikit_learn-1.9.0", "Other-2.0"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
        (packages / f"{name}.dist-info" / "RECORD").write_text("", encoding="utf-8")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("", encoding="utf-8")
    noted = {"packages": {"scikit-learn": "1.9.0"}}

    def fingerprint():
        return workspace.interpreter.fingerprint(str(python), noted)

    first = fingerprint()
    os.utime(packages / "Other-2.0.dist-info" / "RECORD", (1, 1))
    assert fingerprint() == first, "a package that no model needs"
    os.utime(packages / "scikit_learn-1.9.0.dist-info" / "RECORD", (1, 1))
    second = fingerprint()
    assert second != first
    (packages / "scikit_learn-1.9.0.dist-info").rename(packages / "scikit_learn-1.9.1.dist-info")
    assert fingerprint() not in (first, second)


def test_a_command_composes_conf_once(monkeypatch, tmp_path):
    calls = []
    project = workspace.project.Project(tmp_path, "penguins", "model")
    monkeypatch.setattr(type(project), "python", lambda _, *given: calls.append(given) or "gate: {name: here}")
    changed = SimpleNamespace(changes=lambda *_: ["params.yaml"], file=lambda *_: b"gate: {name: here}")
    monkeypatch.setattr(type(project), "git", changed)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").touch()
    (tmp_path / "params.yaml").write_text("gate: {name: here}", encoding="utf-8")
    assert workspace.checks.stale_params(project) is None
    assert project.rules_in_force("gate") == {"name": "here"}
    assert len(calls) == 1
