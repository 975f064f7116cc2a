"""Independent readers of our tags: `gto` and DVC must agree with us, on histories of any shape, where they are right.

They are right about which versions exist, and about what a stage holds while
tags are made in the order of their dates. GTO knows no roll-back as such; what
it shows is the last assignment, and that is what is live.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from conftest import configure
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

STAGES = ("prod", "staging")
#: Releases and moves with the functions that the commands use, and tells what the registry says.
DRIVER = """
import json, sys
from pathlib import Path
from modelbook.registry import event
from modelbook.workspace import project as module

project = module.find(Path.cwd())
git, what, *rest = project.git, *sys.argv[1:]
if what == "release":
    git.run("commit", "--quiet", "--allow-empty", "--message", "x")
    name = f"penguins@{rest[0]}"
    git.publish({name: git.tag_object(name, git.commit("HEAD"), "line")}, None)
if what == "move":
    kind, stage, target = rest
    known = project.registry()
    moved = event.Move(kind, stage, known.live(stage), target, "r")
    said = event.MoveEvent(moved, (), (), None, git.identity(), event.here())
    name = f"penguins#{stage}#{known.next_counter(stage)}"
    message = event.message("line", said)
    git.publish({name: git.tag_object(name, known.versions[target].commit, message)}, None)
known = project.registry()
print(json.dumps({
    "versions": list(known.versions),
    "live": {stage: known.live(stage) for stage in known.events},
    "before": {stage: known.previously_live(stage) for stage in known.events},
    "left": sorted([stage, version] for version in known.versions for stage in known.quarantined_by(version)),
}))
"""


def numbers(version):
    return [int(part) for part in version[1:].split(".")]


def history_machine(run, base, folder):
    """Return a state machine that releases, promotes and rolls back in one clone, and asks three readers.

    The tags are written by the same functions that the commands use; training
    and materialising are left out, which other tests hold.
    """

    class History(RuleBasedStateMachine):
        runs = 0

        def __init__(self):
            super().__init__()
            History.runs += 1
            self.project = folder / f"run{History.runs}" / "penguins"
            shutil.copytree(base, self.project, symlinks=True)
            self.clock = 1_790_000_000
            self.versions, self.live, self.left, self.before = [], {}, set(), {}

        def step(self, *words):
            """Run the driver with a clock that goes on, and compare what it tells with what we did."""
            self.clock += 60
            when = f"{self.clock} +0000"
            dates = {"GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when}
            told = json.loads(run("python", "-c", DRIVER, *words, cwd=self.project, **dates).stdout)
            assert told["versions"] == sorted(self.versions, key=numbers)
            assert told["live"] == self.live
            assert told["left"] == sorted(map(list, self.left))
            self.before = told["before"]

        @initialize()
        def first(self):
            self.release_one(0)

        @rule(part=st.integers(0, 2))
        def release(self, part):
            self.release_one(part)

        def release_one(self, part):
            highest = numbers(max(self.versions, key=numbers)) if self.versions else [0, 9, 9]
            raised = [*highest[:part], highest[part] + 1, 0, 0][:3]
            number = "v" + ".".join(map(str, raised))
            self.versions.append(number)
            self.step("release", number)

        @rule(stage=st.sampled_from(STAGES), pick=st.integers(0, 20))
        def promote(self, stage, pick):
            target = self.versions[pick % len(self.versions)]
            if target != self.live.get(stage):
                self.live[stage] = target
                self.left.discard((stage, target))
                self.step("move", "promote", stage, target)

        @precondition(lambda self: self.live)
        @rule(pick=st.integers(0, 1))
        def rollback(self, pick):
            stage = sorted(self.live)[pick % len(self.live)]
            good = [version for version in self.before[stage] if (stage, version) not in self.left]
            if good:
                self.left.add((stage, self.live[stage]))
                self.live[stage] = good[0]
                self.step("move", "rollback", stage, good[0])

        def teardown(self):
            if self.versions:
                self.ask_gto_and_dvc()
            shutil.rmtree(self.project.parent)

        def ask_gto_and_dvc(self):
            shown = json.loads(run("gto", "show", "penguins", "--json", cwd=self.project).stdout or "[]")
            assert {entry["version"] for entry in shown} == set(self.versions)
            ask = (
                "import json, sys; from dvc.repo import Repo; r = Repo('.');"
                "print(json.dumps([r.artifacts.get_rev('penguins', stage=s) for s in sys.argv[1:]]))"
            )
            stages = sorted(self.live)
            if stages:
                revs = json.loads(run("python", "-c", ask, *stages, cwd=self.project).stdout)
                for stage, rev in zip(stages, revs, strict=True):
                    commit = run(
                        "git", "rev-parse", f"penguins@{self.live[stage]}^{{commit}}", cwd=self.project
                    ).stdout.strip()
                    assert run("git", "rev-parse", f"{rev}^{{commit}}", cwd=self.project).stdout.strip() == commit, (
                        stage
                    )
            moves = json.loads(run("gto", "history", "penguins", "--json", cwd=self.project).stdout)
            assert sum(entry["event"] == "registration" for entry in moves) == len(self.versions)

    return History


@pytest.fixture(scope="module")
def base(generate, run, tmp_path_factory):
    project = generate(tmp_path_factory.mktemp("readers"))
    configure(run, project)
    return project


def test_gto_and_dvc_read_what_we_read(run, base, tmp_path):
    machine = history_machine(run, base, tmp_path)
    some = settings(
        max_examples=6, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(machine, settings=some)
    assert machine.runs >= 6


def test_the_artifact_of_a_stage_and_of_a_version_comes_by_dvc_alone(team):
    """What README tells whoever serves: no clone, no `model` command."""
    for option, value, version in (("--stage", "prod", "v1.1.0"), ("--rev", "v1.0.0", "v1.0.0")):
        out = Path(team.folder, f"got{version}")
        team.dvc("artifacts", "get", team.project, "penguins", option, value, "-o", out)
        kept = json.loads(team.model("show", version, "--json").stdout)
        assert hashlib.sha256((out / "model.skops").read_bytes()).hexdigest() == kept["model"]["sha256"]
    table = team._run("gto", "show", cwd=team.project).stdout
    assert "v1.1.0" in table
