"""`model reproduce`: train a version again from its inputs alone, and compare every output."""

import contextlib
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import extras
from ..errors import ProjectError, counted
from ..progress import Say, silent
from ..registry import derive
from ..registry.registry import Version
from ..store.dvc_repo import Out, name_of
from ..store.yaml_file import read_yaml
from ..workspace import interpreter, restore
from ..workspace.project import Project, code_of, failure

#: In the place of a version: what is there now.
WORKSPACE = "workspace"


@dataclass(frozen=True)
class Comparison:
    """What a training made again, beside what it made first.

    Attributes
    ----------
    version : str
    outputs : tuple of (str, str, str)
        Path, first md5 and md5 now, in the order of the stages.
    first_difference : str or None
        The first output that differs; None if all are identical.
    stage : str or None
        The stage that made it.
    reasons : tuple of str
        What differs in that stage's inputs and in the environment.
    """

    version: str
    outputs: tuple[tuple[str, str, str], ...]
    first_difference: str | None
    stage: str | None
    reasons: tuple[str, ...]

    @property
    def identical(self) -> bool:
        return self.first_difference is None


def reproduce(project: Project, name: str, say: Say = silent) -> Comparison:
    """Train a version again in a worktree of its own, which is removed afterwards.

    Every stage is forced, the run cache is not used, and nothing is written to
    the project's cache. The version's own packages run it.

    Parameters
    ----------
    project : Project
    name : str
        The version; or `workspace`, whose model is fitted again.
    say : callable
    """
    if name == WORKSPACE:
        return workspace(project, say)
    version = project.registry().get(name)
    kept = project.record(version)
    folder = restore.scratch(project, "reproduce", version)
    with project.lock(f"reproduce-{version.name}"):
        restore.discard(project, "reproduce", version)
        before = _handle(signal.SIGTERM)
        try:
            say(f"a clean worktree of {version.name}")
            restore.worktree(project, folder, version.commit)
            source = derive.source(project.git, project.store, version.commit, project.model_path)
            _inputs(project, source.outs, folder, say)
            python = interpreter.find(project, folder)
            first = (folder / "dvc.lock").read_bytes()
            _repro(folder, python, restore.scratch(project, "reproduce-compiled", version), say)
            again = (folder / "dvc.lock").read_bytes()
            return _compare(version, kept.environment, first, again, folder, python)
        finally:
            restore.discard(project, "reproduce", version)
            signal.signal(signal.SIGTERM, before)


def workspace(project: Project, say: Say = silent) -> Comparison:
    """Fit the model of the workspace again in another process, and compare its bytes; nothing is written.

    Parameters
    ----------
    project : Project
    say : callable
    """
    path = f"{project.model_path}/model.skops"
    try:
        before = name_of((project.root / path).read_bytes())
    except FileNotFoundError:
        raise ProjectError(f"{path} is missing", "a second fit is compared with it", "dvc repro") from None
    say("fitting the model again")
    stage, now = _fit_again(project)
    if now is None:
        raise ProjectError(
            f"the stage {stage} saved no model",
            "it is fitted once more by running its command, which must end with models.save",
            f"save the model with modelbook.models.save in the stage {stage}",
        )
    if now == before:
        return Comparison(WORKSPACE, ((path, before, now),), None, None, ())
    reasons = (
        "from the same table and params.yaml; if `dvc status` names a change, dvc repro first",
        "an estimator that keeps a time, an address or an order of its own, or draws without a seed, "
        "cannot give the same bytes twice: choose another in conf/model/",
    )
    return Comparison(WORKSPACE, ((path, before, now),), path, stage, reasons)


def _fit_again(project: Project) -> tuple[str, str | None]:
    """Run the stage that makes the model, which then writes nothing; return its name and the md5 of the model."""
    extras.need_train()
    stages = read_yaml((project.root / "dvc.yaml").read_bytes(), "dvc.yaml").get("stages") or {}
    made = {_path(out): (name, entry) for name, entry in stages.items() for out in entry.get("outs") or ()}
    if project.model_path not in made:
        raise ProjectError(
            f"no stage of dvc.yaml has the output {project.model_path}",
            "the model is fitted once more by running the stage that makes it",
            "model reproduce VERSION, which runs all stages in a clean worktree",
        )
    name, entry = made[project.model_path]
    commands = entry["cmd"] if isinstance(entry["cmd"], list) else [entry["cmd"]]
    with tempfile.TemporaryDirectory() as scratch:
        note = Path(scratch, "md5")
        variables = {**code_of(project.root), "MODELBOOK_FIT_AGAIN": str(note), "DVC_STAGE": name}
        for command in map(shlex.split, commands):
            program = sys.executable if command[0] in ("python", "python3") else command[0]
            done = subprocess.run(  # noqa: S603 (an argument list)
                [program, *command[1:]],
                cwd=project.root / entry.get("wdir", "."),
                env=variables,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise failure("the second fit", done.stderr)
        return name, note.read_text(encoding="ascii") if note.exists() else None


def _path(out: Any) -> str:
    return str(next(iter(out))) if isinstance(out, dict) else str(out)


def _handle(number: int) -> Any:
    """Take a polite kill as Ctrl-C, so that the worktree is removed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    return signal.signal(number, stop)


def _inputs(project: Project, outs: tuple[Out, ...], folder: Path, say: Say) -> None:
    """Put the inputs in place, each object checked; then give the worktree a cache of its own."""
    from ..store import dvc_repo

    inputs = [out for out in outs if out.is_input]
    wanted = project.store.objects(inputs)
    bad = project.store.unsound(wanted, say(f"checking {counted(len(wanted), 'object')} of the inputs", len(wanted)))
    if bad:
        project.store.fetch(bad, say(f"fetching {counted(len(bad), 'object')} of the inputs", len(bad)))
    dvc_repo.checkout(folder, *[out.path for out in inputs])
    restore.configure(folder)


def _repro(folder: Path, python: str, compiled: Path, say: Say) -> None:
    environment = code_of(folder)
    # Each stage is a Python of its own: what one has compiled serves the next, and the worktree stays as it is.
    del environment["PYTHONDONTWRITEBYTECODE"]
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    environment["PATH"] = os.pathsep.join([str(Path(python).parent), environment.get("PATH", "")])
    environment.pop("DVC_EXP_BASELINE_REV", None)
    command = [python, "-m", "dvc", "repro", "--force", "--no-run-cache", "--no-commit"]
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 (an argument list)
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as training:
        try:
            assert training.stdout is not None
            for line in training.stdout:
                lines.append(line)
                if line.startswith("Running stage"):
                    say(line.strip().rstrip(":").lower())
        except BaseException:
            training.terminate()
            # The stage at work hears Ctrl-C, too; what it still writes would be in the way of the clean-up.
            with contextlib.suppress(subprocess.TimeoutExpired):
                training.communicate(timeout=10)
            raise
    if training.returncode:
        tail = "".join(lines[-12:]).strip()
        raise ProjectError(
            f"the training failed:\n{tail}",
            "the version cannot be trained again here, from its inputs and with its packages",
            "read the lines above; its model itself may still be sound: model verify",
        )


def _outputs(lock: bytes) -> dict[str, tuple[str, str]]:
    """Return stage and md5 of each output, in the order of the stages."""
    stages = read_yaml(lock, "dvc.lock")["stages"]
    order = _order(stages)
    return {out["path"]: (stage, out["md5"]) for stage in order for out in stages[stage].get("outs", [])}


def _order(stages: dict[str, Any]) -> list[str]:
    """Sort stages so that each comes after those whose outputs it reads."""
    made = {out["path"]: stage for stage, entry in stages.items() for out in entry.get("outs", [])}
    needs = {
        stage: {made[d["path"]] for d in entry.get("deps", []) if made.get(d["path"], stage) != stage}
        | {made[file] for file in entry.get("params", {}) if made.get(file, stage) != stage}
        for stage, entry in stages.items()
    }
    from graphlib import TopologicalSorter

    return list(TopologicalSorter(needs).static_order())


def _compare(version: Version, noted: Any, first: bytes, again: bytes, folder: Path, python: str) -> Comparison:
    before, now = _outputs(first), _outputs(again)
    outputs = tuple((path, md5, now.get(path, ("", "nothing"))[1]) for path, (_, md5) in before.items())
    different = next((path for path, old, new in outputs if old != new), None)
    if different is None:
        return Comparison(version.name, outputs, None, None, ())
    stage = before[different][0]
    old = read_yaml(first, "dvc.lock")["stages"][stage]
    new = read_yaml(again, "dvc.lock")["stages"][stage]
    deps = {d["path"]: d.get("md5") for d in new.get("deps", [])}
    reasons = [f"input {d['path']} differs" for d in old.get("deps", []) if deps.get(d["path"]) != d.get("md5")]
    if old.get("params") != new.get("params"):
        reasons.append("its params differ")
    reasons += _environment(noted, folder, python)
    return Comparison(
        version.name, outputs, different, stage, tuple(reasons or ["its inputs and the known environment are the same"])
    )


def _environment(noted: Any, folder: Path, python: str) -> list[str]:
    """Return how the environment differs from the one that trained the version, as far as it is known."""
    found = []
    if python == sys.executable:
        found += interpreter.differences(folder)
    if noted.platform is None:
        found.append("the platform that trained it is not known: it was released on another machine")
    elif noted.platform != platform.platform():
        found.append(f"platform {platform.platform()}, noted {noted.platform}")
    notes = sorted((folder / derive.NOTES).glob("*.json"))
    if notes and noted.blas is not None:
        blas = json.loads(notes[0].read_text(encoding="utf-8"))["blas"]
        if blas != noted.blas:
            found.append(f"BLAS {blas}, noted {noted.blas}")
    return found
