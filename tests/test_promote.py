"""`model promote` and `model rollback`: proven first, moved last; a fault leaves what is live as it was."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest
from conftest import TOOL, cached, in_the_next_push
from filelock import FileLock


def damage(file):
    """Flip one byte in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def remove(file):
    file.chmod(0o644)
    file.unlink()


def event(team, stage="prod"):
    """Return what the last tag of a stage says."""
    tag = team.git("tag", "--list", f"penguins#{stage}#*", "--sort=-version:refname").splitlines()[0]
    return json.loads(team.git("tag", "--list", "--format=%(contents:body)", tag))


def test_roll_back_goes_to_what_was_live_before_not_to_the_highest_number(team):
    team.document()
    team.model("release")  # v1.1.1, never live
    said = team.model("rollback", "--reason", "accuracy fell").output
    assert "prod: v1.0.0 is live, was v1.1.0" in said
    assert team.live() == team.live(cwd=team.origin) == "v1.0.0"
    told = event(team)
    assert (told["from"], told["to"], told["kind"], told["reason"]) == ("v1.1.0", "v1.0.0", "rollback", "accuracy fell")
    assert told["actor"] == "Test <test@example.com>"
    assert any("golden rows" in check for check in told["checks"])
    # A second one has nothing good left, and the one that was left comes back only by force.
    said = team.model("rollback", "--reason", "x", fails=True).output
    assert "nothing good was live in prod before v1.0.0: v1.1.0 was left by a roll-back" in said
    assert "v1.1.0 is quarantined" in team.model("promote", "v1.1.0", "--to", "prod", fails=True).output
    assert "v1.1.0 is quarantined" in team.model("promote", "v1.1.0", "--to", "staging", fails=True).output
    assert "needs a reason" in team.model("promote", "v1.1.0", "--to", "prod", "--force", fails=True).output
    team.model("promote", "v1.1.0", "--to", "prod", "--force", "--reason", "it was the sensor")
    assert team.live() == "v1.1.0"
    history = team.model("history").output
    for words in ("rollback", "prod: v1.1.0 -> v1.0.0", "accuracy fell", "it was the sensor"):
        assert words in history
    # Once forced back it is good again: a new version can be rolled back to it.
    team.model("promote", "v1.1.1", "--to", "prod")
    said = team.model("rollback", "--reason", "worse").output
    assert "prod: v1.1.0 is live, was v1.1.1" in said
    assert "v1.1.0 has the same model as v1.1.1" in said


def test_roll_back_wants_a_reason_and_a_version_that_was_live(team):
    assert "needs a reason" in team.model("rollback", fails=True).output
    team.document()
    team.model("release")
    said = team.model("rollback", "--to", "v1.1.1", "--reason", "x", fails=True).output
    assert "v1.1.1 was never live in prod" in said
    assert (
        "v1.1.0 is live in prod already" in team.model("rollback", "--to", "v1.1.0", "--reason", "x", fails=True).output
    )
    assert (
        "nothing is live in staging" in team.model("rollback", "--stage", "staging", "--reason", "x", fails=True).output
    )
    assert team.live() == "v1.1.0"


def test_a_missing_object_is_fetched_and_a_damaged_one_replaced(team):
    objects = team.objects("penguins@v1.0.0")
    remove(cached(team.project, objects["model.skops"]))
    damage(cached(team.project, objects["golden.json"]))
    damage(cached(team.project, objects[".dir"]))
    said = team.model("rollback", "--reason", "x").output
    assert "missing or damaged in the cache" in said
    assert team.live() == "v1.0.0"
    assert "sound" in team.model("verify", "v1.0.0").output


@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_roll_back_with_an_object_lost_everywhere_leaves_live_untouched(team, fault):
    team.document()
    team.model("release")
    team.model("promote", "v1.1.1", "--to", "prod")
    before = team.tags()
    model = (team.project / "model" / "model.skops").read_bytes()
    for version in ("v1.0.0", "v1.1.0"):
        oid = team.objects(f"penguins@{version}")["model.skops"]
        remove(cached(team.project, oid))
        (remove if fault == "missing" else damage)(cached(team.storage, oid))
    shutil.rmtree(team.project / ".releases", ignore_errors=True)
    team.git("worktree", "prune")
    said = team.model("rollback", "--reason", "x", fails=True).output
    assert {"missing": "an object is missing", "damaged": "the remote holds other bytes"}[fault] in said
    assert "Traceback" not in said
    assert team.tags() == before
    assert (team.project / "model" / "model.skops").read_bytes() == model
    assert not [path for path in (team.project / ".releases").glob("*") if path.is_dir()]


def test_a_version_that_cannot_be_restored_is_passed_over_and_named(team):
    team.document()
    team.model("release")
    team.model("promote", "v1.1.1", "--to", "prod")
    oid = team.objects("penguins@v1.1.0")["model.skops"]
    for store in (team.project, team.storage):
        remove(cached(store, oid))
    shutil.rmtree(team.project / ".releases", ignore_errors=True)
    said = team.model("rollback", "--reason", "x").output
    assert "prod: v1.0.0 is live, was v1.1.1" in said
    assert "v1.1.0 was passed over" in said


def test_a_version_that_is_busy_is_not_passed_over(team):
    team.document()
    team.model("release")
    team.model("promote", "latest", "--to", "prod")
    before = team.tags()
    with FileLock(team.project / ".dvc" / "tmp" / "model-release-v1.1.0.lock"):
        said = team.model("rollback", "--reason", "x", fails=True).output
    assert "another model command is running" in said
    assert 'model rollback --stage prod --to v1.0.0 --reason "why"' in said
    assert team.tags() == before
    team.model("rollback", "--reason", "x")
    assert team.live() == "v1.1.0"


def test_what_is_the_users_own_is_left_alone(team):
    """Keep a worktree that is not mounted just now, and tags that are only here."""
    mine, away = team.folder / "mine", team.folder / "away"
    team.git("worktree", "add", "--quiet", "--detach", str(mine))
    mine.rename(away)
    for name in ("fetch.prune", "fetch.pruneTags"):
        team.git("config", name, "true")
    team.git("tag", "-a", "only-here", "-m", "x")
    team.model("rollback", "--reason", "x")
    away.rename(mine)
    assert team.git("rev-parse", "HEAD", cwd=mine) == team.git("rev-parse", "HEAD")
    assert team.git("tag", "--list", "only-here") == "only-here"


def test_a_release_directory_that_was_touched_is_not_trusted(team):
    team.model("rollback", "--reason", "x")
    team.model("promote", "v1.1.0", "--to", "prod", "--force", "--reason", "y")
    there = team.project / ".releases" / "v1.0.0"
    inode = there.stat().st_ino
    team.model("promote", "v1.0.0", "--to", "staging")
    assert there.stat().st_ino == inode, "what is proven is used again"
    damage(there / "model" / "model.skops")
    team.model("promote", "v1.0.0", "--to", "dev")
    assert there.stat().st_ino != inode
    inode = there.stat().st_ino
    # Nor is a proof that was made to fit: the record says which bytes the model has.
    proof = team.project / ".releases" / "v1.0.0.json"
    noted = json.loads(proof.read_text(encoding="utf-8"))
    damage(there / "model" / "model.skops")
    noted["files"]["model.skops"] = hashlib.sha256((there / "model" / "model.skops").read_bytes()).hexdigest()
    proof.write_text(json.dumps(noted), encoding="utf-8")
    team.model("promote", "v1.0.0", "--to", "beta")
    assert there.stat().st_ino != inode
    inode = there.stat().st_ino
    (there / "penguins" / "features.py").write_text("evil = True\n", encoding="utf-8")
    team.model("promote", "v1.0.0", "--to", "qa")
    assert there.stat().st_ino != inode


def test_a_directory_that_is_gone_is_built_from_what_was_proven_here(team):
    team.model("promote", "v1.0.0", "--to", "staging")
    folder, proof = (team.project / ".releases" / name for name in ("v1.0.0", "v1.0.0.json"))
    shutil.rmtree(folder)
    said = team.model("promote", "v1.0.0", "--to", "dev").output
    assert "golden rows replayed at 20" in said
    assert "replaying the golden rows" not in said
    assert (folder / "model" / "model.skops").is_file()
    found = json.loads(proof.read_text(encoding="utf-8"))
    for changed in ({"environment": "0" * 64}, {"tag": "0" * 40}, {"files": None}):
        shutil.rmtree(folder)
        proof.write_text(json.dumps(found | changed), encoding="utf-8")
        said = team.model("promote", "v1.0.0", "--to", f"by-{next(iter(changed))}").output
        assert "replaying the golden rows" in said, "other packages, another tag, or no proof at all"


def test_a_model_that_answers_differently_is_never_live(team):
    """Forge a version whose hashes are all right, and whose golden rows are not."""
    project = team.project
    golden = json.loads((project / "model" / "golden.json").read_text(encoding="utf-8"))
    golden["predictions"][0] = "Gentoo" if golden["predictions"][0] != "Gentoo" else "Adelie"
    remove(project / "model" / "golden.json")
    (project / "model" / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    team.dvc("commit", "--force", "train", "evaluate")
    team.git("commit", "--quiet", "--all", "--message", "Forge")
    team.model("release")
    before = team.tags()
    said = team.model("promote", "v1.1.1", "--to", "prod", fails=True).output
    assert "golden row 0: the model now answers" in said
    assert team.tags() == before
    assert not (project / ".releases" / "v1.1.1").exists()


def test_a_promotion_to_what_callers_may_not_send_is_refused_and_a_roll_back_goes_on_with_a_warning(team):
    team.change("leave_out: []", "leave_out: [year, sex]", file="conf/data/penguins.yaml")
    said = team.model("release").output  # v2.0.0 takes less
    assert "v2.0.0: major after v1.1.0: column 'sex' is no longer taken; column 'year' is no longer taken" in said
    team.model("promote", "v2.0.0", "--to", "prod")
    said = team.model("promote", "v1.0.0", "--to", "prod", fails=True).output
    assert "v1.0.0 may not serve the requests that v2.0.0 serves: the new column 'sex' is needed" in said
    assert team.live() == "v2.0.0"
    said = team.model("rollback", "--reason", "x").output
    warning = "WARNING: v1.1.0 may not serve every request that v2.0.0 served: the new column 'sex' is needed"
    assert warning in said
    assert team.live() == "v1.1.0"
    told = event(team)
    assert told["notes"][0].startswith(warning)
    assert not told["forced"]
    assert warning in team.model("history", "--audit", "--csv").output


def test_the_order_of_stages_is_kept_where_it_is_asked_for(team):
    team.change("order: []", "order: [staging, prod]", file="conf/stages/default.yaml")
    said = team.model("release").output
    assert "v1.2.0" in said
    said = team.model("promote", "v1.2.0", "--to", "prod", fails=True).output
    assert "v1.2.0 was never in staging" in said
    team.model("promote", "v1.2.0", "--to", "staging")
    team.model("promote", "v1.2.0", "--to", "prod")
    assert team.live() == "v1.2.0"


def test_a_stage_that_is_nearly_named_as_another_is_asked_about(team):
    for name in ("Prod", "prd"):
        said = team.model("promote", "v1.0.0", "--to", name, fails=True).output
        assert f"there is no stage {name}; did you mean prod?" in said
    team.model("promote", "v1.0.0", "--to", "prod2", "--force", "--reason", "a second one")
    assert team.live(stage="prod2") == "v1.0.0"


def test_rules_that_were_edited_and_not_committed_are_not_guessed(team, edit):
    edit(team.project / "conf" / "stages" / "default.yaml", "order: []", "order: [staging, prod]")
    said = team.model("promote", "v1.0.0", "--to", "prod", fails=True).output
    assert "the rules in conf/stages/default.yaml were edited, and are not in force" in said
    # A roll-back is for when something burns: it asks no rule.
    assert "prod: v1.0.0 is live" in team.model("rollback", "--reason", "it burns").output


def test_two_clones_that_move_a_stage_at_once_do_not_overwrite_each_other(team):
    """Another clone moves the stage between the look and the push: its hook runs in our push."""
    other = team.clone()
    team.document()
    team.model("release")
    in_the_next_push(team, other, "model rollback --reason theirs")
    said = team.model("promote", "v1.1.1", "--to", "prod", fails=True).output
    assert "prod was moved meanwhile: Test <test@example.com> made v1.0.0 live" in said
    assert team.live() == team.live(cwd=other) == team.live(cwd=team.origin) == "v1.0.0"
    # v1.1.1 has the model of v1.1.0, which was left by a roll-back just now.
    said = team.model("promote", "v1.1.1", "--to", "prod", fails=True).output
    assert "v1.1.1 has the same model as v1.1.0, which is quarantined" in said
    team.model("promote", "v1.1.1", "--to", "prod", "--force", "--reason", "the model was not at fault")
    assert team.live() == "v1.1.1"


@pytest.mark.parametrize("fault", ["denies", "gone"])
def test_a_git_remote_that_fails_leaves_the_stage_as_it_was(team, fault):
    before = team.tags()
    if fault == "denies":
        hook = team.origin / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\necho 'not you' >&2\nexit 1\n", encoding="utf-8")
        hook.chmod(0o755)
    else:
        team.origin.rename(team.folder / "away")
    said = team.model("rollback", "--reason", "x", fails=True).output
    assert "Traceback" not in said
    assert team.tags() == before
    if fault == "denies":
        hook.unlink()
    else:
        (team.folder / "away").rename(team.origin)
    team.model("rollback", "--reason", "x")
    assert team.live(cwd=team.origin) == "v1.0.0"


def test_a_clock_that_goes_backwards_changes_nothing(team):
    team.model("rollback", "--reason", "x", GIT_COMMITTER_DATE="2001-01-01T00:00:00Z")
    assert team.live() == "v1.0.0"
    status = team.model("status").output
    assert "prod: v1.0.0" in status
    first = team.model("history").output.splitlines()[1]
    assert "v1.1.0 -> v1.0.0" in first


def test_a_full_disk_leaves_live_untouched(team, cold):
    """A limit on the size of files is what a full disk looks like to a process: writes fail."""
    before = team.tags()
    done = subprocess.run(
        [
            "sh",
            "-c",
            "ulimit -f 8; exec model promote v1.0.0 --to staging",
        ],  # blocks of 512 bytes: the worktree does not fit
        cwd=team.project,
        env={**cold, "PYTHONPATH": TOOL},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert team.tags() == before
    team.model("promote", "v1.0.0", "--to", "staging")
    assert team.live(stage="staging") == "v1.0.0"


def test_a_read_only_checkout_is_told_so_and_still_answers(team, cold):
    for folder in (team.project / ".dvc" / "tmp", team.project / ".dvc", team.project):
        folder.chmod(0o555)
    bare = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"] if os.geteuid() == 0 else []
    try:
        for command, said, code in (
            (["history"], "v1.0.0", 0),
            (["show", "prod"], "v1.1.0", 0),
            (["rollback", "--reason", "x"], "this checkout is read-only", 1),
        ):
            done = subprocess.run(
                [*bare, "model", *command],
                cwd=team.project,
                env={**cold, "PYTHONPATH": TOOL},
                capture_output=True,
                text=True,
                check=False,
            )
            assert said in done.stdout + done.stderr
            assert done.returncode == code
    finally:
        for folder in (team.project, team.project / ".dvc", team.project / ".dvc" / "tmp"):
            folder.chmod(0o755)


@pytest.mark.parametrize("package", ["six", "not-installed-here"])
def test_a_version_with_other_packages_runs_in_an_environment_of_its_own_or_says_what_it_needs(team, edit, package):
    """No package index is reached here: the fault is told, and live stays."""
    lock, pyproject = team.project / "uv.lock", team.project / "pyproject.toml"
    noted = json.loads((team.project / "environment.json").read_text(encoding="utf-8"))
    if package in noted["packages"]:
        edit(lock, f'name = "{package}"\nversion = "', f'name = "{package}"\nversion = "0.')
    else:
        edit(lock, "dependencies = [", f'dependencies = [{{ name = "{package}" }}, ')
        entry = f'\n[[package]]\nname = "{package}"\nversion = "1.0"\nsource = {{ registry = "x" }}\n'
        lock.write_text(lock.read_text(encoding="utf-8") + entry, encoding="utf-8")
        edit(pyproject, "\ndependencies = [\n", f'\ndependencies = [\n  "{package}",\n')
    noted["packages"][package] = "0." + noted["packages"].get(package, "1")
    (team.project / "environment.json").write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    team.dvc("commit", "--force")
    team.git("commit", "--quiet", "--all", "--message", "Another package")
    team.model("release")
    before = team.tags()
    said = team.model("promote", "v1.1.1", "--to", "prod", fails=True, UV_OFFLINE="1").output
    assert "the version's environment cannot be installed" in said
    assert team.tags() == before
