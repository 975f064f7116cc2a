"""Imports go down only, and what a stage runs is what dvc.yaml says it depends on."""

import ast

import pytest
from modelbook import PUBLIC
from modelbook.contract import TOOL_FOLDER, TRAINING_PARTS
from ruamel.yaml import YAML

from .conftest import SOURCE

TOOL = SOURCE / "modelbook"
#: The lowest first; a module imports from its own layer and from lower ones.
LAYERS = [
    {"errors", "settings", "contract", "mappings", "formats", "times", "progress", "extras"},
    {"training"},
    {"store"},
    {"registry"},
    {"workspace"},
    {"commands"},
    {"cli", "testing"},
]
MODULES = sorted(file for file in TOOL.rglob("*.py") if file != TOOL / "__init__.py")


def imported(module, top):
    """Yield the modules below a folder of packages that one module imports, in its functions, too."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            places = [top.joinpath(*alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = module.parents[node.level - 1] if node.level else top
            base = base.joinpath(*(node.module or "").split("."))
            places = [base, *(base / alias.name for alias in node.names)]
        else:
            continue
        for place in places:
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file() and file.is_relative_to(top):
                    yield file


def closure(modules, top):
    """Return some modules and all that they import, directly or not."""
    found, todo = set(), list(modules)
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo.extend(imported(current, top))
    return found


def names(files, folder):
    return {file.relative_to(folder).as_posix() for file in files}


def covered(path, places):
    return any(path == place or path.startswith(f"{place}/") for place in places)


def layer(module):
    part = module.relative_to(TOOL).parts[0].removesuffix(".py")
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.relative_to(TOOL).as_posix())
def test_a_module_imports_from_its_own_layer_and_from_lower_ones(module):
    others = {file for file in imported(module, SOURCE) if file != TOOL / "__init__.py"}
    assert names((other for other in others if layer(other) > layer(module)), TOOL) == set()


def test_only_stages_ask_the_package_itself_for_what_is_public():
    """It loads what training needs; so the commands import from the module: `from ..settings import ...`."""
    for module in MODULES:
        if module.relative_to(TOOL).parts[0] not in ("training", "testing.py"):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and not node.module and module.parents[node.level - 1] == TOOL:
                    assert not {alias.name for alias in node.names} & PUBLIC.keys(), module


@pytest.fixture(scope="module")
def stages(generated):
    return YAML(typ="safe").load((generated / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def test_all_of_the_tool_that_stages_import_makes_its_hash_and_is_a_dep_of_compose(stages):
    run = closure([TOOL / "__init__.py", *(TOOL / "training").rglob("*.py")], SOURCE)
    assert {name for name in names(run, TOOL) if not covered(name, TRAINING_PARTS)} == set()
    deps = {dep for dep in stages["compose"]["deps"] if dep.startswith("packages/")}
    assert deps == {f"{TOOL_FOLDER}/{part}" for part in TRAINING_PARTS}
    assert all((TOOL / part).exists() for part in TRAINING_PARTS)


def test_every_module_of_the_team_that_a_stage_imports_is_among_its_deps(stages, generated):
    started = {
        name: stage["cmd"].removeprefix("python -m ").replace(".", "/") + ".py" for name, stage in stages.items()
    }
    own = {name: file for name, file in started.items() if (generated / file).exists()}
    assert own.keys() == {"prepare", "train", "evaluate"}
    for name, file in own.items():
        # What the model of a stage is made of is imported when it is loaded, so more may stand there.
        needed = names(closure([generated / file], generated), generated)
        assert {path for path in needed if not covered(path, stages[name]["deps"])} == set(), name


def test_dvc_yaml_takes_no_value_from_params_before_they_are_composed(generated):
    assert "${" not in (generated / "dvc.yaml").read_text(encoding="utf-8")
