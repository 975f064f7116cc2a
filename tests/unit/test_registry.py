"""The registry: what git's tags say, in any order, by any hand."""

import contextlib
import datetime as dt
import os
import subprocess
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelbook import commands, registry, store, workspace

NOW = 1_790_000_000


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return an empty repository, and a function that runs git in it at a time of its own."""
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "Ann")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ann@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))

    def run(*arguments, at=NOW):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{at} +0100")
        done = subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("init", "--quiet", "--initial-branch=main")
    return store.git.Git(tmp_path), run


def release(run, number, name="m"):
    run("commit", "--quiet", "--allow-empty", "-m", number)
    run("tag", "-a", f"{name}@{number}", "-m", f"{name} {number}: a line\n\nno record")


def move(run, stage, counter, target, kind="promote", source=None, at=NOW, name="m", event=None):
    moved = event.Move(kind, stage, source, target, "why\nnot")
    message = event.message("line", event.MoveEvent(moved, ("a",), (), None, "Ann <ann@example.com>", event.here()))
    run("tag", "-a", f"{name}#{stage}#{counter}", f"{name}@{target}" + "^{commit}", "-m", message, at=at)


@pytest.mark.real
def test_what_is_live_goes_by_the_counter_not_by_the_clock(repository):
    git, run = repository
    for number in ("v1.0.0", "v1.1.0", "v2.0.0"):
        release(run, number)
    move(run, "prod", 1, "v1.0.0", at=NOW + 500, event=registry.event)
    move(run, "prod", 2, "v1.1.0", at=NOW, source="v1.0.0", event=registry.event)
    move(run, "prod", 10, "v1.0.0", "rollback", "v1.1.0", at=NOW - 500, event=registry.event)
    known = registry.registry.read(git, "m")
    assert known.live("prod") == "v1.0.0"
    assert list(known.versions) == ["v1.0.0", "v1.1.0", "v2.0.0"]
    assert known.previously_live("prod") == ["v1.1.0"]
    assert list(known.quarantined_by("v1.1.0")) == ["prod"]
    assert known.live("staging") is None
    assert known.get("prod").name == "v1.0.0"
    assert known.get("latest").name == "v2.0.0"
    assert known.get("1.1.0").name == known.get("m@v1.1.0").name == "v1.1.0"
    lines = commands.history.timeline(known, "prod")
    assert [entry.version for entry in lines] == ["v1.0.0", "v1.1.0", "v1.0.0"], "newest first, whatever the clock said"


@pytest.mark.real
def test_a_forced_promotion_ends_a_quarantine_and_only_in_its_stage(repository):
    git, run = repository
    release(run, "v1.0.0")
    release(run, "v1.1.0")
    move(run, "prod", 1, "v1.1.0", "promote", event=registry.event)
    move(run, "prod", 2, "v1.0.0", "rollback", "v1.1.0", event=registry.event)
    move(run, "staging", 1, "v1.1.0", "promote", event=registry.event)
    assert list(registry.registry.read(git, "m").quarantined_by("v1.1.0")) == ["prod"]
    move(run, "prod", 3, "v1.1.0", "promote", "v1.0.0", event=registry.event)
    assert not registry.registry.read(git, "m").quarantined_by("v1.1.0")


@pytest.mark.real
def test_tags_of_other_hands_count_or_are_named(repository):
    git, run = repository
    release(run, "v1.0.0")
    release(run, "v1.10.0")
    release(run, "v1.9.0")
    run("tag", "m@v9.0.0")  # lightweight
    run("tag", "-a", "m@v8.0.0", "m@v1.0.0", "-m", "nested")
    run("tag", "-a", "m#prod#1", "m@v1.9.0^{commit}", "-m", "Assigning stage prod")  # as gto writes it
    run("tag", "-a", "m#prod#2", "m@v1.10.0^{commit}", "-m", 'line\n\n{"kind": "promote", "to": 7, broken')
    run("tag", "-a", "m#dev#1", "m@v1.0.0^{commit}", "-m", "x")
    run("tag", "-a", "m#dev!#2", "m@v1.0.0^{commit}", "-m", "x")
    run("tag", "-a", "m#prod#x", "-m", "no number")
    run("tag", "-a", "m@v1.9.0!", "m@v1.9.0^{commit}", "-m", "taken back")
    run("tag", "-a", "other@v1.0.0", "-m", "another model")
    run("tag", "-a", "m@deprecated", "-m", "x")
    known = registry.registry.read(git, "m")
    assert list(known.versions) == ["v1.0.0", "v1.9.0", "v1.10.0"]
    assert known.versions["v1.9.0"].withdrawn
    assert known.live("prod") == "v1.10.0"
    assert known.live("dev") is None
    assert known.events["prod"][1].kind == "assign"
    assert known.events["prod"][1].source == "v1.9.0"
    assert {tag.name for tag in known.odd} == {"m@v9.0.0", "m@v8.0.0", "m#prod#x"}


@pytest.mark.real
def test_an_event_that_lies_about_its_version_is_read_by_its_commit(repository):
    git, run = repository
    release(run, "v1.0.0")
    release(run, "v1.1.0")
    run("tag", "-a", "m#prod#1", "m@v1.0.0^{commit}", "-m", 'line\n\n{"kind": "promote", "to": "v1.1.0"}')
    assert registry.registry.read(git, "m").live("prod") == "v1.0.0"


@pytest.mark.real
def test_an_unknown_version_is_refused_with_the_known_ones(repository, refused):
    git, run = repository
    with refused("no version v1.0.0", "nothing has been released", "model release"):
        registry.registry.read(git, "m").get("v1.0.0")
    release(run, "v1.0.0")
    with refused("no version v7", "v1.0.0", "git fetch"):
        registry.registry.read(git, "m").get("v7")


numbers = st.tuples(*[st.integers(0, 30)] * 3)
parts = st.lists(st.one_of(st.integers(0, 99).map(str), st.sampled_from(["rc", "a", "b-1", "beta"])), max_size=3)


@given(numbers, numbers, parts, parts)
def test_versions_are_ordered_as_semantic_versions(a, b, a_parts, b_parts):
    def name(number, pre):
        return "v" + ".".join(map(str, number)) + ("-" + ".".join(pre) if pre else "")

    key = registry.registry.version_key
    if a != b:
        assert (key(name(a, a_parts)) < key(name(b, b_parts))) == (a < b)
    if a_parts:
        assert key(name(a, a_parts)) < key(name(a, []))
    assert (key(name(a, a_parts)) == key(name(a, b_parts))) == (a_parts == b_parts)


@given(st.text(max_size=40), st.text(max_size=12))
@settings(max_examples=200)
def test_dates_and_names_of_any_tag_are_read(raw, zone):
    assert isinstance(registry.registry.time_of(f"{raw} {zone}"), dt.datetime)
    assert registry.registry.SEMVER.fullmatch(raw) is None or registry.registry.version_key(raw)


def test_a_dvc_yaml_without_a_model_is_refused(refused, tmp_path):
    for text, said in (("stages: {}\n", "no artifacts"), ("a: [\n", "cannot be read"), ("[]\n", "cannot be read")):
        (tmp_path / "dvc.yaml").write_text(text, encoding="utf-8")
        with refused("dvc.yaml", said):
            registry.registry.artifact(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize("checks", ["null", "5", "[" * 5000, '{"a": 1}'])
def test_a_message_of_any_kind_stops_nothing(repository, checks):
    git, run = repository
    release(run, "v1.0.0")
    body = 'line\n\n{"kind": "promote", "to": "v1.0.0", "checks": ' + checks + "}"
    run("tag", "-a", "m#prod#1", "m@v1.0.0^{commit}", "-m", body)
    known = registry.registry.read(git, "m")
    assert known.live("prod") == "v1.0.0"
    said = known.events["prod"][0].said
    assert said is None or said.checks == ()


@pytest.mark.real
def test_a_message_forges_no_other_tag(repository):
    git, run = repository
    release(run, "v1.0.0")
    commit = run("rev-parse", "m@v1.0.0^{commit}")
    forged = f"x\x1e\nm@v9.0.0\x1ftag\x1f{'0' * 40}\x1fcommit\x1f{commit}\x1f1 +0000\x1fEve\x1f<e@e>\x1ftitle\x1e"
    run("tag", "-a", "m#prod#1", "m@v1.0.0^{commit}", "-m", forged)
    run("tag", "-a", "m@v1.1.0", "m@v1.0.0^{commit}", "-m", forged)
    known = registry.registry.read(git, "m")
    assert list(known.versions) == ["v1.0.0", "v1.1.0"]
    assert {event.by for event in known.events["prod"]} == {"Ann <ann@example.com>"}


@pytest.mark.real
def test_a_name_that_is_no_utf8_is_shown_and_can_release(repository):
    git, run = repository
    release(run, "v1.0.0")
    run("config", "i18n.commitEncoding", "latin1")
    run("config", "user.name", "x")
    (git.root / ".git" / "config").write_bytes(
        (git.root / ".git" / "config").read_bytes().replace(b"= x", b"= J\xf6rg")
    )
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        os.environ.pop(name, None)
    run("commit", "--quiet", "--allow-empty", "-m", "two")
    tag = git.tag_object("m@v1.1.0", run("rev-parse", "HEAD"), "m v1.1.0: two\n")
    git.publish({"m@v1.1.0": tag}, None)
    known = registry.registry.read(git, "m")
    assert known.versions["v1.1.0"].by.startswith("J")


# --- a roll-back, where nothing else can be had ---


@pytest.fixture
def burning(repository, monkeypatch):
    """Return a function that rolls back from v3.0.0, in a project whose versions come back or fail as it is told."""
    git, run = repository
    for counter, number in enumerate(("v1.0.0", "v2.0.0", "v3.0.0"), 1):
        release(run, number)
        move(run, "prod", counter, number, event=registry.event)
    project = SimpleNamespace(
        git=git,
        name="m",
        root=git.root,
        lock=contextlib.nullcontext,
        registry=lambda: registry.registry.read(git, "m"),
        rules=lambda _: {},
        records=lambda *_, **__: {},
    )

    def roll_back(faults=(), warning=None, to=None):
        def materialise(_, version, __):
            if version.name in dict(faults):
                raise dict(faults)[version.name]
            where = git.root / version.name
            return SimpleNamespace(version=version, checks=("proven",), folder=where, python="python")

        monkeypatch.setattr(workspace.restore, "materialise", materialise)
        monkeypatch.setattr(commands.promote, "_warning", lambda *_: warning)
        return commands.promote.rollback(project, "prod", "it burns", to)

    return roll_back


@pytest.mark.real
def test_a_roll_back_says_what_callers_may_meet_and_the_tag_keeps_it(burning, repository):
    done = burning(warning="WARNING: it needs a column")
    assert (done.target, done.notes) == ("v2.0.0", ("WARNING: it needs a column",))
    event = registry.registry.read(repository[0], "m").events["prod"][-1]
    said = event.said
    assert (said.checks, said.notes, said.move.forced) == (("proven",), ("WARNING: it needs a column",), False)


@pytest.mark.real
def test_a_version_whose_tag_is_gone_stops_no_roll_back(burning, repository):
    _, run = repository
    run("tag", "-d", "m@v2.0.0")
    assert burning().target == "v1.0.0"


@pytest.mark.real
def test_what_is_away_is_not_passed_over_and_the_fix_names_another(burning, refused):
    away = commands.promote.UnavailableError("no index", "why", "reconnect")
    with refused("no index", "reconnect", "--stage prod --to v1.0.0 --reason"):
        burning({"v2.0.0": away})
    with refused("no index", "reconnect", "--to v2.0.0"):
        burning({"v1.0.0": away}, to="v1.0.0")


@pytest.mark.real
def test_where_no_version_comes_back_each_is_named_with_its_fault(burning, refused):
    lost, broken = (commands.promote.ProjectError(what, "why", "fix") for what in ("it is lost", "it is broken"))
    with refused("it is broken", "v2.0.0 was passed over: it is lost"):
        burning({"v2.0.0": lost, "v1.0.0": broken})
    assert burning({"v2.0.0": lost}).notes == ("v2.0.0 was passed over: it is lost",)
