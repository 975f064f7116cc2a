"""Two contents of a package with one version number are told apart by the source that is noted."""

import json

from modelbook import training
from modelbook.training import packages

LOCK = """
version = 1
[[package]]
name = "mine"
version = "1"
source = { editable = "." }
dependencies = [{ name = "ours" }]
[[package]]
name = "ours"
version = "0.1.0"
source = SOURCE
"""


def noted(folder, source):
    (folder / "uv.lock").write_text(LOCK.replace("SOURCE", source), encoding="utf-8")
    return training.environment.locked_packages(folder / "uv.lock")["ours"]


def test_another_commit_file_or_folder_of_the_same_version_is_another_package(tmp_path):
    git = '{ git = "https://SECRETS@git.example.com/ours?branch=main#COMMIT" }'.replace("SECRETS", "me:" + "x" * 8)
    one, two = (noted(tmp_path, git.replace("COMMIT", commit * 40)) for commit in "12")
    assert one == f"0.1.0 @ git+https://git.example.com/ours@{'1' * 40}"
    assert one != two
    file = '{ url = "https://example.com/ours.whl" }\nwheels = [{ url = "x", hash = "sha256:DIGEST" }]'
    one, two = (noted(tmp_path, file.replace("DIGEST", digest * 64)) for digest in "12")
    assert one != two
    library = tmp_path / "ours"
    library.mkdir()
    (library / "ours.py").write_text("a = 1\n", encoding="utf-8")
    one = noted(tmp_path, '{ directory = "ours" }')
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / "ours.pyc").write_text("made", encoding="utf-8")
    assert noted(tmp_path, '{ directory = "ours" }') == one
    (library / "ours.py").write_text("a = 2\n", encoding="utf-8")
    assert noted(tmp_path, '{ editable = "ours" }') != one
    assert noted(tmp_path, '{ registry = "https://index.example.com/simple" }') == "0.1.0"


def test_a_folder_that_packages_are_built_from_is_an_input_of_the_stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = training.inputs.Seen()
    monkeypatch.setattr(training.inputs, "seen", seen)
    (tmp_path / "ours").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\ndependencies = []\n', encoding="utf-8")
    noted(tmp_path, '{ directory = "ours" }')
    training.environment.write(tmp_path / "environment.json")
    assert seen.said == {str(tmp_path / "ours")}


def test_an_installed_package_is_compared_by_version_and_by_where_it_came_from():
    git = "0.1.0 @ git+https://git.example.com/ours@"
    for wanted, found, expected in (
        ("1.0", "1.0", False),
        ("1.0 or 2.0", "2.0+cpu", False),
        ("1.0", "1.1", True),
        ("", "1.1", False),
        (f"{git}{'1' * 40}", f"0.1.0 @ git+ssh://git@git.example.com/ours@{'1' * 40}", False),
        (f"{git}{'1' * 40}", f"{git}{'2' * 40}", True),
        (f"{git}{'1' * 40}", "0.1.0", True),
        ("0.1.0", f"{git}{'1' * 40}", True),
    ):
        assert packages.differs(wanted, found) is expected, (wanted, found)


def test_the_source_of_an_installed_package_is_what_the_installer_noted(monkeypatch, tmp_path):
    (tmp_path / "ours.py").write_text("a = 1\n", encoding="utf-8")

    class Found:
        version = "0.1.0"
        direct = None

        def read_text(self, name):
            assert name == "direct_url.json"
            return None if self.direct is None else json.dumps(self.direct)

    monkeypatch.setattr(packages.metadata, "distribution", lambda _: Found())
    for direct, expected in (
        (None, "0.1.0"),
        ({"url": "https://e.com/o", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "0.1.0 @ git+https://e.com/o@abc"),
        (
            {"url": "https://e.com/o.whl", "archive_info": {"hash": "sha256=12"}},
            "0.1.0 @ https://e.com/o.whl#sha256=12",
        ),
        ({"url": "https://e.com/o.whl", "archive_info": {}}, "0.1.0 @ https://e.com/o.whl"),
    ):
        Found.direct = direct
        assert packages.installed("ours") == expected
    Found.direct = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    assert packages.installed("ours").startswith(f"0.1.0 @ {tmp_path.as_uri()}#sha256=")
