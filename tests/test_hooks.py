"""The hooks of a generated project: what must not be committed is refused, with the sentence that mends it.

The list is read by the real `prek`, and `git commit` in a repository with
installed hooks is what asks. Keys are made up when a test runs: nothing that
looks like one stands in a file of this repository.
"""

import json
import os
import random
import shutil
import string
import sys
from pathlib import Path

import pytest
from conftest import TOOL, copy
from test_answers import SUPPORTED

#: A shell that has the system's own tools (git, sh), and none of the project's.
BARE_PATH = os.pathsep.join(dict.fromkeys(str(Path(shutil.which(tool)).parent) for tool in ("git", "sh")))
BARE = {"PATH": BARE_PATH, "PYTHONPATH": ""}


def made_up(length, letters=string.ascii_uppercase + string.digits):
    return "".join(random.Random(length).choices(letters, k=length))


def write(file, text):
    """Return a fault: a file with a text that is committed."""

    def fault(project, run):  # noqa: ARG001 (the signature of all faults)
        path = project / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return fault


def replace(file, old, new):
    """Return a fault: an edit of a file."""

    def fault(project, run):  # noqa: ARG001
        text = (project / file).read_text(encoding="utf-8")
        assert old in text
        (project / file).write_text(text.replace(old, new), encoding="utf-8")

    return fault


def credential(key, value):
    """Return a fault: what DVC writes when somebody forgets `--local`."""

    def fault(project, run):
        run("dvc", "remote", "modify", "storage", "url", "s3://bucket/prefix", cwd=project)
        run("dvc", "remote", "modify", "storage", key, value, cwd=project)

    return fault


def forced(project, run):
    """Commit what .gitignore leaves out."""
    (project / ".env").write_text("A=1\n", encoding="utf-8")
    run("git", "add", "--force", ".env", cwd=project)


def private_key(kind):
    return f"-----BEGIN {kind} KEY-----\n{made_up(64)}\n"


def notebook(outputs):
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "5f3c9a1e",
        "metadata": {},
        "outputs": outputs,
        "source": ["print(1)"],
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


PRINTED = [{"name": "stdout", "output_type": "stream", "text": ["1\n"]}]
PASSWORD = made_up(12)
#: By name: what makes the fault, what the refusal says, and what it must not repeat.
FAULTS = {
    "an unformatted file": (write("penguins/x.py", "x = [1,\n2]\n"), ("ruff format", "penguins/x.py"), None),
    "an unused import": (write("penguins/x.py", "import os\n"), ("ruff check", "F401"), None),
    "an edited params.yaml": (
        replace("params.yaml", "seed: 42", "seed: 7"),
        ("compute.seed is 7, conf/ says 42", "write the values that you want to keep into the files of conf/"),
        None,
    ),
    "an edit in conf/ that nobody composed": (
        replace("conf/compute/default.yaml", "seed: 42", "seed: 7"),
        ("compute.seed is 42, conf/ says 7", "dvc repro --force compose", "compose trains nothing"),
        None,
    ),
    "a metric that no run measured": (
        replace("evaluation.json", "0.9", "0.99"),
        ("evaluation.json is not the one that evaluate made", "git add evaluation.json dvc.lock"),
        None,
    ),
    "a notebook's outputs": (write("look.ipynb", notebook(PRINTED)), ("look.ipynb", "nbstripout FILE"), None),
    "a file of 5 MB": (write("data/big.csv", "1,2,3\n" * 900_000), ("data/big.csv", "dvc add FILE"), None),
    "an AWS key": (write("conf/x.yaml", f"a: AKIA{made_up(16)}\n"), ("line 1: an AWS access key",), made_up(16)),
    "an AWS secret": (
        write("run.sh", f"export AWS_SECRET_ACCESS_KEY={made_up(40)}\n"),
        ("run.sh, line 1: an AWS secret key", "revoke it"),
        made_up(40),
    ),
    "a token of a forge": (write("x.txt", f"ghp_{made_up(36)}\n"), ("x.txt, line 1: a GitHub token",), made_up(36)),
    "an address with a password": (
        write("conf/x.yaml", f"a: postgresql://me:{PASSWORD}@host/db\n"),
        ("line 1: a password in an address",),
        PASSWORD,
    ),
    "a private key": (write("id", private_key("OPENSSH PRIVATE")), ("Private key found: id",), made_up(64)),
    "a key in .dvc/config": (
        credential("secret_access_key", PASSWORD),
        (
            "secret_access_key of the remote storage is a credential",
            "dvc remote modify --local storage secret_access_key",
        ),
        PASSWORD,
    ),
    "what is only for this machine": (forced, (".env holds what is only for this machine", "git rm --cached"), None),
    "a conflict's marker": (
        write("docs/x.md", f"{'<' * 7} HEAD\nmine\n{'=' * 7}\nyours\n{'>' * 7} other\n"),
        ("choose between the two sides", "docs/x.md:1"),
        None,
    ),
    "what an update could not apply": (
        write("dvc.yaml.rej", "--- dvc.yaml\n"),
        ("dvc.yaml.rej", "take over by hand"),
        None,
    ),
    "YAML that nobody can read": (replace("data/raw.dvc", "outs:", "outs: ["), ("data/raw.dvc",), None),
}


@pytest.fixture(scope="module")
def hooked(trained_once, run, tmp_path_factory):
    """Return a trained project whose hooks are installed, for faults that are undone."""
    project = copy(trained_once("classification"), tmp_path_factory.mktemp("hooks") / "penguins")
    run("prek", "install", cwd=project)
    return project


def commit(run, project, **options):
    """Commit everything, as a person does; return what git said."""
    run("git", "add", "--all", cwd=project)
    return run("git", "commit", "--message", "x", cwd=project, **options).output


def head(run, project):
    return run("git", "rev-parse", "HEAD", cwd=project).stdout


@pytest.mark.parametrize("answers", SUPPORTED)
def test_a_new_project_passes_on_all_files(generate, run, tmp_path, answers):
    project = generate(tmp_path, **answers)
    said = run("prek", "run", "--all-files", cwd=project).output
    assert said.count("Passed") >= 9
    assert "Failed" not in said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_commit_is_refused_with_the_sentence_that_mends_it(hooked, run, fault):
    make, sentences, hidden = FAULTS[fault]
    before = head(run, hooked)
    make(hooked, run)
    said = commit(run, hooked, fails=True)
    assert head(run, hooked) == before
    assert said.count("Failed") == 1, said
    assert "Traceback" not in said
    for sentence in sentences:
        assert sentence in said
    assert not hidden or hidden not in said
    run("git", "reset", "--quiet", "--hard", cwd=hooked)
    run("git", "clean", "--quiet", "--force", "-d", cwd=hooked)


def test_what_was_committed_past_the_hooks_is_found_in_all_files(trained, run):
    """What CI asks: the same list, whoever did not install it."""
    # Two edits of one file make another fault than each; the first fault of a file stands for it.
    twice = ("an unused import", "an edit in conf/ that nobody composed", "an AWS key", "a key in .dvc/config")
    names = [name for name in FAULTS if name not in twice]
    for name in names:
        FAULTS[name][0](trained, run)
    commit(run, trained)
    said = run("prek", "run", "--all-files", cwd=trained, fails=True).output
    for name in names:
        for sentence in FAULTS[name][1]:
            assert sentence in said, name


def test_what_is_no_fault_is_committed(hooked, run):
    write("look.ipynb", notebook([]))(hooked, run)
    write("docs/x.md", "AKIA" + "IOSFODNN7EXAMPLE is the key of an example, postgresql://USER@host/db an address.\n")(
        hooked, run
    )
    replace("README.md", "# Penguins", "# The penguins")(hooked, run)
    before = head(run, hooked)
    assert "Failed" not in commit(run, hooked)
    assert head(run, hooked) != before


def test_a_credential_goes_where_the_refusal_says(trained, run):
    """The commands of the message, typed as they stand there."""
    run("prek", "install", cwd=trained)
    credential("secret_access_key", PASSWORD)(trained, run)
    said = commit(run, trained, fails=True)
    commands = [line[line.index("dvc remote") :].split("  ")[0] for line in said.splitlines() if "dvc remote" in line]
    assert len(commands) == 2
    for command in commands:
        run(*command.replace("VALUE", PASSWORD).split(), cwd=trained)
    commit(run, trained)
    assert PASSWORD in (trained / ".dvc" / "config.local").read_text(encoding="utf-8")
    assert PASSWORD not in run("git", "log", "--all", "-p", cwd=trained).stdout


def environment_of(folder):
    """Put the environment of the tests where `uv sync` puts a project's own."""
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (folder / ".venv" / part.name).symlink_to(part)


def test_the_tools_are_found_in_the_project_s_own_environment_and_in_a_git_worktree(trained, run, tmp_path):
    run("prek", "install", cwd=trained)
    write("penguins/x.py", "import os\n")(trained, run)
    write("params.yaml", "{}\n")(trained, run)
    assert "ruff is not installed here" in commit(run, trained, fails=True, **BARE)
    environment_of(trained)
    said = commit(run, trained, fails=True, **BARE)
    assert "F401" in said
    assert "params.yaml is not what conf/ composes to" in said
    run("git", "reset", "--quiet", "--hard", cwd=trained)
    tree = tmp_path / "a tree"
    run("git", "worktree", "add", "--quiet", tree, "-b", "side", cwd=trained)
    write("penguins/x.py", "import os\n")(tree, run)
    # The code that looks is this worktree's, not that of the clone that the package was installed from.
    replace(f"{TOOL}/modelbook/cli/hooks.py", "anyone who can read the", "all who read the")(tree, run)
    write("x.txt", f"ghp_{made_up(36)}\n")(tree, run)
    said = commit(run, tree, fails=True, **BARE)
    assert "F401" in said
    assert "all who read the" in said
    for file in ("penguins/x.py", "x.txt"):
        (tree / file).unlink()
    commit(run, tree, **BARE)


def test_a_merge_without_conflicts_is_asked_too(trained, run):
    run("git", "checkout", "--quiet", "-b", "side", cwd=trained)
    replace("conf/compute/default.yaml", "seed: 42", "seed: 7")(trained, run)
    run("git", "commit", "--quiet", "--all", "--message", "Not composed", cwd=trained)
    run("git", "checkout", "--quiet", "main", cwd=trained)
    run("git", "commit", "--quiet", "--allow-empty", "--message", "Go on", cwd=trained)
    run("prek", "install", cwd=trained)
    before = head(run, trained)
    said = run("git", "merge", "--no-edit", "side", cwd=trained, fails=True).output
    assert "compute.seed is 42, conf/ says 7" in said
    assert head(run, trained) == before


def test_the_hooks_of_dvc_get_along_and_what_a_release_pushes_is_not_disturbed(team, run):
    """`dvc install` first: prek keeps what it finds. All that commits, tags, pushes or checks out still does."""
    team.dvc("install")
    run("prek", "install", "-t", "pre-commit", "-t", "pre-merge-commit", "-t", "pre-push", cwd=team.project)
    before = team.tags(cwd=team.origin).splitlines()
    replace("README.md", "# Penguins", "# The penguins")(team.project, run)
    said = commit(run, team.project)
    assert "up to date" in said  # the hook of DVC
    assert "Passed" in said
    team.model("release")
    team.model("promote", "v1.1.1", "--to", "prod")
    assert team.live(cwd=team.origin) == "v1.1.1"
    assert len(team.tags(cwd=team.origin).splitlines()) == len(before) + 2
    team.model("checkout", "v1.0.0")
    team.model("checkout", "-")
    team.dvc("exp", "run", "--temp", "-n", "quick", "-S", "compute.seed=7")
    assert "quick" in team.dvc("exp", "list")
    assert "already exists" in run("dvc", "install", cwd=team.project, fails=True).output
