"""Who may do what: the page, the code owners, the questions to an author and the rules of the forge fit the project."""

import fnmatch
import json
import re

import pytest
from conftest import TOOL
from pathspec import GitIgnoreSpec
from test_answers import SUPPORTED
from test_readme import commands

#: Made later: by the first training, and by whoever prunes.
LATER = ("dvc.lock", "params.yaml", "conf/retention/default.yaml", "docs/governance.md")
ACCOUNT = re.compile(r"@[\w-]+(/[\w-]+)*|[\w.%+-]+@[\w-]+(\.[\w-]+)+")


@pytest.fixture(scope="module", params=SUPPORTED, ids=lambda answers: answers.get("ci", "github"))
def project(request, generate, tmp_path_factory):
    return generate(tmp_path_factory.mktemp("governed"), **request.param)


def test_every_line_of_the_code_owners_has_a_valid_owner_and_files(project, run):
    files = [*run("git", "ls-files", "-z", cwd=project).stdout.split("\0"), *LATER]
    lines = (project / "docs" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert len(rules) >= 14
    for pattern, *owners in rules:
        assert any(GitIgnoreSpec.from_lines([pattern]).match_file(file) for file in files), pattern
        assert owners, pattern
        assert all(ACCOUNT.fullmatch(owner) for owner in owners), owners
    owned = GitIgnoreSpec.from_lines([pattern for pattern, *_ in rules])
    rules_of_trust = f"{TOOL}/modelbook/training/trust.py"
    allow_lists = ["trusted_types.txt", rules_of_trust]
    ci = [file for file in files if file.startswith((".github/", ".gitlab"))]
    for file in ["conf/gate/default.yaml", "conf/stages/default.yaml", "docs/CODEOWNERS", *allow_lists, *ci, *LATER]:
        assert owned.match_file(file), file
    assert 'FILE = Path("trusted_types.txt")' in (project / rules_of_trust).read_text(encoding="utf-8")


def test_the_questions_to_an_author_are_where_the_forge_looks(project):
    places = [project / ".github" / "pull_request_template.md", project / ".gitlab/merge_request_templates/Default.md"]
    page = (project / "docs" / "governance.md").read_text(encoding="utf-8")
    present = [place for place in places if place.exists()]
    assert len(present) == ((project / ".github").exists() or (project / ".gitlab-ci.yml").exists())
    for place in present:
        text = place.read_text(encoding="utf-8")
        assert text.startswith("<!-- What a reviewer of a model must know.")
        assert text.count("- [ ] ") == 5
    assert ("### On GitHub" in page) == (not (project / ".gitlab-ci.yml").exists())
    assert ("### On GitLab" in page) == (not (project / ".github").exists())


def test_the_rules_for_tags_hold_all_tags_of_the_model_and_no_others(generate, tmp_path):
    folder = generate(tmp_path, project_slug="a-model") / ".github" / "rulesets"
    rules = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir()}
    assert {name: [rule["type"] for rule in ruleset["rules"]] for name, ruleset in rules.items()} == {
        "tags-stay": ["update", "deletion"],
        "tags-by-releasers": ["creation"],
        "main-by-review": ["deletion", "non_fast_forward", "pull_request"],
    }
    assert not rules["tags-stay"]["bypass_actors"]
    for name in ("tags-stay", "tags-by-releasers"):
        patterns = rules[name]["conditions"]["ref_name"]["include"]
        for tag in (
            "a-model@v1.0.0",
            "a-model@v1.0.0!",
            "a-model#prod#1",
            "a-model#prod!#2",
            "a-model.pruned.1",
            "a-model-x",
            "v1.0.0",
            "b-model@v1.0.0",
        ):
            held = any(fnmatch.fnmatchcase(f"refs/tags/{tag}", pattern) for pattern in patterns)
            assert held == tag.startswith(("a-model@", "a-model#", "a-model.")), tag


def protect(team):
    """Let the git remote refuse what the rules of a forge refuse: `main` by push, tags that change or go."""
    hook = team.origin / "hooks" / "update"
    hook.write_text(
        '#!/bin/sh\ncase "$1" in refs/heads/*) exit 1;; esac\ncase "$2" in *[!0]*) exit 1;; esac\n',
        encoding="utf-8",
    )
    hook.chmod(0o755)


def test_the_governance_page_does_what_it_says(team, run, edit):
    blocks = re.findall(
        r"^ *```bash\n(.*?)^ *```", (team.project / "docs/governance.md").read_text(), re.DOTALL | re.MULTILINE
    )
    review, release, withdraw, retire, audit, sign = (commands(f"```bash\n{block}```\n") for block in blocks)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", team.folder / "id_ed25519", cwd=team.folder)
    team.git("branch", "--quiet", "--set-upstream-to=origin/main")

    def do(lines):
        said = ""
        for line in lines:
            command = line.removeprefix("uv run ").replace("/tmp/", "../").replace("~/.ssh", f"'{team.folder}'")
            said += run("sh", "-ec", command, cwd=team.project).output
        return said

    said = do(withdraw)
    assert "prod: v1.0.0 is live, was v1.1.0" in said
    assert "penguins@v1.1.0: it was withdrawn" in said
    assert "v1.1.0 was withdrawn" in team.model("promote", "v1.1.0", "--to", "prod", fails=True).output
    assert "prod: nothing since" in do(retire)
    do(sign)
    team.change()  # with the model that was left by a roll-back, the next version would be refused, too
    edit(team.project / "conf" / "stages" / "default.yaml", "sign_tags: false", "sign_tags: true")
    do(["uv run dvc repro --quiet", "git add --all", "git commit --quiet --message 'Sign'", "git push --quiet"])
    protect(team)
    run("git", "push", "--force", "origin", "HEAD~1:main", cwd=team.project, fails=True)
    run("git", "push", "origin", ":refs/tags/penguins@v1.0.0", cwd=team.project, fails=True)
    do([line for line in review if "dvc plots diff" not in line])  # test_readme.py has it
    assert "prod: v1.2.0 is live" in do(release)
    assert "it was withdrawn" in do(audit)
    rows = (team.folder / "audit.csv").read_text(encoding="utf-8")
    assert "approved in review 12" in rows
    assert rows.count('"good","test@example.com"') == 2
