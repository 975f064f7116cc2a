"""Answers: those that work, those that are refused, and texts that must arrive as they were typed."""

import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest
import taken_names
from conftest import TEMPLATE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

#: Sets of answers that must give a working project; tests/test_generated.py looks into each, test_readme.py runs each.
SUPPORTED = [
    {},
    {"task": "regression", "ci": "gitlab", "licence": "Apache-2.0"},
    {"storage": "s3://my-bucket/some/prefix", "ci": "none", "licence": "BSD-3-Clause", "python_version": "3.12"},
    {"storage": "/tmp/somewhere else/größe", "licence": "Proprietary", "python_version": "3.13"},
    {
        "project_name": 'Ütrecht "churn" \\ {x} `id` $(id) ${y} <b> & 50% 🐧 שלום',
        "project_slug": "a-churn2-model",
        "description": "Ends in \"quotes\" and a backslash \\ 'x' # no * comment_ [a](b) | | {y}: - ${z} `ls`",
        "author": "Ægir O'Connor-D'Ñandú (née X), Jr. <a.b+c@mail.example.com>",
        "task": "regression",
    },
]

#: Answers that must be refused: what is given, and what the report must say.
UNSUPPORTED = [
    ({"project_slug": "numpy"}, "package that the project needs"),
    ({"project_slug": "scikit-learn"}, "package that the project needs"),
    ({"project_name": "Public"}, "package that the project needs"),  # what flufl.lock imports
    ({"project_name": "PIL"}, "package that the project needs"),
    ({"project_slug": "json"}, "standard library"),
    ({"project_slug": "cgi"}, "standard library"),  # Python 3.13 has none, 3.11 does
    ({"project_slug": "class"}, "word of Python"),
    ({"project_slug": "match"}, "word of Python"),
    ({"project_slug": "data"}, "something else in the project"),
    ({"project_slug": "com1"}, "something else in the project"),
    ({"project_slug": "Big"}, "small letters"),
    ({"project_slug": "2fast"}, "this would work: fast"),
    ({"project_slug": "a_b"}, "this would work: a-b"),
    ({"project_slug": "a--b"}, "small letters"),
    ({"project_slug": "x" * 60}, "more than 50"),
    ({"project_name": "x" * 5000}, "5000 characters"),
    ({"description": "x" * 5000}, "5000 characters"),
    ({"description": "two\nlines"}, "U+000A"),
    ({"description": "bell\x07"}, "U+0007"),
    ({"description": "line\u2028separator"}, "U+2028"),
    ({"description": "evil\u202etxt.exe"}, "reorders the text"),
    ({"project_name": " x"}, "begins or ends with a space"),
    ({"description": "a {{ 7 * 7 }} b"}, "cookiecutter evaluates"),
    ({"description": "a {% raw %}{% endraw %} b"}, "cookiecutter evaluates"),
    ({"description": "a {# b #} c"}, "cookiecutter evaluates"),
    ({"author": "Nobody"}, "Name <mail>"),
    ({"author": "A <a@b>"}, "Name <mail>"),
    ({"author": "<a@b.org>"}, "Name <mail>"),
    ({"storage": "storage"}, "outside the project"),
    ({"storage": "./storage"}, "outside the project"),
    ({"storage": ".."}, "outside the project"),
    ({"storage": "s3://B_/x"}, "s3://bucket/prefix"),
    ({"storage": "s3://bucket/../x"}, "s3://bucket/prefix"),
    ({"storage": "s3://key:secret@bucket"}, "s3://bucket/prefix"),
    ({"storage": "gs://bucket"}, "only a folder or s3://"),
    ({"storage": "https://example.com"}, "only a folder or s3://"),
    ({"storage": "../a\nb"}, "cannot hold"),
    ({"storage": '../"a'}, "cannot hold"),
    ({"storage": "../%(a)s"}, "cannot hold"),
    ({"storage": "~/storage"}, "cannot hold"),
]


def derived(answers):
    """Return the answers that cookiecutter.json derives from the given ones."""
    defaults = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    return {"project_name": "Penguins", "author": defaults["author"], "description": defaults["description"], **answers}


@pytest.mark.parametrize(("answers", "reason"), UNSUPPORTED, ids=lambda value: ascii(value)[:40])
def test_unsupported_answers_are_refused_with_a_reason_and_leave_nothing(generate, tmp_path, answers, reason):
    done = generate(tmp_path, fails=True, **answers)
    assert reason in done.output
    assert "this would work:" in done.output
    # cookiecutter itself shows on standard output where a hook stopped it; the report is on standard error.
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_name_that_an_installed_package_needs_is_refused():
    hook = taken_names.HOOK.read_text(encoding="utf-8")
    refused = {*taken_names.LIST.search(hook)[0].split()}
    assert {"numpy", "public", "attr", "dateutil", "python_dateutil", "pil"} <= refused
    assert {*taken_names.names()} <= refused, "type: make lock"


def test_all_faults_are_reported_at_once(generate, tmp_path):
    done = generate(tmp_path, fails=True, project_slug="numpy", author="Nobody", storage="gs://x", description="a\tb")
    for key in ("project_slug", "author", "storage", "description"):
        assert f"  {key}: " in done.output
    assert "4 answers cannot be used" in done.output


def test_choices_from_a_replay_file_are_checked(run, generate, home, tmp_path):
    generate(tmp_path)
    replay = home / ".cookiecutter_replay" / f"{TEMPLATE.name}.json"
    context = json.loads(replay.read_text(encoding="utf-8"))
    context["cookiecutter"] |= {"task": "clustering", "python_version": "2.7", "__package_name": "os"}
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(context), encoding="utf-8")
    (tmp_path / "out").mkdir()
    done = run("cookiecutter", TEMPLATE, "--replay-file", changed, "-o", tmp_path / "out", cwd=tmp_path, fails=True)
    for fault in ("'clustering' is none of", "'2.7' is none of", "__package_name: it is derived"):
        assert fault in done.output
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Customer Churn!", "customer-churn"), ("2026 churn", "p2026-churn"), ("🐧", "project"), ("Größe", "grosse")],
)
def test_the_folder_is_named_after_the_project(generate, tmp_path, name, slug):
    generate(tmp_path, project_name=name)
    assert [path.name for path in tmp_path.iterdir()] == [slug]


def markdown_text(source):
    """Return the title and the first bold text of a page, as a reader sees them."""
    tokens = [token for token in MarkdownIt("gfm-like", {"linkify": False}).parse(source) if token.type == "inline"]
    return ["".join(child.content for child in token.children or []) for token in tokens[:2]]


def check_texts(project, answers):
    """Assert that every text arrived as it was typed, and that every file that holds one can be read."""
    answers = derived(answers)
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, _, mail = answers["author"].rpartition(" ")
    assert metadata["description"] == answers["description"]
    assert metadata["authors"] == [{"name": name, "email": mail.strip("<>")}]
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert markdown_text(readme) == [answers["project_name"], answers["description"]]
    assert name in (project / "LICENSE").read_text(encoding="utf-8")
    for file in project.rglob("*.yaml"):
        YAML(typ="safe").load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("answers", SUPPORTED, ids=range(len(SUPPORTED)))
def test_texts_arrive_as_they_were_typed(generate, tmp_path, answers):
    check_texts(generate(tmp_path, **answers), answers)


JINJA = ("{{", "{%", "{#")
texts = (
    st.text(
        st.one_of(
            st.sampled_from("\"'\\`$(){}[]<>&|*_#!~^=+-.:;,%@/ שלום🐧é"),
            st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]),
        ),
        min_size=1,
        max_size=60,
    )
    .map(str.strip)
    .filter(lambda text: text and not any(opener in text for opener in JINJA))
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts, description=texts)
def test_any_text_arrives_as_it_was_typed_or_is_refused(environment, tmp_path_factory, name, description):
    from cookiecutter.exceptions import FailedHookException
    from cookiecutter.main import cookiecutter

    folder = tmp_path_factory.mktemp("any")
    answers = {"project_name": name, "project_slug": "any-name", "description": description}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        try:
            project = Path(cookiecutter(str(TEMPLATE), no_input=True, extra_context=answers, output_dir=str(folder)))
        except FailedHookException:
            assert list(folder.iterdir()) == []
            return
    check_texts(project, answers)
    shutil.rmtree(folder)


def test_an_answer_typed_at_the_prompt_never_runs(environment, tmp_path):
    import subprocess

    marker = tmp_path / "ran"
    typed = ["Quoted ''' \"\"\" name", "quoted", f"$(touch {marker}) `touch {marker}` ''' ; touch {marker}", *[""] * 6]
    subprocess.run(
        ["cookiecutter", str(TEMPLATE), "-o", str(tmp_path / "out")],
        input="\n".join(typed) + "\n",
        env=environment,
        text=True,
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert not marker.exists()
    check_texts(tmp_path / "out" / "quoted", {"project_name": typed[0], "description": typed[2]})


# --- git, folders and the network ---


def test_the_first_commit_holds_everything_and_ends_on_main(generate, run, tmp_path):
    project = generate(tmp_path)
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""
    assert run("git", "branch", "--show-current", cwd=project).stdout == "main\n"
    tracked = set(run("git", "ls-files", cwd=project).stdout.split())
    on_disk = {str(p.relative_to(project)) for p in project.rglob("*") if p.is_file() and ".git" not in p.parts}
    assert on_disk - tracked == {"data/raw/penguins.csv"}, "only the raw data is DVC's"


def test_without_an_identity_the_first_commit_is_by_the_author(generate, run, tmp_path):
    project = generate(tmp_path, author="Ada Lovelace <ada@example.com>")
    assert run("git", "log", "--format=%an <%ae>", cwd=project).stdout == "Ada Lovelace <ada@example.com>\n"
    assert run("git", "config", "user.email", cwd=project, fails=True).stdout == ""


def test_with_an_identity_the_first_commit_is_the_users(run, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    config = "[user]\n name = U\n email = u@example.com\n[commit]\n gpgsign = true\n[core]\n excludesFile = ~/ignore\n"
    (home / ".gitconfig").write_text(config, encoding="utf-8")
    (home / "ignore").write_text("*.yaml\nconf\n", encoding="utf-8")
    run("cookiecutter", TEMPLATE, "--no-input", "-o", tmp_path, cwd=tmp_path, HOME=str(home))
    project = tmp_path / "penguins"
    assert run("git", "log", "--format=%an", cwd=project).stdout == "U\n"
    assert "conf/config.yaml" in run("git", "ls-files", cwd=project).stdout


def test_inside_another_repository_the_project_has_its_own_and_says_so(run, tmp_path):
    run("git", "init", "-q", cwd=tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    done = run("cookiecutter", TEMPLATE, "--no-input", "-o", inner, cwd=tmp_path, GIT_DIR=str(tmp_path / ".git"))
    assert f"lies inside the git repository {tmp_path}" in done.output
    project = inner / "penguins"
    assert run("git", "rev-parse", "--show-toplevel", cwd=project).stdout.strip() == str(project)
    (tmp_path / ".gitignore").write_text("inner/\n", encoding="utf-8")
    shutil.rmtree(project)
    done = run("cookiecutter", TEMPLATE, "--no-input", "-o", inner, cwd=tmp_path)
    assert "lies inside" not in done.output


def test_without_git_the_project_is_complete_and_the_commands_are_named(cold, run, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cookiecutter", "python", "python3"):
        tools.joinpath(name).symlink_to(Path(shutil.which(name, path=cold["PATH"])))
    done = run("cookiecutter", TEMPLATE, "--no-input", "-o", tmp_path, cwd=tmp_path, PATH=str(tools))
    assert "git is not installed" in done.output
    assert "git init -b main" in done.output
    assert (tmp_path / "penguins" / "dvc.yaml").exists()


@pytest.mark.parametrize("folder", ["with space", "größe 🐧", "it's $(here)"])
def test_the_folder_may_have_any_name(generate, run, tmp_path, folder):
    (tmp_path / folder).mkdir()
    project = generate(tmp_path / folder)
    run("dvc", "repro", "compose", "prepare", cwd=project)
    run("dvc", "push", cwd=project)
    assert (tmp_path / folder / "penguins-storage" / "files").is_dir()


def test_generating_needs_no_network(run, tmp_path):
    """Every address is unreachable through these proxies; only files are read."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    run("cookiecutter", TEMPLATE, "--no-input", "-o", tmp_path, cwd=tmp_path, **nowhere)


def test_from_a_git_address(run, tmp_path):
    clone = tmp_path / "template.git"
    run("git", "clone", "--quiet", "--bare", TEMPLATE, clone, cwd=tmp_path)
    run("cookiecutter", f"file://{clone}", "--no-input", "-o", tmp_path, cwd=tmp_path)
    assert (tmp_path / "penguins" / "data" / "raw" / "penguins.csv").exists(), (
        "ignored files must be committed by force"
    )


def test_hooks_use_the_standard_library_only():
    import ast
    import sys

    for hook in (TEMPLATE / "hooks").glob("*.py"):
        for node in ast.walk(ast.parse(hook.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert all(name.split(".")[0] in sys.stdlib_module_names for name in names)


def test_questions_are_few_and_each_has_a_prompt():
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    asked = [key for key in questions if not key.startswith("_")]
    assert len(asked) <= 9
    assert set(asked) == set(questions["__prompts__"])
    assert os.linesep not in questions["description"]
    # A prompt shows the default answer, too.
    assert not any(questions["__prompts__"][key] == questions[key] for key in asked)
