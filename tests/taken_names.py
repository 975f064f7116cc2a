"""The names that a project cannot have because its packages need them; `make lock` writes them into the hook.

They are read off what is installed, so they cannot go stale: `test_answers.py` compares.
"""

import re
import textwrap
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TEMPLATE = Path(__file__).resolve().parents[1]
HOOK = TEMPLATE / "hooks" / "pre_gen_project.py"
PYPROJECT = TEMPLATE / "{{cookiecutter.project_slug}}" / "pyproject.toml"
LIST = re.compile(r'(?s)(?<=\nTAKEN = frozenset\(\n    """\n).*?(?=    """)')
#: What installs the project stands in the same environment.
INSTALLERS = ("pip", "uv")
#: Stands in the project's own folder; the hook says so in words of its own.
TOOL = "modelbook"


def requirements():
    """Return what the project's pyproject.toml asks for: packages, extras, and what builds it."""
    lines = PYPROJECT.read_text(encoding="utf-8").splitlines()
    # Without the lines that are Jinja, and those that it chooses from.
    text = "\n".join(line for line in lines if not line.startswith(("{", "license = ")))
    read = tomllib.loads(text)
    extras = [line for lines in read["project"]["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in read["project"]["dependencies"] + extras + read["build-system"]["requires"]]


def needed():
    """Return the names of all packages that the project needs on any platform, indirectly too."""
    todo, seen = [*requirements(), *map(Requirement, INSTALLERS)], set()
    while todo:
        requirement = todo.pop()
        for extra in ("", *requirement.extras):
            package = canonicalize_name(requirement.name), extra
            if package in seen:
                continue
            seen.add(package)
            try:
                wanted = [Requirement(line) for line in metadata.requires(package[0]) or []]
            except metadata.PackageNotFoundError:
                continue  # of another platform or Python version: only its name is known
            todo += [r for r in wanted if _may_apply(r, extra)]
    return {name for name, _ in seen} - {TOOL}


def _may_apply(requirement, extra):
    """Tell whether a requirement counts here or elsewhere; what an extra asks for counts only with that extra."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
        return True
    return "extra" not in str(requirement.marker)


def names():
    """Return the names that `import` must find elsewhere, and those of the packages themselves.

    In small letters: in an installed wheel a folder `pil` is Pillow's `PIL` on disks that know no case.
    """
    packages = needed()
    modules = metadata.packages_distributions()
    found = {module for module, owners in modules.items() if packages & {*map(canonicalize_name, owners)}}
    found |= {name.replace("-", "_") for name in packages}
    # No answer has another form.
    return sorted({name.lower() for name in found if re.fullmatch(r"[a-z][a-z0-9_]*", name.lower())})


def main():
    hook = HOOK.read_text(encoding="utf-8")
    lines = textwrap.wrap(" ".join(names()), 116)
    HOOK.write_text(LIST.sub("".join(f"    {line}\n" for line in lines), hook), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
