"""What every supported set of answers generates: clean files that say what is true of them."""

import json
import re
import shutil
import tomllib

import pytest
from conftest import TEMPLATE
from packaging.requirements import Requirement
from test_answers import SUPPORTED

FOLDER_OR_FILE = re.compile(r"^[│├└─ ]*?[├└]── (\S+)")


@pytest.fixture(scope="module", params=range(len(SUPPORTED)))
def project(request, generate, tmp_path_factory):
    return generate(tmp_path_factory.mktemp("set"), **SUPPORTED[request.param])


@pytest.fixture(scope="module")
def answers(project):
    """Return the answers that the project was made with, by what its files say."""
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return next(a for a in SUPPORTED if a.get("project_slug", "penguins") == metadata["name"] and _suits(a, project))


def _suits(answers, project):
    return answers.get("licence", "MIT").partition("-")[0] in (project / "pyproject.toml").read_text(encoding="utf-8")


def text_files(project):
    return [p for p in project.rglob("*") if p.is_file() and ".git" not in p.parts]


def test_no_template_syntax_is_left(project):
    for file in text_files(project):
        text = file.read_text(encoding="utf-8")
        assert "cookiecutter." not in text, file
        assert "{%" not in text, file
        assert "{{" not in text.replace("${{", ""), file  # which are GitHub's own expressions


def test_files_end_with_one_line_break_and_lines_with_no_space(project):
    for file in text_files(project):
        text = file.read_text(encoding="utf-8")
        if text and file.suffix != ".csv":
            assert text.endswith("\n"), file
            assert not text.endswith("\n\n"), file
            assert not re.search(r"[ \t]+$", text, re.MULTILINE), file


def test_lint_types_and_format_are_clean(project, run):
    run("ruff", "check", "--no-cache", cwd=project)
    run("ruff", "format", "--check", "--no-cache", cwd=project)
    run("mypy", "--cache-dir", project.parent / "mypy", cwd=project)


def test_python_files_hold_no_template_syntax_in_the_template():
    for file in TEMPLATE.glob("{{cookiecutter.project_slug}}/**/*.py"):
        text = file.read_text(encoding="utf-8")
        assert "{%" not in text, file
        assert "{{" not in text, file


def test_the_tree_in_the_docs_is_the_tree_on_disk(project):
    page = (project / "docs" / "layout.md").read_text(encoding="utf-8")
    tree = page.split("```")[1].strip().splitlines()
    assert tree[0] == f"{project.name}/"
    folders = []
    for line in tree[1:]:
        name = FOLDER_OR_FILE.match(line)[1]
        depth = line.index("─") // 4
        folders[depth:] = [name]
        path = project.joinpath(*folders)
        assert path.is_dir() if name.endswith("/") else path.is_file(), line
    shown = {FOLDER_OR_FILE.match(line)[1].rstrip("/").split("/")[0] for line in tree[1:] if line[0] in "├└"}
    hidden_or_standard = {"LICENSE", "README.md"}
    on_disk = {p.name for p in project.iterdir() if not p.name.startswith(".")} - hidden_or_standard
    assert shown == on_disk


def test_every_group_of_conf_is_in_the_docs(project):
    tree = (project / "docs" / "layout.md").read_text(encoding="utf-8")
    groups = (project / "docs" / "configuration.md").read_text(encoding="utf-8")
    for group in (project / "conf").iterdir():
        assert f"── {group.name}" in tree
        assert f"\n| `{group.name}` |" in groups or group.name == "config.yaml"


def test_options_drop_whole_files(project, answers):
    ci, task = answers.get("ci", "github"), answers.get("task", "classification")
    assert (project / ".github").exists() == (ci == "github")
    assert (project / ".gitlab-ci.yml").exists() == (ci == "gitlab")
    assert [p.stem for p in (project / "conf" / "task").iterdir()] == [task]
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = tomllib.loads(text)["project"]["dependencies"]
    assert any(d.startswith("dvc-s3") for d in dependencies) == answers.get("storage", "").startswith("s3://")


def test_dvc_reads_the_storage_as_it_was_answered(project, answers, run):
    listed = run("dvc", "remote", "list", cwd=project).stdout
    storage = answers.get("storage", f"../{project.name}-storage")
    place = storage if storage.startswith("s3:") else str((project / storage).resolve())
    assert re.fullmatch(r"storage\s+(.*?)\s+\(default\)\n", listed)[1] == place


def test_each_task_has_the_models_that_a_first_comparison_needs(project):
    models = {p.stem for p in (project / "conf" / "model").iterdir()}
    assert {"baseline", "linear", "random_forest", "hist_gradient_boosting"} <= models


def test_cruft_generates_the_same_bytes(run, commit, tmp_path, project, answers):
    source = tmp_path / "template"
    run("git", "clone", "--quiet", TEMPLATE, source, cwd=tmp_path)
    # cruft takes what is committed; here that is the working tree, as cookiecutter took it.
    for name in run("git", "ls-files", "-z", cwd=TEMPLATE).stdout.split("\0")[:-1]:
        source.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TEMPLATE / name, source / name)
    for key, value in (("user.name", "Test"), ("user.email", "test@example.com")):
        run("git", "config", key, value, cwd=source)
    commit(source, "The working tree", "--allow-empty")
    given = json.dumps(answers)
    done = run(
        "cruft",
        "create",
        source,
        "--no-input",
        "--extra-context",
        given,
        "--output-dir",
        tmp_path / "out",
        cwd=tmp_path,
    )
    other = tmp_path / "out" / project.name
    assert other.is_dir(), done.output
    files = {str(p.relative_to(project)): p.read_bytes() for p in text_files(project)}
    others = {str(p.relative_to(other)): p.read_bytes() for p in text_files(other)}
    assert others.pop(".cruft.json")
    assert others == files


@pytest.fixture(scope="module")
def wanted(project):
    """Return what the project and its tool ask for, by name; the tool itself stands beside it."""
    lines = []
    for file in (project / "pyproject.toml", project / "packages" / "modelbook" / "pyproject.toml"):
        metadata = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        optional = metadata["optional-dependencies"]
        lines += [*metadata["dependencies"], *(line for extra in optional.values() for line in extra)]
    found = [Requirement(line) for line in lines]
    # A bound stands once, in the tool; the project names pandas and scikit-learn because its own code imports them.
    by_name = {r.name: r for r in sorted(found, key=lambda r: len(r.specifier))}
    return {name: by_name[name] for name in by_name if name not in ("modelbook", project.name)}


def test_the_shared_environment_is_the_one_that_the_project_asks_for(wanted):
    lines = [line.partition("#")[0] for line in (TEMPLATE / "requirements-dev.in").read_text("utf-8").splitlines()]
    given = {Requirement(line).name: Requirement(line) for line in lines if line.strip()}
    for name, requirement in wanted.items():
        assert given.get(name) == requirement, f"{name} in requirements-dev.in"
    for line in (TEMPLATE / "requirements-dev.txt").read_text(encoding="utf-8").splitlines():
        pinned = Requirement(line)
        if pinned.name in wanted:
            assert wanted[pinned.name].specifier.contains(next(iter(pinned.specifier)).version), line


def test_bounds_are_two_sided_or_explained(wanted):
    for name, requirement in wanted.items():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators & {">=", "=="}, name
        if name not in ("packaging", "pyarrow"):  # versions by the year, and no breaks so far
            assert operators & {"<", "=="}, name
