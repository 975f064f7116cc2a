"""What the `model` command prints: tables and colours on a terminal, plain text in a pipe, JSON on request."""

import contextlib
import json as jsonlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract import TOOL_FOLDER
from ..errors import ProjectError, counted
from ..formats import person, size
from ..times import day, minute, utc

if TYPE_CHECKING:
    from ..commands.adopt import Adopted
    from ..commands.audit import Line
    from ..commands.card import Card
    from ..commands.checkout import CheckedOut
    from ..commands.diff import Section
    from ..commands.history import Entry
    from ..commands.init import Initialised
    from ..commands.materialise import Materialised
    from ..commands.promote import Moved
    from ..commands.prune import Plan
    from ..commands.push import Pushed
    from ..commands.release import Released
    from ..commands.report import Report
    from ..commands.reproduce import Comparison
    from ..commands.retrain import Retrained
    from ..commands.show import Shown
    from ..commands.status import Status
    from ..commands.verify import Verified
    from ..progress import Say, Tick
    from ..registry.record import Gate


@contextlib.contextmanager
def working() -> "Iterator[Say]":
    """Tell what is being done on standard error, so that JSON stays JSON: bars on a terminal, else lines."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    parts = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bars:

        def begin(text: str, total: int | None = None) -> "Tick":
            for task in bars.task_ids:  # what was begun before has ended
                bars.stop_task(task)
                bars.update(task, visible=False)
            number = bars.add_task(text, total=total)
            return lambda: bars.advance(number)

        yield begin


def _line(text: str, total: int | None = None) -> "Tick":  # noqa: ARG001 (the signature of Say)
    print(f"{text} ...", file=sys.stderr, flush=True)
    return lambda: None


def error(problem: ProjectError) -> None:
    """Print what happened, why, and what to type."""
    print(f"\n{colour(problem.what, '31')}\n  why: {problem.why}\n  fix: {problem.fix}\n", file=sys.stderr)


def interrupted() -> None:
    print("\nStopped. Run the same command again: it goes on from here.", file=sys.stderr)


def colour(text: str, code: str) -> str:
    """Colour the first line of a text, on a terminal."""
    if not sys.stderr.isatty():
        return text
    first, newline, rest = text.partition("\n")
    return f"\x1b[{code}m{first}\x1b[0m{newline}{rest}"


def json(value: Any) -> None:
    """Print plain values as JSON."""
    print(jsonlib.dumps(value, indent=1, ensure_ascii=False))


def verdict(found: "Gate") -> None:
    rows = [("" if rule.passed else "FAILED", rule.rule, rule.required, rule.found) for rule in found.rules]
    print(f"gate {found.name}, against {found.against or 'no live version: the floors and the baseline decide'}")
    table(("", "rule", "required", "found"), rows)
    print("passed" if found.passed else "not passed")


def reported(done: "Report") -> None:
    verdict(done.verdict)
    print(f"\nwritten: {done.page}, with {counted(len(done.images), 'image')} beside it")


def materialised(done: "Materialised") -> None:
    print(f"{done.version}: {done.folder}\n  {its_python(done.python)}")
    for check in done.checks:
        print(f"  checked: {check}")


def retrained(done: "Retrained") -> None:
    print(done.what)
    if done.branch:
        print(f"  pushed as the branch {done.branch}; its report: {done.page}")


def released(done: "Released") -> None:
    verdict(done.verdict)
    print(f"\n{done.version}: {done.reason}")
    print(f"{counted(done.objects, 'object')} seen in the DVC remote, {done.sent} of them sent now")
    print(f"tag {done.tag}, " + (f"pushed to {done.remote}" if done.remote else "only in this clone"))
    for note in done.notes:
        print(f"note: {note}")
    if done.enters:
        print(f"\nnext: model promote {done.version} --to {done.enters}")
    print(f"the record: model show {done.version}; what git has: git show {done.tag}")


def its_python(python: str) -> str:
    """Say how code is run in a release directory: its own first. `uv run` would make an environment there."""
    code = f".{os.pathsep}{Path(TOOL_FOLDER).parent}"
    return f"its Python: PYTHONPATH={code} {python}   (there; not uv run, which installs another environment)"


def moved(done: "Moved") -> None:
    was = f", was {done.source}" if done.source else ""
    print(f"{done.stage}: {done.target} is live{was}")
    for note in done.notes:
        print(colour(f"  note: {note}", "31"))
    for check in done.checks:
        print(f"  checked: {check}")
    if done.kind == "rollback":
        print(f"  {done.source} is quarantined: only model promote --force --reason brings it back")
    print(f"  release directory: {done.folder}\n  {its_python(done.python)}")
    print(
        f"  tag: {done.tag}, "
        + (f"pushed to {done.remote}" if done.remote else "only in this clone: there is no git remote")
    )


def history(entries: "list[Entry]") -> None:
    if not entries:
        print("nothing has been released yet; next: model release")
        return
    rows = []
    for entry in entries:
        where = (
            "" if entry.stage is None else f"{entry.stage}: {entry.source or 'nothing'} -> {entry.version or 'nothing'}"
        )
        rows.append((minute(entry.at), entry.what, where or str(entry.version), person(entry.by), entry.why))
    table(("when (UTC)", "what", "version", "who", "why"), rows)


def audit(lines: "list[Line]") -> None:
    if not lines:
        print("nothing has been released yet; next: model release")
        return
    rows = []
    for line in lines:
        when = minute(line.at) if line.at else ""
        what = f"{line.what}, forced" if line.forced else line.what
        version = f"{line.stage}: {line.source or 'nothing'} -> {line.version or 'nothing'}" if line.stage else ""
        trained = "trained on " if line.what == "release" and line.host else ""
        where = line.job or f"{trained}{line.host or ''}"
        signed = {"good": f"by {line.signer}", "none": "no"}.get(line.signature, line.signature)
        rows.append((when, what, version or line.version or line.tag, person(line.by), where, signed, line.why))
    table(("when (UTC)", "what", "version", "who", "where", "signed", "why"), rows)
    found = [(line.tag, finding) for line in lines for finding in line.findings]
    print(
        f"\n{counted(len(lines), 'tag')}, " + (f"{counted(len(found), 'finding')}:" if found else "all fit each other")
    )
    for tag, finding in found:
        print(f"  - {tag}: {finding}")
    if found:
        print("git cat-file tag TAG shows one; model verify --all checks data and remotes, too")


def csv(lines: "list[Line]") -> None:
    from ..commands.audit import csv as text

    print(text(lines), end="")


def card(shown: "Card") -> None:
    print(shown.markdown, end="")


def show(shown: "Shown") -> None:
    from ..commands import card

    kept, version, note = shown.record, shown.version, shown.pruned
    trained, environment, gate = kept.governance.trained, kept.environment, kept.governance.gate
    made = (
        f"{trained.at}, {trained.seconds:.1f} s on {trained.host}"
        if trained
        else "not known: released without the note of its training"
    )
    parent = kept.identity.parent
    print(f"{kept.identity.name} {version.name}: {kept.identity.title}")
    facts = [
        ("live in", ", ".join(shown.live_in) or "no deployment stage"),
        ("quarantined", ", ".join(f"{stage}: {event.reason}" for stage, event in shown.quarantined.items())),
        ("pruned", f"{day(note.at)} by {note.by}: it cannot be restored" if note else ""),
        ("released", f"{utc(version.at)} by {version.by}"),
        ("follows", parent.version if parent else "nothing: the first version"),
        ("model", f"{kept.model.path}, {kept.model.bytes:,} bytes, sha256 {kept.model.sha256[:16]}"),
        ("commit", f"{kept.code.commit[:12]} by {kept.governance.author}"),
        *(("data", f"{i.path}: {card.contents(i)}, md5 {i.md5[:12]}") for i in kept.data.inputs),
        ("rows", ", ".join(f"{name} {split.rows}" for name, split in kept.data.splits.items())),
        ("choices", ", ".join(f"{group}: {name}" for group, name in kept.params.choices.items())),
        (
            "environment",
            f"Python {environment.python}, {counted(len(environment.packages), 'package')}, "
            f"{counted(environment.threads, 'thread')}",
        ),
        ("", f"{environment.platform or 'platform not known'}; {environment.blas or 'BLAS not known'}"),
        ("trained", made),
        ("takes", f"{counted(kept.interface.inputs.count, 'column')}; gives {kept.interface.output['name']}"),
        (
            "gate",
            f"{gate.name}: {'passed' if gate.passed else 'not passed'}, against {gate.against or 'no live version'}",
        ),
    ]
    for name, text in facts:
        if text:
            print(f"  {name:<12} {text}")
    print()
    parts = kept.metrics.values
    rows = [(name, *(card.interval(part[name]) for part in parts.values())) for name in parts["test"]]
    table(("metric", *parts), rows)


def diff(sections: "tuple[Section, ...]") -> None:
    for section in sections:
        print(f"\n{section.title}" + ("" if section.rows else ": the same"))
        table(section.header, list(section.rows))


def markdown(sections: "tuple[Section, ...]") -> None:
    from ..commands.diff import markdown as text

    print(text(sections))


def verified(results: "list[Verified]") -> None:
    for result in results:
        count = len(result.faults)
        found = counted(count, "fault") if count else "pruned" if result.pruned else "sound"
        print(f"{result.version}: {found}")
        for what in result.proven if len(results) == 1 or not result.sound else ():
            print(f"  checked: {what}")
        for fault in result.faults:
            print(f"  FAULT: {fault.what}\n    fix: {fault.fix}")
    if not results:
        print("nothing has been released yet; next: model release")


def reproduced(found: "Comparison") -> None:
    rows = [
        ("" if old == new else "DIFFERS", path, old, new if old != new else "same") for path, old, new in found.outputs
    ]
    table(("", "output", "md5", "md5 now"), rows)
    if found.identical:
        outputs = found.outputs
        many = f"all {len(outputs)} outputs" if len(outputs) > 1 else outputs[0][0]
        print(f"{found.version}: identical, {many}")
        return
    print(f"{found.version}: {found.first_difference} differs first, made by the pipeline stage {found.stage}")
    for reason in found.reasons:
        print(f"  {reason}")


def checked_out(done: "CheckedOut") -> None:
    print(
        f"the workspace is at {done.name} ({done.commit[:10]}): code, conf, data and model\n"
        f"back to {done.before}: model checkout -"
    )


def adopted(done: "Adopted") -> None:
    if not done.changes:
        print(f"conf/ already says what {done.experiment} was run with")
    else:
        table(("file", "key", "was", "is"), [(f, k, str(a), str(b)) for f, k, a, b in done.changes])
        print(f"conf/ composes to the params of {done.experiment}")
    for note in done.notes:
        print(f"note: {note}")
    print("next: dvc repro, git commit, model release")


def pushed(results: "list[Pushed]") -> None:
    for result in results:
        if result.fault:
            print(
                f"{result.version}: not all of it is there\n  FAULT: {result.fault.what}\n    fix: {result.fault.fix}"
            )
        elif result.pruned:
            print(f"{result.version}: pruned")
        else:
            seen = f"{counted(result.objects, 'object')} seen in the DVC remote"
            print(f"{result.version}: {seen}, {result.sent} of them sent now")


def pruned(plan: "Plan") -> None:
    rows = [
        (
            f.version,
            day(f.at),
            ", ".join(f.kept_by) or (("went" if plan.done else "goes") if f.objects else "nothing; it has no more"),
            *((str(f.objects), size(f.bytes)) if f.objects else ("", "")),
        )
        for f in plan.fates
    ]
    print("rules: " + ", ".join(f"{key} {jsonlib.dumps(value)}" for key, value in plan.rules.items()))
    table(("version", "released", "kept by", "objects", "frees"), rows)
    now, after = ("before", "now") if plan.done else ("now", "after")
    for place in plan.stored:
        print(f"{place.place}: {size(place.bytes)} {now}, {size(place.after)} {after}")
    for note in plan.notes:
        print(f"note: {note}")
    if plan.sent_back:
        print(f"sent {counted(plan.sent_back, 'object')} that kept versions need and the remote did not have")
    if plan.lost:
        print(
            f"FAULT: neither the remote nor this clone has {counted(plan.lost, 'object')} that kept versions need\n"
            "  fix: model push --all in a clone that has them (model verify --all --remote names them)"
        )
    if plan.done:
        print(
            f"deleted {counted(len(plan.objects), 'object')}"
            + (f"; the history says so: {plan.tag}" if plan.tag else "")
        )
    elif plan.objects:
        print(f"nothing was deleted; to delete {counted(len(plan.objects), 'object')}: model prune --yes --reason WHY")
    else:
        print(
            "nothing is stored for released versions alone that no rule keeps"
            if plan.fates
            else "nothing has been released yet"
        )


def status(found: "Status") -> None:
    print(
        f"{found.name}: latest {found.latest or 'none: nothing has been released yet'}"
        + (f", here {found.here}" if found.here else "")
    )
    for live in found.live:
        event = live.event
        older = f" and {len(live.newer) - 3} before" if len(live.newer) > 3 else ""
        newer = f"; newer: {', '.join(live.newer[-3:])}{older}" if live.newer else ""
        since = f"since {utc(event.at)} by {person(event.by)}" + (f" ({event.reason})" if event.reason else "")
        print(f"  {live.stage}: {live.version or 'nothing'} {since}{newer}")
    if not found.problems:
        print("nothing is wrong")
    for problem in found.problems:
        print(f"  - {problem.what}\n    fix: {problem.fix}")


def initialised(found: "Initialised") -> None:
    for added in found.added:
        print(f"added to {added.file}: {', '.join(added.what)}")
    if not found.added:
        print("nothing was missing in the files that model init writes")
    calls = [step for step in found.steps if step.dvc_yaml]
    for step in found.steps:
        if calls and step is calls[0]:
            print("\nA call in each of these stages. The body of a stage is a function:\n\n" + STAGE)
        print(f"\n{step.what}:\n" + "\n".join(f"    {line}" for line in step.lines))
        if step.dvc_yaml:
            print("  in dvc.yaml, add to it:\n" + "\n".join(f"    {line}" for line in step.dvc_yaml))
    print("\nThen: dvc repro, git add --all && git commit, model release. (model status says what is missing.)")


#: How the script of a stage looks.
STAGE = """\
    from modelbook import evaluation, models, stage, tables

    @stage
    def main(settings):  # settings.train["alpha"] is what params.yaml says
        ...

    if __name__ == "__main__":
        main()"""


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns; on a terminal with rich, which also wraps them."""
    if not rows:
        return
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        grid = Table(*header, box=box.SIMPLE)
        for row in rows:
            grid.add_row(*row)
        Console(highlight=False, markup=False).print(grid)
        return
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
