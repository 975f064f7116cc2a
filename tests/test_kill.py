"""kill -9 at every step: what was live is live, no version is half there, and the same command again finishes.

A step is a moment just before the command changes something: a file that is
opened for writing, renamed or copied, a folder that is made or removed, a
program that is started. Python's audit events see them all. Between two such
moments nothing changes, so a kill there leaves what a kill at the next one does;
nor does anything change when a program only looks (`git rev-parse`).
"""

import json
import shutil
import signal
import sys
from pathlib import Path

import pytest
from conftest import TOOL, Team, cached, copy
from test_promote import remove

SITE = """
import os, signal, sys

at = os.environ.get("KILL_AT")
if at is not None and [os.path.basename(word) for word in sys.orig_argv[1:2]] == ["model"]:
    import threading

    count, lock, root = 0, threading.Lock(), os.path.dirname(os.getcwd())
    READS = {"rev-parse", "for-each-ref", "cat-file", "config", "status", "var", "ls-remote", "symbolic-ref", "log",
             "rev-list", "ls-files", "ls-tree", "remote", "merge-base", "show-ref", "branch", "diff", "verify-tag"}

    LOOKS = ("--print", "modelbook.training.compare")
    # The next run throws such a directory away, whatever is in it: only what makes, renames or removes it counts.
    SCRATCH = ("/.building-", "/.reproduce-")
    # Nor do DVC's own marks count, and objects do when they get their names.
    DRAFTS = (*SCRATCH, "/.dvc/tmp/btime", "/.dvc/tmp/lock", "/.dvc/tmp/rwlock", "/files/md5/.")

    def ours(path):
        path = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
        return path.startswith(root) and "__pycache__" not in path and not path.endswith(".lock")

    def changes(event, arguments):
        if event in ("open", "os.mkdir", "shutil.copyfile") and any(part in str(arguments) for part in DRAFTS):
            return False
        if event == "os.rename" and any(part in str(arguments[1]) for part in SCRATCH):
            return False
        if event == "open":
            return bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and ours(arguments[0])
        if event == "subprocess.Popen":
            words = [str(word) for word in arguments[1]]
            while words[1:2] == ["-c"]:  # a setting
                del words[1:3]
            return words[1] not in READS if words[0] == "git" else not set(LOOKS) & set(words)
        if event == "os.mkdir":
            return ours(arguments[0]) and not os.path.isdir(arguments[0])
        if event == "shutil.rmtree":
            return ours(arguments[0])
        if event == "os.remove":  # of objects; other files that are removed are drafts
            return ours(arguments[0]) and "/files/md5/" in os.fspath(arguments[0]) and "/." not in arguments[0][-40:]
        return event in ("os.rename", "shutil.copyfile") and ours(arguments[1])

    def hook(event, arguments):
        global count
        if changes(event, arguments):
            with lock:
                count += 1
                if at == "0":
                    os.write(2, f"STEP {count} {event} {str(arguments)[:150]}\\n".encode())
                elif count == int(at):
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
"""


@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    """Return a folder whose sitecustomize kills the `model` command before a step."""
    folder = tmp_path_factory.mktemp("killer")
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    return folder


def sound(team, live):
    """Check what must hold after any kill."""
    assert team.live() == live or team.live() == team.live(cwd=team.origin), "here and there agree, or nothing moved"
    for where in (team.project, team.origin):
        for tag in team.git("tag", "--list", "penguins@*", cwd=where).split():
            body = team.git("tag", "--list", "--format=%(contents:body)", tag, cwd=where)
            assert json.loads(body)["identity"]["version"] == tag.partition("@")[2], "no version is half there"
    mine = set(team.git("tag").split())
    theirs = set(team.git("tag", cwd=team.origin).split())
    assert mine <= theirs, "a tag is in the remote before it is here"


def walk(team_once, run, environment, folder, killer, command, prepare, check, every=1):
    """Kill a command at each of its steps, or at each so many, in a fresh copy; then run it again."""
    before = "v1.1.0"

    def place(name, source):
        copy(source, folder / name)
        team = Team(folder / name, run, environment)
        team.git("remote", "set-url", "origin", team.origin)
        return team, f"{killer}:{team.project / TOOL}"

    ready, _ = place("ready", team_once.folder)
    prepare(ready)
    (ready.project / "mine.txt").write_text("not committed, not ignored\n", encoding="utf-8")
    (ready.project / ".git" / "info" / "exclude").write_text("mine.txt\n", encoding="utf-8")
    team, path = place("whole", ready.folder)
    steps = team.model(*command, PYTHONPATH=path, KILL_AT="0").stderr.count("STEP ")
    assert steps > 2
    sound(team, before)
    for step in [*range(1, steps, every), steps]:
        team, path = place(f"step #{step}, again", ready.folder)
        killed = team.model(*command, PYTHONPATH=path, KILL_AT=str(step), fails=True)
        assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), killed.output
        sound(team, before)
        assert (team.project / "mine.txt").read_text(encoding="utf-8").startswith("not committed")
        again = team.model(*command, fails=None)
        check(team, again)
        sound(team, before)
        shutil.rmtree(team.folder)


def test_release(team_once, run, environment, tmp_path, killer):
    def check(team, again):
        known = team.git("tag", "--list", "penguins@*", cwd=team.origin).split()
        assert known == ["penguins@v1.0.0", "penguins@v1.1.0", "penguins@v1.1.1"], again.output
        assert team.git("tag", "--list", "penguins@*").split() == known
        assert again.returncode == 0 or "this commit is v1.1.1 already" in again.output
        for name, oid in team.objects("HEAD").items():
            assert cached(team.storage, oid).exists(), name

    def prepare(team):
        team.document()
        objects = team.objects("HEAD")
        for name in ("model.skops", ".dir"):  # something to send
            remove(cached(team.storage, objects[name]))

    walk(team_once, run, environment, tmp_path, killer, ["release"], prepare, check)


def test_promote(team_once, run, environment, tmp_path, killer):
    def check(team, again):
        assert again.returncode == 0 or "v1.0.0 is live in staging already" in again.output
        assert team.live(stage="staging") == team.live(cwd=team.origin, stage="staging") == "v1.0.0"
        assert not [p for p in (team.project / ".releases").iterdir() if p.name.startswith(".")], "nothing is left over"
        assert len(team.git("worktree", "list").splitlines()) == 2

    walk(team_once, run, environment, tmp_path, killer, ["promote", "v1.0.0", "--to", "staging"], lambda _: None, check)


def test_rollback(team_once, run, environment, tmp_path, killer):
    def check(team, again):
        assert again.returncode == 0 or "nothing good was live in prod before v1.0.0" in again.output
        assert team.live() == team.live(cwd=team.origin) == "v1.0.0"

    def prepare(team):
        """Let v1.0.0 be proven, and its directory gone: it is built without a replay, unlike in `test_promote`."""
        team.model("promote", "v1.0.0", "--to", "staging")
        shutil.rmtree(team.project / ".releases" / "v1.0.0")
        team.git("worktree", "prune")

    walk(team_once, run, environment, tmp_path, killer, ["rollback", "--reason", "x"], prepare, check)


def test_adopt(team_once, run, environment, tmp_path, killer):
    from test_versions import forge_experiment

    made = {}

    def prepare(team):
        made[team.folder] = forge_experiment(team, "model=hist_gradient_boosting")

    def check(team, again):
        assert again.returncode == 0
        shown = team._run("python", "-m", "modelbook.training.compose", "--print", "conf", cwd=team.project).stdout
        assert shown.strip() == team.git("show", "stash@{0}:params.yaml").strip()
        assert not list((team.project / "conf").rglob("*.new"))

    walk(team_once, run, environment, tmp_path, killer, ["adopt", "stash@{0}"], prepare, check)


def test_checkout(team_once, run, environment, tmp_path, killer):
    def check(team, again):
        assert again.returncode == 0, again.output
        assert "LogisticRegression" in (team.project / "params.yaml").read_text(encoding="utf-8")
        assert "up to date" in team.dvc("status")
        team.model("checkout", "-")
        assert team.git("branch", "--show-current") == "main"

    walk(team_once, run, environment, tmp_path, killer, ["checkout", "v1.0.0"], lambda _: None, check)


def test_reproduce(team_once, run, environment, tmp_path, killer):
    def check(team, again):
        assert "v1.0.0: identical" in again.output
        assert not list((team.project / ".releases").glob(".*"))
        assert len(team.git("worktree", "list").splitlines()) == 1

    walk(team_once, run, environment, tmp_path, killer, ["reproduce", "v1.0.0"], lambda _: None, check)


#: A test run in the background ignores Ctrl-C, and what it starts would, too.
HEARS_CONTROL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"
)


def test_control_c_leaves_no_worktree(team, cold):
    """Interrupt it while the stages run."""
    import os
    import subprocess

    running = subprocess.Popen(
        [sys.executable, "-c", HEARS_CONTROL_C, "model", "reproduce", "v1.0.0"],
        cwd=team.project,
        env={**cold, "PYTHONPATH": TOOL},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for line in running.stderr:
            if "train" in line:
                break
        os.killpg(running.pid, signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 130
    assert "Stopped." in said
    assert "Traceback" not in said
    assert not list(Path(team.project, ".releases").glob(".*"))
    assert len(team.git("worktree", "list").splitlines()) == 1
    assert "nothing is wrong" in team.model("status").output
