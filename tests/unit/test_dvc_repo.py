"""What `store/dvc_repo.py` asks of DVC beyond its documentation, held against the installed DVC itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from modelbook import workspace
from modelbook.store import dvc_repo

pytestmark = pytest.mark.real

STAGES = "stages:\n  double:\n    cmd: cp data/a.txt out.txt\n    deps: [data]\n    outs: [out.txt]\n"


def run(root, *words):
    quiet = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(words, cwd=root, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(root, *words):
    return run(root, sys.executable, "-m", "dvc", *words)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a small repository: an input folder of two files, a stage with one output, a remote, one commit."""
    folder = tmp_path_factory.mktemp("made") / "a repository"
    (folder / "data").mkdir(parents=True)
    for name in ("a", "b"):
        (folder / "data" / f"{name}.txt").write_text(f"{name}\n", encoding="utf-8")
    (folder / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    run(folder, "git", "init", "--quiet")
    dvc(folder, "init", "--quiet")
    dvc(folder, "remote", "add", "--quiet", "--default", "storage", "../storage")
    dvc(folder, "add", "--quiet", "data")
    dvc(folder, "repro", "--quiet")
    run(folder, "git", "add", "--all")
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    run(folder, "git", *identity, "commit", "--quiet", "--message", "First")
    return folder


@pytest.fixture
def root(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / made.name, symlinks=True))


def test_what_is_tracked_is_listed_with_hash_size_and_source(root):
    for rev in ("", run(root, "git", "rev-parse", "HEAD").strip()):
        data, out = dvc_repo.Store(root).outs(rev)
        assert (data.path, data.source, data.is_input, data.files) == ("data", "data.dvc", True, 2)
        assert (out.path, out.source, out.is_input, out.cached) == ("out.txt", "double", False, True)
        assert out.md5 == dvc_repo.name_of(b"a\n")
        assert out.size == 2
    assert set(dvc_repo.Store(root).members(data.md5)) == {"a.txt", "b.txt"}


def test_objects_that_are_sent_are_those_that_dvc_would_send(root):
    store = dvc_repo.Store(root)
    wanted = store.objects(store.outs())
    assert sorted(wanted.values()) == ["data", "data/b.txt", "out.txt"], "out.txt and data/a.txt are one object"
    assert sorted(store.lacking(wanted)) == sorted(wanted)
    store.push(wanted)
    assert store.lacking(wanted) == []
    assert json.loads(dvc(root, "status", "--cloud", "--json")) == {}

    for oid in wanted:
        store.path(oid).unlink()
    assert sorted(store.unsound(wanted)) == sorted(wanted)
    store.fetch(wanted)
    assert store.unsound(wanted) == []
    assert json.loads(dvc(root, "status", "--json") or "{}") == {}


def test_what_is_stored_is_listed_with_its_bytes_and_removed_for_good(root):
    store = dvc_repo.Store(root)
    wanted = store.objects(store.outs())
    sizes = {oid: store.path(oid).stat().st_size for oid in wanted}
    assert store.cached() == sizes
    assert store.stored() == {}
    dvc(root, "push")  # DVC notes what it sent
    assert store.stored() == sizes
    store.remove_from_remote(wanted)
    store.remove_from_remote(wanted)  # what is gone already is no fault
    assert store.stored() == {}
    dvc(root, "push")  # and does not believe its notes any more
    assert store.stored() == sizes
    store.remove_from_cache(wanted)
    assert store.cached() == {}


def test_another_cache_takes_nothing_from_that_of_dvc(root, tmp_path):
    store, empty = dvc_repo.Store(root), dvc_repo.Store(root, tmp_path / "files" / "md5")
    store.push(store.objects(store.outs()))
    wanted = empty.objects(empty.outs())
    assert empty.unsound(wanted), "only the lists of folders were fetched"
    empty.fetch(wanted)
    assert empty.cached() == store.cached()
    assert store.is_shared is False
    assert empty.is_shared is True


def test_an_old_commit_is_read_with_the_settings_of_today(root):
    """Its remote was of another kind then, which this clone's own settings do not suit."""
    rev = run(root, "git", "rev-parse", "HEAD").strip()
    dvc(root, "remote", "modify", "storage", "url", "s3://bucket/prefix")
    dvc(root, "remote", "modify", "--local", "storage", "profile", "team")
    assert [out.path for out in dvc_repo.Store(root).outs(rev)] == ["data", "out.txt"]


def test_an_object_with_other_bytes_is_not_taken(root):
    store = dvc_repo.Store(root)
    oid = dvc_repo.name_of(b"a\n")
    store.push([oid])
    there = Path(store.remote.oid_to_path(oid))
    there.chmod(0o644)
    there.write_bytes(b"z\n")
    store.path(oid).unlink()
    with pytest.raises(dvc_repo.ProjectError, match="holds other bytes"):
        store.fetch([oid])
    assert not store.path(oid).exists()
    assert not list(store.path(oid).parent.glob(".*")), "no draft is left"


def test_outputs_are_checked_out_into_another_worktree(root, tmp_path):
    other = tmp_path / "other"
    run(root, "git", "worktree", "add", "--quiet", "--detach", str(other))
    cache = dvc_repo.Store(root).cache.parents[1]
    (other / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")
    dvc_repo.checkout(other, "data")
    assert (other / "data" / "b.txt").read_text(encoding="utf-8") == "b\n"
    assert not (other / "out.txt").exists(), "only what was asked for"
    dvc_repo.Store(root).path(dvc_repo.name_of(b"a\n")).unlink()
    with pytest.raises(dvc_repo.ProjectError, match=r"dvc checkout of out.txt failed"):
        dvc_repo.checkout(other, "out.txt")


@pytest.mark.parametrize("kind", ["--filter=blob:none", "--filter=tree:0", "--depth=1", "--shared"])
def test_a_clone_of_any_kind_says_what_a_commit_tracks(root, tmp_path, kind):
    """DVC's own reader of git knows nothing of what such a clone leaves to its remote."""
    run(root, "git", "config", "uploadpack.allowFilter", "true")
    source = str(root) if kind == "--shared" else f"file://{root}"
    run(tmp_path, "git", "clone", "--quiet", "--no-checkout", kind, source, "clone")
    rev = run(root, "git", "rev-parse", "HEAD").strip()
    (tmp_path / "clone" / ".dvc").mkdir()
    (tmp_path / "clone" / ".dvc" / "config").touch()
    assert dvc_repo.Store(tmp_path / "clone").outs(rev) == dvc_repo.Store(root).outs(rev)


def test_everything_that_dvc_yaml_can_say_is_read_at_a_commit(root):
    """Loops, matrices, variables in other files, working folders, outputs that git keeps: DVC itself reads them."""
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "deep" / "values.yaml").write_text("name: file\nletters: [x, y]\n", encoding="utf-8")
    (root / "sub" / "dvc.yaml").write_text(
        "vars: [deep/values.yaml]\n"
        "stages:\n"
        "  each:\n    foreach: ${letters}\n    do:\n"
        "      cmd: echo ${item} > ${name}-${item}\n      outs: [{'${name}-${item}': {cache: false}}]\n"
        "  many:\n    matrix: {a: [1, 2], b: [3]}\n    wdir: deep\n"
        "    cmd: echo ${item.a} > m${item.a}\n    outs: ['m${item.a}']\n",
        encoding="utf-8",
    )
    (root / "sub" / "deep" / "own.txt").write_text("own\n", encoding="utf-8")
    dvc(root, "add", "--quiet", "sub/deep/own.txt")
    dvc(root, "repro", "--quiet", "--all-pipelines")
    run(root, "git", "add", "--all")
    run(root, "git", "-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "Second")
    here, there = dvc_repo.Store(root).outs(), dvc_repo.Store(root).outs("HEAD")
    assert there == here
    uncached = {out.path for out in there if not out.cached}
    assert uncached == {"sub/file-x", "sub/file-y"}
    assert {"sub/deep/m1", "sub/deep/m2", "sub/deep/own.txt"} < {out.path for out in there if out.md5}


def test_a_submodule_has_worktrees_like_any_other_repository(root, tmp_path):
    """Its folder of git lies elsewhere, and says where the submodule's own worktree is."""
    outer = tmp_path / "outer"
    run(tmp_path, "git", "init", "--quiet", "outer")
    allow = ("-c", "protocol.file.allow=always")
    run(outer, "git", *allow, "submodule", "--quiet", "add", str(root), "libs/inner")
    inner = outer / "libs" / "inner"
    shutil.copytree(root / ".dvc" / "cache", inner / ".dvc" / "cache")
    project = workspace.project.Project(inner, "m", "data")
    folder = inner / ".releases" / "v1.0.0"
    workspace.restore.worktree(project, folder, project.git.commit("HEAD"))
    dvc_repo.checkout(folder, "data")
    assert (folder / "data" / "b.txt").read_text(encoding="utf-8") == "b\n"
    workspace.restore.configure(folder)
    shutil.copytree(root / ".dvc" / "cache", folder / ".dvc" / "cache")
    dvc(folder, "repro", "--quiet", "--force", "--no-commit", "double")


def test_what_is_out_of_date_and_what_is_saved_nowhere(root):
    assert dvc_repo.stale(root) == {}
    assert dvc_repo.unsaved(root) == []
    (root / "data" / "b.txt").unlink()
    (root / "data" / "c.txt").write_text("c\n", encoding="utf-8")
    (root / "out.txt").unlink()
    assert set(dvc_repo.stale(root)) == {"data.dvc", "double"}
    assert dvc_repo.unsaved(root) == ["data"], "what is gone can come back"
    (root / "out.txt").write_text("mine\n", encoding="utf-8")
    assert dvc_repo.unsaved(root) == ["data", "out.txt"]
    dvc(root, "checkout", "--force")
    assert dvc_repo.unsaved(root) == []


def test_another_dvc_command_that_never_ends_is_not_waited_for_for_ever(root, monkeypatch, refused):
    from dvc.repo import Repo

    monkeypatch.setattr(dvc_repo, "WAIT_SECONDS", 0)
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.1)
    with Repo(str(root)).lock:
        for ask in (dvc_repo.stale, lambda folder: dvc_repo.run(folder, "checkout")):
            with refused("another dvc command is at work", "fg"):
                ask(root)
    assert dvc_repo.stale(root) == {}


@pytest.mark.parametrize("name", ["../../evil", "/evil", "", "a/../../evil"])
def test_a_list_of_files_that_leads_out_of_its_folder_is_refused(root, name):
    store = dvc_repo.Store(root)
    content = json.dumps([{"md5": "0" * 32, "relpath": name}]).encode()
    oid = dvc_repo.name_of(content)
    store.path(f"{oid}.dir").parent.mkdir(parents=True, exist_ok=True)
    store.path(f"{oid}.dir").write_bytes(content)
    with pytest.raises(dvc_repo.ProjectError, match="no list of the files"):
        store.members(f"{oid}.dir")
    with pytest.raises(dvc_repo.ProjectError, match="no list of the files"):
        store.members(dvc_repo.name_of(b"a\n"))
