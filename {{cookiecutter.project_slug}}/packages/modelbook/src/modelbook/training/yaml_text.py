"""YAML that all its readers take alike.

Hydra reads `conf/` and writes `params.yaml` by the rules of YAML 1.1, DVC and
this project read `params.yaml` by those of 1.2. `no`, `010`, `0o17` and `1:30`
are other values there. So `params.yaml` is written in the words that both have,
and such a word in `conf/` is refused: nobody can tell what was meant.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from yaml.events import ScalarEvent

from ..errors import ProjectError
from ..mappings import load_yaml

#: Nothing else that begins with a letter is more than a text in either dialect.
WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
MARK = "\ufeff"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Writes as `dvc exp run` does, but puts a text in quotes that YAML 1.2 would take for something else."""


def _represent_text(dumper: _Dumper, text: str) -> Any:
    if not text.isprintable():
        style: str | None = '"'  # with escapes: the dialects differ in what ends a line
    else:
        word = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", text) and text.casefold() not in WORDS
        plain = (word or as_hydra(text) == as_dvc(text) == text) and not _is_number(text)
        style = None if plain else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_number(text: str) -> bool:
    """Tell whether Python reads a number; Hydra puts those in quotes, too."""
    try:
        float(text)
    except ValueError:
        return False
    return True


_Dumper.add_representer(str, _represent_text)


def dump(values: Mapping[Any, Any]) -> str:
    """Return values as YAML of which Hydra, DVC and this project read the same; if there is none, refuse."""
    try:
        text = str(yaml.dump(values, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False))
        same = repr(load_yaml(text.encode())) == repr(values)
    except (yaml.YAMLError, ValueError) as error:
        text, same = str(error), False
    if not same:
        raise ProjectError(
            f"a value of conf/ cannot be written to params.yaml: {text.splitlines()[0]}",
            "DVC would read another one",
            "use texts, numbers, true, false, null, lists and mappings only",
        )
    return text


def of_hydra(text: str) -> dict[str, Any]:
    """Read what Hydra wrote, as Hydra reads."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


@cache
def as_hydra(word: str) -> Any:
    """Return what Hydra takes a text without quotes for; None also if it is nothing to it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.create(f"- {word}"), resolve=False)[0]  # type: ignore[index]
    except (OmegaConfBaseException, yaml.YAMLError, IndexError, KeyError, ValueError):
        return None


@cache
def as_dvc(word: str) -> Any:
    """Return what DVC takes a text without quotes for; None also if it is nothing to it."""
    try:
        value = load_yaml(f"- {word}".encode())[0]
    except (ValueError, IndexError, KeyError, TypeError):
        return None
    # Hydra has no dates: in conf/ one is a text, and in params.yaml it is put in quotes.
    return word if isinstance(value, dt.date) else value


def check_file(path: Path) -> None:
    """Refuse a file of `conf/` that holds a word without quotes which has two meanings."""
    try:
        events = list(yaml.parse(path.read_text(encoding="utf-8-sig"), yaml.SafeLoader))
    except yaml.YAMLError:
        return  # Hydra says where
    for event in events:
        if not isinstance(event, ScalarEvent) or not event.implicit[0] or event.value == "<<":
            continue
        word = event.value
        if not word or (re.match(r"[^\d.+=-]", word) and word.casefold() not in WORDS):
            continue
        meanings = as_hydra(word), as_dvc(word)
        if repr(meanings[0]) != repr(meanings[1]):
            choices = dict.fromkeys([*(json.dumps(m) for m in meanings if m is not None), json.dumps(word)])
            raise ProjectError(
                f"{path}, line {event.start_mark.line + 1}: {word} has two meanings in YAML",
                f"to Hydra, which reads conf/, it is {meanings[0]!r}; to other readers it is {meanings[1]!r}",
                f"write what is meant: {' or '.join(choices)}",
            )


def check_marks(conf: Path) -> None:
    """Refuse a file whose byte-order mark hides its first line, `# @package`, from Hydra."""
    for path in sorted(path for path in conf.rglob("*.yaml") if path.is_file()):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ProjectError(
                f"{path} is not UTF-8", "Hydra reads the files of conf/ as UTF-8", f"save {path} as UTF-8"
            ) from None
        if text.startswith(MARK) and "@package" in text:
            raise ProjectError(
                f"{path} begins with a byte-order mark (BOM)",
                "Hydra does not see the line `# @package` behind it",
                f"save {path} as UTF-8 without a mark, or: sed -i '1s/^\\xef\\xbb\\xbf//' {path}",
            )
