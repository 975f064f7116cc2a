"""The template's own CI and releases: a workflow that linters pass, and a changelog that tells of every tag."""

import re
import shutil

import pytest
from conftest import TEMPLATE
from ruamel.yaml import YAML

WORKFLOWS = sorted((TEMPLATE / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def workflow(request):
    return request.param


def test_linters_find_nothing(workflow, run):
    run("zizmor", "--offline", "--persona", "pedantic", workflow, cwd=TEMPLATE)
    run("actionlint", workflow, cwd=TEMPLATE)
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow, cwd=TEMPLATE)


def test_it_may_only_read_and_ends_in_time_and_uses_what_cannot_change(workflow):
    text = workflow.read_text(encoding="utf-8")
    read = YAML(typ="safe").load(text)
    assert read["permissions"] == {}
    assert "secrets." not in text
    for job in read["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 60
    used = re.findall(r"uses: (.*)", text)
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used), used


def test_it_runs_what_a_person_runs():
    commands = [s["run"] for w in WORKFLOWS for j in jobs(w) for s in j["steps"] if "run" in s]
    assert commands == [".ci/run"]
    lines = (TEMPLATE / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    made = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    typed = re.findall(r"(?m)^(make \w+)", readme)
    assert made == ["make system", "make test"]
    assert {*made} <= {*typed}


def test_a_tool_that_tests_need_is_looked_for_before_anything_else_and_the_command_is_named(cold, run, tmp_path):
    for name in ("make", "sh", "rsync", "sed"):
        tmp_path.joinpath(name).symlink_to(shutil.which(name, path=cold["PATH"]) or "/bin/true")
    done = run("make", "test", "VENV=nowhere", cwd=TEMPLATE, fails=True, PATH=str(tmp_path))
    assert "The tests start ssh-keygen, which is not installed. Type, as root: make system" in done.stderr
    assert "apt-get install rsync openssh-client" in done.stderr
    assert not (TEMPLATE / "nowhere").exists()


def jobs(workflow):
    return YAML(typ="safe").load(workflow.read_text(encoding="utf-8"))["jobs"].values()


def test_the_changelog_tells_of_every_tag_and_of_what_comes_next(run):
    headings = re.findall("(?m)^## (.*)", (TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert headings[0] == "Not yet released"
    told = [heading.partition(",")[0] for heading in headings[1:]]
    assert told == sorted(told, key=lambda number: [int(part) for part in number.split(".")], reverse=True)
    assert {*run("git", "tag", "--list", "[0-9]*", cwd=TEMPLATE).stdout.split()} <= {*told}
