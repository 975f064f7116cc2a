"""The template repository itself: what its README and Makefile promise, and what must not be in it."""

import re
import subprocess

from conftest import TEMPLATE


def tracked():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=TEMPLATE, check=True, capture_output=True, text=True).stdout
    return [TEMPLATE / name for name in names.split("\0") if name]


def test_every_make_target_of_the_readme_exists(run):
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    listed = run("make", "--no-print-directory", "help", cwd=TEMPLATE).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    assert {"setup", "demo", "test", "lint", "bench", "help"} <= targets
    for name in re.findall(r"`make ([a-z]+)`", readme):
        assert name in targets


def test_no_address_of_a_package_registry_and_no_secret_is_committed():
    hosts = ("py" + "pi.org", "python" + "hosted", "npm" + "js.org")
    secrets = re.compile(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY|aws_secret_access_key")
    for file in tracked():
        text = file.read_bytes().decode("utf-8", errors="replace")
        assert not any(host in text for host in hosts), file
        assert not secrets.search(text) or file == TEMPLATE / "tests" / "test_template.py", file


def test_the_sample_table_is_committed_although_its_folder_is_ignored():
    names = {str(file.relative_to(TEMPLATE)) for file in tracked()}
    assert "{{cookiecutter.project_slug}}/data/raw/penguins.csv" in names


def test_no_lock_file_with_addresses_is_committed():
    lock = (TEMPLATE / "{{cookiecutter.project_slug}}" / "uv.lock").read_text(encoding="utf-8")
    assert "[[package]]" not in lock
