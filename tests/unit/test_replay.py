"""A replay runs the code of the folder that it is told, whatever was importable when it started."""

import os
import sys
from types import SimpleNamespace

import pytest
from modelbook import workspace

pytestmark = pytest.mark.real


@pytest.fixture
def replay(tmp_path):
    """Return a project, and a function that makes a folder whose replay tells where it stands."""
    project = SimpleNamespace(releases=tmp_path / ".releases", root=tmp_path)

    def folder(name, code):
        package = tmp_path / name / "packages/modelbook/src/modelbook/training"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package.parent / "__init__.py").touch()
        (package / "replay.py").write_text(code, encoding="utf-8")
        return tmp_path / name

    return project, folder


def test_it_starts_before_its_folder_is_there_and_runs_the_code_of_that_folder(replay, monkeypatch, tmp_path):
    project, folder = replay
    code = "import os, sys; print(os.getcwd(), __file__, __name__, sys.argv[1:], __spec__.name)"
    other = folder("other", code)
    paths = (tmp_path / "right", other / "packages/modelbook/src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    running = workspace.restore._start_replay(project, sys.executable)
    right = folder("right", code)
    out, err = running.communicate(workspace.restore._where_to_replay(right), timeout=60)
    assert (running.returncode, err) == (0, "")
    module = right / "packages/modelbook/src/modelbook/training/replay.py"
    assert out.split() == [str(right), str(module), "__main__", "[]", "modelbook.training.replay"]


def test_a_replay_that_ends_badly_says_so(replay):
    project, folder = replay
    running = workspace.restore._start_replay(project, sys.executable)
    _, err = running.communicate(workspace.restore._where_to_replay(folder("bad", "import sys; sys.exit('no')")))
    assert (running.returncode, err.strip()) == (1, "no")


def test_one_that_nobody_tells_a_folder_ends_and_one_that_is_stopped_is_gone(replay):
    project, _ = replay
    running = workspace.restore._start_replay(project, sys.executable)
    running.communicate("", timeout=60)
    assert running.returncode == 1, "as when the command that started it was killed"
    stopped = workspace.restore._start_replay(project, sys.executable)
    workspace.restore._stop(stopped)
    assert stopped.returncode is not None
    if os.name != "nt":
        with pytest.raises(ProcessLookupError):
            os.kill(stopped.pid, 0)
