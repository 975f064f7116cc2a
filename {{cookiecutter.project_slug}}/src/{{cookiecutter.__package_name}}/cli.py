"""The `model` command: parse, call, print."""

import errno
import io
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import screens
from .errors import ProjectError, counted

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Release, promote, roll back and explain the versions of this project's model.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
VersionName = Annotated[str, typer.Argument(help="v1.2.0, a stage such as prod, or latest.", metavar="VERSION")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
Force = Annotated[bool, typer.Option("--force", help="Pass over rules; needs --reason.")]


#: Exit code after Ctrl-C, as a shell has it.
INTERRUPTED = 128 + signal.SIGINT


def project() -> Any:
    from .versions import project as module

    return module.find(Path.cwd())


@app.command()
def status(json: Json = False) -> None:
    """Show what is live, what is newer, and what is wrong with the exact fix."""
    from .versions import status as module

    with screens.working() as say:
        found = module.status(project(), say)
    screens.status(found, json)


@app.command()
def adopt(experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT")], json: Json = False) -> None:
    """Write an experiment's choices and values into conf/."""
    from .versions import adopt as module

    with screens.working() as say:
        done = module.adopt(project(), experiment, say)
    screens.adopted(done, json)


@app.command()
def gate(
    against: Annotated[str | None, typer.Option(help="Compare with this version, not the live one.")] = None,
    json: Json = False,
) -> None:
    """Judge what is trained here by the rules of conf/gate/; exit 1 if it does not pass."""
    from .versions import release as module

    with screens.working() as say:
        verdict = module.candidate(project(), against, say)
    screens.verdict(verdict, json)
    if not verdict.passed:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Where report.md and its images are written.")],
    against: Annotated[str | None, typer.Option(help="Compare with this version, not the live one.")] = None,
    json: Json = False,
) -> None:
    """Write for a reviewer how what is trained here compares with the live version: verdict, numbers, plots."""
    from .versions import report as module

    with screens.working() as say:
        written = module.report(project(), folder, against, say)
    screens.reported(written, json)


@app.command()
def release(
    title: Annotated[str | None, typer.Option("--title", "-m", help="One line; else the commit's subject.")] = None,
    bump: Annotated[str | None, typer.Option(help="major, minor or patch; auto, or nothing: worked out.")] = None,
    json: Json = False,
) -> None:
    """Make a version of the commit that is checked out."""
    from .versions import release as module

    if bump not in (None, "auto", "major", "minor", "patch"):
        raise typer.BadParameter("auto, major, minor or patch", param_hint="--bump")
    part = None if bump == "auto" else bump
    with screens.working() as say:
        done = module.release(project(), title, part, say)  # type: ignore[arg-type]
    screens.released(done, json)


@app.command()
def promote(
    version: VersionName,
    to: Annotated[str, typer.Option(help="The stage.")],
    reason: Reason = "",
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a version live in a stage, after it has been proven to work."""
    from .versions import promote as module

    with screens.working() as say:
        done = module.promote(project(), version, to, reason, force, say)
    screens.moved(done, json)


@app.command()
def rollback(
    stage: Annotated[str, typer.Option(help="The stage.")] = "prod",
    to: Annotated[str | None, typer.Option(help="A version that was live before.", metavar="VERSION")] = None,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Put the last good version back that was live before; needs --reason."""
    from .versions import promote as module

    with screens.working() as say:
        done = module.rollback(project(), stage, reason, to, say)
    screens.moved(done, json)


@app.command()
def history(
    stage: Annotated[str | None, typer.Option(help="Only the moves of this stage.")] = None,
    audit: Annotated[bool, typer.Option("--audit", help="All that the tags say, and what does not fit.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="With --audit: for a spreadsheet.")] = False,
    json: Json = False,
) -> None:
    """Show every release and stage move: when, what, who, why."""
    if csv and (json or not audit):
        raise typer.BadParameter("goes with --audit, and without --json", param_hint="--csv")
    if audit:
        from .versions import audit as trail

        with screens.working() as say:
            lines = trail.trail(project(), stage, say)
        if csv:
            print(trail.csv(lines), end="")
        else:
            screens.audit(lines, json)
        return
    from .versions import history as module

    screens.history(module.timeline(project().registry(), stage), json)


@app.command()
def show(version: VersionName = "latest", json: Json = False) -> None:
    """Show the record of a version."""
    found = project()
    registry = found.registry()
    chosen = registry.get(version)
    screens.show(found.record(chosen), chosen, registry, json)


@app.command()
def diff(
    old: VersionName,
    new: Annotated[str, typer.Argument(help="The same, or workspace: what is trained here.", metavar="VERSION")],
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request.")] = False,
    json: Json = False,
) -> None:
    """Show what changed between two versions: metrics, code, data, params, packages, live periods."""
    from .versions import diff as module

    with screens.working() as say:
        sections = module.diff(project(), old, new, say)
    if markdown:
        print(module.markdown(sections))
    else:
        screens.diff(sections, json)


@app.command()
def verify(
    version: VersionName = "latest",
    every: Annotated[bool, typer.Option("--all", help="Verify every version.")] = False,
    remote: Annotated[bool, typer.Option("--remote", help="Restore from the remote alone: a restore drill.")] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Of all, so many: what is live, and others at random.")
    ] = None,
    json: Json = False,
) -> None:
    """Derive a version's record again and compare it with its tag; exit 1 if anything differs."""
    from .versions import verify as module

    found = project()
    registry = found.registry()
    if sample is not None:
        chosen = module.sample(registry, sample)
    else:
        chosen = list(registry.versions.values()) if every else [registry.get(version)]
    results = []
    with screens.working() as say:
        tick = say(f"verifying {counted(len(chosen), 'version')}", None if remote else len(chosen))
        for result in module.drill(found, chosen, registry, say) if remote else module.verify(found, chosen, registry):
            results.append(result)
            tick()
    screens.verified(results, json)
    if not all(result.sound for result in results):
        raise typer.Exit(1)


@app.command()
def reproduce(version: VersionName = "latest", json: Json = False) -> None:
    """Train a version again in a clean worktree, and compare every output; exit 1 if one differs.

    `model reproduce workspace` fits the model of the workspace once more, and compares its bytes.
    """
    from .versions import reproduce as module

    with screens.working() as say:
        if version == module.WORKSPACE:
            compared = module.workspace(project(), say)
        else:
            compared = module.reproduce(project(), version, say)
    screens.reproduced(compared, json)
    if not compared.identical:
        raise typer.Exit(1)


@app.command()
def materialise(version: VersionName = "prod", json: Json = False) -> None:
    """Build the release directory of a version and prove it, or prove the one that is there; print where it is."""
    from .versions import restore as module

    found = project()
    with screens.working() as say:
        done = module.materialise(found, found.registry().get(version), say)
    screens.materialised(done, json)


@app.command()
def retrain(
    folder: Annotated[Path, typer.Argument(help="Where the report of the new model is written.")],
    scheduled: Annotated[bool, typer.Option("--scheduled", help="Only if conf/retraining/ asks for it.")] = False,
    json: Json = False,
) -> None:
    """Bring imported data up to date, train, judge, and push what passes as the branch `retrain`."""
    from .versions import retrain as module

    with screens.working() as say:
        done = module.retrain(project(), folder, scheduled, say)
    screens.retrained(done, json)


@app.command()
def checkout(
    version: Annotated[str, typer.Argument(help="v1.2.0, prod, latest, or - for where you were.", metavar="VERSION")],
    json: Json = False,
) -> None:
    """Put the whole workspace at a version: code, conf, data, model."""
    from .versions import checkout as module

    with screens.working() as say:
        done = module.checkout(project(), version, say)
    screens.checked_out(done, json)


@app.command()
def push(
    version: VersionName = "latest",
    every: Annotated[bool, typer.Option("--all", help="Every version.")] = False,
    json: Json = False,
) -> None:
    """Send what the DVC remote lacks of a version that was released; exit 1 if it still lacks something."""
    from .versions import push as module

    found = project()
    registry = found.registry()
    chosen = list(registry.versions.values()) if every else [registry.get(version)]
    with screens.working() as say:
        results = list(module.versions(found, chosen, registry, say))
    screens.pushed(results, json)
    if any(result.fault for result in results):
        raise typer.Exit(1)


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only what would go is shown.")] = False,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Free what is stored for versions that no rule of conf/retention/ keeps."""
    from .versions import prune as module

    with screens.working() as say:
        done = module.prune(project(), reason, yes, say)
    screens.pruned(done, json)
    if done.lost:
        raise typer.Exit(1)


@app.command()
def card(version: VersionName = "latest") -> None:
    """Print the model card of a version, as Markdown."""
    from .versions import card as module
    from .versions import history as timeline

    found = project()
    registry = found.registry()
    chosen = registry.get(version)
    live = [screens.period(p) for p in timeline.periods(registry) if p.version == chosen.name]
    print(module.card(found.git, chosen.commit, found.record(chosen), live), end="")


def main() -> None:
    """Run the command line; exit 0 when done, 1 when refused or failed, 2 on misuse."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not stop it
    _run_own_code()
    try:
        app()
    except ProjectError as error:
        screens.error(error)
        sys.exit(1)
    except OSError as fault:
        screens.error(_of_the_machine(fault))
        sys.exit(1)
    except sqlite3.Error as fault:  # DVC keeps what it knows of files in a database
        screens.error(_of_the_machine(OSError(errno.EIO, str(fault), "DVC's database")))
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Typer makes Ctrl-C an exit, and says nothing
            screens.interrupted()
        raise


def _of_the_machine(fault: OSError) -> ProjectError:
    """Put a fault of the disk or the system into words."""
    full = fault.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    return ProjectError(
        f"{'the disk is full' if full else fault.strerror or fault}: {fault.filename or 'a file'}",
        "a file could not be read or written; what is live is as it was",
        f"{'free some space' if full else 'mend that'}, then the same command again",
    )


def _run_own_code() -> None:
    """Start again with the code of the folder that this runs in, if the package is bound to another copy of it."""
    package = Path(__file__).parent.name
    for folder in (Path.cwd(), *Path.cwd().parents):
        own = folder / "src" / package / "cli.py"
        if own.is_file():
            if own.samefile(__file__):
                return
            path = os.pathsep.join(filter(None, (str(folder / "src"), os.environ.get("PYTHONPATH"))))
            command = [sys.executable, "-m", f"{package}.cli", *sys.argv[1:]]
            environment = {**os.environ, "PYTHONPATH": path}
            if os.name != "nt":
                os.execve(sys.executable, command, environment)  # noqa: S606 (so signals reach it, too)
            sys.exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603


if __name__ == "__main__":
    main()
