"""The tool as a wheel, and environments that have the wheel and the packages that it asks for, and no others.

The packages are those of the environment that the tests run in, linked: nothing is downloaded twice.
"""

import os
import shutil
import sys
import zipfile
from email.parser import Parser
from importlib import metadata

from conftest import BIN, TEMPLATE
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}" / "packages" / "modelbook"
#: What lets package clients reach their index on this machine; no project setting.
CLIENT = ("PIP_", "UV_INDEX", "UV_DEFAULT_INDEX", "SSL_", "REQUESTS_", "http", "https", "HTTP", "NO_PROXY", "no_proxy")


def client():
    """Return the variables of a client of the package index, with the interpreter of the tests."""
    return {key: value for key, value in os.environ.items() if key.startswith(CLIENT)} | {
        "UV_PYTHON": str((BIN / "python").resolve())
    }


def build(run, folder):
    """Build the tool's wheel and source distribution with `uv build`; return the wheel."""
    source = folder / "modelbook"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    run("uv", "build", "--quiet", "--out-dir", folder / "dist", cwd=source, **client())
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def described(wheel):
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as packed:
        name = next(name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(packed.read(name).decode("utf-8"))


def needed(wheel, extras, others):
    """Return the installed distributions that a wheel with extras, and others beside it, ask for, indirectly too."""
    todo = [Requirement(line) for line in described(wheel).get_all("Requires-Dist")]
    todo = [line for line in todo if _applies(line, extras)] + [Requirement(name) for name in others]
    found, seen = {}, set()
    while todo:
        line = todo.pop()
        package = canonicalize_name(line.name), tuple(sorted(line.extras))
        if package in seen:
            continue
        seen.add(package)
        found[package[0]] = distribution = metadata.distribution(line.name)
        todo += [r for r in map(Requirement, distribution.requires or []) if _applies(r, line.extras)]
    return found.values()


def _applies(line, extras):
    return line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def install(run, folder, wheel, extras=(), others=()):
    """Make an environment with the wheel, its extras and other packages; return its folder of commands."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=wheel.parent)
    python = folder / "bin" / "python"
    run("uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel, cwd=wheel.parent)
    (packages,) = folder.glob("lib/*/site-packages")
    for distribution in needed(wheel, extras, others):
        for file in distribution.files:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(distribution.locate_file(top))
    shutil.copy(BIN / "dvc", folder / "bin" / "dvc")
    text = (folder / "bin" / "dvc").read_text(encoding="utf-8")
    (folder / "bin" / "dvc").write_text(f"#!{python}\n" + text.partition("\n")[2], encoding="utf-8")
    return folder / "bin"


def variables(commands):
    """Return what makes an environment the one that runs: its commands come first, and nothing else is on the path."""
    rest = [part for part in os.environ["PATH"].split(os.pathsep) if part != str(BIN)]
    return {"PATH": os.pathsep.join([str(commands), *rest]), "PYTHONPATH": ""}
