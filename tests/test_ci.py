"""The CI that is generated: linted, the same on both forges, and run by both forges' runners on this machine.

The runners are `act` and `gitlab-ci-local`; they run in fresh clones with an empty cache. The forge itself cannot be
had: its API is a server on loopback that notes what it was asked, its actions for checkout and artifacts are stubs.
`uv` is a stub, too: it runs the tools of the environment that the tests share, and notes who was given which secret.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from conftest import BIN, TEMPLATE, TOOL, cached
from filelock import FileLock

GITLAB_CI_LOCAL = "gitlab-ci-local@4.64.1"
FORGES = ("github", "gitlab")
EVENTS = ("pull request", "main", "version", "stage", "weekly")
PNG = b"\x89PNG"
#: Longest that one pipeline may take.
SECONDS = 240


# --- what the files say ---


@pytest.fixture(scope="session")
def generated(generate, made_once):
    """Return a function that gives a project that was generated for a forge."""

    def maker(forge):
        return made_once(f"ci-{forge}", lambda folder: generate(folder, ci=forge)) / "penguins"

    return maker


@pytest.fixture(scope="session")
def workflows(generated):
    folder = generated("github") / ".github" / "workflows"
    return {file.stem.replace("-", " "): yaml.safe_load(file.read_text(encoding="utf-8")) for file in folder.iterdir()}


@pytest.fixture(scope="session")
def pipeline(generated):
    return yaml.safe_load((generated("gitlab") / ".gitlab-ci.yml").read_text(encoding="utf-8"))


def jobs(pipeline):
    """Return GitLab's jobs with what they extend filled in."""
    known = {
        name: job
        for name, job in pipeline.items()
        if isinstance(job, dict) and ({"script", "extends"} & job.keys() or name[0] == ".")
    }

    def whole(job):
        return (whole(known[job["extends"]]) if "extends" in job else {}) | job

    return {name: whole(job) for name, job in known.items() if name[0] != "."}


def suits(job, event):
    """Tell whether a rule of a GitLab job lets it run at an event."""
    marks = {
        "pull request": '"merge_request_event"',
        "main": "$CI_DEFAULT_BRANCH",
        "version": "/^penguins@v/",
        "stage": "#prod#",
        "weekly": '"schedule"',
    }
    return any(marks[event] in rule["if"] for rule in job["rules"])


#: What only one of the forges needs; everything else must be on both.
PLUMBING = {
    "mkdir -p build/release",
    # GitHub
    "sed '/^| !\\[/d' build/report/report.md >> \"$GITHUB_STEP_SUMMARY\"",
    """echo "name=$(echo "$GITHUB_REF_NAME" | cut -d '#' -f 2)" >> "$GITHUB_OUTPUT\"""",
    # GitLab
    'test -n "$BUMP" || exit 0',
}


def commands(lines):
    """Return what is run, without what must differ: how uv comes, and how a forge calls the same thing."""
    found = []
    for line in (line for block in lines for line in block.splitlines()):
        if line in PLUMBING:
            continue
        same = re.sub(r"\$(GITHUB_REF_NAME|CI_COMMIT_TAG)", "$TAG", line)
        same = re.sub(r"^(pipx install|pip install --quiet) ", "install ", same)
        same = same.replace(' && echo "bump=$BUMP" >> "$GITHUB_OUTPUT"', "")
        found.append(same)
    return found


@pytest.mark.parametrize("event", EVENTS)
def test_both_forges_run_the_same_commands(workflows, pipeline, event):
    ours = [
        sorted_commands
        for job in workflows[event]["jobs"].values()
        if (sorted_commands := commands(step["run"] for step in job["steps"] if "run" in step))
    ]
    theirs = [
        commands([*job.get("before_script", []), *job["script"]])
        for job in jobs(pipeline).values()
        if suits(job, event)
    ]
    # GitHub asks in a job of its own whether there is something to release.
    if event == "main":
        assert ours.pop(1) == ["BUMP=$(python3 .ci/forge.py asked)"]
        theirs[1].remove("BUMP=$(python3 .ci/forge.py asked)")
    assert ours == theirs
    assert Counter(command.partition(" ")[0] for block in ours for command in block)["uv"] >= 2
    assert all(command.startswith(("uv ", "install ", "python3 .ci/forge.py ", "ls ")) for b in ours for command in b)


def test_the_linters_of_both_forges_find_nothing(generated, run):
    ours, theirs = generated("github"), generated("gitlab")
    files = [str(file.relative_to(ours)) for file in (ours / ".github" / "workflows").iterdir()]
    assert len(files) == len(EVENTS)
    run("zizmor", "--offline", "--no-progress", "--no-config", ".", cwd=ours)
    run("actionlint", "-no-color", *files, cwd=ours)
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files, cwd=ours)
    run("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", ".gitlab-ci.yml", cwd=theirs)
    assert not (ours / ".gitlab-ci.yml").exists()
    assert not (theirs / ".github").exists()
    run("mypy", "--strict", "--cache-dir", ours.parent / "mypy", ".ci/forge.py", cwd=ours)


def test_without_a_forge_nothing_of_ci_is_generated(generate, tmp_path):
    project = generate(tmp_path, ci="none")
    assert not [name for name in (".ci", ".github", ".gitlab-ci.yml") if (project / name).exists()]


def test_every_job_has_the_least_permissions_a_time_limit_and_pinned_actions(workflows):
    may_write = {
        ("pull request", "comment"): {"contents", "pull-requests"},
        ("main", "release"): {"contents", "actions"},
        ("version", "publish"): {"contents"},
        ("weekly", "retrain"): {"contents", "pull-requests"},
    }
    for event, workflow in workflows.items():
        assert workflow["permissions"] == {}
        assert "concurrency" in workflow
        for name, job in workflow["jobs"].items():
            written = {what for what, how in job["permissions"].items() if how == "write"}
            assert written == may_write.get((event, name), set()), (event, name)
            assert job["timeout-minutes"] <= 240
            for step in job["steps"]:
                action = step.get("uses", "")
                assert not action or re.fullmatch(r"actions/(checkout|\w+-artifact)@[0-9a-f]{40}", action), action
                assert "cache" not in json.dumps(step), "a job that releases restores no cache; no job does"
                if "checkout" in action:
                    pushes = name in ("release", "retrain")
                    assert step["with"]["persist-credentials"] is pushes, (event, name)
                assert "${{" not in step.get("run", ""), "an expression in a script is code that others may write"


def test_only_the_step_that_needs_a_secret_is_given_it(workflows, pipeline):
    """The job's token goes to forge.py, a key of the storage to commands that read it; a key that writes, to two."""
    storage = r"uv run (dvc repro|model (report|gate|verify|reproduce|materialise|release|retrain))"
    for event, workflow in workflows.items():
        for name, job in workflow["jobs"].items():
            assert "secrets." not in json.dumps(job.get("env", {}))
            for step in job["steps"]:
                given, command = json.dumps(step.get("env", {})), step.get("run", "")
                assert ("STORAGE_" in given) == bool(re.match(storage, command)), command
                assert ("github.token" in given) == ("forge.py" in command), command
                assert ("STORAGE_WRITE" in given) == (bool("STORAGE_" in given) and name in ("release", "retrain"))
        assert "secrets" not in workflow.get("env", {}), event
    for name, job in jobs(pipeline).items():
        asks = any(re.match(storage, line) or "comment" in line for line in job["script"])
        place = job.get("environment")
        assert (place is not None) == asks, name
        writes = name in ("release", "retrain")
        if isinstance(place, dict):
            assert place == {"name": "release" if writes else "review", "action": "access"}, name
        else:
            assert not asks or name == f"deploy {place}", name


def test_the_job_that_may_write_runs_no_code_of_a_pull_request(workflows):
    report, comment = (workflows["pull request"]["jobs"][name] for name in ("report", "comment"))
    assert "head.repo.full_name == github.repository" in report["if"]
    assert comment["needs"] == "report"
    checkout = comment["steps"][0]
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert [step["run"] for step in comment["steps"] if "run" in step] == ["python3 .ci/forge.py comment build/report"]
    assert not any("pull_request_target" in json.dumps(w, default=str) for w in workflows.values())


def test_the_pages_way_to_work_without_keys_is_sound(generated, run, tmp_path):
    """The lines for OIDC, put where docs/ci.md says, still lint."""
    block = {
        forge: re.search(r"```yaml\n(.*?)```", (generated(forge) / "docs" / "ci.md").read_text("utf-8"), re.DOTALL)[1]
        for forge in FORGES
    }
    folder = tmp_path / ".github" / "workflows"
    shutil.copytree(generated("github") / ".github", tmp_path / ".github")
    text = (folder / "pull-request.yml").read_text(encoding="utf-8")
    step = re.search(r"      - run: uv run dvc repro.*\n        env:\n(          AWS.*\n)+", text)[0]
    assert step.partition("\n")[0] in block["github"]
    head, report, tail = text.partition("  report:")
    tail = tail.replace("contents: read\n", "contents: read\n      id-token: write\n", 1)
    (folder / "pull-request.yml").write_text(head + report + tail.replace(step, block["github"]), encoding="utf-8")
    run("zizmor", "--offline", "--no-progress", "--no-config", ".", cwd=tmp_path)
    run("actionlint", "-no-color", ".github/workflows/pull-request.yml", cwd=tmp_path)

    job = "report:\n" + block["gitlab"]
    assert yaml.safe_load(job)["report"]["script"][-1] in (generated("gitlab") / ".gitlab-ci.yml").read_text("utf-8")
    (tmp_path / ".gitlab-ci.yml").write_text(job, encoding="utf-8")
    run("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", ".gitlab-ci.yml", cwd=tmp_path)


# --- what they do ---


class Api(ThreadingHTTPServer):
    """Stands for a forge's API: notes every request, answers what a test prepared."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked, self.answers = [], {("GET", "/user"): {"id": 1}}

    def bodies(self, method, path):
        """Return what was sent to a path, JSON as values."""
        return [body for way, place, _, body in self.asked if (way, place) == (method, path)]


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        body = json.loads(content) if content and "json" in kind else content
        place = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, place, dict(self.headers), body))
        known = self.server.answers.get((self.command, place))
        made = {"id": 5, "assets": [], "upload_url": f"{self.server.url}/upload{{?name,label}}"}
        missing = known is None and self.command == "GET" and "/releases/" in place
        text = json.dumps(known if known is not None else [] if self.command == "GET" else made).encode()
        self.send_response(404 if missing else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815 (the names that http.server calls)

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = Api()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


UV = r"""#!/bin/sh
# The environment is there; types and tests of the project are checked by other tests.
echo "$*${AWS_SECRET_ACCESS_KEY:+ +$AWS_SECRET_ACCESS_KEY}${GITHUB_TOKEN:+ +token}" >> "$COMMANDS"
case "$1 $2" in
  "sync "*) ln -sfn "$STORAGE_FOLDER" ../penguins-storage ;;  # a storage that the runner reaches
  "run mypy" | "run pytest" | "audit "*) ;;
  "run "*) shift; exec "$@" ;;
esac
"""
CHECKOUT = r"""
name: checkout
description: a clone as actions/checkout makes it
inputs: {ref: {}, fetch-depth: {default: "1"}, persist-credentials: {}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {REF: "${{ inputs.ref || env.REV }}", DEPTH: "${{ inputs.fetch-depth }}"}
      run: |
        git init --quiet . && git remote add origin "$ORIGIN"
        if [ "$DEPTH" = 0 ]
        then git fetch --quiet --tags origin '+refs/heads/*:refs/remotes/origin/*'
        else git fetch --quiet --no-tags --depth 1 "file://$ORIGIN" "$REF"
        fi
        git checkout --quiet --detach "$REF"
"""
UPLOAD = r"""
name: upload
description: keep files for another job
inputs: {name: {}, path: {}, if-no-files-found: {}}
outputs: {artifact-id: {value: "${{ steps.keep.outputs.id }}"}}
runs:
  using: composite
  steps:
    - id: keep
      shell: bash
      env: {NAME: "${{ inputs.name }}", PLACE: "${{ inputs.path }}"}
      run: mkdir -p "$ARTIFACTS" && cp -r "$PLACE" "$ARTIFACTS/$NAME" && echo "id=1" >> "$GITHUB_OUTPUT"
"""
DOWNLOAD = r"""
name: download
description: files of another job
inputs: {name: {}, path: {}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {NAME: "${{ inputs.name }}", PLACE: "${{ inputs.path }}"}
      run: mkdir -p "$(dirname "$PLACE")" && cp -r "$ARTIFACTS/$NAME" "$PLACE"
"""
HOOKS = """
repos:
  - repo: local
    hooks:
      - {id: format, name: format, entry: ruff format --check, language: system, types: [python]}
"""


@pytest.fixture(scope="session")
def gitlab_ci_local():
    """Return GitLab's runner, installed once into build/."""
    folder = TEMPLATE / "build" / "gitlab-ci-local"
    command = folder / "node_modules" / ".bin" / "gitlab-ci-local"
    assert shutil.which("rsync"), "gitlab-ci-local copies with rsync: make system"
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    npm = shutil.which("npm", path=path)
    assert npm, "npm is a part of .venv: make setup"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not command.exists():
            install = [npm, "install", "--no-fund", "--no-audit", "--prefix", str(folder), GITLAB_CI_LOCAL]
            variables = os.environ | {"PATH": path}
            done = subprocess.run(install, env=variables, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(install)}\n{done.stderr}"
    return command


class Ci:
    """A team's project, and a way to run its pipelines."""

    def __init__(self, forge, team, api, folder, runner):
        self.forge, self.team, self.api, self.folder, self.runner = forge, team, api, folder, runner
        # act finds the repository in the address, and knows only one host.
        self.host = "github.com" if forge == "github" else "gitlab.example"
        self.log, self.artifacts = folder / "commands", folder / "artifacts"
        tools = folder / "tools"
        for name, text in {"uv": UV, "pipx": "#!/bin/sh\n", "pip": "#!/bin/sh\n"}.items():
            (tools / name).parent.mkdir(exist_ok=True)
            (tools / name).write_text(text, encoding="utf-8")
            (tools / name).chmod(0o755)
        for name, text in {"checkout": CHECKOUT, "upload-artifact": UPLOAD, "download-artifact": DOWNLOAD}.items():
            (folder / name).mkdir()
            (folder / name / "action.yml").write_text(text, encoding="utf-8")
        self.environment = team.environment | {
            "PATH": os.pathsep.join([str(tools), team.environment["PATH"]]),
            "HOME": str(folder),
            "PYTHONPATH": TOOL,
            "COMMANDS": str(self.log),
            "STORAGE_FOLDER": str(team.storage),
            "ORIGIN": str(team.origin),
            "ARTIFACTS": str(self.artifacts),
        }

    def run(self, event, rev, fails=False, fork=False):
        """Run the pipeline of an event at a revision of the remote, in a fresh clone; return what it printed."""
        self.log.write_text("", encoding="utf-8")
        shutil.rmtree(self.artifacts, ignore_errors=True)
        clone = self.folder / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        self.team.git("clone", "--quiet", self.team.origin, clone, cwd=self.folder)
        self.team.git("checkout", "--quiet", "--detach", rev, cwd=clone)
        self.team.git("remote", "set-url", "origin", f"https://{self.host}/team/penguins.git", cwd=clone)
        start = self._github if self.forge == "github" else self._gitlab
        command, variables = start(event, rev, fork)
        done = subprocess.run(
            [str(word) for word in command],
            cwd=clone,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
        said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stdout + done.stderr)
        assert (done.returncode != 0) == fails, said
        return said

    def _github(self, event, rev, fork):
        clone = self.folder / "clone"
        sha = self.team.git("rev-parse", f"{rev}^{{commit}}", cwd=clone)
        head = {"ref": "change", "sha": sha, "repo": {"full_name": "somebody/penguins" if fork else "team/penguins"}}
        base = {"ref": "main", "sha": self.team.git("rev-parse", "main", cwd=self.team.origin)}
        payload = {"repository": {"default_branch": "main", "full_name": "team/penguins"}}
        names = {"pull request": "pull_request", "weekly": "schedule"}
        if event == "pull request":
            payload |= {"number": 7, "pull_request": {"number": 7, "base": base, "head": head}}
        else:
            payload |= {"ref": f"refs/tags/{rev}" if event in ("version", "stage") else "refs/heads/main"}
        file = self.folder / "event.json"
        file.write_text(json.dumps(payload), encoding="utf-8")
        workflow = clone / ".github" / "workflows" / f"{event.replace(' ', '-')}.yml"
        pinned = set(re.findall(r"actions/([\w-]+)@(\w+)", workflow.read_text(encoding="utf-8")))
        stubs = [f"--local-repository=actions/{name}@{sha}={self.folder / name}" for name, sha in pinned]
        secrets = ["-s", "GITHUB_TOKEN=the-token"]
        if not fork:  # what GitHub keeps from them
            secrets += ["-s", "STORAGE_READ_KEY=a-key-that-reads", "-s", "STORAGE_WRITE_KEY=a-key-that-writes"]
        given = self.environment | {"REV": sha, "GITHUB_API_URL": self.api.url}
        passed = [f"--env={k}={given[k]}" for k in ("REV", "ORIGIN", "COMMANDS", "ARTIFACTS", "STORAGE_FOLDER")]
        passed += [f"--env={k}={given[k]}" for k in ("PYTHONPATH", "GITHUB_API_URL")]
        passed += ["--env=TERM=dumb"]  # act gives every step a terminal
        command = ["act", names.get(event, "push"), "-W", workflow, "-e", file, "--actor", "ada"]
        command += ["-P", "ubuntu-latest=-self-hosted", "--no-skip-checkout", "--no-cache-server"]
        return [*command, *stubs, *secrets, "--var", "STORAGE=ready", *passed], {}

    def _gitlab(self, event, rev, fork):
        given = {
            "STORAGE": "ready",
            "CI_API_V4_URL": self.api.url,
            "CI_SERVER_HOST": "gitlab.example",
            "CI_PROJECT_PATH": "team/penguins",
            "CI_PROJECT_ID": "1",
            "CI_DEFAULT_BRANCH": "main",
            "CI_JOB_URL": "https://gitlab.example/team/penguins/-/jobs/9",
            "CI_JOB_TOKEN": "job-token",
            "GITLAB_USER_NAME": "ada",
            "GITLAB_USER_EMAIL": "ada@example.com",
            "CI_PIPELINE_SOURCE": {"pull request": "merge_request_event", "weekly": "schedule"}.get(event, "push"),
        }
        if event == "pull request":
            given |= {"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
            given |= {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2" if fork else "1"}
        elif event in ("version", "stage"):
            given["CI_COMMIT_TAG"] = rev
        else:
            given["CI_COMMIT_BRANCH"] = "main"
        if not fork:
            given |= {"FORGE_TOKEN": "the-token", "AWS_SECRET_ACCESS_KEY": "a-key-of-the-storage"}
        options = [word for key, value in given.items() for word in ("--variable", f"{key}={value}")]
        if "CI_COMMIT_BRANCH" not in given:
            options += ["--unset-variable", "CI_COMMIT_BRANCH"]
        quiet = ["--ignore-predefined-vars", ",".join(given), "--max-job-name-padding", "0"]
        # Where a push to the forge goes on this machine.
        places = (
            "https://gitlab.example/team/penguins.git",
            "https://oauth2:the-token@gitlab.example/team/penguins.git",
        )
        settings = self.folder / "gitconfig"
        lines = "".join(f"\tinsteadOf = {place}\n" for place in places)
        settings.write_text(f'[url "{self.team.origin}"]\n{lines}', encoding="utf-8")
        variables = {"GIT_CONFIG_GLOBAL": str(settings)}
        return [self.runner, "--force-shell-executor", "--shell-isolation", *options, *quiet], variables

    def typed(self):
        """Return the commands that uv was given, without the secrets that they saw."""
        return [line.partition(" +")[0] for line in self.log.read_text(encoding="utf-8").splitlines()]

    def kept(self, name):
        """Return the folder that the pipeline left as an artifact."""
        folder = self.artifacts / name
        return (
            folder
            if self.forge == "github"
            else next(self.folder.glob(f"clone/.gitlab-ci-local/artifacts/*/build/{name}"))
        )

    def of_project(self, path):
        """Return the path of something in the forge's API."""
        return f"/repos/team/penguins/{path}" if self.forge == "github" else f"/projects/1/{path}"

    def edit(self, file, old, new):
        path = self.team.project / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def commit(self, message, branch="main"):
        team = self.team
        team.git("add", "--all")
        team.git("commit", "--quiet", "--allow-empty", "--message", message)
        team.git("push", "--quiet", "origin", f"HEAD:{branch}")


@pytest.fixture(params=FORGES)
def ci(request, team, api, tmp_path, generated, gitlab_ci_local):
    folder = tmp_path / "runner"
    folder.mkdir()
    made = Ci(request.param, team, api, folder, gitlab_ci_local)
    shutil.rmtree(team.project / ".github")
    shutil.copytree(generated(request.param), team.project, dirs_exist_ok=True, ignore=only_ci)
    if not (team.project / ".pre-commit-config.yaml").exists():
        (team.project / ".pre-commit-config.yaml").write_text(HOOKS, encoding="utf-8")
    made.commit("Let CI do it")
    return made


def only_ci(folder, names):
    """Leave out everything but the files of a forge."""
    top = Path(folder).name == "penguins" and "dvc.yaml" in names
    return {name for name in names if name not in (".ci", ".github", ".gitlab-ci.yml")} if top else set()


def links(text):
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)


def test_a_pull_request_is_trained_judged_and_compared(ci):
    """Somebody composed and did not train: CI does, with the data that training needs, and without the raw table."""
    ci.team.git("switch", "--quiet", "-c", "change")
    ci.edit("conf/model/random_forest.yaml", "n_estimators: 200", "n_estimators: 20")
    ci.team.dvc("repro", "compose")
    ci.commit("Fewer trees", "change")
    said = ci.run("pull request", "origin/change")
    typed = ["sync", "run prek run --all-files", "run mypy", "run pytest", "sync"]
    typed += ["run dvc repro --pull --allow-missing", "run model report build/report", "run model gate"]
    assert sorted(ci.typed()) == sorted(typed)
    assert "Running stage 'train'" in said
    assert "Stage 'prepare' didn't change, skipping" in said

    folder = ci.kept("report")
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "# penguins: candidate against v1.1.0" in text
    assert "**Gate default: passed**" in text
    assert "| model.estimator.n_estimators | 200 | 20 |" in text
    assert re.search(r"\| accuracy \| 0\.\d+ \[0\.\d+, [01].*\] \| 0\.\d+ \[", text)
    assert "**The commit does not hold what was trained here**" in text
    pictures = links(text)
    assert {Path(name).parent.name for name in pictures} == {"v1.1.0", "candidate"}
    assert len(pictures) == 8
    for name in pictures:
        assert (folder / name).read_bytes().startswith(PNG)

    notes = ci.of_project("issues/7/comments" if ci.forge == "github" else "merge_requests/7/notes")
    (sent,) = ci.api.bodies("POST", notes)
    assert sent["body"].startswith("<!-- model report -->\n# penguins")
    if ci.forge == "github":
        commit = ci.team.git("rev-parse", "refs/reports/7", cwd=ci.team.origin)
        place = f"https://github.com/team/penguins/raw/{commit}/"
        tree = ci.team.git("ls-tree", "-r", "--name-only", commit, cwd=ci.team.origin).splitlines()
        assert sorted(tree) == sorted([*pictures, "report.md"])
        assert "Summary - # penguins" in said
        lines = ci.log.read_text(encoding="utf-8").splitlines()
        assert [line.partition(" +")[2] for line in lines if "dvc" in line or "model" in line] == [
            "a-key-that-reads"
        ] * 3
        assert not [line for line in lines if "+token" in line]
    else:
        place = "https://gitlab.example/team/penguins/-/jobs/9/artifacts/raw/build/report/"
        build = next(ci.folder.glob("clone/.gitlab-ci-local/builds/report"))
        raw = re.search(r"md5: (\w+\.dir)", (build / "data" / "raw.dvc").read_text(encoding="utf-8"))[1]
        assert not cached(build, raw).exists()
    assert links(sent["body"]) == [place + name for name in pictures]


def test_a_model_that_does_not_pass_stops_the_pull_request_and_is_still_reported(ci):
    ci.team.git("switch", "--quiet", "-c", "change")
    ci.edit("conf/gate/default.yaml", "roc_auc: 0.7", "roc_auc: 0.9999")
    ci.team.dvc("repro", "compose")
    ci.commit("Ask for the impossible", "change")
    said = ci.run("pull request", "origin/change", fails=True)
    assert "Running stage 'train'" not in said
    assert "run model gate" in ci.typed()
    sent = [body["body"] for way, _, _, body in ci.api.asked if way == "POST"]
    assert len(sent) == 1
    assert "**Gate default: not passed**" in sent[0]
    assert "| **FAILED** | test roc_auc | at least 0.9999 |" in sent[0]


def test_a_fork_gets_its_code_checked_and_nothing_else(ci):
    ci.run("pull request", "origin/main", fork=True)
    assert ci.typed() == ["sync", "run prek run --all-files", "run mypy", "run pytest"]
    assert "+" not in ci.log.read_text(encoding="utf-8")
    assert ci.api.asked == []


def test_main_releases_when_the_commit_asks_for_it(ci):
    before = ci.team.tags(cwd=ci.team.origin)
    ci.team.document()
    ci.team.git("push", "--quiet", "origin", "main")
    ci.run("main", "origin/main")
    assert ci.team.tags(cwd=ci.team.origin) == before
    assert "run model release" not in " ".join(ci.typed())

    ci.team.git("commit", "--quiet", "--allow-empty", "-m", "Decide\n\nRelease: minor")
    ci.team.git("push", "--quiet", "origin", "main")
    ci.run("main", "origin/main")
    assert ci.typed()[-2:] == ["run dvc repro --pull", "run model release --bump minor"]
    tag = ci.team.git("cat-file", "tag", "penguins@v1.2.0", cwd=ci.team.origin)
    assert re.search(r"^tagger ada <.*ada.*>", tag, re.MULTILINE)
    assert ci.team.git("rev-parse", "penguins@v1.2.0^{commit}", cwd=ci.team.origin) == ci.team.git("rev-parse", "HEAD")
    if ci.forge == "github":
        started = ci.api.bodies("POST", ci.of_project("actions/workflows/version.yml/dispatches"))
        assert started == [{"ref": "penguins@v1.2.0"}]
        lines = ci.log.read_text(encoding="utf-8").splitlines()
        assert [line.partition(" +")[2] for line in lines if "dvc" in line or "model" in line] == [
            "a-key-that-writes"
        ] * 2


def test_the_tag_of_a_version_is_proven_then_card_and_record_are_attached(ci):
    ci.team.model("release")
    said = ci.run("version", "penguins@v1.1.1")
    assert "v1.1.1: identical, all 14 outputs" in said
    shown = json.loads(ci.team.model("show", "v1.1.1", "--json").stdout)
    (made,) = ci.api.bodies("POST", ci.of_project("releases"))
    assert made["tag_name"] == "penguins@v1.1.1"
    card = made["body" if ci.forge == "github" else "description"]
    assert card.startswith("# penguins v1.1.1")
    if ci.forge == "github":
        (record,) = ci.api.bodies("POST", "/upload")
    else:
        package = ci.of_project("packages/generic/penguins/v1.1.1/record.json")
        (record,) = ci.api.bodies("PUT", package)
        assert made["assets"]["links"] == [{"name": "record.json", "url": f"{ci.api.url}{package}"}]
    assert json.loads(record) == shown

    ci.api.asked.clear()
    cached(ci.team.storage, ci.team.objects("HEAD")["golden.json"]).unlink()
    said = ci.run("version", "penguins@v1.1.1", fails=True)
    assert "golden.json" in said
    assert ci.api.asked == [], "what is not proven is not published"


def test_the_tag_of_a_stage_proves_the_version_before_it_is_deployed(ci):
    ci.team.model("release")
    ci.team.model("promote", "v1.1.1", "--to", "prod")
    said = ci.run("stage", "penguins#prod#3")
    assert ci.typed() == ["sync", "run model verify prod", "run model materialise prod"]
    assert "v1.1.1: sound" in said
    assert "golden rows replayed now" in said
    assert "model.skops" in said, "what comes last is the place for a deployment"


def import_data(ci):
    """Have data/raw come from elsewhere, and the weekly job look there; return the file that it comes from."""
    team, source = ci.team, ci.team.folder / "elsewhere"
    shutil.copytree(team.project / "data" / "raw", source)
    (team.project / "data" / "raw.dvc").unlink()
    shutil.rmtree(team.project / "data" / "raw")
    team.dvc("import-url", str(source), "data/raw")
    ci.edit("conf/retraining/default.yaml", "weekly: false", "weekly: true")
    team.dvc("repro")
    ci.commit("Import the data")
    team.dvc("push")
    return next(source.glob("*.csv"))


def test_every_week_the_data_is_restored_and_a_model_of_fresh_data_proposed(ci):
    table = import_data(ci)
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(lines[:-4]) + "\n", encoding="utf-8")
    before = ci.team.git("rev-parse", "main", cwd=ci.team.origin)
    ci.run("weekly", "origin/main")
    typed = ["sync", "run model verify --all --remote", "audit --preview-features audit-command"]
    typed += ["sync", "run model retrain build/report --scheduled"]
    assert sorted(ci.typed()) == sorted(typed)
    changed = ci.team.git("diff", "--name-only", "main", "retrain", cwd=ci.team.origin).splitlines()
    assert {"data/raw.dvc", "dvc.lock", "metrics.json"} <= {*changed}
    assert ci.team.git("rev-parse", "retrain^", cwd=ci.team.origin) == before
    assert ci.team.git("rev-parse", "main", cwd=ci.team.origin) == before
    (made,) = ci.api.bodies("POST", ci.of_project("pulls" if ci.forge == "github" else "merge_requests"))
    assert made["title"] == "Retrain on fresh data"
    text = made["body" if ci.forge == "github" else "description"]
    assert "| rows |  | 0 added, 4 removed" in text
    other = ci.team.clone()
    ci.team.git("checkout", "--quiet", "retrain", cwd=other)
    ci.team.dvc("pull", cwd=other)


# --- the parts, without a runner ---


@pytest.fixture
def ask(ci, run):
    """Return a function that runs forge.py as a job does."""

    def asker(*arguments, **variables):
        folder = ci.team.project
        event = ci.folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 7}}), encoding="utf-8")
        given = {
            "GITHUB_REPOSITORY": "team/penguins",
            "GITHUB_API_URL": ci.api.url,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_STEP_SUMMARY": str(ci.folder / "summary"),
            "GITHUB_REF_NAME": "main",
            "GITHUB_TOKEN": "the-token",
        }
        if ci.forge == "gitlab":
            given = {
                "GITLAB_CI": "true",
                "CI_API_V4_URL": ci.api.url,
                "CI_PROJECT_ID": "1",
                "CI_JOB_URL": "https://gitlab.example/-/jobs/9",
                "CI_JOB_TOKEN": "job",
                "CI_MERGE_REQUEST_IID": "7",
                "CI_DEFAULT_BRANCH": "main",
                "FORGE_TOKEN": "the-token",
            }
        return run("python3", ".ci/forge.py", *arguments, cwd=folder, **(given | variables))

    return asker


def test_the_one_comment_is_found_and_updated(ci, ask):
    report = ci.team.folder / "report"
    ci.team.model("report", report, "--against", "v1.0.0")
    mark, text = "<!-- model report -->", "old"
    if ci.forge == "github":
        path, change, mine, other = "issues/7/comments", "issues/comments/3", {"type": "Bot"}, {"type": "User"}
        notes = [{"id": n, "user": other, "body": mark} for n in range(100, 200)]
        ours, key, way = {"id": 3, "user": mine, "body": f"{mark}\n{text}"}, "user", "PATCH"
    else:
        path, change, mine, other = "merge_requests/7/notes", "merge_requests/7/notes/3", {"id": 1}, {"id": 2}
        notes = [{"id": n, "author": other, "body": mark} for n in range(100, 200)]
        ours, key, way = {"id": 3, "author": mine, "body": f"{mark}\n{text}"}, "author", "PUT"
    ci.api.answers["GET", ci.of_project(path)] = [*notes[:50], ours, {"id": 4, key: mine, "body": "something else"}]
    ask("comment", report)
    assert not ci.api.bodies("POST", ci.of_project(path))
    (sent,) = ci.api.bodies(way, ci.of_project(change))
    assert sent["body"].startswith(f"{mark}\n# penguins: candidate against v1.0.0")
    secret = {value for _, _, headers, _ in ci.api.asked for value in headers.values() if "token" in value}
    assert secret == ({"Bearer the-token"} if ci.forge == "github" else {"the-token"})


def test_a_report_that_is_too_long_for_a_comment_is_cut_at_a_line(ci, ask):
    report = ci.team.folder / "report"
    report.mkdir()
    (report / "report.md").write_text("# penguins\n" + "| a long row |\n" * 10_000, encoding="utf-8")
    ask("comment", report)
    (sent,) = [body["body"] for way, _, _, body in ci.api.asked if way == "POST"]
    assert len(sent) < 65_000
    assert "| a long row |\n\n(The report is longer than a comment may be" in sent


def test_nothing_but_page_and_images_of_a_pull_request_is_pushed(ci, ask, tmp_path):
    """What a pull request made is no git repository, hook or link to us."""
    report, secret = ci.team.folder / "report", tmp_path / "secret"
    (report / "images").mkdir(parents=True)
    secret.write_bytes(PNG)
    (report / "report.md").write_text("![x](images/x.png)\n", encoding="utf-8")
    (report / "images" / "x.png").write_bytes(PNG)
    (report / "images" / "y.png").symlink_to(secret)
    (report / ".git" / "hooks").mkdir(parents=True)
    hook = report / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/run'\n", encoding="utf-8")
    hook.chmod(0o755)
    ask("comment", report)
    assert not (tmp_path / "run").exists()
    if ci.forge == "github":
        pushed = ("ls-tree", "-r", "--name-only", "refs/reports/7")
        assert ci.team.git(*pushed, cwd=ci.team.origin).splitlines() == ["images/x.png", "report.md"]
        # Where the job cloned with a deploy key, this goes with the job's token all the same.
        ci.team.git("update-ref", "-d", "refs/reports/7", cwd=ci.team.origin)
        ci.team.git("remote", "set-url", "origin", "git@github.com:team/penguins.git")
        settings = tmp_path / "gitconfig"
        there = "https://github.com/team/penguins.git"
        settings.write_text(f'[url "{ci.team.origin}"]\n\tinsteadOf = {there}\n', encoding="utf-8")
        ask("comment", report, GIT_CONFIG_GLOBAL=str(settings))
        assert ci.team.git(*pushed, cwd=ci.team.origin).splitlines() == ["images/x.png", "report.md"]


def test_a_release_is_asked_for_by_trailer_or_by_label(ci, ask):
    team = ci.team
    assert ask("asked").stdout == "\n"
    for trailer, bump in {"yes": "auto", "Major": "major", "patch": "patch"}.items():
        team.git("commit", "--quiet", "--allow-empty", "-m", f"Decide\n\nRelease: {trailer}")
        assert ask("asked").stdout == f"{bump}\n"
    team.git("commit", "--quiet", "--allow-empty", "-m", "Decide\n\nRelease: maybe; rm -rf /")
    refused = ask("asked", fails=True)
    assert refused.stdout == ""
    assert "one of yes, auto, major, minor, patch is known" in refused.stderr

    team.git("commit", "--quiet", "--allow-empty", "-m", "Decide")
    commit = team.git("rev-parse", "HEAD")
    if ci.forge == "github":
        path = ci.of_project(f"commits/{commit}/pulls")
        merged = {"merge_commit_sha": commit, "merged_at": "2026-01-01", "labels": [{"name": "release"}]}
        open_one = merged | {"merged_at": None}
    else:
        path = ci.of_project(f"repository/commits/{commit}/merge_requests")
        merged = {"merge_commit_sha": commit, "squash_commit_sha": None, "sha": "0", "state": "merged"}
        merged |= {"labels": ["release"]}
        open_one = merged | {"state": "opened"}
    ci.api.answers["GET", path] = [open_one]
    assert ask("asked").stdout == "\n"
    ci.api.answers["GET", path] = [open_one, merged]
    assert ask("asked").stdout == "auto\n"


def test_a_fault_of_the_forge_is_a_sentence_without_the_token(ask):
    said = ask("release", "README.md", "dvc.yaml", CI_COMMIT_TAG="penguins@v1.1.0", fails=True,
               CI_API_V4_URL="http://127.0.0.1:9", GITHUB_API_URL="http://127.0.0.1:9")  # fmt: skip
    assert "Connection refused" in said.output
    assert "Traceback" not in said.output
    assert "the-token" not in said.output
    assert base64.b64encode(b"the-token").decode() not in said.output


def test_the_report_of_a_first_model_says_that_nothing_is_live(trained, run, tmp_path):
    folder = tmp_path / "report"
    said = run("model", "report", folder, cwd=trained).output
    assert "passed" in said
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "Nothing is live yet that it could be compared with" in text
    assert re.search(r"\| accuracy \| 0\.\d+ \[", text)
    assert all((folder / name).read_bytes().startswith(PNG) for name in links(text))
    assert len(links(text)) == 4


def test_a_report_takes_away_what_a_report_wrote_and_nothing_else(team):
    folder = team.project / "build" / "notes"
    folder.mkdir(parents=True)
    for name in ("report.md", "mine.md"):
        (folder / name).write_text("written by hand\n", encoding="utf-8")
    refused = team.model("report", folder, "--against", "v1.0.0", fails=True).stderr
    assert "that no report wrote" in refused
    (folder / "report.md").unlink()
    for _ in range(2):
        team.model("report", folder, "--against", "v1.0.0")
        assert (folder / "mine.md").read_text(encoding="utf-8") == "written by hand\n"
        assert "Gate default" in (folder / "report.md").read_text(encoding="utf-8")


def test_a_version_is_compared_with_the_workspace(team, edit):
    edit(team.project / "conf" / "gate" / "default.yaml", "roc_auc: 0.7", "roc_auc: 0.8")
    team.dvc("repro")
    sections = {
        part["title"]: part["rows"] for part in json.loads(team.model("diff", "v1.1.0", "workspace", "--json").stdout)
    }
    assert sections["params"] == [["gate.floors.roc_auc", "0.7", "0.8"]]
    assert ["conf/gate/default.yaml", "+1", "-1"] in sections["code"]
    assert sections["data"] == sections["packages"] == []
    assert "there is no version workspace" in team.model("diff", "workspace", "v1.1.0", fails=True).output


def test_retraining_refuses_what_it_cannot_do_and_waits_until_conf_asks(team, tmp_path):
    before = team.git("for-each-ref", cwd=team.origin)
    assert "weekly: false" in team.model("retrain", tmp_path / "report", "--scheduled").output
    said = team.model("retrain", tmp_path / "report", fails=True).output
    assert "no data is imported" in said
    assert "dvc import-url" in said
    (team.project / "notes.txt").write_text("x", encoding="utf-8")
    assert "not committed: notes.txt" in team.model("retrain", tmp_path / "report", fails=True).output
    assert team.git("for-each-ref", cwd=team.origin) == before
