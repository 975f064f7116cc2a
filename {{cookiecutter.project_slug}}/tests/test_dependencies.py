"""What a stage imports is what dvc.yaml says it depends on."""

import ast
from pathlib import Path

import pytest
from conftest import PACKAGE, ROOT
from ruamel.yaml import YAML

SRC = ROOT / "src"
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
#: Which room may import which.
ROOMS = {"pipeline": set(), "versions": set(), "serving": {"versions"}}


def imported(module):
    """Yield the modules of the project that one module imports, at any depth of nesting."""
    package = module.parent
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [Path(*alias.name.split(".")) for alias in node.names if alias.name.split(".")[0] == PACKAGE]
            folders = [SRC / name for name in names]
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == PACKAGE):
            base = package
            for _ in range(node.level - 1):
                base = base.parent
            base = base if node.level else SRC
            base = base.joinpath(*(node.module or "").split(".")) if node.module else base
            folders = [base, *(base / alias.name for alias in node.names)]
        else:
            continue
        for folder in folders:
            if folder.with_suffix(".py").is_file():
                yield folder.with_suffix(".py")


def closure(module):
    """Return a module and all modules of the project that it imports, directly or not."""
    found, todo = set(), [module]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo.extend(imported(current))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_is_among_its_deps(stage):
    module = STAGES[stage]["cmd"].removeprefix("python -m ")
    needed = {str(path.relative_to(ROOT)) for path in closure(SRC.joinpath(*module.split(".")).with_suffix(".py"))}
    listed = STAGES[stage]["deps"]  # and more where the team's own code is used
    absent = sorted(path for path in needed if not any(path == dep or path.startswith(f"{dep}/") for dep in listed))
    assert not absent, f"write these deps for {stage} in dvc.yaml"


def test_rooms_import_only_what_they_may():
    for room, may in ROOMS.items():
        for module in (SRC / PACKAGE / room).glob("**/*.py"):
            others = {path.relative_to(SRC / PACKAGE).parts[0] for path in imported(module)} & ROOMS.keys()
            assert others - {room} <= may, module


def test_dvc_yaml_takes_no_value_from_params_before_they_are_composed():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert "${" not in text
