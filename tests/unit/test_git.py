"""git as people have it: hooks' variables, settings of every kind, other worktrees, partial clones, submodules.

What `store/git.py` and its callers ask of git depends on the folder alone.
"""

import datetime as dt
import os
import subprocess
import time
from pathlib import Path

import pytest
from modelbook import store, times, workspace

pytestmark = pytest.mark.real

DVC_YAML = "artifacts:\n  m:\n    path: model\n    type: model\n"
#: Settings that people have for their eyes, their habits or their speed. Each changes what some command prints or does.
HOSTILE = """
advice.statusHints=true branch.sort=-committerdate color.branch=always color.status=always color.ui=always
column.ui=always core.abbrev=4 core.autocrlf=true core.eol=crlf core.fsmonitor=true core.pager=false
core.quotePath=true core.splitIndex=true core.untrackedCache=true diff.algorithm=histogram
diff.autoRefreshIndex=false diff.external=false diff.ignoreSubmodules=all diff.mnemonicPrefix=true
diff.noprefix=true diff.orderFile=/nowhere/order diff.relative=true diff.renames=copies diff.submodule=log
feature.manyFiles=true fetch.fsckObjects=true fetch.prune=true fetch.pruneTags=true
fetch.recurseSubmodules=true format.pretty=oneline gc.auto=1 gc.autoDetach=false gc.pruneExpire=now
gpg.program=false i18n.commitEncoding=latin1 i18n.logOutputEncoding=latin1 index.version=4 log.date=relative
log.decorate=full log.follow=true log.showSignature=true push.default=nothing push.followTags=true
push.gpgSign=true push.recurseSubmodules=check remote.origin.prune=true remote.origin.pruneTags=true
remote.origin.tagOpt=--no-tags safe.bareRepository=explicit status.branch=true status.relativePaths=false
status.short=true status.showStash=true status.showUntrackedFiles=no status.submoduleSummary=true
submodule.recurse=true tag.forceSignAnnotated=true tag.gpgSign=true tag.sort=-creatordate
transfer.fsckObjects=true worktree.guessRemote=true
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return a folder of our own in which git has no settings and no hook around it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    settings = tmp_path / "settings"
    settings.write_text("[user]\n\tname = Ann\n\temail = ann@example.com\n[init]\n\tdefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return tmp_path


def git(folder, *words, **variables):
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "replace").strip()


@pytest.fixture
def project(own):
    """Return a project with two commits, a version's tag, a remote that has them, and a file that is not committed."""
    root = own / "a project"
    git(own, "init", "--quiet", str(root))
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").touch()
    (root / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    (root / "size é.txt").write_text("a\nb\n", encoding="utf-8")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "First")
    (root / "size é.txt").rename(root / "other.txt")
    (root / "dvc.yaml").write_text(f"{DVC_YAML}# x\n", encoding="utf-8")
    git(root, "add", "--all")
    # What it says is of another encoding, and says so, as `i18n.commitEncoding` makes it.
    file = own / "message"
    file.write_bytes("Größe".encode("latin1"))
    git(root, "-c", "i18n.commitEncoding=latin1", "commit", "--quiet", "--file", str(file))
    git(root, "tag", "-a", "m@v1.0.0", "-m", "m v1.0.0: line")
    git(own, "init", "--quiet", "--bare", "origin.git")
    git(root, "remote", "add", "origin", "../origin.git")
    git(root, "push", "--quiet", "--set-upstream", "origin", "main", "m@v1.0.0")
    (root / "new.txt").touch()
    (root / "dvc.yaml").touch()
    return workspace.project.find(root)


def answers(project):
    """Return what every reading call says."""
    here = project.git
    return {
        "changes": here.changes(),
        "some changes": here.changes("new.txt"),
        "between": here.differences("HEAD~1", "HEAD"),
        "to here": here.differences("HEAD~1"),
        "tree": here.tree("HEAD"),
        "old tree": here.files("HEAD~1"),
        "branch": here.branch(),
        "remote": (here.remote(), here.remotes()),
        "title": here.run("log", "-1", "--format=%s"),
        "who": here.identity(),
        "stashes": here.stashes(),
        "worktrees": here.worktrees(),
        "there": here.remote_refs("origin", "refs/heads/*"),
        "tags there": here.remote_tags("origin"),
        "registry": project.registry(),
        "hidden": here.hidden(),
    }


# --- a user's settings ---


def test_no_setting_of_a_user_changes_what_is_read_sent_or_kept(project, own, monkeypatch):
    before = answers(project)
    assert before["title"] == "Größe"
    assert before["changes"] == ["?? new.txt"]
    assert before["between"] == [("dvc.yaml", "1", "0"), ("other.txt", "2", "0"), ("size é.txt", "0", "2")]
    with (own / "settings").open("a", encoding="utf-8") as file:
        for setting in HOSTILE.split():
            key, _, value = setting.partition("=")
            *sections, name = key.split(".")
            head = f'[{sections[0]} "{sections[1]}"]' if sections[1:] else f"[{sections[0]}]"
            file.write(f"{head}\n\t{name} = {value}\n")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert answers(project) == before
    here = project.git
    git(project.root, "tag", "-a", "--no-sign", "only-here", "-m", "x")
    value = here.tag_object("m@v1.1.0", here.commit("HEAD"), "m v1.1.0: line\n")
    here.publish({"m@v1.1.0": value}, "origin", {"main": here.commit("HEAD")})
    here.fetch_tags("origin")
    assert here.remote_tags("origin").keys() == {"m@v1.0.0", "m@v1.1.0"}, "what was named, and nothing else"
    assert here.tag_names("refs/tags") == {"m@v1.0.0", "m@v1.1.0", "only-here"}, "nothing was pruned"


def test_a_release_directory_has_the_bytes_and_the_files_of_its_commit(project, own):
    """Line ends and a sparse checkout are the user's wishes for the user's own worktree."""
    for name, value in (("core.autocrlf", "true"), ("core.eol", "crlf")):
        git(project.root, "config", name, value)
    git(project.root, "sparse-checkout", "set", "--no-cone", "/dvc.yaml", "/.dvc/")
    folder = own / "release"
    workspace.restore.worktree(project, folder, project.git.commit("HEAD"))
    assert (folder / "other.txt").read_bytes() == b"a\nb\n"
    assert store.git.Git(folder).changes() == ["?? .dvc/config.local"]  # the template's .dvc/.gitignore has it


def test_submodules_are_told_from_files(project, own):
    git(project.root, "submodule", "--quiet", "add", str(own / "origin.git"), "libs/x")
    git(project.root, "commit", "--quiet", "--message", "Submodule")
    assert project.git.submodules("HEAD") == ["libs/x"]
    assert project.git.files("HEAD") == [".dvc/config", ".gitmodules", "dvc.yaml", "other.txt"]


def test_changes_that_git_was_told_to_pass_over_are_found(project):
    assert project.git.hidden() == []
    for option in ("assume-unchanged", "skip-worktree"):
        git(project.root, "update-index", f"--{option}", "other.txt")
        assert project.git.hidden() == ["other.txt"]
        git(project.root, "update-index", f"--no-{option}", "other.txt")


def test_replaced_objects_are_read_as_their_hash_says(project):
    tree = project.git.tree("HEAD")
    git(project.root, "replace", "HEAD", "HEAD~1")
    assert project.git.tree("HEAD") == tree
    assert project.git.file("HEAD", "other.txt") == b"a\nb\n"


# --- a hook's variables ---


def test_every_variable_that_names_a_repository_is_known(own):
    carry_settings = {"GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"}
    assert set(git(own, "rev-parse", "--local-env-vars").split()) - carry_settings <= store.git.LOCAL_VARIABLES


@pytest.fixture
def in_a_hook(project, monkeypatch):
    """Return the user's index, to which every variable of a hook points; it must stay as it is."""
    index = project.root / ".git" / "index"
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("GIT_INDEX_FILE", str(index))
    monkeypatch.setenv("GIT_DIR", str(project.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(project.root))
    monkeypatch.setenv("GIT_PREFIX", "")
    return index


def test_calls_about_another_worktree_leave_the_index_of_a_hook_alone(project, own, in_a_hook):
    before = in_a_hook.read_bytes()
    folder = own / "release"
    workspace.restore.worktree(project, folder, project.git.commit("HEAD~1"))
    assert (folder / "size é.txt").exists()
    assert store.git.Git(folder).files("HEAD") == project.git.files("HEAD~1")
    assert in_a_hook.read_bytes() == before
    assert not store.git.LOCAL_VARIABLES & workspace.project.code_of(folder).keys()
    script = "import os; print(*sorted(name for name in os.environ if name.startswith('GIT_')))"
    (folder / "told.py").write_text(script, encoding="utf-8")
    assert project.python("told", cwd=folder).split() == ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"]


@pytest.mark.parametrize("where", [".", "src"])
@pytest.mark.parametrize("git_dir", [None, ".git", "the folder of git"])
def test_a_hook_of_the_project_itself_is_no_other_place(project, monkeypatch, where, git_dir):
    (project.root / "src").mkdir()
    monkeypatch.chdir(project.root / where)
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    monkeypatch.setenv("GIT_PREFIX", "src/")
    if git_dir:
        monkeypatch.setenv("GIT_DIR", git_dir if git_dir == ".git" else str(project.root / ".git"))
    found = workspace.project.find(Path.cwd())
    assert found.root == project.root
    assert found.git.changes() == ["?? new.txt"]


def test_a_hook_in_a_linked_worktree_means_that_worktree(project, own, monkeypatch):
    linked = own / "linked"
    git(project.root, "worktree", "add", "--quiet", str(linked))
    monkeypatch.setenv("GIT_DIR", git(linked, "rev-parse", "--absolute-git-dir"))
    monkeypatch.setenv("GIT_INDEX_FILE", git(linked, "rev-parse", "--absolute-git-dir") + "/index")
    assert workspace.project.find(linked).root == linked
    assert workspace.project.find(linked).git.changes() == []


def test_a_variable_that_names_another_repository_is_told(project, own, monkeypatch, refused):
    git(own, "init", "--quiet", "another")
    monkeypatch.setenv("GIT_DIR", str(own / "another" / ".git"))
    with refused("names the repository", "another", r"unset \$\(git rev-parse --local-env-vars\)"):
        workspace.project.find(project.root)


# --- signatures ---


def test_a_tag_is_signed_with_the_key_of_this_folder(project, own):
    """The key is in a file that holds for some folders only, beside settings that hold for none but this worktree."""
    program = own / "gpg"
    program.write_text(
        "#!/bin/sh\ncat >/dev/null\n"
        'echo "[GNUPG:] SIG_CREATED " >&2\necho "-----BEGIN PGP SIGNATURE-----"\necho "$*"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    (own / "of-work").write_text("[user]\n\tsigningkey = KEY-OF-WORK\n", encoding="utf-8")
    with (own / "settings").open("a", encoding="utf-8") as file:
        file.write(f'[gpg]\n\tprogram = {program}\n[includeIf "gitdir:{project.root}/"]\n\tpath = of-work\n')
    # As it stands in a submodule.
    git(project.root, "config", "core.worktree", "../../a project")
    value = project.git.tag_object("m@v1.1.0", project.git.commit("HEAD"), "m v1.1.0: line\n", sign=True)
    assert "KEY-OF-WORK" in project.git.tags([value])[0]
    assert project.git.tag_names("refs/tags") == {"m@v1.0.0"}, "no ref before it is pushed"


# --- faults in words ---


@pytest.mark.parametrize("doing", ["push", "tag", "update-ref", "mktag", "var"])
@pytest.mark.parametrize("remote", ["origin", None])
def test_a_tag_that_could_not_be_made_is_told_without_a_remote_that_is_none(doing, remote):
    error = store.git.GitError((doing, "x"), "hint: a hint\nfatal: the reason\nhint: another")
    said = str(store.git.tag_fault(error, remote, "nothing changed"))
    assert "the reason" in said
    assert "None" not in said


def test_a_repository_of_someone_else_is_told_with_its_own_path(project, monkeypatch, refused):
    (project.root / "src").mkdir()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with refused("does not trust", f"safe.directory '{project.root}'$"):
        workspace.project.find(project.root / "src")


def test_a_project_in_a_folder_of_a_larger_repository_is_told_so(own, refused):
    inner = own / "mono" / "models" / "pen"
    for folder in (inner / ".dvc", inner / "src", own / "mono" / ".dvc"):
        folder.mkdir(parents=True)
        (folder / "config").touch()
    git(own / "mono", "init", "--quiet")
    for with_outer in (False, True):
        if with_outer:  # and its dvc.yaml is not taken for the one that is meant
            (own / "mono" / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
        for start in (inner, inner / "src"):
            with refused("the project pen is a folder of a larger git repository", "docs/troubleshooting.md"):
                workspace.project.find(start)
    assert workspace.project.find(own / "mono").name == "m"


@pytest.mark.usefixtures("project")
def test_what_is_there_and_cannot_be_had_is_not_called_missing(own):
    git(own / "origin.git", "config", "uploadpack.allowFilter", "true")
    git(own, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{own}/origin.git", "partial")
    there = store.git.Git(own / "partial")
    assert there.file("HEAD", "other.txt") == b"a\nb\n", "git fetches it"
    assert there.file("HEAD", "nothing.txt") is None
    assert there.file("nothing", "other.txt") is None
    (own / "origin.git").rename(own / "away.git")
    with pytest.raises(store.git.GitError, match="could not fetch"):
        there.file("HEAD", "dvc.yaml")


# --- nothing hangs ---


def test_a_git_that_does_not_end_is_ended_even_if_its_child_lives_on(project, own, monkeypatch):
    program = own / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 20 &\nsleep 20\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    start = time.monotonic()
    with pytest.raises(store.git.GitError, match="no answer within"):
        project.git.run("fetch", timeout=0.3)
    assert time.monotonic() - start < 10


# --- times ---


def test_times_are_told_in_utc_whatever_zone_they_were_made_in():
    moment = dt.datetime(2026, 1, 1, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert (times.minute(moment), times.utc(moment)) == ("2025-12-31 22:30", "2025-12-31 22:30 UTC")
    assert times.day(moment) == "2025-12-31"
