"""The rules of `conf/retention/`, on any history."""

import datetime as dt
from fnmatch import fnmatchcase

from hypothesis import given, settings
from hypothesis import strategies as st
from modelbook import commands, registry

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)


def history(registry, ages, moves):
    """Return a registry of versions that are so many days old, and of moves of prod and staging to some of them."""
    versions = {
        f"v1.{n}.0": registry.Version(f"v1.{n}.0", f"c{n}", f"t{n}", NOW - dt.timedelta(days=age), "A <a@b>", "x")
        for n, age in enumerate(ages)
    }
    events = {}
    for n, (stage, target) in enumerate(moves):
        name = list(versions)[target % len(versions)]
        event = registry.Event(stage, n + 1, "promote", None, name, NOW, "A <a@b>", "", f"m#{stage}#{n}", "c")
        events.setdefault(stage, []).append(event)
    return registry.Registry("m", versions, events)


AGES = st.lists(st.integers(0, 400), min_size=1, max_size=12)
MOVES = st.lists(st.tuples(st.sampled_from(["prod", "staging"]), st.integers(0, 11)), max_size=8)
RULES = st.fixed_dictionaries(
    {
        "ever_live": st.booleans(),
        "last": st.integers(1, 12),
        "days": st.integers(0, 400),
        "versions": st.lists(st.sampled_from(["v1.0.0", "v1.1*", "*.3.0", "nothing"]), max_size=2),
    }
)


@given(AGES, MOVES, RULES)
@settings(max_examples=200)
def test_what_is_live_and_what_a_rule_names_is_kept_and_nothing_else(ages, moves, rules):
    known = history(registry.registry, ages, moves)
    found = commands.needs.kept(known, rules, NOW)
    names = list(known.versions)
    live = {known.live(stage) for stage in known.events}
    ever = {event.target for moves in known.events.values() for event in moves}
    wanted = live | set(names[-rules["last"] :])
    wanted |= {name for name, age in zip(names, ages, strict=True) if age < rules["days"]}
    wanted |= ever if rules["ever_live"] else set()
    wanted |= {name for name in names if any(fnmatchcase(name, pattern) for pattern in rules["versions"])}
    assert {name for name, why in found.items() if why} == wanted


@given(AGES, MOVES, RULES, RULES)
@settings(max_examples=100)
def test_a_rule_that_keeps_more_never_keeps_less(ages, moves, rules, other):
    known = history(registry.registry, ages, moves)
    both = {
        "ever_live": rules["ever_live"] or other["ever_live"],
        "last": max(rules["last"], other["last"]),
        "days": max(rules["days"], other["days"]),
        "versions": rules["versions"] + other["versions"],
    }
    few, many = commands.needs.kept(known, rules, NOW), commands.needs.kept(known, both, NOW)
    assert {name for name, why in few.items() if why} <= {name for name, why in many.items() if why}
