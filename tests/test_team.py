"""Two people: clones that act at once, that lag behind, and branches that both trained."""

import re

import pytest
import servers
from conftest import Team, configure, copy, in_the_next_push
from test_storage import bucket, no_secret_anywhere  # noqa: F401 (one is a fixture)

MADE = {"dvc.lock", "params.yaml", "metrics.json", "evaluation.json"}


def conflicts(team, cwd=None):
    return set(team.git("diff", "--name-only", "--diff-filter=U", cwd=cwd).splitlines())


def other_branch(team, key, value, file="conf/compute/default.yaml"):
    """Train a change on a branch of its own, from the commit before the last, and come back to main."""
    team.git("switch", "--quiet", "-c", "other", "HEAD~1")
    team.change(key, value, file=file)
    team.git("switch", "--quiet", "main")
    team.dvc("checkout")


def test_a_merge_of_two_trained_branches_is_resolved_by_training(team):
    """main chose a forest and other features, the branch another seed: the merge has both."""
    other_branch(team, "seed: 42", "seed: 43")
    team.git("merge", "other", fails=True)
    found = conflicts(team)
    assert {"dvc.lock", "params.yaml"} <= found <= MADE, "only what is made"
    for name in found:
        assert "<<<<<<<" not in (team.project / name).read_text(encoding="utf-8"), "each is one side, whole"
    said = team.model("status").output
    fix = re.search(r"merge conflicts in .*\n +fix: (.*)", said)[1]
    assert fix == "dvc repro, then git add --all && git commit --no-edit"
    refused = team.model("release", fails=True).stderr
    assert fix in refused
    for command in re.split(r", then ", fix):
        team._run("sh", "-ec", command, cwd=team.project)
    params = (team.project / "params.yaml").read_text(encoding="utf-8")
    assert "seed: 43" in params
    assert "random_forest" in params
    assert "up to date" in team.dvc("status")
    assert not team.git("status", "--porcelain")
    assert len(team.git("rev-list", "--parents", "-n", "1", "HEAD").split()) == 3, "a merge"
    team.git("push", "--quiet", "origin", "main")
    assert "v1.2.0: minor after v1.1.0" in team.model("release").stdout
    assert "v1.2.0: sound" in team.model("verify", "v1.2.0", "--remote").stdout


def test_a_merge_that_people_must_decide_says_what_is_theirs_to_decide(team):
    """Both changed the same line of conf/, and both changed the data."""
    raw = team.project / "data" / "raw" / "penguins.csv"
    whole = raw.read_text(encoding="utf-8").splitlines(keepends=True)

    def shorten(count):
        raw.unlink()
        raw.write_text("".join(whole[:-count]), encoding="utf-8")
        team.dvc("add", "data/raw")

    team.git("switch", "--quiet", "-c", "other", "HEAD~1")
    team.dvc("checkout")
    shorten(2)
    team.change("seed: 42", "seed: 43")
    theirs = team.git("rev-parse", "HEAD:data/raw.dvc")
    team.git("switch", "--quiet", "main")
    team.dvc("checkout")
    shorten(1)
    team.change("seed: 42", "seed: 44")
    team.git("merge", "other", fails=True)
    assert {"conf/compute/default.yaml", "data/raw.dvc", "dvc.lock"} <= conflicts(team)
    fix = re.search(r"merge conflicts in .*\n +fix: (.*)", team.model("status").output)[1]
    assert fix.startswith("resolve conf/compute/default.yaml, data/raw.dvc")
    assert "git checkout --theirs FILE.dvc && dvc checkout" in fix
    # Torn files, as git makes them without our attributes, are told with one more step.
    (team.project / "dvc.lock").write_text("<<<<<<< ours\n", encoding="utf-8")
    assert "git checkout --ours dvc.lock" in team.model("status").output
    team.git("checkout", "--ours", "dvc.lock")
    team.git("checkout", "--theirs", "conf/compute/default.yaml", "data/raw.dvc")
    team.dvc("checkout", "data/raw.dvc")
    team.dvc("repro")
    team.git("add", "--all")
    team.git("commit", "--quiet", "--no-edit")
    assert team.git("rev-parse", "HEAD:data/raw.dvc") == theirs
    assert "seed: 43" in (team.project / "params.yaml").read_text(encoding="utf-8")
    assert "up to date" in team.dvc("status")


def test_a_clone_that_lags_behind_fetches_before_it_moves_anything(team):
    """It knows neither the newest version nor that the stage moved; its tags come late, with the command."""
    late = team.clone()
    team.document()
    team.model("release")
    team.model("promote", "v1.1.1", "--to", "prod")
    assert "v1.1.1" not in team.git("tag", cwd=late)
    assert "has 2 tags that are not here" in team.model("status", cwd=late).output
    # A promotion of what is live: refused with who did it.
    refused = team.model("promote", "v1.1.1", "--to", "prod", cwd=late, fails=True).stderr
    assert "v1.1.1 is live in prod already" in refused
    # A roll-back leaves the version that is live in truth, not the one that was known here.
    assert "prod: v1.1.0 is live, was v1.1.1" in team.model("rollback", "--reason", "late", cwd=late).stdout
    # A release from the old commit is told that it is one already; a new one gets a number after the newest.
    assert "this commit is v1.1.0 already" in team.model("release", cwd=late, fails=True).stderr
    team.document(cwd=late)
    refused = team.model("release", cwd=late, fails=True).stderr
    assert "origin/main has commits that are not here" in refused
    assert "git pull" in refused
    assert "v1.1.2" not in team.tags(cwd=team.origin)


def test_a_branch_that_was_force_pushed_takes_no_version_with_it(team):
    """Somebody rewrote main and dropped the commits of both versions; their tags still hold them."""
    late = team.clone()
    team.git("switch", "--quiet", "--orphan", "fresh")
    (team.project / "README.md").write_text("Start again.\n", encoding="utf-8")
    team.git("add", "README.md")
    team.git("commit", "--quiet", "--message", "Start again")
    team.git("push", "--quiet", "--force", "origin", "fresh:main")
    team.git("switch", "--quiet", "main")
    clone = team.clone("fresh clone")
    team.git("checkout", "--quiet", "penguins@v1.1.0", cwd=clone)
    assert "v1.0.0: sound\nv1.1.0: sound" in team.model("verify", "--all", "--remote", cwd=clone).stdout
    assert "v1.0.0 is live" in team.model("rollback", "--reason", "it was rewritten", cwd=clone).stdout
    # Whoever has the old main does not push it over the new one with a release.
    team.document(cwd=late)
    refused = team.model("release", cwd=late, fails=True).stderr
    assert re.search("has commits that are not here|has commits on main that are not here", refused)
    assert "Start again" in team.git("log", "-1", "--format=%s", "main", cwd=team.origin)
    # Nor does a prune take what only the tags hold.
    assert "was live" in team.model("prune", cwd=late).stdout


@pytest.mark.parametrize("first", ["release", "promotion"])
def test_a_release_and_a_promotion_at_once_both_come_true(team, first):
    """Neither touches what the other does, whichever arrives first."""
    clone = team.clone()
    if first == "release":
        team.git("config", "push.default", "nothing")
        team.dvc("pull", cwd=clone)
        team.document(cwd=clone)
        in_the_next_push(team, clone, "model release")
        team.model("promote", "v1.0.0", "--to", "staging")
    else:
        team.document()
        in_the_next_push(team, clone, "model promote v1.0.0 --to staging")
        team.model("release")
    team.git("fetch", "--tags", "--quiet", "origin", "+refs/heads/*:refs/remotes/origin/*")
    for place in (team.project, team.origin):
        assert "penguins@v1.1.1" in team.tags(cwd=place)
        assert team.live(cwd=place, stage="staging") == "v1.0.0"
    assert "v1.1.1: sound" in team.model("verify", "v1.1.1").stdout
    assert not [line for line in team.model("history", "--audit").stdout.splitlines() if "FINDING" in line]


def blocks(markdown):
    """Return the commands of each bash block."""
    return [block.strip().splitlines() for block in re.findall(r"```bash\n(.*?)```", markdown, re.DOTALL)]


def test_the_page_on_teams_is_walked_by_two_people(team_once, run, environment, edit, tmp_path, bucket):  # noqa: F811
    """Every command of the page, in its order, each by the person that it is for: Ann starts, Bob changes."""
    ann = Team(tmp_path / "ann", run, environment)
    ann.folder.mkdir()
    ann.origin = tmp_path / "penguins.git"
    copy(team_once.folder / "penguins", ann.project)
    ann.git("remote", "remove", "origin")
    ann.git("tag", "--delete", *ann.git("tag").splitlines())
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", ann.origin, cwd=tmp_path)
    page = (ann.project / "docs" / "team.md").read_text(encoding="utf-8")
    start, join, change, merge, release, see = blocks(page)
    keys, said = servers.variables(bucket), {}

    def walk(lines, cwd):
        for line in lines:
            if line.startswith(("uv sync", "uv add", "cd ")):
                continue  # the tests share one environment, and each command has its folder
            command = line.removeprefix("uv run ").replace("git@example.com:team/penguins.git", f"'{ann.origin}'")
            command = command.replace("s3://bucket/prefix", "s3://models/penguins")
            done = run("sh", "-ec", command, cwd=cwd, fails=command == "git merge origin/main", **keys)
            said[line] = done.output

    walk(start, ann.project)
    bob = tmp_path / "bob" / "penguins"
    bob.parent.mkdir()
    walk(join[:1], bob.parent)
    configure(run, bob)
    walk(join[1:], bob)
    edit(bob / "conf" / "compute" / "default.yaml", "seed: 42", "seed: 43")
    walk(change, bob)
    assert "against v1.0.0" in (bob / "build" / "report" / "report.md").read_text(encoding="utf-8")
    # Meanwhile Ann:
    ann.change("n_estimators: 200", "n_estimators: 100", file="conf/model/random_forest.yaml")
    ann.git("push", "--quiet", "origin", "main")
    walk(merge, bob)
    # What the forge does when the request is approved:
    ann.git("pull", "--quiet", "--no-edit", "--no-rebase", "origin", "another-model")
    ann.git("push", "--quiet", "origin", "main")
    walk(release, bob)
    walk(see, ann.project)
    assert "v1.0.0 is live, was v1.1.0" in said['uv run model rollback --reason "accuracy fell"']
    assert "v1.0.0: sound\nv1.1.0: sound" in said["uv run model verify --all --remote"]
    assert re.search(r"v1\.0\.0 +\S+ +live in prod", said["uv run model prune"])
    params = (bob / "params.yaml").read_text(encoding="utf-8")
    assert "seed: 43" in params
    assert "n_estimators: 100" in params
    no_secret_anywhere(ann, bob)
