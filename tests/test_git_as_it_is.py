"""Releases, roll-backs and proofs in repositories, hooks and with settings as people have them."""

import re
from pathlib import Path

from conftest import TOOL, configure

TESTS = Path(__file__).resolve().parent


def hostile_settings(folder):
    """Return a file with the settings that the tests of the tool hold each reading call against."""
    text = (
        (TESTS / "unit" / "test_git.py").read_text(encoding="utf-8").partition('HOSTILE = """')[2].partition('"""')[0]
    )
    lines = []
    for setting in text.split():
        key, _, value = setting.partition("=")
        *sections, name = key.split(".")
        head = f'[{sections[0]} "{sections[1]}"]' if sections[1:] else f"[{sections[0]}]"
        lines.append(f"{head}\n\t{name} = {value}\n")
    file = folder / "hostile"
    file.write_text("".join(lines), encoding="utf-8")
    return file


def test_a_life_under_settings_of_every_kind(team):
    """What is told and done is what is told and done without them."""
    plain = team.model("diff", "v1.0.0", "v1.1.0").stdout
    team.document()
    settings = {"GIT_CONFIG_GLOBAL": str(hostile_settings(team.folder))}
    assert "tag penguins@v1.1.1, pushed to origin" in team.model("release", **settings).output
    assert "prod: v1.1.1 is live" in team.model("promote", "latest", "--to", "prod", **settings).output
    said = team.model("rollback", "--to", "v1.0.0", "--reason", "schlimm é", **settings).output
    assert "prod: v1.0.0 is live" in said
    assert re.search(rf"its Python: PYTHONPATH=\.:{TOOL} /\S+/python ", said)
    assert team.live(cwd=team.origin) == "v1.0.0"
    assert team.model("verify", "--all", **settings).output.count("sound") == 3
    again = team.model("diff", "v1.0.0", "v1.1.0", **settings).stdout
    assert again.partition("live\n")[0] == plain.partition("live\n")[0]
    said = team.model("history", **settings).stdout
    assert said.startswith("when (UTC) ")
    assert "schlimm é" in said
    assert team.git("show", "--no-patch", "--format=", "penguins@v1.1.1")


def test_model_in_a_hook_of_a_submodule_leaves_the_commit_alone(team):
    """The hook's variables name the index of the commit that is being made, and a folder of git that is elsewhere."""
    outer = team.folder / "outer"
    team.git("init", "--quiet", outer)
    configure(team._run, outer)
    allow = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    team.git(*allow, team.origin, "libs/penguins", cwd=outer)
    project = outer / "libs" / "penguins"
    configure(team._run, project)
    project.joinpath("..", team.storage.name).symlink_to(team.storage)
    hook = Path(team.git("rev-parse", "--path-format=absolute", "--git-path", "hooks/pre-commit", cwd=project))
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\nset -e\nenv | grep -q ^GIT_INDEX_FILE=\n"
        f"export PYTHONPATH=.:{TOOL}\nmodel rollback --reason hook >&2\nmodel reproduce v1.0.0 >&2\n",
        encoding="utf-8",
    )
    hook.chmod(0o755)
    with (project / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("One more line.\n")
    said = team._run("git", "commit", "--all", "--message", "Document", cwd=project).output
    assert "prod: v1.0.0 is live, was v1.1.0" in said
    assert "v1.0.0: identical" in said
    assert team.git("show", "--name-only", "--format=", "HEAD", cwd=project) == "README.md"
    assert team.git("status", "--porcelain", "--untracked-files=no", cwd=project) == ""
    assert team.live(cwd=team.origin) == "v1.0.0"


def test_a_clone_without_old_files_gets_them_as_git_does(team):
    team.git("config", "uploadpack.allowFilter", "true", cwd=team.origin)
    partial = team.folder / "partial"
    team.git("clone", "--quiet", "--filter=blob:none", f"file://{team.origin}", partial, cwd=team.folder)
    configure(team._run, partial)
    assert team.model("verify", "--all", cwd=partial).output.count("sound") == 2
    assert "prod: v1.0.0 is live" in team.model("rollback", "--reason", "x", cwd=partial).output
    away = team.origin.rename(team.folder / "away")
    said = team.model("verify", "v1.1.0", cwd=partial, fails=None).output
    away.rename(team.origin)
    assert "Traceback" not in said


def test_without_a_git_remote_nothing_is_told_of_one(team):
    team.git("remote", "remove", "origin")
    said = team.model("rollback", "--reason", "x").output
    assert "tag: penguins#prod#3, only in this clone" in said
    # What a git that was killed leaves behind: the tag cannot be written, and nobody took its name.
    (team.project / ".git" / "refs" / "tags" / "penguins#staging#1.lock").touch()
    said += team.model("promote", "v1.0.0", "--to", "staging", fails=True).output
    assert "git could not write the tag" in said
    assert "None" not in said
