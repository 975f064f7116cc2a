"""A template that lives: projects and forks follow it by cruft and git, and no version's history comes to harm."""

import json
import re
import shutil
import tomllib

import pytest
from conftest import TEMPLATE, TOOL, Team, configure, copy, write_card

PROJECT = "{{cookiecutter.project_slug}}"
PACKAGE = PROJECT + "/{{cookiecutter.__package_name}}"
MODELBOOK = f"{TOOL}/modelbook"
#: Changes of the next release in files that belong to a project: none of them may arrive.
NOT_OURS = {
    "conf/gate/default.yaml": ("against: prod", "against: staging"),
    "conf/model/linear.yaml": ("C: 1.0", "C: 3.0"),
    "conf/compute/default.yaml": ("seed: 42", "seed: 7"),
    "conf/config.yaml": ("  - stages: default\n", "  - stages: default\n  - notes: default\n"),
    "docs/model_card.md": ("## Limits", "## Boundaries"),
    "data/README.md": ("#", "# New:"),
    "data/raw/penguins.csv": ("Adelie,Torgersen,39.1", "Adelie,Torgersen,40.1"),
    ".dvc/config": ("verify = true", "verify = false"),
    "uv.lock": ("version = 1", "version = 1\nrevision = 9"),
}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory, run):
    """Return a repository of the template with two tags: `0.1.0`, the newest release, and `0.2.0`, the one to come.

    As long as there is no release, this working tree stands in for it. The one
    to come is this working tree with a change of each kind.
    """
    source = tmp_path_factory.mktemp("upstream") / "template"
    run("git", "init", "--quiet", "--initial-branch=main", source, cwd=TEMPLATE)
    configure(run, source)
    tags = run("git", "tag", "--list", "[0-9]*", "--sort=version:refname", cwd=TEMPLATE).stdout.split()
    if tags:
        run("git", "fetch", "--quiet", TEMPLATE, tags[-1], cwd=source)
        run("git", "read-tree", "-u", "--reset", "FETCH_HEAD", cwd=source)
    else:
        take_working_tree(run, source)
    release(run, source, "0.1.0")
    take_working_tree(run, source)
    next_release(source)
    release(run, source, "0.2.0")
    return source


def take_working_tree(run, source):
    for file in source.iterdir():
        if file.name != ".git":
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=TEMPLATE).stdout
    for name in names.split("\0")[:-1]:
        if (TEMPLATE / name).is_file():
            source.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, source / name)


def release(run, source, tag):
    run("git", "add", "--all", "--force", cwd=source)
    run("git", "commit", "--quiet", "--message", tag, cwd=source)
    run("git", "tag", "--annotate", tag, "--message", tag, cwd=source)


def change(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{file} does not hold {old!r}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def next_release(source):
    """Make a change of each kind: code, a stage, a group of conf/, text, and what belongs to each project."""
    project, package, tool = source / PROJECT, source / PACKAGE, source / PROJECT / MODELBOOK
    change(tool / "training" / "statistics.py", "QUANTILES = (", "QUANTILES = (0.01, ")
    counts = "import json\nfrom pathlib import Path\n\nfrom modelbook import stage\n\n\n@stage\ndef counts(settings):\n"
    counts += '    rows = json.loads(Path("data/prepared/summary.json").read_text(encoding="utf-8"))["rows"]\n'
    counts += '    Path("counts.json").write_text(json.dumps(rows) + "\\n", encoding="utf-8")\n'
    counts += '\n\nif __name__ == "__main__":\n    counts()\n'
    package.joinpath("counts.py").write_text(counts, encoding="utf-8")
    name = "{{ cookiecutter.__package_name }}"
    deps = ("data/prepared/summary.json", "environment.json", f"{name}/__init__.py", f"{name}/settings.py")
    deps = (*deps, f"{name}/counts.py")
    stage = "  counts:\n    cmd: python -m {{ cookiecutter.__package_name }}.counts\n    deps:\n"
    stage += "".join(f"      - {dep}\n" for dep in deps)
    change(
        project / "dvc.yaml", "\nplots:", f"\n{stage}    outs:\n      - counts.json:\n          cache: false\n\nplots:"
    )
    for file, (old, new) in NOT_OURS.items():
        change(project / file, old, new)
    change(source / "cookiecutter.json", '  "task": [', '  "region": "north",\n  "task": [')
    notes = project / "conf" / "notes"
    notes.mkdir()
    notes.joinpath("default.yaml").write_text("name: default\nkeep: true\n", encoding="utf-8")
    config = tool / "settings.py"
    change(config, "class Config(", "class Notes(Strict):\n    name: str\n    keep: bool\n\n\nclass Config(")
    change(config, "    features: Features\n", "    features: Features\n    notes: Notes\n")
    change(project / "pyproject.toml", '"conf/model", ', '"conf/model", "conf/notes", ')
    readme = project / "README.md"
    change(readme, "Every result of this project is made by", "Each result of this project is made by")
    change(
        project / "docs" / "layout.md", "│   ├── split/", "│   ├── notes/                  what to keep\n│   ├── split/"
    )


@pytest.fixture(scope="module")
def create(run):
    """Return a function that generates and commits a project with the real cruft, at the tag of the last release."""

    def creator(source, folder, **answers):
        given = ("--no-input", "--extra-context", json.dumps(answers))
        run("cruft", "create", source, "--checkout", "0.1.0", "--output-dir", folder, *given, cwd=folder)
        project = folder / "penguins"
        configure(run, project)
        run("git", "add", "--all", cwd=project)
        run("git", "commit", "--quiet", "--message", "Remember the template", cwd=project)
        return project

    return creator


def update(run, project, tag="0.2.0"):
    return run("cruft", "update", "--checkout", tag, "--skip-apply-ask", cwd=project)


def test_an_update_harms_no_version(upstream, create, run, commit, environment, lock_installed, tmp_path):
    answers = {"description": 'Ends in "quotes" \\ and {x} $(id) 🐧', "licence": "Apache-2.0", "ci": "gitlab"}
    project = create(upstream, tmp_path, **answers)
    team = Team(tmp_path, run, environment)
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", team.origin, cwd=tmp_path)
    team.git("remote", "add", "origin", team.origin)
    lock_installed(project)
    write_card(project)
    change(project / "README.md", "# Penguins", "# Our penguins")
    change(project / "conf" / "model" / "linear.yaml", "C: 1.0", "C: 2.0")
    team.dvc("repro")
    commit(project, "Train")
    team.model("release")
    team.model("promote", "v1.0.0", "--to", "prod")
    made = ("dvc.lock", "params.yaml", "environment.json", "evaluation.json", "metrics.json", "data/raw.dvc")
    kept = {name: (project / name).read_bytes() for name in (*NOT_OURS, *made)}

    assert "out of date" in run("cruft", "check", "--checkout", "0.2.0", cwd=project, fails=True).output
    assert "has been updated" in update(run, project).output
    assert {name: (project / name).read_bytes() for name in kept} == kept
    arrived = {*team.git("ls-files", "--modified", "--others", "--exclude-standard").splitlines()}
    arrived |= {*team.git("diff", "--name-only", "--cached").splitlines()}
    new = {"README.md", "conf/notes/default.yaml", "dvc.yaml", "pyproject.toml"}
    assert arrived >= new | {"penguins/counts.py", f"{MODELBOOK}/settings.py", f"{MODELBOOK}/training/statistics.py"}
    remembered = json.loads((project / ".cruft.json").read_text(encoding="utf-8"))["context"]["cookiecutter"]
    assert remembered.items() >= {**answers, "region": "north"}.items()
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (metadata["description"], metadata["license"]) == (answers["description"], "Apache-2.0")
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Our penguins")
    assert "Each result of this project is made by" in readme

    said = run("dvc", "repro", cwd=project, fails=True).output
    assert "notes is missing in conf/config.yaml: add the line `- notes: default` to its defaults" in said
    for line in re.findall(r"add the line `(.*?)`", said):
        change(project / "conf" / "config.yaml", "  - experiment: null", f"  {line}\n  - experiment: null")
    team.dvc("repro")
    run("pytest", "-q", cwd=project)
    commit(project, "Update from the template")
    assert "up to date" in run("cruft", "check", "--checkout", "0.2.0", cwd=project).output
    assert "up to date" in run("cruft", "check", cwd=project).output
    assert "v1.1.0: minor after v1.0.0: code changed" in team.model("release").output
    team.model("promote", "v1.1.0", "--to", "prod")

    assert team.model("verify", "--all").output.count("sound") == 2
    assert "v1.0.0: identical" in team.model("reproduce", "v1.0.0").output
    team.model("rollback", "--reason", "the old one is wanted")
    assert team.live() == "v1.0.0"
    assert json.loads(team.model("show", "v1.0.0", "--json").stdout)["params"]["choices"].get("notes") is None


@pytest.mark.parametrize("history", ["whole", "lost"])
def test_an_update_that_does_not_fit_is_named_until_it_is_mended(upstream, create, run, commit, tmp_path, history):
    project = create(upstream, tmp_path)
    file = project / MODELBOOK / "training" / "statistics.py"
    change(file, "QUANTILES = (0.05, 0.25", "QUANTILES = (0.1, 0.25")
    if history == "lost":  # without the file as the template made it, git cannot merge
        shutil.rmtree(project / ".git")
        run("git", "init", "--quiet", "--initial-branch=main", cwd=project)
        configure(run, project)
    commit(project, "Other quantiles")
    update(run, project)  # and ends with 0
    rejected = file.with_name("statistics.py.rej")
    assert rejected.exists() == (history == "lost")
    said = run("model", "status", cwd=project).output
    if history == "lost":
        assert f"an update of the template did not fit: {MODELBOOK}/training/statistics.py.rej" in said
        commit(project, "Commit it all the same")
        assert "an update of the template did not fit" in run("model", "release", cwd=project, fails=True).output
        rejected.unlink()
    else:
        assert f"merge conflicts in {MODELBOOK}/training/statistics.py" in said
        assert "merge conflicts" in run("model", "release", cwd=project, fails=True).output
        run("git", "checkout", "--quiet", "--theirs", file, cwd=project)
    commit(project, "Mend it")
    said = run("model", "status", cwd=project).output
    assert "did not fit" not in said
    assert "merge conflicts" not in said


def test_each_group_of_conf_is_protected_by_name(upstream, create, tmp_path):
    """A glob would also hide what is new."""
    project = create(upstream, tmp_path)
    text = (project / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.cruft]")[2]
    listed = set(re.findall(r'"(conf/[^"]+)"', text))
    assert listed == {f"conf/{path.name}" for path in (project / "conf").iterdir()}
    assert "*" not in text


def test_the_page_on_forks_does_what_it_says(upstream, run, tmp_path):
    """Walk through docs/customising.md; `make test`, uv and pytest are held by other tests."""
    page = (TEMPLATE / "docs" / "customising.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    fork, theirs = tmp_path / "forge" / "template.git", tmp_path / "upstream"
    copy(upstream, theirs)
    for command in (("branch", "--force", "--quiet", "next"), ("reset", "--quiet", "--hard", "0.1.0")):
        run("git", *command, cwd=theirs)
    for new, old in (("1.0.0", "0.1.0"), ("1.1.0", "0.2.0")):
        run("git", "tag", "--annotate", new, f"{old}^{{commit}}", "--message", new, cwd=theirs)
    run("git", "clone", "--quiet", "--bare", theirs, fork, cwd=tmp_path)
    # The fork was made when upstream was at 1.0.0.
    run("git", "tag", "--delete", "1.1.0", "0.2.0", cwd=fork)

    def walk(block, folder):
        for line in block.splitlines():
            if line.startswith(("make test", "uv lock", "uv run dvc", "uv run pytest")):
                continue
            command = line.replace("https://example.com/your-team/template.git", str(fork)).removeprefix("uv run ")
            command = command.replace("https://example.com/upstream/template.git", str(theirs))
            if command.startswith("cd "):
                folder = folder / command.removeprefix("cd ")
                configure(run, folder)
                continue
            command += " --no-input" if command.startswith("cruft create") else ""
            run("sh", "-ec", command, cwd=folder, fails=None if command.startswith("cruft check") else False)
        return folder

    clone, name, make, follow, up, after = blocks
    template = walk(clone, tmp_path)
    extra_trees = re.search(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1]
    (template / PROJECT / "conf" / "model" / "extra_trees.yaml").write_text(extra_trees, encoding="utf-8")
    change(template / "cookiecutter.json", '["MIT", ', '["Proprietary", "MIT", ')
    change(template / "cookiecutter.json", ', "Proprietary"]', "]")
    walk(name, template)
    project = walk(make, tmp_path) / "penguins"
    configure(run, project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "Start", cwd=project)
    assert (project / "conf" / "model" / "extra_trees.yaml").read_text(encoding="utf-8") == extra_trees
    assert "Proprietary" in (project / "pyproject.toml").read_text(encoding="utf-8")
    walk(follow, template)
    walk(up, project)
    assert (project / "penguins" / "counts.py").exists()
    assert "Proprietary" in (project / "pyproject.toml").read_text(encoding="utf-8")
    assert json.loads((project / ".cruft.json").read_text(encoding="utf-8"))["checkout"] == "team-1.1.0"
    walk(after, project)
    assert "up to date" in run("cruft", "check", "--checkout", "team-1.1.0", cwd=project).output
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""
