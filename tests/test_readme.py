"""README and docs of a generated project are run: every command, in its order."""

import json
import re
import shlex
import textwrap

import pytest
from conftest import TEMPLATE, TOOL, configure, write_card
from test_answers import SUPPORTED

PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
#: Commands that set up an environment; the tests share one. test_clean_environment.py runs them for real.
SETS_UP = re.compile(r"^(uv (sync|lock|add)|uvx cruft|uv run prek install|python -m venv|\. \.venv|pip install)")
#: A queue takes a minute; test_pipeline.py runs one.
QUEUES = re.compile(r"dvc exp run --(queue|run-all)")
#: What hangs on no answer is run once.
LONG = re.compile(r"uv run (dvc (params|metrics|plots) diff|dvc exp show|dvc artifacts|model (?!adopt))")
#: Licence, CI and storage change no command; the task does, and the other task comes with names of every kind.
#: Another table for a regression: `unit/test_testing.py`.
READ = [SUPPORTED[0], SUPPORTED[-1]]
#: Pages that are read, one after the other, by whoever starts a project and then takes a table of their own.
BEGIN = ("README.md", "docs/data.md", "docs/models.md")
#: Pages that are read with a project that has two versions and a git remote; each begins with a copy of it.
LATER = ("checks", "ci", "configuration", "environment", "experiments", "layout", "predicting", "releases", "rollback")
LATER += ("troubleshooting", "updating")
#: Pages without commands, and those whose commands have a test of their own.
WITHOUT = ("commands", "model_card", "opinions")
ELSEWHERE = ("extending", "governance", "storage", "team")
#: What some commands must say.
SAYS = {
    "dvc exp show": ("quick",),
    "dvc metrics diff --targets": ("test.metrics",),
    "dvc plots diff": ("index.html",),
    "model gate": ("passed",),
    "model materialise": ("its Python",),
    "model reproduce v1.0.0": ("v1.0.0: identical",),
    "model reproduce workspace": ("workspace: identical",),
    "model rollback": ("prod: v1.0.0 is live, was v1.1.0",),
    "model verify --all": ("v1.0.0: sound\nv1.1.0: sound",),
    "prek run": ("Passed",),
}


def commands(markdown):
    """Return the lines of every bash block."""
    return [line for kind, text in blocks(markdown) if kind == "bash" for line in lines(text)]


def blocks(markdown):
    """Return language and text of each fenced block, at whatever indent."""
    found = re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", markdown, re.DOTALL | re.MULTILINE)
    return [(kind, textwrap.dedent(text)) for _, kind, text in found]


def lines(block):
    return [line.strip() for line in block.splitlines() if line.strip()]


def steps(markdown):
    """Return what a reader types: each line of a bash block, and each Python block as one command."""
    typed = []
    for kind, text in blocks(markdown):
        if kind == "bash":
            typed += lines(text)
        elif kind == "python":
            typed.append(f"uv run python -c {shlex.quote(text)}")
    return typed


def yaml_block(project, page, name):
    """Return the text of the file that a page tells its reader to write."""
    text = (project / "docs" / page).read_text(encoding="utf-8")
    return next(block for kind, block in blocks(text) if kind == "yaml" and block.startswith(f"name: {name}\n"))


@pytest.fixture
def walk(run, edit, lock_installed, tmp_path):
    """Return a function that does, in a project, what a page says; `table` is the reader's own."""

    def walker(project, page, table=None, leaves_out=None):
        said = []
        typed = steps((project / page).read_text(encoding="utf-8"))
        for line, following in zip(typed, [*typed[1:], ""], strict=True):
            if line.startswith("uv sync"):
                lock_installed(project)
            prepare(project, line, following, edit)
            if SETS_UP.match(line) or QUEUES.search(line) or (leaves_out and leaves_out.match(line)):
                continue
            command = line.removeprefix("uv run ").replace("/path/to/my/table.csv", f"'{table}'")
            command = command.replace("/srv/model", f"'{tmp_path / 'served model'}'")
            done = run("sh", "-ec", command, cwd=project)
            for start, words in SAYS.items():
                assert not command.startswith(start) or all(word in done.output for word in words), done.output
            said.append((command, done.output))
        return said

    return walker


def prepare(project, line, following, edit):
    """Do by program what a page tells a person to write, before the command that needs it."""
    conf = project / "conf"
    if line == "git add --all":
        write_card(project)
    elif following == "uv run dvc params diff" and (conf / "model" / "linear.yaml").exists():
        edit(conf / "compute" / "default.yaml", "seed: 42", "seed: 7")
    elif line.startswith("rm -r data/raw"):
        mine = yaml_block(project, "data.md", "mine")
        mine = mine.replace("the_column_to_predict", "answer").replace("columns_that_identify_a_row", "id")
        (conf / "data" / "mine.yaml").write_text(mine, encoding="utf-8")
        edit(conf / "config.yaml", "data: penguins", "data: mine")
        task = next((conf / "task").iterdir())
        slices = re.search(r"slices: \[.*\]", task.read_text(encoding="utf-8"))[0]
        edit(task, slices, "slices: [place]")
    else:
        for name in re.findall(r"-S model=(extra_trees|search)$", line):
            (conf / "model" / f"{name}.yaml").write_text(yaml_block(project, "models.md", name), encoding="utf-8")


@pytest.mark.parametrize("answers", READ)
def test_whoever_starts_a_project_can_do_what_the_pages_say(generate, run, walk, tmp_path, answers):
    project = generate(tmp_path, **answers)
    configure(run, project)
    table = tmp_path / "table.csv"
    write_table(table, answers.get("task", "classification"))

    said = walk(project, BEGIN[0], table, LONG if answers else None)
    trained = ["model.skops" in output for command, output in said if command == "dvc repro"]
    assert trained == [True, True, False], "at first, after the edit; what was adopted comes from the run cache"
    if answers:
        return

    walk(project, BEGIN[1], table)
    described = json.loads((project / "model" / "interface.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in described["inputs"]] == ["size", "place"]
    clone = tmp_path / "clone"
    run("git", "-c", "core.autocrlf=false", "clone", "--quiet", project, clone, cwd=tmp_path)
    run("dvc", "pull", cwd=clone)
    assert "up to date" in run("dvc", "repro", cwd=clone).output

    walk(project, BEGIN[2], table)
    assert "name: search" in (project / "params.yaml").read_text(encoding="utf-8")


def write_table(path, task):
    """Write 300 rows: an id, a number, a category, and a target that they explain."""
    rows = ["id;size;place;answer"]
    for n in range(300):
        size = (n * 37) % 101
        answer = ("small", "large")[size > 50] if task == "classification" else 2 * size + n % 3
        rows.append(f"{n};{size};{'north' if n % 4 else 'süd'};{answer}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.mark.parametrize("page", LATER)
def test_whoever_has_versions_can_do_what_the_page_says(team, walk, page):
    if page == "releases":
        team.document()  # a commit that is no version yet
    if page == "updating":
        (team.project / "docs" / "new.md").write_text("An update brought it.\n", encoding="utf-8")
    team.git("branch", "--quiet", "--set-upstream-to=origin/main")
    assert walk(team.project, f"docs/{page}.md")


def test_every_page_is_run():
    pages = {re.search(r"\w+\.md", file.name)[0].removesuffix(".md") for file in (PROJECT / "docs").glob("*.md*")}
    begin = {page.removeprefix("docs/").removesuffix(".md") for page in BEGIN} - {"README"}
    assert pages - {"extending"} == (begin | {*LATER, *WITHOUT, *ELSEWHERE}) - {"extending"}
    for page in WITHOUT:
        assert not steps((PROJECT / "docs" / f"{page}.md").read_text(encoding="utf-8")), page


def test_the_page_of_commands_lists_each_that_there_is(run, tmp_path):
    page = (PROJECT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `model (\w+)", page, re.MULTILINE)
    said = run("model", "--help", cwd=tmp_path, PYTHONPATH=str(PROJECT / TOOL)).stdout
    assert listed == re.findall(r"^  ([a-z]+)  ", said, re.MULTILINE)


def test_messages_that_the_page_on_faults_quotes_are_those_of_the_tool():
    tool = "".join(file.read_text(encoding="utf-8") for file in (PROJECT / TOOL).rglob("*.py"))
    page = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(quoted) > 8
    for message in quoted:
        # The rest is filled in.
        for part in re.split(r"v1\.1\.0|origin/main|\S+\.(?:yaml|lock|md)|…", message):
            assert part.strip(": ") in tool, message
