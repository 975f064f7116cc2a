"""`model history --audit`: who, when, what, why, from where; and what was edited, moved, deleted or made by others."""

import csv
import io
import json
import platform

import pytest
from test_versions import retag

JOB = "https://git.example.com/team/penguins/-/jobs/7"


def trail(team, *options):
    return json.loads(team.model("history", "--audit", "--json", *options).stdout)


def findings(team):
    return {line["tag"]: line["findings"] for line in trail(team) if line["findings"]}


def test_the_trail_tells_who_when_what_why_and_from_where(team):
    reason = '=the sensor, it was: "bad"'
    team.model("rollback", "--reason", reason, CI_JOB_URL=JOB)
    team.model("promote", "v1.1.0", "--to", "prod", "--force", "--reason", "sensor mended")
    lines = trail(team)
    assert [(line["what"], line["version"]) for line in lines] == [
        ("promote", "v1.1.0"),
        ("rollback", "v1.0.0"),
        ("promote", "v1.1.0"),
        ("release", "v1.1.0"),
        ("promote", "v1.0.0"),
        ("release", "v1.0.0"),
    ]
    assert not findings(team)
    assert {line["by"] for line in lines} == {"Test <test@example.com>"}
    assert {line["host"] for line in lines} == {platform.node()}
    assert {line["signature"] for line in lines} == {"none"}
    for line in lines:
        assert line["object"] == team.git("rev-parse", line["tag"])
        assert line["commit"] == team.git("rev-parse", f"{line['tag']}^{{commit}}")
        assert line["checks"]
    forced, back, *_ = lines
    assert (forced["forced"], forced["why"], forced["source"], forced["job"]) == (True, "sensor mended", "v1.0.0", None)
    assert (back["forced"], back["why"], back["source"], back["job"]) == (False, reason, "v1.1.0", JOB)

    rows = list(csv.DictReader(io.StringIO(team.model("history", "--audit", "--csv").stdout)))
    assert [row["why"] for row in rows] == ["sensor mended", f"'{reason}", *(line["why"] for line in lines[2:])]
    assert [row["at"] for row in rows] == [line["at"].replace(" ", "T") for line in lines]
    assert [row["job"] for row in rows] == ["", JOB, "", "", "", ""]

    said = team.model("history", "--audit").output
    assert "6 tags, all fit each other" in said
    for words in ("promote, forced", "prod: v1.1.0 -> v1.0.0", reason, JOB, f"trained on {platform.node()}"):
        assert words in said
    assert [line["what"] for line in trail(team, "--stage", "prod")] == ["promote", "rollback", "promote", "promote"]
    assert trail(team, "--stage", "nowhere") == []
    assert team.model("history", "--csv", fails=True).returncode == 2
    assert team.model("history", "--audit", "--csv", "--json", fails=True).returncode == 2


def edited(team):
    retag(team, "penguins@v1.0.0", lambda record: record["governance"]["trained"].update(host="elsewhere"))


def moved(team):
    team.git("commit", "--quiet", "--allow-empty", "-m", "Another")
    retag(team, "penguins@v1.0.0", lambda _: None, commit="HEAD")


def retitled(team):
    text = team.git("tag", "--list", "--format=%(contents)", "penguins@v1.1.0")
    team.git("tag", "-f", "-a", "penguins@v1.1.0", "penguins@v1.1.0^{commit}", "-m", text.replace("forest", "tree", 1))


def stage_tag_of_another_source(team):
    retag(team, "penguins#prod#2", lambda event: event.update({"from": "v0.1.0"}))


def stage_tag_of_another_version(team):
    retag(team, "penguins#prod#2", lambda _: None, commit="penguins@v1.0.0^{commit}")


def stage_tag_deleted(team):
    team.git("tag", "-d", "penguins#prod#1")


def version_deleted(team):
    team.git("tag", "-d", "penguins@v1.0.0")


def lightweight(team):
    team.git("tag", "penguins#prod#3", "penguins@v1.0.0^{commit}")


def dated_back(team):
    text = team.git("tag", "--list", "--format=%(contents)", "penguins#prod#2")
    commit = "penguins#prod#2^{commit}"
    team.git("tag", "-f", "-a", "penguins#prod#2", commit, "-m", text, GIT_COMMITTER_DATE="2001-01-01T00:00:00Z")


def withdrawn(team):
    team._run("gto", "deprecate", "penguins", "v1.1.0", "--message", "leaks the label", cwd=team.project)


def assigned(team):
    team._run("gto", "assign", "penguins", "--version", "v1.1.0", "--stage", "staging", cwd=team.project)


def named_otherwise(team):
    team.git("tag", "-a", "penguins@newest", "-m", "the newest")


FAULTS = {
    edited: {"penguins@v1.0.0": "another tag than the one that penguins#prod#1, penguins@v1.1.0 saw"},
    moved: {"penguins@v1.0.0": "was moved or edited"},
    retitled: {"penguins@v1.1.0": "its first line and the title in its record differ"},
    stage_tag_of_another_source: {"penguins#prod#2": "it says that it left v0.1.0; here it was v1.0.0"},
    stage_tag_of_another_version: {"penguins#prod#2": "it says prod: v1.1.0, its name and commit say otherwise"},
    stage_tag_deleted: {"penguins#prod#2": "1 tags between penguins#prod#0 and it are not here"},
    version_deleted: {"penguins@v1.1.0": "it follows v1.0.0, which is not here"},
    lightweight: {"penguins#prod#3": "it does not count: it is a lightweight tag"},
    dated_back: {"penguins#prod#2": "its date is before that of the move before it"},
    withdrawn: {"penguins@v1.1.0": "it was withdrawn, and is live in prod"},
    assigned: {"penguins#staging#3": "another tool made it: nothing was proven before"},
    named_otherwise: {"penguins@newest": "it does not count: it is not named as penguins@v1.2.3"},
}


def test_what_does_not_fit_is_a_finding(team):
    """Each fault on its own; offline, so that the tags of this clone must tell."""
    team.git("remote", "remove", "origin")
    true = team.git("rev-parse", "HEAD")
    before = team.tags().splitlines()
    for fault, expected in FAULTS.items():
        fault(team)
        found = findings(team)
        for tag, words in expected.items():
            assert words in " ".join(found.get(tag, [])), (fault.__name__, found)
        if fault is withdrawn:
            told = next(line for line in trail(team) if line["what"] == "withdraw")
            assert (told["version"], told["why"], told["by"]) == (
                "v1.1.0", "leaks the label", "Test <test@example.com>",
            )  # fmt: skip
        text = team.model("history", "--audit").output
        assert all(words in text for words in expected.values())
        for line in set(team.tags().splitlines()) - set(before):
            team.git("update-ref", "-d", line.split()[0])
        for line in before:
            team.git("update-ref", *line.split())
        team.git("reset", "--quiet", "--hard", true)
        assert not findings(team)


@pytest.fixture
def signing(team, run):
    """Let a person sign with a key of their own; return the list of keys that this clone knows."""
    key, signers = team.folder / "key", team.folder / "signers"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key, cwd=team.folder)
    signers.write_text("test@example.com " + (team.folder / "key.pub").read_text(), encoding="utf-8")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingkey", f"{key}.pub"),
        ("gpg.ssh.allowedSignersFile", signers),
    ):
        team.git("config", name, value)
    return signers


def sign_again(team, tag, **who):
    """Make a tag once more, with the same text and a signature."""
    text = team.git("tag", "--list", "--format=%(contents:subject)%0a%0a%(contents:body)", tag)
    team.git("tag", "-f", "-s", "--cleanup=verbatim", "-m", f"{text}\n", tag, f"{tag}^{{commit}}", **who)


def test_a_signature_is_good_bad_or_not_known_and_tells_whose_it_is(team, signing):
    def told(tag):
        line = next(line for line in trail(team) if line["tag"] == tag)
        return line["signature"], line["signer"], " ".join(line["findings"])

    last = "penguins#prod#2"
    sign_again(team, last)
    assert told(last) == ("good", "test@example.com", "")
    assert told("penguins#prod#1") == ("none", None, "")
    assert "by test@example.com" in team.model("history", "--audit").output
    # Somebody with a key that counts writes another's name.
    sign_again(team, last, GIT_COMMITTER_NAME="Eve", GIT_COMMITTER_EMAIL="eve@example.com")
    assert told(last)[:2] == ("good", "test@example.com")
    assert "Eve <eve@example.com> made it, and the key of test@example.com signed it" in told(last)[2]
    sign_again(team, last)
    keys = signing.read_text(encoding="utf-8")
    signing.write_text("", encoding="utf-8")
    assert told(last) == ("not known", None, "")
    signing.write_text(keys, encoding="utf-8")
    text = team.git("cat-file", "tag", last).replace("better on the north", "better on the south") + "\n"
    loose = team.folder / "forged"
    loose.write_text(text, encoding="utf-8")
    team.git("update-ref", f"refs/tags/{last}", team.git("hash-object", "-t", "tag", "-w", loose))
    assert told(last)[0] == "bad"
    assert "its signature does not fit" in told(last)[2]


@pytest.mark.usefixtures("signing")
def test_a_version_that_should_be_signed_and_is_not_is_a_finding(team):
    retag(team, "penguins@v1.1.0", lambda record: record["params"]["config"]["stages"].update(sign_tags=True))
    assert "it is not signed, and its commit says sign_tags: true" in findings(team)["penguins@v1.1.0"]
    sign_again(team, "penguins@v1.1.0")
    assert "it is not signed" not in " ".join(findings(team)["penguins@v1.1.0"])
