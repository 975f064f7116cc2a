"""The imports that a module makes whenever it is loaded are found from its text alone."""

import contextlib
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelbook import registry, store

FILES = {
    "pen/__init__.py",
    "pen/a.py",
    "pen/deep/__init__.py",
    "pen/deep/b.py",
    "helper.py",
    "src/tool.py",
    "jobs/c.py",
}


def found(path, text):
    return registry.imports.imported(path, text.encode(), FILES)


def test_each_form_of_an_import_is_found():
    for path, text, expected in (
        ("pen/a.py", "from .deep import b", ["pen/deep/__init__.py", "pen/deep/b.py"]),
        ("pen/deep/b.py", "from .. import a", ["pen/a.py"]),
        ("pen/deep/b.py", "from ..a import thing", ["pen/a.py"]),
        ("pen/a.py", "import helper, os", ["helper.py"]),
        ("pen/a.py", "import pen.deep.b as x", ["pen/__init__.py", "pen/deep/__init__.py", "pen/deep/b.py"]),
        ("pen/a.py", "import tool", ["src/tool.py"]),
        ("jobs/d.py", "import c", ["jobs/c.py"]),
        ("pen/a.py", "try:\n    import helper\nexcept ImportError:\n    pass", ["helper.py"]),
        ("pen/a.py", "class A:\n    import helper", ["helper.py"]),
    ):
        assert found(path, text) == expected, text


def test_imports_that_need_not_happen_are_left_to_the_run():
    for text in ("def f():\n    import helper", "if TYPE_CHECKING:\n    import helper", "not python at all ("):
        assert found("pen/a.py", text) == []


@pytest.mark.real
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda e: e[0] < e[1]), max_size=8))
def test_what_python_loads_is_what_the_imports_lead_to(tmp_path_factory, edges):
    folder = tmp_path_factory.mktemp("project")
    (folder / "own").mkdir()
    (folder / "own" / "__init__.py").write_text("x = 1\n", encoding="utf-8")
    forms = ("from . import m{}", "import own.m{}", "from own.m{} import y", "from .m{} import y as z")
    for number in range(6):
        lines = [forms[(number + to) % 4].format(to) for start, to in sorted(edges) if start == number]
        (folder / "own" / f"m{number}.py").write_text("\n".join([*lines, "y = 1"]), encoding="utf-8")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    reached, todo = set(), ["own/m0.py"]
    while todo:
        path = todo.pop()
        if path not in reached:
            reached.add(path)
            todo += registry.imports.imported(path, (folder / path).read_bytes(), files)
    code = "import sys, own.m0; print(*sorted(n for n in sys.modules if n.split('.')[0] == 'own'))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    loaded = {("own/__init__.py" if name == "own" else f"{name.replace('.', '/')}.py") for name in done.stdout.split()}
    assert reached | {"own/__init__.py"} == loaded


@pytest.fixture
def committed(tmp_path):
    """Return a function that commits files, as DVC ran them, and returns what a record holds of the code of a stage."""
    from dvc.repo import Repo

    git = store.git.Git(tmp_path)
    git.run("init", "--quiet")
    for name, value in (("user.name", "Ann"), ("user.email", "ann@example.com")):
        git.run("config", name, value)
    Repo.init(str(tmp_path)).close()
    (tmp_path / ".dvcignore").write_text("__pycache__\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("__pycache__\n", encoding="utf-8")

    def commit(repro=True, **files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/", 1)
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".py").write_text(content, encoding="utf-8")
        text = "stages:\n  one:\n    cmd: echo\n    deps: [lib, run.py]\n"
        (tmp_path / "dvc.yaml").write_text(text, encoding="utf-8")
        if repro:
            with contextlib.chdir(tmp_path):
                Repo().reproduce()
        git.run("add", "--all")
        git.run("commit", "--quiet", "--message", "one more")
        source = registry.derive.Source(git, None, git.commit("HEAD"), "model", ())
        return registry.derive._modules(source, registry.derive.stage_deps(source))["one"]

    return commit


@pytest.mark.real
def test_the_code_of_a_folder_is_what_ran_or_there_is_no_record_of_it(committed, refused):
    one = committed(run="from lib import a", lib__a="x = 1", lib__c="")
    assert committed(lib__a="x = 2") != one
    with refused("lib of the commit .* is not what ran", "dvc repro"):
        committed(lib__a="x = 3", repro=False)
    with refused("run.py of the commit .* is not what ran"):
        committed(lib__a="x = 2", run="import lib", repro=False)


@pytest.mark.real
def test_code_that_is_imported_and_is_no_dep_keeps_a_version_from_its_record(committed, refused):
    with refused("other.py, which lib/a.py imports, is no dep of the stage one", "add `- other.py` to the deps of one"):
        committed(run="from lib import a", lib__a="import other", other="y = 1")
