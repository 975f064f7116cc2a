"""The README of a generated project is run: every command, in its order."""

import json
import re
import textwrap

import pytest
from conftest import configure, write_card
from test_answers import SUPPORTED

#: Commands that set up an environment; the tests share one. test_clean_environment.py runs them for real.
SETS_UP = re.compile(
    r"^(uv sync|uv lock|uvx cruft|uv run prek install|uv run dvc artifacts|python -m venv|\. \.venv|pip install)"
)
#: What hangs on no answer is run once.
LONG = re.compile(r"uv run (mypy|dvc (params|metrics|plots) diff|dvc exp show|model (?!adopt))")
#: Licence, CI and storage change no command; the task does, and the other task comes with names of every kind.
READ = [SUPPORTED[0], SUPPORTED[-1]]
#: What some commands must say.
SAYS = {
    "dvc exp show": ("forest", "quick"),
    "dvc metrics diff --targets": ("test.metrics",),
    "dvc plots diff": ("index.html",),
    "model rollback": ("prod: v1.0.0 is live, was v1.1.0",),
    "model reproduce": ("v1.0.0: identical",),
}

#: The project's own tests that read no file of the project: once is enough.
ALONE = "columns compare_tables environment hooks imports needs packages prepare privacy split table".split()


def commands(readme):
    """Return the lines of every bash block."""
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", readme, re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def yaml_blocks(readme):
    return re.findall(r"^ *```yaml\n(.*?)^ *```", readme, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("answers", READ)
def test_the_readme_does_what_it_says(generate, run, edit, lock_installed, tmp_path, answers):
    project = generate(tmp_path, **answers)
    configure(run, project)
    readme = (project / "README.md").read_text(encoding="utf-8")
    task = answers.get("task", "classification")
    table = tmp_path / "table.csv"
    write_table(table, task)
    mine, extra_trees, search = yaml_blocks(readme)
    trained = 0
    # Two people walk that section, in test_team.py.
    before, _, rest = readme.partition("## Work together")
    lines = commands(before + rest.partition("\n## ")[2])
    # The project's own tests: as it was generated, and after its data and configuration were changed.
    tests = [number for number, line in enumerate(lines) if line == "uv run pytest"]
    assert len(tests) == 3
    tests = tests[-1] if answers else tests[0]
    for number, line in enumerate(lines):
        if line.startswith("uv sync"):
            lock_installed(project)
        if line.startswith("uv run model promote") and not answers:
            # What was live before is what a roll-back goes to.
            run("model", "promote", "v1.0.0", "--to", "prod", "--force", "--reason", "first", cwd=project)
        if "Write the model card" in line:
            write_card(project)
        if SETS_UP.match(line.removeprefix("uv run ")) or (line == "uv run pytest" and number != tests):
            continue
        if LONG.match(line) and answers:
            continue
        if line == "mkdir data/raw" or "rm -r data/raw" in line:
            add_table_settings(project, mine, task, edit)
        command = line.replace("/path/to/my/table.csv", f"'{table}'").removeprefix("uv run ")
        if command == "pytest" and answers:
            command += "".join(f" --ignore=tests/test_{name}.py" for name in ALONE)
        done = run("sh", "-ec", command, cwd=project)
        if command == "dvc repro":
            trained += "model.skops" in done.output
        for start, words in SAYS.items():
            assert not command.startswith(start) or all(word in done.output for word in words), done.output
    assert trained == 2, "once on the penguins and once on the own table; in between it came from the run cache"
    described = json.loads((project / "model" / "interface.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in described["inputs"]] == ["size", "place"]
    clone = tmp_path / "clone"
    run("git", "-c", "core.autocrlf=false", "clone", "--quiet", project, clone, cwd=tmp_path)
    run("dvc", "pull", cwd=clone)
    assert "up to date" in run("dvc", "repro", cwd=clone).output

    (project / "conf" / "model" / "extra_trees.yaml").write_text(extra_trees, encoding="utf-8")
    run("dvc", "exp", "run", "-S", "model=extra_trees", cwd=project)
    assert "extra_trees" in (project / "params.yaml").read_text(encoding="utf-8")
    (project / "conf" / "model" / "search.yaml").write_text(search, encoding="utf-8")
    run("dvc", "exp", "run", "-S", "model=search", cwd=project)


def write_table(path, task):
    """Write 300 rows: an id, a number, a category, and a target that they explain."""
    lines = ["id;size;place;answer"]
    for n in range(300):
        size = (n * 37) % 101
        answer = ("small", "large")[size > 50] if task == "classification" else 2 * size + n % 3
        lines.append(f"{n};{size};{'north' if n % 4 else 'süd'};{answer}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def add_table_settings(project, block, task, edit):
    """Do by program what the README tells a person to edit."""
    conf = project / "conf"
    mine = block.replace("the_column_to_predict", "answer").replace("columns_that_identify_a_row", "id")
    (conf / "data" / "mine.yaml").write_text(textwrap.dedent(mine), encoding="utf-8")
    edit(conf / "config.yaml", "data: penguins", "data: mine")
    slices = re.search(r"slices: \[.*\]", (conf / "task" / f"{task}.yaml").read_text(encoding="utf-8"))[0]
    edit(conf / "task" / f"{task}.yaml", slices, "slices: [place]")
