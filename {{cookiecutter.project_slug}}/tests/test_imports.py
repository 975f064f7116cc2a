"""The imports that a module makes whenever it is loaded are found from its text alone."""

import subprocess
import sys

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FILES = {
    "pen/__init__.py",
    "pen/a.py",
    "pen/deep/__init__.py",
    "pen/deep/b.py",
    "helper.py",
    "src/tool.py",
    "jobs/c.py",
}


def found(versions, path, text):
    return versions.imports.imported(path, text.encode(), FILES)


def test_each_form_of_an_import_is_found(versions):
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
        assert found(versions, path, text) == expected, text


def test_imports_that_need_not_happen_are_left_to_the_run(versions):
    for text in ("def f():\n    import helper", "if TYPE_CHECKING:\n    import helper", "not python at all ("):
        assert found(versions, "pen/a.py", text) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda e: e[0] < e[1]), max_size=8))
def test_what_python_loads_is_what_the_imports_lead_to(versions, tmp_path_factory, edges):
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
            todo += versions.imports.imported(path, (folder / path).read_bytes(), files)
    code = "import sys, own.m0; print(*sorted(n for n in sys.modules if n.split('.')[0] == 'own'))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    loaded = {("own/__init__.py" if name == "own" else f"{name.replace('.', '/')}.py") for name in done.stdout.split()}
    assert reached | {"own/__init__.py"} == loaded
