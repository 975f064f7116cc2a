"""What the tests share: a clean environment, the real cookiecutter, and projects that are trained once."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import warm
from filelock import FileLock

TEMPLATE = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
#: Where a project carries the tool. The tests share one environment, so the path says which copy runs.
TOOL = "packages/modelbook/src"
#: Longest that any one command of a test may take.
TIMEOUT_SECONDS = 300


#: What takes minutes begins first, so that no worker is left alone with it at the end.
LONG = (
    "test_kill.py",
    "test_ci.py",
    "test_readme.py",
    "test_clean_environment.py",
    "test_adopting.py",
    "test_cruft.py",
    "test_team.py",
    "test_storage.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Return an empty home folder: no identity, no settings, no caches."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def cold(home):
    """Return the variables of a fresh account that has only this test's tools."""
    return {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "COLUMNS": "200",
        # DVC's site-wide caches would tie one test to another.
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        # A project's own tests close the folder above all temporary ones to other users.
        "PYTEST_DEBUG_TEMPROOT": str(home),
    }


@pytest.fixture(scope="session")
def environment(cold):
    """Return the same variables, but with programs first on the path that start warm, mostly: see `warm.py`."""
    if os.environ.get("COLD"):
        yield cold
        return
    # A socket lies in the folder, and its path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="warm-") as folder,
        warm.programs(Path(folder, "bin"), BIN, cold) as programs,
    ):
        yield {**cold, "PATH": os.pathsep.join([str(programs), cold["PATH"]])}


@pytest.fixture(scope="session")
def run(environment):
    """Return a function that runs a command and returns it, output and all.

    A failure fails the test; with `fails=True` a success does, with `fails=None` neither.
    """

    def runner(*command, cwd, fails=False, **variables):
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**environment, "PYTHONPATH": str(Path(cwd) / TOOL), **variables},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        done.output = done.stdout + done.stderr
        expected = fails is None or (done.returncode != 0) == fails
        assert expected, f"{command} ended with {done.returncode}:\n{done.output}"
        return done

    return runner


@pytest.fixture(scope="session")
def generate(run):
    """Return a function that generates a project with the real cookiecutter."""

    def generator(folder, fails=False, **answers):
        given = [f"{key}={value}" for key, value in answers.items()]
        done = run("cookiecutter", TEMPLATE, "--no-input", "-o", folder, *given, cwd=folder, fails=fails)
        if fails:
            return done
        return folder / answers.get("project_slug", "penguins")

    return generator


@pytest.fixture(scope="session")
def commit(run):
    """Return a function that commits everything in a project."""

    def committer(project, message, *options):
        run("git", "add", "--all", cwd=project)
        run("git", "commit", *options, "--quiet", "--message", message, cwd=project)

    return committer


@pytest.fixture(scope="session", params=["classification", "regression"])
def task(request):
    return request.param


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id):
    """Return a function that has something made in a folder by the first worker that asks, for all of them."""
    alone = worker_id == "master"
    shared = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent

    def maker(name, make):
        folder = shared / f"made-{name}"
        with FileLock(shared / f"{name}.lock", timeout=TIMEOUT_SECONDS):
            if not (folder / "ready").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (folder / "ready").touch()
        return folder

    return maker


@pytest.fixture(scope="session")
def trained_once(generate, run, commit, made_once):
    """Return a function that gives a trained and committed project for a task, made once."""

    def maker(task):
        def make(folder):
            project = generate(folder, task=task)
            configure(run, project)
            run("dvc", "repro", cwd=project)
            commit(project, "Train")

        return made_once(task, make) / "penguins"

    return maker


@pytest.fixture
def trained(trained_once, tmp_path):
    """Return a copy of a trained classification project."""
    return copy(trained_once("classification"), tmp_path / "penguins")


@pytest.fixture(scope="session")
def lock_installed(run):
    """Return a function that writes the lock file that `uv lock` would write for the installed versions.

    The tests share one environment; `test_clean_environment.py` locks for real.
    """

    def writer(project):
        ask = "import json; from modelbook.training import environment as e; print(json.dumps(e.installed_packages()))"
        lock(project, json.loads(run("python", "-c", ask, cwd=project).stdout))

    return writer


def lock(project, versions, tool="8"):
    """Write a lock file as uv does, with the given versions of the runtime packages."""
    entries = [
        f'[[package]]\nname = "{n}"\nversion = "{v}"\nsource = {{ registry = "x" }}\n' for n, v in versions.items()
    ]
    own = ", ".join(f'{{ name = "{name}" }}' for name in versions)
    entries.append(f'[[package]]\nname = "penguins"\nsource = {{ editable = "." }}\ndependencies = [{own}]\n')
    entries.append('[package.optional-dependencies]\ndev = [{ name = "pytest" }]\n')
    entries.append(f'[[package]]\nname = "pytest"\nversion = "{tool}"\n')
    (project / "uv.lock").write_text("version = 1\n" + "\n".join(entries), encoding="utf-8")


def write_card(project):
    """Write what only people can write."""
    card = project / "docs" / "model_card.md"
    text = card.read_text(encoding="utf-8")
    card.write_text(re.sub("(?m)^TODO.*$", "Known and written down.", text), encoding="utf-8")


class Team:
    """A project with a history: a git remote, two versions, both of which were live in prod.

    v1.0.0 is a linear model, v1.1.0 a forest, which is live now.
    """

    def __init__(self, folder, run, environment):
        self.folder, self._run, self.environment = folder, run, environment
        self.project, self.origin = folder / "penguins", folder / "origin.git"
        self.storage = folder / "penguins-storage"

    def model(self, *arguments, cwd=None, **options):
        """Run the `model` command."""
        return self._run("model", *arguments, cwd=cwd or self.project, **options)

    def git(self, *arguments, cwd=None, **options):
        return self._run("git", *arguments, cwd=cwd or self.project, **options).stdout.strip()

    def dvc(self, *arguments, cwd=None, **options):
        return self._run("dvc", *arguments, cwd=cwd or self.project, **options).output

    def live(self, cwd=None, stage="prod"):
        """Return what a stage holds, by the tags alone."""
        tags = self.git("tag", "--list", f"penguins#{stage}#*", "--sort=version:refname", cwd=cwd).splitlines()
        commit = self.git("rev-parse", f"{tags[-1]}^{{commit}}", cwd=cwd)
        return self.git("tag", "--points-at", commit, "--list", "penguins@*", cwd=cwd).partition("@")[2]

    def tags(self, cwd=None):
        return self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags", cwd=cwd)

    def clone(self, name="clone"):
        """Return another clone, as a colleague has it; its DVC cache is empty."""
        target = self.folder / name
        self._run("git", "clone", "--quiet", self.origin, target, cwd=self.folder)
        configure(self._run, target)
        return target

    def change(self, key="seed: 42", value="seed: 43", cwd=None, file="conf/compute/default.yaml"):
        """Make and commit a model that is a little different.

        What the change of the seed trains is in DVC's run cache: it was trained once, for all tests.
        """
        cwd = cwd or self.project
        path = cwd / file
        text = path.read_text(encoding="utf-8")
        assert key in text
        path.write_text(text.replace(key, value), encoding="utf-8")
        fill(cwd / ".dvc" / "cache", self.folder / "trained")
        self._run("dvc", "repro", "--quiet", cwd=cwd)
        self.git("commit", "--quiet", "--all", "--message", f"Change {key} to {value}", cwd=cwd)

    def document(self, cwd=None):
        """Make and commit a change that trains nothing: a patch version."""
        cwd = cwd or self.project
        with (cwd / "README.md").open("a", encoding="utf-8") as readme:
            readme.write("\nOne more line.\n")
        self.git("commit", "--quiet", "--all", "--message", "Document", cwd=cwd)

    def objects(self, rev, cwd=None):
        """Return the objects of the model of a revision: names of files by their path."""
        text = self.git("show", f"{rev}:dvc.lock", cwd=cwd)
        md5 = re.search(r"path: model\n +hash: md5\n +md5: (\w+\.dir)", text)[1]
        listed = json.loads(cached(self.storage, md5).read_text(encoding="utf-8"))
        return {entry["relpath"]: entry["md5"] for entry in listed} | {".dir": md5}


def files(folder):
    """Return every file below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}


def fill(target, source):
    """Copy to a folder what it lacks of another."""
    for file in files(source):
        place = target / file.relative_to(source)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)


def cached(store, oid):
    """Return where a cache or a folder remote keeps an object."""
    folder = store / ".dvc" / "cache" if (store / ".dvc").exists() else store
    return folder / "files" / "md5" / oid[:2] / oid[2:]


def in_the_next_push(team, other, command):
    """Let another clone do something in the middle of our next push: after our look, before our tag arrives."""
    hook = team.project / ".git" / "hooks" / "pre-push"
    lines = [
        "#!/bin/sh",
        'rm "$0"',
        "unset $(git rev-parse --local-env-vars)",
        f"cd '{other}'",
        f"PYTHONPATH={TOOL} {command} >&2",
    ]
    hook.write_text("\n".join(lines) + "\n", encoding="utf-8")
    hook.chmod(0o755)


def configure(run, project):
    for name, value in (("user.name", "Test"), ("user.email", "test@example.com")):
        run("git", "config", name, value, cwd=project)


@pytest.fixture(scope="session")
def team_once(trained_once, run, commit, environment, lock_installed, made_once):
    def make(folder):
        copy(trained_once("classification"), folder / "penguins")
        team = Team(folder, run, environment)
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", team.origin, cwd=folder)
        team.git("remote", "add", "origin", team.origin)
        lock_installed(team.project)
        write_card(team.project)
        run("dvc", "repro", cwd=team.project)
        commit(team.project, "Train a linear model")
        team.model("release")
        team.model("promote", "v1.0.0", "--to", "prod")
        for old, new in (("model: linear", "model: random_forest"), ("features: default", "features: unscaled")):
            config = team.project / "conf" / "config.yaml"
            config.write_text(config.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        run("dvc", "repro", cwd=team.project)
        commit(team.project, "Train a forest")
        team.model("release")
        team.model("promote", "v1.1.0", "--to", "prod", "--reason", "better on the north")
        # What `change` trains, for all tests; nothing else is left of it.
        cache = team.project / ".dvc" / "cache"
        known = files(cache)
        team.change()
        for file in files(cache) - known:
            place = folder / "trained" / file.relative_to(cache)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.rename(place)
        team.git("reset", "--quiet", "--hard", "HEAD~1")
        team.dvc("checkout", "--force")
        # Worktrees know absolute paths; each test makes its own.
        shutil.rmtree(team.project / ".releases")
        team.git("worktree", "prune")

    return Team(made_once("team", make), run, environment)


@pytest.fixture
def team(team_once, run, environment, tmp_path):
    """Return a copy of the project with a history, its storage and its git remote."""
    copy(team_once.folder, tmp_path / "a team")
    copied = Team(tmp_path / "a team", run, environment)
    copied.git("remote", "set-url", "origin", copied.origin)
    return copied


def copy(project, target):
    shutil.copytree(project, target, symlinks=True)
    return target


@pytest.fixture
def edit():
    """Return a function that replaces text in a file, and fails if the text is not there."""

    def editor(file, old, new):
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{file} does not hold {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    return editor
