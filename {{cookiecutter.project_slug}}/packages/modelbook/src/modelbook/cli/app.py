"""The `model` command: what each command is called, takes and is for. Its module does the work, `views` prints."""

import errno
import gc
import io
import signal
import sqlite3
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from ..errors import ProjectError
from . import result, views


class Sections(TyperGroup):
    """Lists the commands by what they are for, in plain text.

    Rich would be imported for its panels, and take half as long again as all the rest of `--help`.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        longest = max(map(len, self.commands))
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            line = command.get_short_help_str(formatter.width - longest - 6)
            sections.setdefault(command.rich_help_panel, []).append((name.ljust(longest), line))
        for title, lines in sections.items():
            with formatter.section(title):
                formatter.write_dl(lines)


app = typer.Typer(
    cls=Sections,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Release a model, make it live, roll it back, and explain every version.\n\n"
    "model COMMAND --help says what a command takes, with examples.",
)

COMPARE, RELEASE, LIVE = "Use and compare", "Release", "Live"
PROVE, STORE = "Rebuild and prove", "Storage and jobs"
OWN = "A pipeline of your own"

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
VersionName = Annotated[
    str, typer.Argument(help="v1.2.0, latest, or a deployment stage such as prod.", metavar="VERSION")
]
Against = Annotated[
    str | None, typer.Option(help="Compare with this version instead of the live one.", metavar="VERSION")
]
Reason = Annotated[str, typer.Option(help="Why. It is kept in the history.", metavar="TEXT")]
Every = Annotated[bool, typer.Option("--all", help="Every version.")]

#: Exit code after Ctrl-C, as a shell has it.
INTERRUPTED = 128 + signal.SIGINT


def command(section: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command: its docstring and the examples are the help, its name the command's."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        shown = "\n".join(f"  $ model {example}" for example in examples)
        help_text = f"{getdoc(function)}\n\n\b\nExamples:\n{shown}"
        app.command(help=help_text, rich_help_panel=section)(function)
        return function

    return register


def run(
    work: str, view: Callable[[Any], None], json: bool, *arguments: Any, must_be: str = "", find: str = "find"
) -> None:
    """Do the work of a command under the progress display, and print what came of it.

    Parameters
    ----------
    work : str
        `module.function` in `commands`; imported now, for most of them take long to import. It is called with the
        project, the arguments and `say`.
    view : callable
        Prints the result.
    json : bool
        Print it as JSON instead.
    arguments
    must_be : str
        The attribute that the result, or each of several, must have to be true; else the exit code is 1.
    find : str
        The function of `workspace.project` that finds what the work is called with.
    """
    module, _, function = work.partition(".")
    with views.working() as say:
        project = getattr(import_module("modelbook.workspace.project"), find)(Path.cwd())
        done = getattr(import_module(f"modelbook.commands.{module}"), function)(project, *arguments, say)
    if json:
        views.json(result.plain(done))
    else:
        view(done)
    if must_be and not all(getattr(one, must_be) for one in (done if isinstance(done, list) else [done])):
        raise typer.Exit(1)


@command(COMPARE, "status", "status --json")
def status(json: Json = False) -> None:
    """Show what is live, what is newer, and what needs fixing."""
    run("status.status", views.status, json)


@command(COMPARE, "history", "history --stage prod", "history --audit --csv > audit.csv")
def history(
    stage: Annotated[str | None, typer.Option(help="Only what went live in this deployment stage.")] = None,
    audit: Annotated[bool, typer.Option("--audit", help="All that the tags say, and what does not add up.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="With --audit: print it for a spreadsheet.")] = False,
    json: Json = False,
) -> None:
    """List every release and every change of what is live."""
    if csv and (json or not audit):
        raise typer.BadParameter("goes with --audit, and without --json", param_hint="--csv")
    if audit:
        run("audit.trail", views.csv if csv else views.audit, json, stage)
    else:
        run("history.history", views.history, json, stage)


@command(COMPARE, "show", "show v1.2.0", "show prod --json")
def show(version: VersionName = "latest", json: Json = False) -> None:
    """Show the record of a version: what made it, how good it is."""
    run("show.show", views.show, json, version)


@command(COMPARE, "diff v1.0.0 v1.1.0", "diff prod workspace", "diff v1.0.0 v1.1.0 --markdown")
def diff(
    old: VersionName,
    new: Annotated[str, typer.Argument(help="A version, or workspace: what is trained here.", metavar="VERSION")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")] = False,
    json: Json = False,
) -> None:
    """Show what changed between two versions.

    Metrics, code, data, params, packages, and when each was live.
    """
    if markdown and json:
        raise typer.BadParameter("goes without --json", param_hint="--markdown")
    run("diff.diff", views.markdown if markdown else views.diff, json, old, new)


@command(COMPARE, "card", "card prod > card.md")
def card(version: VersionName = "latest", json: Json = False) -> None:
    """Print the model card of a version as Markdown.

    Your own text (docs/model_card.md) comes first, then the facts from the record.
    """
    run("card.card", views.card, json, version)


@command(COMPARE, "checkout v1.0.0", "checkout -")
def checkout(
    version: Annotated[
        str, typer.Argument(help="v1.2.0, prod, latest, or - to go back to where you were.", metavar="VERSION")
    ],
    json: Json = False,
) -> None:
    """Put the whole workspace at a version, or back.

    Code, conf, data and model. It stops if you have unsaved changes.
    """
    run("checkout.checkout", views.checked_out, json, version)


@command(RELEASE, "adopt sunny-newt", "adopt 3f2a1bc")
def adopt(
    experiment: Annotated[str, typer.Argument(help="A name from dvc exp show, or a commit.", metavar="EXPERIMENT")],
    json: Json = False,
) -> None:
    """Write an experiment's choices into the files of conf/."""
    run("adopt.adopt", views.adopted, json, experiment)


@command(RELEASE, "gate", "gate --against v1.0.0")
def gate(against: Against = None, json: Json = False) -> None:
    """Check whether the model trained here may be released.

    The rules are in conf/gate/. Exit code 1 if one of them fails.
    """
    run("gate.candidate", views.verdict, json, against, must_be="passed")


@command(RELEASE, "report build/report", "report build/report --against v1.0.0")
def report(
    folder: Annotated[Path, typer.Argument(help="Where report.md and its images go.")],
    against: Against = None,
    json: Json = False,
) -> None:
    """Write a page for reviewers of the model trained here.

    The gate's verdict, numbers and plots, beside those of the live version.
    """
    run("report.report", views.reported, json, folder, against)


@command(RELEASE, "release", 'release -m "Train on the data of May"', "release --bump major")
def release(
    title: Annotated[
        str | None, typer.Option("--title", "-m", help="One line. Default: the commit's subject.", metavar="TEXT")
    ] = None,
    bump: Annotated[
        Literal["auto", "major", "minor", "patch"],
        typer.Option(help="Which part of the number goes up. auto: it depends on what changed."),
    ] = "auto",
    json: Json = False,
) -> None:
    """Make a version of the current commit.

    Checks that all is committed and up to date, asks the gate, sends the data to the DVC remote, and tags.
    If anything is wrong, it lists all of it with fixes and tags nothing.
    """
    run("release.release", views.released, json, title, None if bump == "auto" else bump)


@command(LIVE, "promote v1.2.0 --to prod", 'promote v1.1.0 --to prod --force --reason "it was not the model"')
def promote(
    version: VersionName,
    to: Annotated[str, typer.Option(help="The deployment stage, such as prod.", metavar="STAGE")],
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Pass over rules. Needs --reason.")] = False,
    json: Json = False,
) -> None:
    """Make a version live, once it has proven that it works."""
    run("promote.promote", views.moved, json, version, to, reason, force)


@command(LIVE, 'rollback --reason "wrong prices"', 'rollback --stage staging --to v1.0.0 --reason "a test"')
def rollback(
    stage: Annotated[str, typer.Option(help="The deployment stage.")] = "prod",
    to: Annotated[
        str | None, typer.Option(help="A version that was live before. Default: the last good one.", metavar="VERSION")
    ] = None,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Bring back the last good version that was live before. Needs --reason."""
    run("promote.rollback", views.moved, json, stage, reason, to)


@command(LIVE, "materialise prod", "materialise v1.2.0 --json")
def materialise(version: VersionName = "prod", json: Json = False) -> None:
    """Build and check the folder that a version is deployed from.

    The folder is .releases/VERSION: the code and the model of the version. The command also prints the Python that
    has its exact packages. promote and rollback do this, too; type it yourself on the machine that serves the model.
    """
    run("materialise.materialise", views.materialised, json, version)


@command(PROVE, "verify", "verify --all", "verify --remote --sample 5")
def verify(
    version: VersionName = "latest",
    every: Every = False,
    remote: Annotated[
        bool, typer.Option("--remote", help="Restore from the DVC remote alone, as a drill for an emergency.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="This many versions: those that are live, and others at random.", metavar="NUMBER"),
    ] = None,
    json: Json = False,
) -> None:
    """Check that the record of a version is still true.

    Every field is worked out again from tag, code, data and metrics. Exit code 1 if anything differs.
    """
    run("verify.verify", views.verified, json, version, every, remote, sample, must_be="sound")


@command(PROVE, "reproduce v1.0.0", "reproduce workspace")
def reproduce(
    version: Annotated[str, typer.Argument(help="v1.2.0, latest, prod, or workspace.", metavar="VERSION")] = "latest",
    json: Json = False,
) -> None:
    """Train a version again and compare every output.

    It trains in a clean folder, from the inputs alone. Exit code 1 if an output differs.
    `model reproduce workspace` fits the model of the workspace again and compares its bytes.
    """
    run("reproduce.reproduce", views.reproduced, json, version, must_be="identical")


@command(STORE, "push v1.0.0", "push --all")
def push(version: VersionName = "latest", every: Every = False, json: Json = False) -> None:
    """Send a version's missing data to the DVC remote.

    Exit code 1 if something is still missing there.
    """
    run("push.push", views.pushed, json, version, every, must_be="complete")


@command(STORE, "prune", 'prune --yes --reason "storage is full"')
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it you only see what would go.")] = False,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Free the storage of versions that no rule keeps.

    The rules are in conf/retention/. Tags and records stay.
    """
    run("prune.prune", views.pruned, json, reason, yes, must_be="complete")


@command(STORE, "retrain build/report", "retrain build/report --scheduled")
def retrain(
    folder: Annotated[Path, typer.Argument(help="Where the report of the new model goes.")],
    scheduled: Annotated[bool, typer.Option("--scheduled", help="Only if conf/retraining/ asks for it.")] = False,
    json: Json = False,
) -> None:
    """Train on fresh data and push the result for review.

    For a job that runs each week. It updates the data that dvc import brought, trains, asks the gate, and pushes what
    passes to the branch `retrain`. It changes no other branch and releases nothing.
    """
    run("retrain.retrain", views.retrained, json, folder, scheduled)


@command(OWN, "init --task regression", "init rents --task regression --rows data/features")
def init(
    name: Annotated[
        str | None, typer.Argument(help="The model's name. Default: the project's.", metavar="NAME")
    ] = None,
    task: Annotated[
        Literal["classification", "regression"] | None, typer.Option(help="What the model predicts.")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(help="The folder for the rows that the model takes. Default: data/prepared.", metavar="FOLDER"),
    ] = None,
    json: Json = False,
) -> None:
    """Prepare a DVC pipeline that the template did not make.

    It adds what is missing to dvc.yaml, params.yaml and the ignore files, and changes nothing that is there.
    Then it says what is left to do.
    """
    run("init.init", views.initialised, json, name, task, rows, find="top")


def main() -> None:
    """Run the command line; exit 0 when done, 1 when refused or failed, 2 on misuse."""
    gc.set_threshold(100_000)  # to search all imported libraries for garbage takes a tenth of a quick command's time
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not stop it
    try:
        app(prog_name="model")
    except ProjectError as error:
        views.error(error)
        sys.exit(1)
    except OSError as fault:
        views.error(_of_the_machine(fault))
        sys.exit(1)
    except sqlite3.Error as fault:  # DVC keeps what it knows of files in a database
        views.error(_of_the_machine(OSError(errno.EIO, str(fault), "DVC's database")))
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Typer makes Ctrl-C an exit, and says nothing
            views.interrupted()
        raise


def _of_the_machine(fault: OSError) -> ProjectError:
    """Put a fault of the disk or the system into words."""
    full = fault.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    return ProjectError(
        f"{'the disk is full' if full else fault.strerror or fault}: {fault.filename or 'a file'}",
        "a file could not be read or written; what is live has not changed",
        f"{'free some space' if full else 'fix that'}, then run it again",
    )


if __name__ == "__main__":
    main()
