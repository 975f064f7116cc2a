"""The `model` command: its help, what it calls, and what it prints as JSON."""

import ast
import datetime as dt
import inspect
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main
from modelbook import cli, commands, errors, formats, registry
from modelbook.cli import result

from .conftest import SOURCE

COMMANDS = typer.main.get_command(cli.app.app).commands
#: What is left of 78 columns beside the longest name.
LINE_WIDTH = 63


def calls():
    """Return the arguments of each call of `run` in the source: what does the work, the view, and the others."""
    tree = ast.parse(Path(cli.app.__file__).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "run"]
    return [pytest.param(node, id=node.args[0].value) for node in found]


def run_python(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=SOURCE, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_section_one_whole_line_an_example_and_json(name):
    command = COMMANDS[name]
    line = command.get_short_help_str(LINE_WIDTH)
    sections = (cli.app.COMPARE, cli.app.RELEASE, cli.app.LIVE, cli.app.PROVE, cli.app.STORE, cli.app.OWN)
    assert command.rich_help_panel in sections
    assert line.endswith(".")
    assert not line.endswith("...")
    assert f"  $ model {name}" in command.help
    assert any("--json" in option.opts for option in command.params)


@pytest.mark.real
def test_the_help_lists_each_command_under_its_section():
    section, listed = "", {}
    for line in run_python("-m", "modelbook.cli.app", "--help").stdout.splitlines():
        if line and line[0] != " ":
            section = line.rstrip(":")
        elif line:
            listed[line.split()[0]] = section
    assert {name: listed[name] for name in COMMANDS} == {n: c.rich_help_panel for n, c in COMMANDS.items()}


@pytest.mark.real
def test_the_help_imports_nothing_that_takes_long():
    modules = run_python("-X", "importtime", "-m", "modelbook.cli.app", "--help").stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in modules.splitlines()}
    heavy = {"rich", "pydantic", "dvc", "pandas", "numpy", "yaml", "ruamel"}
    assert "typer" in imported
    assert not heavy & imported


@pytest.mark.parametrize("call", calls())
def test_what_a_command_calls_takes_what_it_is_given(call):
    module, _, function = call.args[0].value.partition(".")
    work = getattr(getattr(commands, module), function)
    inspect.signature(work).bind("project", *call.args[3:], "say")
    assert list(inspect.signature(work).parameters)[1 + len(call.args[3:])] == "say"


@dataclass(frozen=True)
class Part:
    name: str
    at: dt.datetime
    refs: frozenset[str]

    @property
    def loud(self) -> str:
        return self.name.upper()


class Record:
    def as_dict(self):
        return {"path": Path("a/b")}


def test_a_result_is_its_fields_and_properties_in_json():
    part = Part("a", dt.datetime(2024, 5, 1, tzinfo=dt.UTC), frozenset({"y", "x"}))
    values = result.plain({"parts": (part,), "record": Record(), 1: None})
    assert json.loads(json.dumps(values)) == {
        "parts": [{"name": "a", "at": "2024-05-01T00:00:00+00:00", "refs": ["x", "y"], "loud": "A"}],
        "record": {"path": "a/b"},
        "1": None,
    }


def test_a_fault_has_its_fix_in_json():
    fault = errors.ProjectError("what", "why", "fix")
    pushed = commands.push.Pushed("v1.0.0", fault=fault)
    values = result.plain(pushed)
    assert values["fault"] == {"what": "what", "why": "why", "fix": "fix"}
    assert values["complete"] is False


@pytest.mark.parametrize(
    ("order", "refused_by", "enters"),
    [
        ([], (), "prod"),
        ([], ("prod",), None),
        (["staging", "prod"], ("prod",), "staging"),
        (["staging"], ("staging",), None),
    ],
)
def test_a_release_names_the_next_promotion_only_if_the_rules_allow_it(capsys, order, refused_by, enters):
    release = commands.release
    assert release.entry_stage({"order": order}, refused_by) == enters
    verdict = registry.record.Gate(name="default", passed=True, against=None, rules=[])
    cli.views.released(release.Released("v1.0.0", "m@v1.0.0", "first", verdict, 1, 1, None, (), refused_by, enters))
    said = capsys.readouterr().out
    assert (f"next: model promote v1.0.0 --to {enters}" in said) == bool(enters)
    assert ("next:" in said) == bool(enters)


def test_what_a_markdown_table_holds_ends_no_cell_and_is_no_tag():
    lines = formats.markdown_table(("", "a|b"), [("x", "1|<b>\n2"), ("and", "")])
    assert lines == ["|  | a\\|b |", "|---|---|", "| x | 1\\|&lt;b> 2 |", "| and |  |"]


def test_a_metric_has_the_form_of_its_interval_or_says_that_it_has_no_value():
    assert formats.interval(0.91234, 0.85, 0.95) == "0.9123 [0.85, 0.95]"
    assert formats.interval(0.91234, None, None) == "0.9123"
    assert formats.interval(None, None, None) == "no value"
