"""`model release` and `model gate`: complete, explained, good enough, stored, and only then named."""

import json
import re
import shutil

import jsonschema
import pytest
from conftest import TOOL, cached, in_the_next_push, write_card


def record(team, version, cwd=None):
    return json.loads(team.model("show", version, "--json", cwd=cwd).stdout)


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from leaves(part, (*path, number))
    else:
        yield path, value


def test_the_record_is_whole_and_every_field_is_derived(team):
    message = team.git("tag", "--list", "--format=%(contents)", "penguins@v1.1.0")
    line, _, body = message.partition("\n\n")
    assert line == "penguins v1.1.0: Train a forest"
    found = json.loads(body)
    assert body.strip() == json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert len(body.encode()) < 64 * 1024
    schema = team.project / TOOL / "modelbook" / "registry" / "record.schema.json"
    jsonschema.validate(found, json.loads(schema.read_text(encoding="utf-8")))
    may_be_empty = {
        "max_depth",
        "missing",
        "id",
        "leave_out",
        "private",
        "text",
        "types",
        "separator",
        "date_format",
        "slices_no_worse",
        "order",
        "versions",
    }
    for path, value in leaves(found):
        if not may_be_empty & {*path}:
            assert value not in (None, "", [], {}), path

    # Nothing was typed in: each block agrees with what it was derived from.
    commit = team.git("rev-parse", "penguins@v1.1.0^{commit}")
    assert found["code"]["commit"] == commit
    assert found["code"]["tree"] == team.git("rev-parse", f"{commit}^{{tree}}")
    assert found["model"]["md5"] == team.objects("penguins@v1.1.0")[".dir"]
    assert found["model"]["bytes"] == (team.project / "model" / "model.skops").stat().st_size
    assert found["params"]["choices"]["model"] == "random_forest"
    assert (
        found["metrics"]["values"]["test"]["accuracy"]["value"]
        == json.loads((team.project / "metrics.json").read_text(encoding="utf-8"))["test"]["accuracy"]
    )
    assert found["identity"]["parent"] == {"version": "v1.0.0", "tag": team.git("rev-parse", "penguins@v1.0.0")}
    assert found["data"]["inputs"][0]["rows"] == 344
    assert found["governance"]["author"] == "Test <test@example.com>"
    assert found["governance"]["gate"]["against"] == "v1.0.0"


def test_everything_that_is_wrong_is_listed_at_once_with_its_fix(team, edit):
    edit(team.project / "conf" / "model" / "random_forest.yaml", "n_estimators: 200", "n_estimators: 20")
    (team.project / "uv.lock").write_text("version = 1\n", encoding="utf-8")
    team.git("commit", "--quiet", "--all", "--message", "Break it")
    team.dvc("config", "--unset", "core.remote")
    (team.project / "notes.txt").write_text("x", encoding="utf-8")
    team.git("checkout", "--quiet", "--detach")
    before = team.tags()
    said = team.model("release", fails=True).output
    for what, fix in (
        ("not committed: .dvc/config, notes.txt", "git add --all && git commit, or git stash"),
        ("HEAD is detached", "git switch main"),
        ("uv.lock locks no versions", "uv lock && uv sync"),
        ("params.yaml is not what conf/ composes to (model.estimator.n_estimators is 200, conf/ says 20)", "dvc repro"),
        ("compose is out of date", "dvc repro, then git add --all && git commit"),
        ("there is no DVC remote", "dvc remote add --default"),
    ):
        assert re.search(re.escape(what) + r".*\n    fix: " + re.escape(fix), said), f"{what}\n{said}"
    assert "Traceback" not in said
    assert team.tags() == before


def test_the_same_commit_is_not_released_twice(team):
    assert "this commit is v1.1.0 already" in team.model("release", fails=True).output


def test_the_number_says_what_changed(team, edit):
    edit(team.project / "README.md", "# Penguins", "# The penguins")
    team.git("commit", "--quiet", "--all", "--message", "Document")
    assert "v1.1.1: patch after v1.1.0: only the environment or documentation" in team.model("release").output
    team.change()
    said = team.model("release").output
    assert "v1.2.0: minor after v1.1.1: params changed: compute.seed" in said
    team.change("leave_out: []", "leave_out: [year]", file="conf/data/penguins.yaml")
    assert "v2.0.0: major after v1.2.0: column 'year' is no longer taken" in team.model("release").output
    edit(team.project / "README.md", "# The penguins", "# Penguins")
    team.git("commit", "--quiet", "--all", "--message", "Again")
    assert "v2.1.0: minor after v2.0.0: asked for" in team.model("release", "--bump", "minor").output
    assert "--bump" in team.model("release", "--bump", "huge", fails=True).output


def test_a_number_that_a_tag_of_another_kind_has_is_passed_over(team):
    team.git("tag", "penguins@v1.1.1")
    team.document()
    assert "v1.1.2: patch after v1.1.0" in team.model("release").output
    assert "penguins@v1.1.1" not in team.git("tag", cwd=team.origin)


def test_without_a_git_remote_the_tag_stays_here_and_says_so(team):
    team.git("remote", "remove", "origin")
    team.document()
    said = team.model("release").output
    assert "there is no git remote: the tag is only in this clone" in said
    assert "v1.1.1" in team.git("tag")


def test_data_is_seen_in_the_remote_even_if_dvc_believes_that_it_is_there(team):
    team.dvc("push", "--all-tags")
    for file in (
        cached(team.storage, team.objects("HEAD")["model.skops"]),
        cached(team.storage, team.objects("HEAD")[".dir"]),
    ):
        file.chmod(0o644)
        file.unlink()
    assert "v1.1.0" in team.model("verify", "v1.1.0", fails=True).output
    team.document()
    said = team.model("release").output
    assert "2 of them sent now" in said
    assert cached(team.storage, team.objects("HEAD")["model.skops"]).exists()


def test_damaged_objects_are_not_sent(team):
    team.change()
    oid = json.loads(cached(team.project, re.search(r"path: model\n.*\n +md5: (\S+)", lock_text(team))[1]).read_text())[
        2
    ]
    file = cached(team.project, oid["md5"])
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    said = team.model("release", fails=True).output
    assert "model" in said
    assert "dvc repro" in said
    assert "v1.2.0" not in team.git("tag")


def lock_text(team):
    return (team.project / "dvc.lock").read_text(encoding="utf-8")


def test_two_clones_that_release_at_once_get_two_numbers(team, run):
    """Another clone takes the number between the look and the push: its hook runs in our push."""
    other = team.clone()
    run("dvc", "pull", "--quiet", cwd=other)
    team.git("switch", "--quiet", "-c", "theirs", cwd=other)
    team.document(cwd=other)
    team.document()
    team.git("commit", "--quiet", "--amend", "--message", "Ours", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")
    in_the_next_push(team, other, "model release")
    said = team.model("release").output
    assert "v1.1.2: patch after v1.1.0" in said
    assert "v1.1.1 is taken" in said
    assert team.git("rev-parse", "main", cwd=team.origin) == team.git("rev-parse", "penguins@v1.1.2^{commit}")
    assert team.git("rev-parse", "theirs", cwd=team.origin) == team.git("rev-parse", "penguins@v1.1.1^{commit}")
    assert team.git("for-each-ref", "--format=%(refname)", "refs/tags", cwd=team.origin).count("@v") == 4


def test_a_branch_that_is_behind_is_refused_and_nothing_is_tagged(team):
    other = team.clone()
    team.git("commit", "--quiet", "--allow-empty", "-m", "Theirs", cwd=other)
    team.git("push", "--quiet", cwd=other)
    team.document()
    said = team.model("release", fails=True).output
    assert "origin/main has commits that are not here" in said or "origin has commits on main that are not here" in said
    assert "v1.1.1" not in team.git("tag")
    assert "v1.1.1" not in team.git("tag", cwd=team.origin)


@pytest.mark.parametrize("fault", ["denies", "gone", "storage"])
def test_a_remote_that_fails_leaves_no_version(team, fault):
    team.document()
    before = team.tags()
    if fault == "denies":
        hook = team.origin / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\necho 'tags are protected here' >&2\nexit 1\n", encoding="utf-8")
        hook.chmod(0o755)
    elif fault == "gone":
        team.origin.rename(team.folder / "away")
    else:
        shutil.rmtree(team.storage)
        team.storage.write_text("a file, not a folder", encoding="utf-8")
    said = team.model("release", fails=True).output
    assert {"denies": "did not take the tag", "gone": "does not answer", "storage": "could not be"}[fault] in said
    assert "Traceback" not in said
    assert team.tags() == before
    # Mended, the same command finishes.
    if fault == "denies":
        hook.unlink()
    elif fault == "gone":
        (team.folder / "away").rename(team.origin)
    else:
        team.storage.unlink()
    assert "v1.1.1" in team.model("release").output


def test_released_on_another_machine_the_record_says_null_not_a_guess(team, run):
    team.document()
    team.git("push", "--quiet", "origin", "main")
    run("dvc", "push", "--quiet", cwd=team.project)
    other = team.clone()
    run("dvc", "pull", "--quiet", cwd=other)
    said = team.model("release", cwd=other).output
    assert "no note of the training" in said
    found = record(team, "v1.1.1", cwd=other)
    assert found["governance"]["trained"] is None
    assert found["environment"]["blas"] is None
    assert "sound" in team.model("verify", "v1.1.1", cwd=other).output
    team.git("fetch", "--quiet", "--tags")
    assert "sound" in team.model("verify", "v1.1.1").output


def test_a_worse_model_is_refused_with_the_rule_and_shown_rule_by_rule(team):
    config = team.project / "conf" / "config.yaml"
    config.write_text(config.read_text("utf-8").replace("model: random_forest", "model: baseline"), encoding="utf-8")
    team.dvc("repro", "--quiet")
    shown = team.model("gate", "--json", fails=True)
    verdict = json.loads(shown.stdout)
    assert [rule["passed"] for rule in verdict["rules"]] == [False, False, False]
    assert verdict["against"] == "v1.1.0"
    team.git("commit", "--quiet", "--all", "--message", "Worse")
    said = team.model("release", fails=True).output
    assert "gate: test roc_auc is 0.5" in said
    assert "0.05 of it worse than v1.1.0 is required" in said
    assert "v1.1.1" not in team.git("tag")


def test_the_gate_asks_the_live_version_about_the_same_new_rows(team, edit):
    """Another test set: the live model predicts it in its own release directory."""
    edit(
        team.project / "conf" / "gate" / "default.yaml",
        "slices_no_worse: {}",
        "slices_no_worse: {island: {accuracy: 0.9}, year: {accuracy: 0.9}}",
    )
    edit(team.project / "conf" / "split" / "row.yaml", "salt: salt", "salt: two")
    team.dvc("repro", "--quiet")
    shown = team.model("gate")
    assert re.search(r"\d+ of \d+ test rows are others than those of v1.1.0", shown.stderr)
    assert "test accuracy" in shown.stdout
    assert "test accuracy where island is Biscoe" in shown.stdout
    assert "test accuracy where year is 2007 " in shown.stdout
    assert (team.project / ".releases" / "v1.1.0").is_dir()


def test_a_candidate_may_leave_out_what_the_live_version_takes(team, edit):
    edit(team.project / "conf" / "data" / "penguins.yaml", "leave_out: []", "leave_out: [island]")
    edit(team.project / "conf" / "task" / "classification.yaml", "slices: [island, sex]", "slices: []")
    team.dvc("repro", "--quiet")
    said = team.model("gate").output
    assert re.search(r"test accuracy +at most 0.05 of it worse than v1.1.0 +[\d.]+ against [\d.]+", said), said


def test_a_candidate_with_another_target_is_not_compared(team, edit):
    edit(team.project / "conf" / "data" / "penguins.yaml", "target: species", "target: sex")
    edit(team.project / "conf" / "task" / "classification.yaml", "slices: [island, sex]", "slices: []")
    team.dvc("repro", "--quiet")
    said = team.model("gate", fails=True).output
    assert re.search(r"FAILED +comparison with v1.1.0 .*v1.1.0 predicts species, this one predicts sex", said), said


def test_a_live_version_that_cannot_be_asked_is_no_reason_to_pass(team, edit):
    table = next((team.project / "data" / "raw").glob("*.csv"))
    rows = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()]
    island = rows[0].index("island")
    kept = [",".join(row[:island] + row[island + 1 :]) for row in rows]
    table.chmod(0o644)
    table.write_text("\n".join(kept) + "\n", encoding="utf-8")
    team.dvc("add", "data/raw")
    edit(team.project / "conf" / "task" / "classification.yaml", "slices: [island, sex]", "slices: []")
    team.dvc("repro", "--quiet")
    said = team.model("gate", fails=True).output
    assert re.search(r"FAILED +comparison with v1.1.0 .*this column is missing: island", said)
    edit(team.project / "conf" / "gate" / "default.yaml", "incomparable: refuse", "incomparable: pass")
    team.dvc("repro", "--quiet")
    assert "passed" in team.model("gate").output


def test_tags_are_signed_when_the_rules_say_so_and_verified(team, run, edit):
    key = team.folder / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key, cwd=team.folder)
    edit(team.project / "conf" / "stages" / "default.yaml", "sign_tags: false", "sign_tags: true")
    team.dvc("repro", "--quiet")
    team.git("commit", "--quiet", "--all", "--message", "Sign")
    assert "could not be signed" in team.model("release", fails=True).output
    assert "v1.2.0" not in team.git("tag")
    team.git("config", "gpg.format", "ssh")
    team.git("config", "user.signingkey", f"{key}.pub")
    signers = team.folder / "signers"
    signers.write_text("test@example.com " + (team.folder / "key.pub").read_text(), encoding="utf-8")
    team.git("config", "gpg.ssh.allowedSignersFile", signers)
    team.model("release")
    team.git("verify-tag", "penguins@v1.2.0")
    assert "the signature is good" in team.model("verify", "v1.2.0").output
    signers.write_text("", encoding="utf-8")
    assert "the signature of penguins@v1.2.0 is not good" in team.model("verify", "v1.2.0", fails=True).output


def test_a_shallow_clone_is_told_what_it_lacks(team, run):
    shallow = team.folder / "shallow"
    run("git", "clone", "--quiet", "--depth", "1", f"file://{team.origin}", shallow, cwd=team.folder)
    for name, value in (("user.name", "Test"), ("user.email", "test@example.com")):
        team.git("config", name, value, cwd=shallow)
    said = team.model("release", cwd=shallow, fails=True).output
    assert "this clone is shallow" in said
    assert "git fetch --unshallow" in said


def test_a_project_without_a_name_for_its_user_is_told_the_command(team):
    team.git("config", "--unset", "user.name")
    team.git("config", "--unset", "user.email")
    said = team.model("release", fails=True).output
    assert "git does not know who you are" in said


def test_a_card_that_is_not_written_is_noted_at_release(generate, run, commit, lock_installed, tmp_path):
    project = generate(tmp_path)
    for name, value in (("user.name", "Test"), ("user.email", "test@example.com")):
        run("git", "config", name, value, cwd=project)
    said = run("model", "release", cwd=project, fails=True).output
    assert "not committed: dvc.lock" in said
    lock_installed(project)
    run("dvc", "repro", cwd=project)
    commit(project, "Train")
    assert "prod will refuse this version" in run("model", "release", cwd=project).output
    said = run("model", "promote", "v1.0.0", "--to", "prod", cwd=project, fails=True).output
    assert "the model card of v1.0.0 is not written: Intended use, Limits, Ethical notes, Owner" in said
    run("model", "promote", "v1.0.0", "--to", "staging", cwd=project)
    write_card(project)
    commit(project, "Write the card")
    assert "v1.0.1: patch" in run("model", "release", cwd=project).output
    run("model", "promote", "v1.0.1", "--to", "prod", cwd=project)
    card = run("model", "card", "prod", cwd=project).stdout
    assert "Known and written down." in card
    assert "TODO" not in card
    assert re.search(r"\| accuracy \| 0\.9\d+ \[0\.9\d*, 1\] \|", card)
    assert "prod, " in card.partition("## Where it was live")[2]
