"""The audit trail: whatever stands in a tag, it is told, and no cell of it is a formula."""

import csv
import datetime as dt
import io
import subprocess
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelbook import commands, registry, workspace

#: What a spreadsheet takes for the begin of a formula.
FORMULAS = tuple("=+-@\t\r")
# A tag holds neither a zero byte nor half a character.
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
risky = st.builds(str.__add__, st.sampled_from(["=", "+", "-", "@", "\t", "\r", '"', ",", "\n", "'", ""]), text)


@pytest.fixture(scope="module")
def line():
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    return commands.audit.Line(
        at=now, what="promote", version="v1.0.0", stage="prod", source=None, by="Ann <ann@example.com>", why="",
        forced=False, checks=(), host=None, job=None, signature="none", signer=None, tag="m#prod#1", object="0" * 40,
        commit="1" * 40, findings=(),
    )  # fmt: skip


@given(why=risky, by=risky, host=st.none() | risky, checks=st.lists(risky, max_size=3).map(tuple))
def test_csv_comes_back_as_it_was_and_holds_no_formula(line, why, by, host, checks):
    lines = [replace(line, why=why, by=by), replace(line, host=host, checks=checks)]
    rows = list(csv.DictReader(io.StringIO(commands.audit.csv(lines), newline="")))
    assert len(rows) == 2
    assert list(rows[0]) == [field.name for field in fields(line)]
    assert not [cell for row in rows for cell in row.values() if cell.startswith(FORMULAS)]
    told = [
        (rows[0]["why"], why),
        (rows[0]["by"], by),
        (rows[1]["host"], host or ""),
        (rows[1]["checks"], "; ".join(checks)),
    ]
    for cell, value in told:
        assert cell == value or (cell == f"'{value}" and not value[0].isalnum())
    assert rows[0]["at"] == "2026-03-01T00:00:00+00:00"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return an empty project, and a function that runs git in it."""
    for person in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{person}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{person}_EMAIL", "ann@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))

    def git(*arguments, content=None):
        done = subprocess.run(
            ["git", *arguments], cwd=tmp_path, input=content, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("commit", "--quiet", "--allow-empty", "-m", "x")
    return workspace.project.Project(tmp_path, "m", "model"), git


@pytest.mark.real
@pytest.mark.parametrize(
    "message",
    [
        "",
        "no JSON",
        "line\n\n{",
        "line\n\n" + '{"a":' * 5000,
        'line\n\n{"kind": "promote", "to": "v1.0.0", "where": [1], "from": {"a": 1}, "stage": 7}',
        'line\n\n{"kind": "promote", "to": "v1.0.0", "where": {"host": 5, "job": null}}',
        'line\n\n{"kind": "prune", "versions": ["v1.0.0"], "reason": "space", "where": {"host": "h"}}',
        "-----BEGIN SSH SIGNATURE-----\nnone\n-----END SSH SIGNATURE-----",
    ],
)
def test_a_tag_with_any_message_is_told_and_stops_nothing(project, message):
    here, git = project
    commit = git("rev-parse", "HEAD")
    for name in ("m@v1.0.0", "m@v1.0.0!", "m@x", "m#prod#1", "m#prod!#2", "m#prod#y", "m.pruned.1"):
        text = f"object {commit}\ntype commit\ntag {name}\ntagger A <a@b> 1 +0000\n\n{message}\n"
        git("update-ref", f"refs/tags/{name}", git("mktag", content=text))
    git("tag", "m#prod#3")
    git("tag", "n@v1.0.0")
    told = {line.tag: line for line in commands.audit.trail(here)}
    assert {tag: line.what for tag, line in told.items()} == {
        "m@v1.0.0": "release",
        "m@v1.0.0!": "withdraw",
        "m@x": "uncounted",
        "m#prod#1": "promote" if "promote" in message else "assign",
        "m#prod!#2": "unassign",
        "m#prod#y": "uncounted",
        "m#prod#3": "uncounted",
        "m.pruned.1": "prune" if "prune" in message else "uncounted",
    }
    if "prune" in message:
        pruned = told["m.pruned.1"]
        assert (pruned.version, pruned.why, pruned.host, pruned.findings) == ("v1.0.0", "space", "h", ())
    signed = {line.signature for line in told.values() if line.tag != "m#prod#3"}
    assert signed == ({"not known"} if "SIGNATURE" in message else {"none"})
    assert commands.audit.csv(list(told.values()))


@pytest.mark.real
def test_a_key_that_cannot_sign_makes_no_tag(project, refused):
    here, git = project
    git("config", "gpg.format", "ssh")
    git("config", "user.signingkey", str(here.root / "no-such-key.pub"))
    with refused("git tag --sign failed"):
        here.git.tag_object("m@v1.0.0", git("rev-parse", "HEAD"), "m v1.0.0: x\n", sign=True)


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, None),
        ({"CI_JOB_URL": "https://gitlab.example.com/a/b/-/jobs/7"}, "https://gitlab.example.com/a/b/-/jobs/7"),
        (
            {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"},
            "https://github.com/a/b/actions/runs/7",
        ),
        ({"GITHUB_RUN_ID": "7"}, None),
        ({"CI_JOB_URL": "a\nb"}, "a b"),
    ],
)
def test_a_move_tells_the_job_that_made_it(monkeypatch, variables, job):
    for name in ("CI_JOB_URL", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert registry.event.here().job == job
    assert registry.event.here().host
