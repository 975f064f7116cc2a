"""The tool as a wheel: what is in it, what works with how much of it, and where it may come from."""

import json
import re
import shutil
import sys
import tarfile
import tomllib
import zipfile

import pytest
import wheels
from conftest import Team, files
from servers import Server, free_port


@pytest.fixture(scope="module")
def wheel(run, tmp_path_factory):
    return wheels.build(run, tmp_path_factory.mktemp("wheel"))


class WithWheel(Team):
    """A project with a history, and an environment that has the tool as a wheel."""

    def __init__(self, team, run, commands):
        def with_wheel(*command, **options):
            return run(*command, **{**wheels.variables(commands), **options})

        super().__init__(team.folder, with_wheel, team.environment)

    def live_now(self):
        """Return what is live in prod, as `model status` says it."""
        return json.loads(self.model("status", "--json").stdout)["live"][0]["version"]


def test_wheel_and_source_distribution_hold_all_of_the_tool(wheel):
    source = wheels.SOURCE / "src"
    own = {path.relative_to(source).as_posix() for path in files(source) if "__pycache__" not in path.parts}
    assert {"modelbook/py.typed", "modelbook/registry/record.schema.json", "modelbook/commands/model_card.md"} < own
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
        start = next(name for name in packed.namelist() if name.endswith("entry_points.txt"))
        assert "model = modelbook.cli.app:main" in packed.read(start).decode()
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in packed.namelist())
    assert names == own
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as packed:
        inside = {name.partition("/src/")[2] for name in packed.getnames() if "/src/" in name}
    assert inside == own
    described = wheels.described(wheel)
    assert (described["Name"], described["Version"]) == ("modelbook", "0.1.0+project")
    assert described.get_all("Provides-Extra") == ["s3", "train"]


@pytest.fixture(scope="module")
def core(wheel, run, tmp_path_factory):
    """Return an environment that has `modelbook` without an extra."""
    commands = wheels.install(run, tmp_path_factory.mktemp("core") / "environment", wheel)
    for package in ("pandas", "sklearn", "numpy", "pyarrow", "skops"):
        run("python", "-c", f"import {package}", cwd=wheel.parent, fails=True, **wheels.variables(commands))
    return commands


def test_the_registry_needs_neither_scikit_learn_nor_pandas(core, team, run):
    registry = WithWheel(team, run, core)
    assert "Release a model" in registry.model("--help").output
    assert "prod: v1.0.0 -> v1.1.0" in registry.model("history").stdout
    assert "4 tags, all fit each other" in registry.model("history", "--audit").stdout
    assert "v1.1.0: Train a forest" in registry.model("show", "prod").stdout
    assert registry.live_now() == "v1.1.0"
    assert "## What made it" in registry.model("card", "v1.0.0").stdout
    assert "model.name" in registry.model("diff", "v1.0.0", "v1.1.0").stdout
    assert "26 objects seen in the DVC remote" in registry.model("push").stdout
    assert "nothing is stored" in registry.model("prune").stdout
    registry.model("checkout", "v1.0.0")
    registry.model("checkout", "-")


@pytest.mark.parametrize("words", ["status", "gate", "release", "verify", "report x", "reproduce workspace"])
def test_a_command_that_needs_more_says_what_to_install(core, team, run, words):
    registry = WithWheel(team, run, core)
    registry.document()
    done = registry.model(*words.split(), fails=words != "status")
    assert "this needs packages that are not installed: matplotlib, numpy, pandas," in done.output
    assert 'pip install "modelbook[train]==0.1.0+project"' in done.output
    assert "Traceback" not in done.output


def test_a_version_is_not_promoted_where_nothing_can_prove_it(core, team, run):
    registry = WithWheel(team, run, core)
    said = registry.model("promote", "v1.0.0", "--to", "prod", fails=True).output
    assert "uv is not installed, and this version needs other packages than the installed ones" in said
    assert registry.live() == "v1.1.0"


def test_a_stage_without_the_extra_says_so(core, run, tmp_path):
    done = run("python", "-c", "from modelbook import stage", cwd=tmp_path, fails=True, **wheels.variables(core))
    assert done.stderr.endswith("is not installed; it comes with the extra: modelbook[train]\n")


# --- the wheel in the place of the folder ---


def with_the_wheel_alone(project, wheel):
    """Do what packages/modelbook/README.md says."""
    (project / "wheels").mkdir()
    shutil.copy(wheel, project / "wheels")
    shutil.rmtree(project / "packages")
    (line,) = re.findall(r"^ +`(modelbook = .*)`$", (wheels.SOURCE / "README.md").read_text("utf-8"), re.MULTILINE)
    pyproject = project / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    assert "modelbook = { workspace = true }" in text
    pyproject.write_text(text.replace("modelbook = { workspace = true }", line), encoding="utf-8")
    pipeline = (project / "dvc.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    left = [line for line in pipeline if "- packages/modelbook" not in line]
    assert len(left) < len(pipeline)
    (project / "dvc.yaml").write_text("".join(left), encoding="utf-8")


def test_a_project_with_the_wheel_instead_of_the_folder_goes_on(wheel, team, run, tmp_path):
    commands = wheels.install(run, tmp_path / "environment", wheel, ["train"], ["pytest"])
    project = WithWheel(team, run, commands)
    with_the_wheel_alone(project.project, wheel)
    run("python", "-m", "pytest", "-q", cwd=project.project, **wheels.variables(commands))
    said = project.dvc("repro")
    assert re.findall(r"Running stage '(\w+)'", said) == ["compose"], said
    # The code that trains is the same, so it has the same hash.
    assert "environment.json" not in project.git("status", "--porcelain")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "The tool comes as a wheel")
    released = project.model("release").output
    version = re.search(r"(v\S+): \w+ after v1\.1\.0", released)[1]
    assert project.objects(f"penguins@{version}") == project.objects("penguins@v1.1.0")
    project.model("promote", version, "--to", "prod")
    # Versions with the folder and without it are proven alike.
    assert project.model("verify", "--all").output.count("sound") == 3
    project.model("rollback", "--reason", "a drill")
    assert project.live() == "v1.1.0"


def test_the_lock_file_notes_the_same_packages_with_the_wheel(wheel, generate, run, tmp_path):
    project = generate(tmp_path)
    (project / ".python-version").unlink()
    ask = "import json; from modelbook.training import environment as e; print(json.dumps(e.locked_packages()))"
    noted = []
    for change in (lambda: None, lambda: with_the_wheel_alone(project, wheel)):
        change()
        run("uv", "lock", "--quiet", cwd=project, **wheels.client())
        # No bytecode there: whoever generates a project would get it.
        path = {"PYTHONPATH": str(wheels.SOURCE / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        noted.append(json.loads(run("python", "-c", ask, cwd=project, **path).stdout))
    assert noted[0] == noted[1]
    assert {"numpy", "scikit-learn", "pydantic"} <= noted[0].keys()
    assert "modelbook" not in noted[0]


# --- where the tool may come from ---


@pytest.fixture
def strangers(tmp_path):
    """Return an index with a stranger's package called modelbook, in many versions."""
    folder = tmp_path / "index" / "simple" / "modelbook"
    folder.mkdir(parents=True)
    for version in ("0.1.0", "0.1.1", "9.9.9"):
        name = f"modelbook-{version}"
        with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as packed:
            packed.writestr("modelbook/__init__.py", "raise SystemExit('a stranger runs')\n")
            packed.writestr(
                f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: modelbook\nVersion: {version}\n"
            )
            packed.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            packed.writestr(f"{name}.dist-info/RECORD", "")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        "127.0.0.1",
        "--directory",
        str(folder.parents[1]),
    ]
    server = Server(folder.parents[1], command, f"http://127.0.0.1:{port}/simple/")
    yield server
    server.kill()


def taken(server):
    """Return what was taken from an index, other than its lists."""
    return re.findall(r'"GET (\S+\.whl)', (server.folder / "server.log").read_text(encoding="utf-8"))


def test_nothing_called_modelbook_comes_from_an_index(strangers, generate, run, tmp_path):
    project = generate(tmp_path)
    (project / ".python-version").unlink()
    client = wheels.client()
    indexes = [client["PIP_EXTRA_INDEX_URL"]] if "PIP_EXTRA_INDEX_URL" in client else []
    client["PIP_EXTRA_INDEX_URL"] = " ".join([*indexes, strangers.url])
    client["UV_INDEX"] = strangers.url
    # Who forgets the folder gets nothing, rather than a stranger's code.
    run(sys.executable, "-m", "venv", ".venv", cwd=project)
    pip = (project / ".venv" / "bin" / "python", "-m", "pip", "install", "--dry-run", "--quiet")
    said = run(*pip, "-e", ".", cwd=project, fails=True, **client).output
    assert "No matching distribution found for modelbook[train]==0.1.0+project" in said
    assert "9.9.9" in said  # it was seen
    run("uv", "lock", "--quiet", cwd=project, **client)
    locked = tomllib.loads((project / "uv.lock").read_text(encoding="utf-8"))["package"]
    (ours,) = [entry for entry in locked if entry["name"] == "modelbook"]
    assert (ours["version"], ours["source"]) == ("0.1.0+project", {"editable": "packages/modelbook"})
    uv = ("uv", "pip", "install", "--dry-run", "--python", project / ".venv" / "bin" / "python")
    said = run(*uv, "--no-sources", "-e", ".", cwd=project, fails=True, **client).output
    assert "modelbook[train]==0.1.0+project" in said
    assert taken(strangers) == []
