"""What a stage runs, reads and writes must stand in dvc.yaml, or the run does not count."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from modelbook import settings, training

from .conftest import SOURCE

#: Each way to read a file that people use, as a line of a stage; `lookup` names what is read.
READS = {
    "open": ("notes.txt", "open('notes.txt').read()"),
    "pathlib": ("notes.txt", "Path('notes.txt').read_bytes()"),
    "another folder": ("below/in.txt", "os.chdir('below'); open('in.txt').read(); os.chdir(HERE)"),
    "a thread": ("notes.txt", "t = threading.Thread(target=lambda: open('notes.txt').read()); t.start(); t.join()"),
    "pandas, CSV": ("rows.csv", "pd.read_csv('rows.csv')"),
    "pandas, Parquet": ("rows.parquet", "pd.read_parquet('rows.parquet')"),
    "pandas, a folder of Parquet": ("parts/one.parquet", "pd.read_parquet('parts')"),
    "PyArrow": ("arrow.parquet", "pq.read_table(Path('arrow.parquet'))"),
    "PyArrow's class": ("class.parquet", "pq.ParquetFile('class.parquet').read()"),
    "numpy": ("array.npy", "np.load('array.npy', mmap_mode='r')"),
    "SQLite": ("rows.db", "sqlite3.connect('rows.db').close()"),
    "code": ("helper.py", "import helper"),
    "a package": ("tools/__init__.py", "import tools"),
    "code of a package": ("tools/deep.py", "from tools import deep"),
    "compiled code": ("loaded.py", "load('loaded.py')"),
    "compiled code, again": ("loaded.py", "load('loaded.py')"),
    "SQLite, by address": ("other.db", "sqlite3.connect('file:other.db?mode=ro', uri=True).close()"),
    "a link from elsewhere": ("linked.txt", "open(os.environ['LINK'] + '/linked.txt').read()"),
    "code by its path": ("helper.py", "importlib.import_module('helper')"),
    "said by hand": ("rows.duck", "inputs.reads('rows.duck')"),
}
#: What needs no line in dvc.yaml.
FREE = {
    "the input": "open('in.txt').read()",
    "the output": "open('out.txt', 'w').write('1'); open('out.txt').read()",
    "a temporary file": "open('draft', 'w').write('1'); os.replace('draft', 'out.txt')",
    "a file that is not there": "Path('nothing').exists() or contextlib.suppress(FileNotFoundError).__enter__()",
    "DVC's own": "open('dvc.yaml').read(); open('.dvc/config').read()",
    "what is outside": "open(os.devnull).read(); tempfile.TemporaryFile().close()",
    "a cache": "os.makedirs('.cache/x', exist_ok=True); open('.cache/x/y', 'w').write('1')",
}
SCRIPT = """
import contextlib, importlib, importlib.util, os, sqlite3, sys, tempfile, threading
from pathlib import Path
from modelbook.training import inputs, stage
import numpy as np, pandas as pd, pyarrow.parquet as pq
HERE = os.getcwd()
def load(name):
    spec = importlib.util.spec_from_file_location("loaded", name)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
def main():
    {line}
    open("out.txt", "w").write("1")
    os.chdir("/")
stage.run(main)
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Return a folder with files of every kind and a stage that names one input and one output."""
    import numpy as np
    import pandas as pd

    folder = tmp_path_factory.mktemp("workplace")
    rows = pd.DataFrame({"a": [1, 2]})
    for name in (".dvc", "below", "parts", "tools"):
        (folder / name).mkdir()
    plain = ("in.txt", "notes.txt", "rows.duck", "helper.py", "tools/deep.py", ".dvc/config", "loaded.py", "linked.txt")
    for name in (*plain, "below/in.txt"):
        (folder / name).write_text("a = 1\n", encoding="utf-8")
    (folder / "tools" / "__init__.py").touch()
    rows.to_csv(folder / "rows.csv")
    for name in ("rows", "arrow", "class"):
        rows.to_parquet(folder / f"{name}.parquet")
    rows.to_parquet(folder / "parts" / "one.parquet")
    np.save(folder / "array.npy", np.ones(3))
    for name in ("rows.db", "other.db"):
        (folder / name).touch()
    (folder.parent / f"link-{folder.name}").symlink_to(folder)
    return folder


def work(folder, lines, deps=()):
    """Run a stage whose `main` is each of some lines in turn; return what was said."""
    (folder / "work.py").write_text(SCRIPT.format(line="\n    ".join(lines)), encoding="utf-8")
    named = "".join(f"      - {dep}\n" for dep in ("in.txt", "work.py", *deps))
    (folder / "dvc.yaml").write_text(
        f"stages:\n  work:\n    cmd: python work.py\n    deps:\n{named}    outs:\n      - out.txt\n", encoding="utf-8"
    )
    path = os.pathsep.join([str(SOURCE), str(folder)])
    return subprocess.run(
        [sys.executable, "work.py"],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": path,
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "LINK": str(folder.parent / f"link-{folder.name}"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.real
def test_every_way_to_read_a_file_is_seen_and_the_lines_that_are_printed_are_enough(workplace):
    done = work(workplace, [line for _, line in READS.values()])
    assert done.returncode == 1, done.stderr
    expected = sorted({name for name, _ in READS.values()})
    printed = [line.strip().removeprefix("- ") for line in done.stderr.splitlines() if line.strip().startswith("- ")]
    assert printed == expected
    assert "Traceback" not in done.stderr
    done = work(workplace, [line for _, line in READS.values()], deps=printed)
    assert done.returncode == 0, done.stderr


@pytest.mark.real
def test_what_is_named_or_gone_or_of_the_tools_needs_no_line(workplace):
    done = work(workplace, list(FREE.values()))
    assert done.returncode == 0, done.stderr


@pytest.mark.real
def test_a_folder_among_the_deps_covers_what_is_in_it(workplace):
    done = work(workplace, ["pd.read_parquet('parts')", "from tools import deep"], deps=["parts", "tools"])
    assert done.returncode == 0, done.stderr


@pytest.mark.real
def test_a_file_that_is_written_and_no_output_is_refused(workplace):
    done = work(workplace, ["pd.DataFrame({'a': [1]}).to_csv('more.csv')"])
    assert done.returncode == 1
    assert "writes more.csv" in done.stderr
    assert "outs:" in done.stderr
    (workplace / "more.csv").unlink()


@pytest.fixture
def stage_of(tmp_path, monkeypatch):
    """Return a function that checks what was seen against a dvc.yaml, as the stage `one` or another."""
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training.inputs, "START", tmp_path)

    def check(text, name="one", read=(), keys=(), module=None):
        (tmp_path / "dvc.yaml").write_text(text, encoding="utf-8")
        seen = training.inputs.Seen()
        for path in read:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
            seen.note(path, writes=False)
        asked = settings.Asked()
        asked.keys.update(keys)
        monkeypatch.setattr(training.inputs, "seen", seen)
        monkeypatch.setattr(training.inputs, "asked", asked)
        if name:
            monkeypatch.setenv("DVC_STAGE", name)
        else:
            monkeypatch.delenv("DVC_STAGE", raising=False)
        training.inputs.check(module)

    return check


def test_keys_of_params_that_a_stage_asks_for_must_be_named(stage_of, refused):
    text = "stages:\n  one:\n    cmd: x\n    params: [task.name, model, other.yaml: [a]]\n    outs: [o]\n"
    stage_of(text, keys=["task.name", "model.estimator", "model.name"])
    with refused(r"reads compute.seed, task.metric of params.yaml", r"params:\s+- compute.seed\s+- task.metric"):
        stage_of(text, keys=["task.metric", "compute.seed", "model.name"])
    with refused("reads task of params.yaml"):
        stage_of(text, keys=["task.*", "model.*"])
    stage_of("stages:\n  one: {cmd: x, deps: [params.yaml]}\n", keys=["task.metric"])


def test_the_configuration_notes_the_keys_that_are_asked_for_and_not_those_that_are_checked(params, monkeypatch):
    values = params.model_dump(mode="json")
    asked = settings.Asked()
    monkeypatch.setattr(settings, "asked", asked)
    again = settings.parse(values)
    assert asked.keys == set()
    assert again.compute.seed == params.compute.seed
    assert again.task.bootstrap.level
    assert asked.keys == {"compute.seed", "task.bootstrap"}
    assert dict(again.split)
    assert again.features.model_dump()
    assert {"split.*", "features.*"} <= asked.keys
    assert dict(again)
    assert "model.*" in asked.keys


def test_a_stage_is_found_by_name_by_command_and_with_its_folder(stage_of, refused):
    text = "stages:\n  one:\n    cmd: python -m a.b --fast\n    deps: [x]\n  two: {cmd: python -m a.bc}\n"
    for name, module in (("one", None), ("sub/dvc.yaml:one", None), (None, "a.b")):
        with refused("the stage one reads y"):
            stage_of(text, name=name, module=module, read=["x", "y"])
    stage_of(text, name=None, module="a.c", read=["y"])  # no stage runs it


def test_a_stage_with_a_working_folder_and_with_templates_is_held_the_same_way(
    stage_of, refused, tmp_path, monkeypatch
):
    import dvc.repo

    (tmp_path / ".dvc").rmdir()
    dvc.repo.Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setattr(training.inputs, "START", tmp_path / "sub")
    with refused("reads z", "deps:", "- z"):
        stage_of("stages:\n  one: {cmd: x, wdir: sub, deps: [y]}\n", read=["y", "z"])
    text = "stages:\n  one:\n    foreach: [a, b]\n    do: {cmd: 'x ${item}', wdir: sub, deps: ['y_${item}']}\n"
    with refused("one@a reads y_b", "- y_b"):
        stage_of(text, name="one@a", read=["y_a", "y_b"])


def test_in_a_linked_folder_files_count_under_the_names_that_they_have(stage_of, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "table.csv").touch()
    (tmp_path / "data").symlink_to("real")
    stage_of("stages:\n  one: {cmd: x, deps: [data]}\n", read=["data/table.csv"])


def test_rows_that_are_written_without_a_check_at_the_end_are_refused(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(training.inputs, "seen", training.inputs.Seen())
    with refused("not the body of a stage", "below @stage"):
        training.tables.write({}, "y", tmp_path)
