"""docs/extending.md: what it says is done in one project, as it is written there, and then goes the whole life."""

import re

from ruamel.yaml import YAML

#: A block of code, the first line of which names the file that it is for.
BLOCK = re.compile(r"^```(python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(project, *sections):
    """Do what some sections say: Python files are written, keys are added to YAML files."""
    text = (project / "docs" / "extending.md").read_text(encoding="utf-8")
    by_title = dict(section.split("\n", 1) for section in text.split("\n## ")[1:])
    for title in sections:
        blocks = BLOCK.findall(by_title[title])
        assert blocks, f"{title} shows no code"
        for language, name, code in blocks:
            file = project / name
            file.parent.mkdir(exist_ok=True)
            if language == "yaml" and file.exists():
                add(file, code)
            else:
                file.write_text(code, encoding="utf-8")


def add(file, fragment):
    """Add keys to a YAML file where the fragment has them; comments stay."""
    yaml = YAML()
    yaml.width = 1000
    yaml.indent(mapping=2, sequence=4, offset=2)
    values = yaml.load(file)
    merge(values, YAML(typ="safe").load(fragment))
    yaml.dump(values, file)


def merge(there, more):
    for key, value in more.items():
        if key == "defaults":
            for choice in value:
                choose(there[key], choice)
        elif isinstance(there.get(key), dict):
            merge(there[key], value)
        elif isinstance(there.get(key), list):
            there[key].extend(value)
        else:
            there[key] = value


def choose(defaults, choice):
    """Choose a file of a group: in its line of the defaults list, or in a new one above the last."""
    ((group, name),) = choice.items()
    line = next((line for line in defaults if isinstance(line, dict) and group in line), None)
    if line is None:
        defaults.insert(defaults.index("_self_"), choice)
    else:
        line[group] = name
