"""What `prepare` leaves out, refuses and notes."""

import pyarrow as pa
import pytest
from modelbook import training
from modelbook.settings import Data, Split, Task

from .test_table import BASE

ROW = {"name": "row", "by": "row", "salt": "s", "validation": 0.2, "test": 0.2}
BOOTSTRAP = {"resamples": 50, "level": 0.9}


@pytest.fixture
def prepare(tmp_path):
    def run(text, task="classification", **settings):
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        (folder / "0.csv").write_text(text, encoding="utf-8")
        metric = "accuracy" if task == "classification" else "rmse"
        data = Data(**{**BASE, "path": str(folder), **settings})
        return training.prepare.prepare(
            training.tables.raw(data),
            data,
            Task(name=task, metric=metric, slices=[], bootstrap=BOOTSTRAP),
            Split(**ROW),
        )

    return run


def csv(n=60, **columns):
    rows = [",".join(columns)]
    rows += [",".join(str(make(i)) for make in columns.values()) for i in range(n)]
    return "\n".join(rows) + "\n"


def names(prepared):
    return [column.name for column in prepared.columns]


def test_ids_left_out_and_empty_columns_do_not_reach_the_model(prepare):
    text = csv(id=lambda i: i, secret=lambda i: i, empty=lambda i: "NA", a=lambda i: i, y=lambda i: i % 2)
    prepared = prepare(text, id=["id"], leave_out=["secret"])
    assert names(prepared) == ["a", "y"]
    for part, rows in prepared.parts.items():
        assert prepared.left_out[part].column_names == ["id", "secret", "empty"]
        assert prepared.left_out[part]["id"].to_pylist() == rows["a"].to_pylist()
    assert any("'empty' has no values" in note for note in prepared.notes)


def test_poor_columns_are_noted(prepare):
    text = csv(same=lambda i: 7, text=lambda i: f"remark {i}", a=lambda i: i, y=lambda i: i % 2)
    notes = "\n".join(prepare(text).notes)
    assert "'same' is constant" in notes
    assert "'text' holds 60 different texts in 60 rows" in notes


def test_labels_are_text_and_whole_numbers_have_no_point(prepare):
    prepared = prepare(csv(a=lambda i: i, y=lambda i: i % 2))
    assert set(prepared.parts["train"]["y"].to_pylist()) == {"0", "1"}
    prepared = prepare(csv(a=lambda i: i, y=lambda i: i % 2 == 0))
    assert set(prepared.parts["train"]["y"].to_pylist()) == {"true", "false"}
    prepared = prepare(csv(a=lambda i: i, y=lambda i: (1, 0.5, "1e20")[i % 3]))
    assert set(prepared.parts["train"]["y"].to_pylist()) == {"1", "0.5", "1e+20"}


def test_rows_without_a_target_are_dropped_and_counted_or_refused(prepare, refused):
    text = csv(a=lambda i: i, y=lambda i: "" if i in (3, 9) else i % 2)
    prepared = prepare(text)
    assert sum(part.num_rows for part in prepared.parts.values()) == 58
    assert any("2 rows without a value for 'y'" in note for note in prepared.notes)
    with refused("0.csv, row 4: the target 'y' is empty", "2 such rows"):
        prepare(text, rows_without_target="refuse")


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"a": {"max": 50}}, "row 52, column 'a' is 51.0: more than max: 50"),
        ({"a": {"min": 1}}, "row 1, column 'a' is 0.0: less than min: 1"),
        ({"c": {"values": ["x"]}}, "row 2, column 'c' is 'y': not one of"),
        ({"g": {"required": True}}, "row 1, column 'g' is empty"),
    ],
)
def test_a_broken_rule_is_refused_with_its_place(prepare, refused, rule, fault):
    text = csv(a=lambda i: i, c=lambda i: "xy"[i % 2], g=lambda i: "" if i == 0 else "g", y=lambda i: i % 2)
    with refused(fault, "conf/data/mine.yaml"):
        prepare(text, rules=rule)


@pytest.mark.parametrize("values", [["true", "false"], [True, False], ["TRUE", False]])
def test_a_rule_for_booleans_can_be_met_and_broken(prepare, refused, values):
    text = csv(b=lambda i: ("true", "False")[i % 2], a=lambda i: i, y=lambda i: i % 2)
    prepare(text, rules={"b": {"values": values}})
    with refused("row 2, column 'b' is 'false': not one of"):
        prepare(text, rules={"b": {"values": values[:1]}})


@pytest.mark.parametrize(
    ("rule", "fault", "fix"),
    [
        ({"c": {"min": 1}}, "column is a category", "or use `values`"),
        ({"a": {"values": ["1"]}}, "column is a number", "use `min` and `max`, or write `a: category`"),
        ({"d": {"min": 1}}, "column is a date", "take `min` and `max` out .in"),
        ({"d": {"values": ["x"]}}, "column is a date", "fix: write `d: category`"),
    ],
)
def test_a_rule_that_does_not_suit_the_column_is_refused_with_one_that_does(prepare, refused, rule, fault, fix):
    text = csv(a=lambda i: i, c=lambda i: "xy"[i % 2], d=lambda i: "2024-01-05", y=lambda i: i % 2)
    with refused(fault, fix):
        prepare(text, rules=rule)


def test_a_target_that_does_not_suit_the_task_is_refused(prepare, refused):
    with refused("holds 200 different numbers", "regression"):
        prepare(csv(200, a=lambda i: i, y=lambda i: i))
    with refused("is a category, not a number"):
        prepare(csv(a=lambda i: i, y=lambda i: "xy"[i % 2]), task="regression")


def test_one_class_and_classes_that_training_never_saw_are_refused(prepare, refused):
    with refused("hold one class"):
        prepare(csv(a=lambda i: i, y=lambda i: "only"))
    with refused("holds classes of 'y' that train does not"):
        prepare(csv(400, a=lambda i: i, y=lambda i: f"c{i // 2}" if i < 60 else "x"))


def test_a_class_that_no_metric_judges_is_noted():
    labels = {"train": ["x", "z", "w"], "validation": ["x", "w"], "test": ["x"]}
    parts = {name: pa.table({"y": values}) for name, values in labels.items()}
    task = Task(name="classification", metric="accuracy", slices=[], bootstrap=BOOTSTRAP)
    notes = []
    training.prepare._check_classes(parts, "y", task, Split(**ROW), notes)
    assert [note.partition(":")[0] for note in notes] == [
        "class 'w' of 'y' has 2 rows, none of them in test",
        "class 'z' of 'y' has 1 row, none of them in test",
    ]


def test_a_target_of_text_says_how_to_see_what_is_no_number(prepare, refused):
    with refused("is a category, not a number", "`'y': number` below `types`"):
        prepare(csv(a=lambda i: i, y=lambda i: i if i % 3 else "?"), task="regression")


@pytest.mark.parametrize(
    ("cell", "fix"),
    [("{},5", 'decimal: ","'), ("${}", "and without signs"), ("{},000", "without separators of thousands")],
)
def test_a_target_of_numbers_as_people_write_them_is_refused_with_the_fix(prepare, refused, cell, fix):
    with refused("is a category, not a number", "fix: ", fix):
        prepare(csv(a=lambda i: i, y=lambda i: f'"{cell.format(i + 1)}"'), task="regression")


def test_nothing_to_predict_from_is_refused(prepare, refused):
    with refused("no column to predict from"):
        prepare(csv(y=lambda i: i % 2))


def test_another_version_reads_the_test_rows_with_its_own_types_and_marks(prepare):
    """As the gate asks the live version: it learned texts where the new version takes booleans, numbers or nothing."""
    shared = {"b": lambda i: f"{i % 4}.0", "c": lambda i: i, "y": lambda i: i % 2}
    live = prepare(
        csv(a=lambda i: ("true", "false", "unknown" if i < 30 else "true")[i % 3], **shared), types={"b": "category"}
    )
    flags = csv(a=lambda i: ("true", "false")[i % 2], **shared)
    new = prepare(flags, id=["c"], missing=["NA", "0.0"])
    assert {column.name: column.type for column in new.columns} == {"a": "boolean", "b": "number", "y": "category"}
    rows = training.columns.frame(new.raw_test, training.columns.features(live.columns))
    assert rows.dtypes.astype(str).to_dict() == {"a": "object", "b": "object", "c": "float64"}
    assert {*rows["a"]} == {"true", "false"}
    assert {*rows["b"]} <= {"0.0", "1.0", "2.0", "3.0"}
    assert len(rows) == new.parts["test"].num_rows
