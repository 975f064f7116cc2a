"""What tells whose a row is does not travel with the model."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelbook import training

N = 300


@pytest.fixture
def people(columns):
    """Return rows about people, their columns, and a model that takes them."""
    generator = np.random.default_rng(0)
    surnames = [f"Sjöberg-{chr(65 + i % 26)}{chr(97 + i // 26)}, Mr. John" for i in range(N)]
    target = columns[-1]
    rows = pd.DataFrame(
        {
            "name": surnames,
            "visitor": [f"Visitor {i % 100}" for i in range(N)],
            "code": [f"{i:05d}" for i in range(N)],
            "income": np.round(generator.normal(40_000, 9_000, N), 2),
            "age": generator.integers(0, 90, N).astype(float),
            "born": pd.Timestamp("1950-01-01 00:00") + pd.to_timedelta(generator.permutation(N), unit="D"),
            "land": generator.choice(["SE", "NO"], N),
            "answer": generator.choice(["x", "y"], N) if target.type == "category" else generator.normal(size=N),
        }
    )
    kinds = {"income": "number", "age": "number", "born": "date"}
    described = [training.columns.Column(n, kinds.get(n, "category"), "feature") for n in rows if n != "answer"]
    described.append(target)

    class Model:
        classes_ = np.array(["x", "y"])

        def predict(self, asked):
            return np.where(asked["land"].eq("SE"), *(("x", "y") if target.type == "category" else (0.0, 1.0)))

    return training.columns.prepared(rows, described), described, Model()


def travels(rows, described, model):
    interface = training.interface.describe(rows, described, model, {})
    golden = training.interface.golden(rows, described, model)
    training.interface.replay(model, interface, golden)
    return interface, golden, training.statistics.describe(rows, described)


def test_no_value_of_a_column_that_differs_in_most_rows_travels(people):
    rows, described, model = people
    interface, golden, statistics = travels(rows, described, model)
    text = json.dumps([interface, golden, statistics], ensure_ascii=False)
    for name in ("name", "visitor", "code"):
        assert not [value for value in rows[name] if f'"{value}"' in text]
    entries = {entry["name"]: entry for entry in interface["inputs"]}
    assert (entries["name"]["categories"], entries["visitor"]["categories"]) == (N, 100)
    assert entries["land"]["categories"] == ["NO", "SE"]
    assert {"distinct": N}.items() <= statistics["columns"]["name"].items()
    assert statistics["columns"]["land"]["counts"].keys() == {"NO", "SE"}
    for name in ("income", "born"):
        assert not {str(row[name]) for row in golden["rows"]} & {*rows[name].astype(str), *map(str, rows[name])}
    assert {row["land"] for row in golden["rows"]} == {"NO", "SE", None}


@pytest.mark.parametrize(("persons", "visits"), [(11, 6), (50, 6), (30, 9)])
def test_names_that_return_are_personal_and_ordinary_categories_are_not(persons, visits):
    column = training.columns.Column("c", "category", "feature")
    names = pd.Series([f"Person {i % persons}" for i in range(persons * visits)])
    islands = pd.Series([f"Island {i % 3}" for i in range(persons * visits)])
    assert training.privacy.is_personal(names, column)
    assert not training.privacy.is_personal(islands, column)


def test_made_up_values_have_the_shape_of_the_real_ones_and_are_the_same_each_time(people):
    rows, described, model = people
    golden = travels(rows, described, model)[1]
    assert golden == travels(rows, described, model)[1]
    row = golden["rows"][0]
    assert pd.Series([row["name"]]).str.fullmatch(r"[A-Z][a-zö]{6}-[A-Z][a-z], [A-Z][a-z]\. [A-Z][a-z]{3}").all()
    assert len(row["code"]) == 5
    assert row["code"].isdigit()
    assert 1_000 <= row["income"] < 100_000
    assert "1950-01-01" <= row["born"] <= "1950-12-31"


def test_a_private_column_of_any_type_travels_without_a_value(people):
    rows, described, model = people
    rows = rows.assign(land=rows["land"].where(rows.index != 5, "Åland"))
    described = [replace(c, private=c.name in ("age", "born", "land", "answer")) for c in described]
    if described[-1].type == "category":
        described[-1] = replace(described[-1], private=False)
    interface, golden, statistics = travels(rows, described, model)
    for entry in interface["inputs"]:
        if entry["name"] in ("age", "born", "land"):
            assert not {"min", "max"} & entry.keys()
            assert not isinstance(entry.get("categories"), list)
            assert statistics["columns"][entry["name"]].keys() == {"type", "missing", "distinct", "private"}
    assert {"SE", "NO"} & {row["land"] for row in golden["rows"]} == set()
    assert "min" not in interface["trained_on"]["target"]
    assert training.interface.inputs(interface) == described[:-1]


@given(st.text(max_size=20), st.integers(0, 11))
def test_made_up_text_keeps_its_length_and_what_is_no_letter_or_digit(text, row):
    column = training.columns.Column("c", "category", "feature")
    made = training.privacy.made_up(text, column, row, (None, None))
    assert len(made) == len(text)
    assert all(a == b or (b.isalnum() and a.isalnum()) for a, b in zip(made, text, strict=True))


@given(st.floats(-1e300, 1e300), st.integers(0, 11))
def test_a_made_up_number_keeps_its_size_and_sign(value, row):
    column = training.columns.Column("c", "number", "feature")
    made = training.privacy.made_up(value, column, row, (None, None))
    assert (made > 0) == (value > 0)
    assert made == 0 or abs(np.log10(abs(made)) - np.log10(abs(value))) < 1.01


def test_numbers_whose_values_return_are_kept(people):
    rows, described, model = people
    golden = travels(rows, described, model)[1]
    assert {row["age"] for row in golden["rows"]} <= {*rows["age"], None}
