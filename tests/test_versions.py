"""`verify`, `reproduce`, `diff`, `checkout`, `adopt`, `status`, `show`: explained, proven, and back."""

import json
import re
import shutil

from conftest import TOOL, cached
from test_promote import damage, remove


def retag(team, name, change, commit=None):
    """Edit a tag's record by hand, as somebody with bad intent would; return the hash of the new tag."""
    message = team.git("tag", "--list", "--format=%(contents)", name)
    line, _, body = message.partition("\n\n")
    record = json.loads(body)
    change(record)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    team.git("tag", "-f", "-a", name, commit or f"{name}^{{commit}}", "-m", f"{line}\n\n{text}")


# --- verify ---


def test_every_version_verifies_and_so_does_a_fresh_clone(team):
    assert team.model("verify", "--all").output.count("sound") == 2
    other = team.clone()
    assert team.model("verify", "--all", cwd=other).output.count("sound") == 2


LIES = {
    "metrics.values.test.accuracy": lambda r: r["metrics"]["values"]["test"]["accuracy"].update(value=0.999),
    "params.config.model.estimator.n_estimators": lambda r: r["params"]["config"]["model"]["estimator"].update(
        n_estimators=9
    ),
    "data.inputs": lambda r: r["data"]["inputs"][0].update(rows=9),
    "environment.packages.numpy": lambda r: r["environment"]["packages"].update(numpy="1.0"),
    "code.stages.train": lambda r: r["code"]["stages"].update(train="0" * 64),
    "governance.author": lambda r: r["governance"].update(author="Nobody <n@example.com>"),
    "governance.gate.rules": lambda r: r["governance"]["gate"]["rules"][0].update(found="1 [1, 1]"),
    "model.sha256": lambda r: r["model"].update(sha256="0" * 64),
    "interface.golden.md5": lambda r: r["interface"]["golden"].update(md5="0" * 32),
}


def test_a_record_that_lies_about_anything_is_found(team):
    """Each lie on its own; without a remote and stage tags to tell, so that the fields must."""
    team.git("remote", "remove", "origin")
    for tag in team.git("tag", "--list", "penguins#*").split():
        team.git("tag", "-d", tag)
    true = team.git("rev-parse", "penguins@v1.1.0")
    for field, lie in LIES.items():
        retag(team, "penguins@v1.1.0", lie)
        said = team.model("verify", "v1.1.0", fails=True).output
        assert re.search(rf"FAULT: {re.escape(field)}.*: the record says", said), said
        team.git("update-ref", "refs/tags/penguins@v1.1.0", true)
    assert "sound" in team.model("verify", "v1.1.0").output


def test_an_edited_or_moved_tag_is_found_by_its_witnesses(team):
    true = team.git("rev-parse", "penguins@v1.0.0")
    retag(team, "penguins@v1.0.0", lambda record: record["governance"]["trained"].update(host="elsewhere"))
    said = team.model("verify", "v1.0.0", fails=True).output
    for witness in ("is not the one in origin", "after penguins#prod#1 promoted it", "after v1.1.0 was released"):
        assert witness in said
    assert "v1.0.0 in origin is another tag" in team.model("status").output
    team.git("update-ref", "refs/tags/penguins@v1.0.0", true)

    team.git("commit", "--quiet", "--allow-empty", "-m", "Another")
    retag(team, "penguins@v1.0.0", lambda _: None, commit="HEAD")
    assert "was moved or edited" in team.model("verify", "v1.0.0", fails=True).output
    assert "was moved or edited" in team.model("rollback", "--reason", "x", fails=True).output


def test_flipped_bytes_and_lost_objects_are_found(team):
    objects = team.objects("penguins@v1.0.0")
    damage(cached(team.project, objects["model.skops"]))
    remove(cached(team.storage, objects["golden.json"]))
    said = team.model("verify", "v1.0.0", fails=True).output
    assert "FAULT: the cache holds other bytes for model/model.skops" in said
    assert "FAULT: model/golden.json is missing in the DVC remote" in said
    assert "cannot be restored" not in team.model("status").output, "v1.0.0 is not live"
    remove(cached(team.storage, team.objects("penguins@v1.1.0")["golden.json"]))
    assert "v1.1.0 cannot be restored elsewhere: the DVC remote lacks 1" in team.model("status").output


def test_a_tag_made_by_gto_is_shown_and_told_apart(team, run):
    team.document()
    run("gto", "register", "penguins", "--version", "v3.0.0", cwd=team.project)
    said = team.model("verify", "v3.0.0", fails=True).output
    assert "holds no version record" in said
    assert "v3.0.0" in team.model("history").output
    assert "holds no version record" in team.model("show", "v3.0.0", fails=True).output
    assert "holds no version record" in team.model("promote", "v3.0.0", "--to", "prod", fails=True).output
    run("gto", "assign", "penguins", "--version", "v3.0.0", "--stage", "prod", cwd=team.project)
    assert "prod: v3.0.0" in team.model("status").output
    said = team.model("rollback", "--reason", "no record").output
    assert "prod: v1.1.0 is live, was v3.0.0" in said
    assert "WARNING: whether v1.1.0 serves the requests of v3.0.0 is not known" in said


# --- reproduce ---


def test_a_version_is_rebuilt_bit_for_bit_and_nothing_is_left_behind(team):
    before = sorted(path for path in (team.project / ".dvc" / "cache").rglob("*"))
    model = team.project / "model" / "model.skops"
    model.chmod(0o644)
    said = team.model("reproduce", "v1.0.0").output
    assert "v1.0.0: identical, all 14 outputs" in said
    for stage in ("compose", "prepare", "train", "evaluate"):
        assert f"running stage '{stage}'" in said
    assert sorted(path for path in (team.project / ".dvc" / "cache").rglob("*")) == before
    assert not list((team.project / ".releases").glob(".reproduce*"))
    assert len(team.git("worktree", "list").splitlines()) == 1


def test_the_first_output_that_differs_is_named_with_what_differs(team, edit):
    """A stage that is not deterministic: its output hangs on the clock."""
    train = team.project / "penguins" / "train.py"
    with_the_time = """
    golden = json.loads(Path("model/golden.json").read_text(encoding="utf-8"))
    golden["tolerance"] = 1e-6 + time.time_ns() * 1e-30
    Path("model/golden.json").write_text(json.dumps(golden), encoding="utf-8")
"""
    edit(train, "\n\nif __name__", f"{with_the_time}\n\nif __name__")
    edit(train, "from modelbook", "import json\nimport time\nfrom pathlib import Path\n\nfrom modelbook")
    team.dvc("repro", "--quiet")
    team.git("commit", "--quiet", "--all", "--message", "Not deterministic")
    team.model("release")
    done = team.model("reproduce", "v1.2.0", fails=True)
    assert done.returncode == 1
    assert "v1.2.0: model differs first, made by the pipeline stage train" in done.output
    assert "its inputs and the known environment are the same" in done.output


def test_the_model_of_the_workspace_is_fitted_again_and_bytes_that_differ_are_told(team, edit):
    assert "workspace: identical, model/model.skops" in team.model("reproduce", "workspace").output
    before = (team.project / "model" / "model.skops").read_bytes()
    train = team.project / "penguins" / "train.py"
    fitted = "models.fit(model, rows, settings)"
    edit(train, f"    models.save({fitted}, ", f"    {fitted}.at_ = time.time_ns()\n    models.save(model, ")
    edit(train, "from modelbook", "import time\n\nfrom modelbook")
    done = team.model("reproduce", "workspace", fails=True)
    assert done.returncode == 1
    assert "workspace: model/model.skops differs first, made by the pipeline stage train" in done.output
    assert "keeps a time" in done.output
    assert (team.project / "model" / "model.skops").read_bytes() == before


# --- checkout ---


def test_the_workspace_goes_to_a_version_and_back(team):
    for place, name in (
        ("v1.0.0", "LogisticRegression"),
        ("-", "RandomForest"),
        ("1.0.0", "LogisticRegression"),
        ("-", "Random"),
    ):
        said = team.model("checkout", place).output
        assert f"the workspace is at {'main' if place == '-' else 'v1.0.0'} (" in said
        assert name in (team.project / "params.yaml").read_text(encoding="utf-8")
        interface = json.loads((team.project / "model" / "interface.json").read_text(encoding="utf-8"))
        assert interface["file"]["bytes"] == (team.project / "model" / "model.skops").stat().st_size
        assert team.git("status", "--porcelain") == ""
        assert "up to date" in team.dvc("status")
    assert team.git("branch", "--show-current") == "main"


def test_unsaved_work_is_not_touched(team):
    text = "mine"
    for file, named in (("README.md", "README.md"), ("new.txt", "new.txt"), ("model/model.skops", "model")):
        path = team.project / file
        old = path.read_bytes() if path.exists() else None
        if old is not None:
            path.chmod(0o644)
        path.write_text(text, encoding="utf-8")
        said = team.model("checkout", "v1.0.0", fails=True).output
        assert f"- {named} " in said
        assert "you have unsaved changes" in said
        assert path.read_text(encoding="utf-8") == text
        assert team.git("branch", "--show-current") == "main"
        path.write_bytes(old) if old is not None else path.unlink()


def test_a_crash_of_long_ago_makes_no_work_fair_game(team):
    journal = team.project / ".dvc" / "tmp" / "model-checkout.json"
    journal.write_text(json.dumps({"before": "main", "target": "penguins@v1.0.0"}), encoding="utf-8")
    table = next((team.project / "data" / "raw").glob("*.csv"))
    text = table.read_text(encoding="utf-8") + "Adelie,Dream,40,18,190,3800,male,2009\n"
    remove(table)
    table.write_text(text, encoding="utf-8")
    for target in ("v1.0.0", "v1.1.0", "-"):
        assert "data/raw was changed" in team.model("checkout", target, fails=True).output
        assert table.read_text(encoding="utf-8") == text


def test_a_checkout_with_a_missing_object_leaves_everything_as_it_was(team):
    oid = team.objects("penguins@v1.0.0")["model.skops"]
    for store in (team.project, team.storage):
        remove(cached(store, oid))
    model = (team.project / "model" / "model.skops").read_bytes()
    said = team.model("checkout", "v1.0.0", fails=True).output
    assert "an object is missing" in said
    assert (team.project / "model" / "model.skops").read_bytes() == model
    assert team.git("branch", "--show-current") == "main"


# --- diff, show, status ---


def test_diff_shows_what_changed_on_one_screen(team, edit):
    edit(team.project / "conf" / "data" / "penguins.yaml", "rules:", "rules:  # checked")
    table = team.project / "data" / "raw" / "penguins.csv"
    text = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.chmod(0o644)
    table.write_text("".join(text[:-4] + ["Gentoo,Biscoe,45.1,14.5,215,5000,male,2010\n"] * 3), encoding="utf-8")
    team.dvc("add", "--quiet", "data/raw")
    team.dvc("repro", "--quiet")
    team.git("commit", "--quiet", "--all", "--message", "More rows")
    team.model("release")
    said = team.model("diff", "v1.0.0", "latest").output
    for words in (
        "accuracy",
        "conf/data/penguins.yaml",
        "3 added, 4 removed",
        "344 rows",
        "343 rows",
        "model.name",
        "packages: the same",
    ):
        assert words in said, words
    assert len(said.splitlines()) < 60
    page = team.model("diff", "v1.0.0", "v1.1.0", "--markdown").stdout
    assert '| model.name | "linear" | "random_forest" |' in page
    assert json.loads(team.model("diff", "v1.0.0", "v1.1.0", "--json").stdout)[0]["title"] == "metrics"


def test_show_answers_what_is_live_and_what_made_it(team):
    said = team.model("show", "prod").output
    assert "penguins v1.1.0: Train a forest" in said
    assert re.search(r"live in +prod", said)
    assert re.search(r"follows +v1.0.0", said)
    found = json.loads(team.model("show", "prod", "--json").stdout)
    assert found["schema"] == 1
    assert found["tagger"] == "Test <test@example.com>"
    assert "there is no version v9" in team.model("show", "v9", fails=True).output


def test_status_names_each_fault_with_its_fix(team):
    assert "nothing is wrong" in team.model("status").output
    team.git("tag", "penguins@v7.0.0")
    team.git("tag", "-a", "-m", "x", "penguins@v8.0.0", "penguins@v1.0.0")
    team.git("tag", "-a", "-m", "x", "penguins#prod#9", "penguins@v1.0.0^{commit}")
    team.git("checkout", "--quiet", "HEAD~1", "--detach")
    team.git("commit", "--quiet", "--allow-empty", "-m", "Nowhere")
    with (team.project / "conf" / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    said = team.model("status").output
    for words in (
        "penguins@v7.0.0 does not count: it is a lightweight tag",
        "penguins@v8.0.0 does not count: it tags another tag",
        "penguins#prod#9 is not in origin",
        "prod: v1.0.0",
        "not committed: conf/config.yaml",
        "HEAD is detached",
    ):
        assert words in said, words
    assert json.loads(team.model("status", "--json").stdout)["latest"] == "v1.1.0"


def test_what_is_not_here_or_of_another_commit_is_brought_not_made(team):
    clone = team.clone()
    said = team.model("status", cwd=clone).output
    assert re.search(r"missing in the workspace, or from another commit: .*data/raw.*\n +fix: dvc pull\n", said), said
    assert "out of date" not in said
    # What is here as its .dvc file says, and not trained on yet, is no such thing.
    with (team.project / "data" / "raw" / "penguins.csv").open("a", encoding="utf-8") as table:
        table.write("Gentoo,Biscoe,45.1,14.5,215,5000,male,2010\n")
    team.dvc("add", "data/raw")
    said = team.model("status").output
    assert re.search(r"prepare is out of date: .*data/raw.*\n +fix: dvc repro", said), said
    team.git("restore", ".")
    team.dvc("checkout")
    team.git("switch", "--quiet", "--detach", "penguins@v1.0.0")
    said = team.model("status").output
    assert re.search(r"or from another commit: .*model.*\n +fix: dvc checkout\n", said), said
    # All of it is in the cache, so nothing is lost by going on.
    team.model("checkout", "v1.1.0")
    assert "up to date" in team.dvc("status")


def test_tags_that_come_late_make_no_other_tag_wrong(team):
    team.git("tag", "--delete", "penguins@v1.1.0")
    said = team.model("status").output
    assert "origin has a tag that is not here, such as penguins@v1.1.0\n    fix: git fetch --tags origin" in said
    assert "does not count" not in said


def test_tags_that_were_never_pushed_are_one_problem(team):
    for tag in team.git("tag", cwd=team.origin).split():
        team.git("tag", "--delete", tag, cwd=team.origin)
    team.git("tag", "other", cwd=team.origin)
    said = team.model("status").output
    assert "penguins@v1.0.0, penguins@v1.1.0, penguins#prod#1 and 1 more are not in origin" in said
    assert "fix: git push origin --tags" in said


def test_a_storage_folder_that_is_away_is_told_as_such(team):
    team.storage.rename(team.folder / "not mounted")
    said = team.model("status").output
    assert f"the storage folder {team.storage} is not there" in said
    assert "lacks" not in said


def test_a_params_file_edited_by_hand_is_told_once_with_what_works(team, edit):
    edit(team.project / "params.yaml", "n_estimators: 200", "n_estimators: 7")
    said = team.model("status").output
    fix = re.search(r"n_estimators is 7, conf/ says 200\)\n +fix: write .*?, then (rm .*?), then git", said)[1]
    team._run("sh", "-ec", fix, cwd=team.project)
    assert not team.git("status", "--porcelain")


def test_a_conflicted_lock_file_is_told_with_the_way_out(team):
    team.git("switch", "--quiet", "-c", "other", "HEAD~1")
    team.change()
    team.git("switch", "--quiet", "main")
    team.git("merge", "other", fails=True)
    said = team.model("status").output
    assert "a merge is not finished" in said
    assert re.search(r"merge conflicts in .*dvc.lock", said)
    assert "Traceback" not in team.model("release", fails=True).output


def test_a_folder_that_is_no_project_is_told_so(team, tmp_path):
    said = team._run("model", "status", cwd=tmp_path, fails=True, PYTHONPATH=str(team.project / TOOL)).output
    assert "this is no git repository" in said
    assert team.model("nonsense", fails=True).returncode == 2


# --- adopt ---


def experiment(team, *overrides):
    team.dvc("exp", "run", "--quiet", "--temp", "-n", "tried", *[word for o in overrides for word in ("-S", o)])


def test_an_experiment_becomes_conf_and_the_model_is_the_same(team):
    experiment(
        team, "model=hist_gradient_boosting", "model.estimator.max_iter=20", "+model.estimator.max_depth=3",
        "features=default", "compute.seed=7", "task.slices=[island]", "data.rules.year.min=2006",
    )  # fmt: skip
    comments = [
        line
        for file in (team.project / "conf").rglob("*.yaml")
        for line in file.read_text("utf-8").splitlines()
        if "#" in line
    ]
    said = team.model("adopt", "tried").output
    assert "conf/ composes to the params of tried" in said
    team.dvc("repro", "--quiet")
    name = json.loads(team.dvc("exp", "show", "--json"))[1]["experiments"][0]["revs"][0]["rev"]
    assert (team.project / "params.yaml").read_text("utf-8") == team.git("show", f"{name}:params.yaml") + "\n"
    after = [
        line
        for file in (team.project / "conf").rglob("*.yaml")
        for line in file.read_text("utf-8").splitlines()
        if "#" in line
    ]
    assert after == comments
    assert "${compute.seed}" in (team.project / "conf" / "model" / "hist_gradient_boosting.yaml").read_text("utf-8")
    assert team.git("status", "--porcelain", "conf", "params.yaml").count("conf/") == 5
    team.git("commit", "--quiet", "--all", "--message", "Adopt")
    assert "v1.2.0" in team.model("release").output
    assert "conf/ already says" in team.model("adopt", "tried").output


def test_what_conf_cannot_say_is_refused_and_nothing_is_written(team, edit):
    recipe = team.project / "conf" / "experiment" / "deep_forest.yaml"
    edit(team.project / "conf" / "config.yaml", "experiment: null", "experiment: deep_forest")
    edit(recipe, "n_estimators: 600", "n_estimators: 20")
    team.dvc("repro", "--quiet")
    team.git("commit", "--quiet", "--all", "--message", "A recipe is in force")
    experiment(team, "model.estimator.n_estimators=25")
    recipe.write_text(
        recipe.read_text("utf-8").replace("n_estimators: 20", "n_estimators: ${compute.seed}"), encoding="utf-8"
    )
    edit(team.project / "conf" / "compute" / "default.yaml", "seed: 42", "seed: 9")
    # The recipe decides the value, so it is written there.
    team.model("adopt", "tried")
    assert "n_estimators: 25" in recipe.read_text("utf-8")

    (team.project / "conf" / "model" / "random_forest.yaml").rename(team.folder / "gone.yaml")
    shutil.copy(team.folder / "gone.yaml", team.project / "conf" / "model" / "forest.yaml")
    before = {path: path.read_bytes() for path in (team.project / "conf").rglob("*.yaml")}
    said = team.model("adopt", "tried", fails=True).output
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in (team.project / "conf").rglob("*.yaml")} == before
    assert "there is no experiment nonsense" in team.model("adopt", "nonsense", fails=True).output


def test_values_of_any_kind_come_back_the_same(team):
    commit = forge_experiment(
        team, "data.id=[year]", "split.salt='a: b #c'", "task.bootstrap.level=0.5", "features.scale_numbers=true",
        "model.estimator.max_depth=7", "data.date_format='%d.%m.%Y'", "+gate.floors.log_loss=1e-7",
        "~gate.no_worse.accuracy", "+data.types.year=date", "data.missing=[]", "compute.seed=1",
    )  # fmt: skip
    team.model("adopt", commit)
    shown = team._run("python", "-m", "modelbook.training.compose", "--print", "conf", cwd=team.project).stdout
    assert shown.strip() == team.git("show", f"{commit}:params.yaml").strip()


def forge_experiment(team, *overrides):
    """Commit a params.yaml as DVC would compose it with overrides, without a training."""
    code = (
        "import sys; from pathlib import Path; from modelbook.training import compose;"
        "Path('params.yaml').write_text(compose.compose(overrides=tuple(sys.argv[1:])).text, encoding='utf-8')"
    )
    team._run("python", "-c", code, *overrides, cwd=team.project)
    team.git("stash", "--quiet")
    return team.git("rev-parse", "stash@{0}")
