"""Change single values of a YAML file in place; comments, order and layout stay as they are.

The parser tells where each value stands in the text; only those characters are replaced.
"""

import json
import re
import textwrap
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

INDENT = 2


class NotThereError(Exception):
    """The file has no such place."""


def value(text: str, path: tuple[str, ...]) -> str | None:
    """Return the text of the value at a path, or None if the file has none there."""
    node = _find(text, path)
    return None if node is None else text[node.start_mark.index : _end(node)]


def replace(text: str, path: tuple[str, ...], new: Any) -> str:
    """Return the text with another value at a path that it has."""
    node = _find(text, path)
    if node is None:
        raise NotThereError(".".join(path))
    start = node.start_mark.index
    if isinstance(node, SequenceNode | MappingNode) and not node.flow_style:
        # A block starts on a line of its own; the new value goes back to the key's line.
        start = text.rindex(":", 0, start) + 1
        return f"{text[:start]} {scalar(new)}{text[_end(node) :]}"
    gap = " " if text[start - 1] == ":" else ""
    return f"{text[:start]}{gap}{scalar(new)}{text[_end(node) :]}"


def add(text: str, path: tuple[str, ...], new: Any) -> str:
    """Return the text with a new key below a mapping that it has."""
    parent = _find(text, path[:-1])
    if not isinstance(parent, MappingNode):
        raise NotThereError(".".join(path))
    entry = f"{_key(path[-1])}: {scalar(new)}"
    if parent.flow_style:
        place = parent.end_mark.index - 1
        return f"{text[:place].rstrip()}{', ' if parent.value else ''}{entry}{text[place:]}"
    if not parent.value:
        raise NotThereError(".".join(path))
    column = parent.value[0][0].start_mark.column
    place = _line_end(text, _end(parent.value[-1][1]))
    return f"{text[:place]}\n{' ' * column}{entry}{text[place:]}"


def insert(text: str, path: tuple[str, ...], lines: str) -> str:
    """Return the text with lines put first below a mapping that it has, indented as what stands there."""
    parent, holder = _find(text, path), _find(text, path[:-1])
    if not isinstance(parent, MappingNode) or parent.flow_style or not isinstance(holder, MappingNode):
        raise NotThereError(".".join(path))
    # Right below the key: a comment above the first entry is about that one.
    key = next(key for key, _ in holder.value if key.value == path[-1])
    place = _line_end(text, key.end_mark.index)
    return (
        f"{text[:place]}\n{textwrap.indent(lines.rstrip(), ' ' * parent.value[0][0].start_mark.column)}{text[place:]}"
    )


def remove(text: str, path: tuple[str, ...]) -> str:
    """Return the text without a key."""
    parent = _find(text, path[:-1])
    if not isinstance(parent, MappingNode):
        raise NotThereError(".".join(path))
    names = [key.value for key, _ in parent.value]
    if path[-1] not in names:
        raise NotThereError(".".join(path))
    position = names.index(path[-1])
    key, node = parent.value[position]
    if parent.flow_style:
        start, end = key.start_mark.index, _end(node)
        if position + 1 < len(parent.value):
            end = parent.value[position + 1][0].start_mark.index
        elif position:
            start = _end(parent.value[position - 1][1])
        return text[:start] + text[end:]
    if len(parent.value) == 1:
        # An empty mapping must say that it is one.
        start = text.rindex(":", 0, key.start_mark.index) + 1 if path[:-1] else 0
        return text[:start] + " {}" + text[_line_end(text, _end(node)) :]
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    return text[:start] + text[_line_end(text, _end(node)) + 1 :]


def scalar(new: Any) -> str:
    """Return a value as YAML on one line, which YAML 1.1 and 1.2 read alike.

    Numbers with an exponent get a point: PyYAML reads `1e-05` as a text.
    """
    if isinstance(new, list):
        return "[" + ", ".join(scalar(entry) for entry in new) + "]"
    if isinstance(new, dict):
        return "{" + ", ".join(f"{_key(key)}: {scalar(entry)}" for key, entry in new.items()) + "}"
    if isinstance(new, float):
        text = repr(new)
        if text in ("inf", "-inf", "nan"):
            return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[text]
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)
    if isinstance(new, str):
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", new)
        return new if plain and yaml.safe_load(new) == new else '"' + "".join(map(_escaped, new)) + '"'
    return json.dumps(new)


def _escaped(character: str) -> str:
    """Return a character as a double-quoted YAML text takes it."""
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _key(name: Any) -> str:
    return scalar(name)


def _find(text: str, path: tuple[str, ...]) -> Node | None:
    node: Node | None = yaml.compose(text, yaml.SafeLoader)
    for part in path:
        if not isinstance(node, MappingNode):
            return None
        node = next((child for key, child in node.value if key.value == part), None)
    return node


def _end(node: Node) -> int:
    """Return where a node's own text ends; the parser counts the comments and lines after a block to it."""
    if isinstance(node, ScalarNode) or node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, MappingNode) else last)


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end
