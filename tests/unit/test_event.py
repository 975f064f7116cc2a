"""Events: what is written is what is read, the schema describes it, and a damaged one still counts."""

import dataclasses
import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelbook import registry

from .conftest import SOURCE

words = st.text(max_size=20)
hashes = st.none() | st.text("0123456789abcdef", min_size=40, max_size=40)
lists = st.lists(words, max_size=3).map(tuple)
kinds = st.sampled_from(["promote", "rollback"])


@pytest.fixture(scope="module")
def schema():
    file = SOURCE / "modelbook" / "registry" / "event.schema.json"
    return json.loads(file.read_text(encoding="utf-8"))


def body(message):
    return message.partition("\n\n")[2]


@given(kinds, st.none() | words, words, words, st.booleans(), lists, lists, hashes, words, st.none() | words)
def test_a_move_is_read_as_it_was_written_and_fits_the_schema(
    schema, kind, source, target, reason, forced, checks, notes, tag, actor, host
):
    event = registry.event
    move = event.Move(kind, "prod", source, target, reason, forced)
    written = event.MoveEvent(move, checks, notes, tag, actor, event.Where(host, None))
    text = body(event.message("line", written))
    assert event.parse(text) == written
    jsonschema.validate(json.loads(text), schema)
    assert text == registry.record.canonical(json.loads(text)) + "\n", "one form, as the record has"


@given(st.lists(words, min_size=1, max_size=3).map(tuple), st.integers(0, 10**12), words)
def test_a_note_of_a_prune_is_read_as_it_was_written_and_fits_the_schema(schema, names, size, reason):
    event = registry.event
    written = event.PruneEvent(names, size, {"last": 3}, reason, "Ann <a@b>", event.Where("h", "https://ci"))
    text = body(event.message("line", written))
    assert event.parse(text) == written
    jsonschema.validate(json.loads(text), schema)


@given(st.dictionaries(st.sampled_from(["reason", "checks", "notes", "forced", "where", "stage"]), st.integers()))
def test_a_roll_back_counts_whatever_else_was_edited(edits):
    value = {"kind": "rollback", "to": "v1.0.0", "from": "v1.1.0", **edits}
    read = registry.event.parse(json.dumps(value))
    assert (read.move.kind, read.move.target, read.move.source) == ("rollback", "v1.0.0", "v1.1.0")
    assert (read.checks, read.notes, read.move.forced, read.where) == ((), (), False, registry.event.Where())


@pytest.mark.parametrize("text", ["", "Assigning stage", "{", "[]", '{"kind": "promote"}', '{"a":' * 5000])
def test_a_message_of_another_tool_is_no_event(text):
    assert registry.event.parse(text) is None


def test_an_event_does_not_change():
    move = registry.event.Move("promote", "prod", None, "v1.0.0")
    with pytest.raises(dataclasses.FrozenInstanceError):
        move.target = "v2.0.0"
