"""`model history --audit`: every tag of the model with who, when, what, why and from where, and what is odd about it.

It asks nobody: it shows the tags that this clone has. What a tag says about
itself (person, date, machine) is what the machine that made it claimed; only a
signature that is good proves who.
"""

import csv as csvlib
import datetime as dt
import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import ProjectError, counted
from ..progress import Say, silent
from ..registry import record
from ..registry.event import Where
from ..registry.record import Record
from ..registry.registry import SEMVER, Event, Registry, Tag, Version
from ..store.git import SIGNED, Git, last_line
from ..workspace.project import Project, one_line

Signature = Literal["none", "good", "bad", "not known"]

#: What gpg, gpgsm and ssh-keygen call a signature that does not fit its text; all else is a key that is not known.
BROKEN = ("BADSIG", "incorrect signature")
SIGNER = re.compile(r'^Good "git" signature for (.+) with |^\[GNUPG:\] GOODSIG \S+ (.+)$', re.MULTILINE)
#: A cell that begins so is a formula to a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 (wide letters are meant)


@dataclass(frozen=True)
class Line:
    """A tag of the trail.

    Attributes
    ----------
    at : datetime or None
        None for a lightweight tag, which has no date, person and text.
    what : str
        release, withdraw, prune, promote, rollback, assign or unassign (both by another tool), or uncounted.
    version, stage, source : str or None
        The version, and for a move the stage and the version that it held before.
    by : str
        `Name <mail>`.
    why : str
        The reason of a move, the title of a version.
    forced : bool
        A rule was passed over.
    checks : tuple of str
        What was proven before, and what was noted.
    host, job : str or None
        The machine, and the address of the CI job, that moved the stage; of a version the machine that trained it.
    signature : str
        none, good, bad, or not known: this clone lacks the key.
    signer : str or None
        Whose key it is.
    tag, object : str
        The name, and the hash of what it names.
    commit : str or None
    findings : tuple of str
        What does not fit.
    """

    at: dt.datetime | None
    what: str
    version: str | None
    stage: str | None
    source: str | None
    by: str
    why: str
    forced: bool
    checks: tuple[str, ...]
    host: str | None
    job: str | None
    signature: Signature
    signer: str | None
    tag: str
    object: str
    commit: str | None
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Signed:
    """What git says of a tag's signature.

    Attributes
    ----------
    verdict : str
        none, good, bad, or not known: this clone lacks the key.
    signer : str or None
        Whose key it is.
    said : str
        Git's words, if it is not good.
    """

    verdict: Signature = "none"
    signer: str | None = None
    said: str = ""


@dataclass(frozen=True)
class Sources:
    """What the trail is made from, each read once.

    Attributes
    ----------
    project : Project
    registry : Registry
    texts : dict of str to str
        The whole text of each annotated tag, by name.
    signatures : dict of str to Signed
        Of the tags that are signed, by name.
    """

    project: Project
    registry: Registry
    texts: dict[str, str]
    signatures: dict[str, Signed]


def trail(project: Project, stage: str | None = None, say: Say = silent) -> list[Line]:
    """Return every tag of the model, the newest first.

    Parameters
    ----------
    project : Project
    stage : str, optional
        Only the moves of this stage.
    say : callable
    """
    sources = _read(project, say)
    known = sources.registry
    entries: list[tuple[dt.datetime, Line]] = []
    if stage is None:
        entries += _versions(sources)
    for name, moves in known.events.items():
        if stage in (None, name):
            entries += _moves(sources, name, moves)
    if stage is None:
        entries += _prunes(sources)
    odd = {tag.name: tag.why for tag in known.odd}
    for tag in known.tags.values():
        number = tag.name.removeprefix(f"{project.name}@")
        misnamed = number != tag.name and not SEMVER.fullmatch(number.removesuffix("!"))
        if tag.name in odd or misnamed:
            why = odd.get(tag.name, f"it is not named as {project.name}@v1.2.3")
            if stage is None or tag.name.startswith((f"{project.name}#{stage}#", f"{project.name}#{stage}!#")):
                finding = f"it does not count: {why}"
                entries.append((tag.at, _line(sources, tag, "uncounted", why=tag.subject, findings=(finding,))))
    return [line for _, line in sorted(entries, key=lambda entry: entry[0])[::-1]]


def _read(project: Project, say: Say) -> Sources:
    """Read the registry, the text of each annotated tag, and what git says of each signature."""
    known = project.registry()
    annotated = [tag for tag in known.tags.values() if tag.annotated]
    texts: dict[str, str] = {}
    if annotated:
        contents = project.git.tags([tag.hash for tag in annotated])
        texts = {tag.name: text for tag, text in zip(annotated, contents, strict=True)}
    signed = [tag for tag in annotated if SIGNED.search(texts[tag.name])]
    tick = say(f"verifying {len(signed)} signatures", len(signed)) if signed else None
    signatures = {}
    with ThreadPoolExecutor() as pool:  # git starts a program for each
        for tag, told in zip(signed, pool.map(lambda tag: _signature(project.git, tag), signed), strict=True):
            signatures[tag.name] = told
            if tick:
                tick()
    return Sources(project, known, texts, signatures)


def _signature(git: Git, tag: Tag) -> Signed:
    """Return whether a signature is good, whose it is, and what git says."""
    good, said = git.verify_tag(tag.hash)
    if good:
        signer = SIGNER.search(said)
        return Signed("good", (signer[1] or signer[2]) if signer else None)
    return Signed("bad" if any(word in said for word in BROKEN) else "not known", None, last_line(said))


def _line(
    sources: Sources,
    tag: Tag,
    what: str,
    *,
    version: str | None = None,
    commit: str | None = None,
    why: str = "",
    findings: Sequence[str] = (),
    where: Where | None = None,
    **others: Any,
) -> Line:
    signed, doubts = sources.signatures.get(tag.name, Signed()), list(findings)
    mail = tag.mail.strip("<>")
    if signed.verdict == "bad":
        doubts.append(f"its signature does not fit: {signed.said}")
    elif signed.signer and mail not in signed.signer:
        doubts.append(f"it says that {tag.by} made it, and the key of {signed.signer} signed it")
    # A line break in a reason must not look like another line of the trail.
    told = {key: one_line(value) if isinstance(value, str) else value for key, value in others.items()}
    place = where or Where()
    values: dict[str, Any] = {"stage": None, "source": None, "forced": False, "checks": (), **told}
    return Line(
        at=tag.at if tag.dated else None, what=what, version=version, by=one_line(tag.by), why=one_line(why),
        host=one_line(place.host) if place.host else None, job=one_line(place.job) if place.job else None,
        signature=signed.verdict, signer=signed.signer, tag=tag.name, object=tag.hash, commit=commit,
        findings=tuple(map(one_line, doubts)), **values,
    )  # fmt: skip


def _versions(sources: Sources) -> Iterator[tuple[dt.datetime, Line]]:
    """Yield releases and withdrawals."""
    project, known = sources.project, sources.registry
    records: dict[str, Record | str] = {}
    # What other tags saw: the stage tags that made a version live, and the versions that follow it.
    seen: dict[str, list[tuple[str, str]]] = {}
    for event in (event for moves in known.events.values() for event in moves):
        if event.target and event.version_tag:
            seen.setdefault(event.target, []).append((event.tag_name, event.version_tag))
    for version in known.versions.values():
        name = f"{project.name}@{version.name}"
        try:
            kept = record.parse(sources.texts[name].partition("\n\n")[2], name)
        except ProjectError as error:
            records[version.name] = error.what
            continue
        records[version.name] = kept
        parent = kept.identity.parent
        if parent:
            seen.setdefault(parent.version, []).append((name, parent.tag))
    for name, kept_or_fault in records.items():
        version, tag = known.versions[name], known.tags[f"{project.name}@{name}"]
        findings = list(_against_others(known, version, seen.get(name, [])))
        host, checks, title = None, [], version.title
        if isinstance(kept_or_fault, str):
            findings.append(kept_or_fault)
        else:
            kept = kept_or_fault
            findings += _against_record(project, known, version, kept, signed=tag.name in sources.signatures)
            trained, verdict = kept.governance.trained, kept.governance.gate
            host, title = (trained.host if trained else None), kept.identity.title
            met = f"{counted(len(verdict.rules), 'rule')} met"
            checks = [f"gate {verdict.name} against {verdict.against or 'no version'}: {met}"]
            checks = checks if verdict.passed else []
        line = _line(
            sources, tag, "release", version=name, commit=version.commit, why=title, findings=findings,
            where=Where(host), checks=tuple(checks),
        )  # fmt: skip
        yield version.at, line
    odd = {tag.name for tag in known.odd}
    for tag in known.tags.values():
        number = tag.name.removeprefix(f"{project.name}@")
        if number.endswith("!") and SEMVER.fullmatch(number[:-1]) and tag.name not in odd:
            lacking = () if number[:-1] in known.versions else (f"it withdraws {number[:-1]}, which is not here",)
            yield tag.at, _line(sources, tag, "withdraw", version=number[:-1], why=tag.subject, findings=lacking)


def _prunes(sources: Sources) -> Iterator[tuple[dt.datetime, Line]]:
    """Yield the notes of whose stored objects were deleted."""
    for note in sources.registry.prunes:
        tag = sources.registry.tags[note.tag_name]
        line = _line(sources, tag, "prune", version=", ".join(note.versions), why=note.reason, where=note.said.where)
        yield note.at, line


def _against_others(known: Registry, version: Version, seen: list[tuple[str, str]]) -> Iterator[str]:
    """Yield what other tags say against a version's."""
    told = [name for name, value in seen if value != version.tag]
    if told:
        yield f"it is another tag than the one that {', '.join(told)} saw: it was edited or moved"
    if version.withdrawn:
        held = known.stages_of(version.name)
        yield "it was withdrawn" + (f", and is live in {', '.join(held)}" if held else "")


def _against_record(project: Project, known: Registry, version: Version, kept: Record, signed: bool) -> Iterator[str]:
    """Yield where a version's tag and the record in it contradict each other."""
    mismatch = project.mismatch(version, kept)
    if mismatch:
        yield mismatch
    elif version.title != f"{project.name} {version.name}: {kept.identity.title}":
        yield "its first line and the title in its record differ: it was edited"
    parent = kept.identity.parent
    if parent and parent.version not in known.versions:
        yield f"it follows {parent.version}, which is not here: not fetched, or deleted"
    stages = (kept.params.config or {}).get("stages")
    if isinstance(stages, dict) and stages.get("sign_tags") is True and not signed:
        yield "it is not signed, and its commit says sign_tags: true"


def _moves(sources: Sources, stage: str, moves: list[Event]) -> Iterator[tuple[dt.datetime, Line]]:
    """Yield the moves of a stage; their order is the counter's, whatever the dates say."""
    known, name = sources.registry, sources.project.name
    latest: dt.datetime | None = None
    before: Event | None = None
    odd = re.compile(rf"{re.escape(name)}#{re.escape(stage)}!?#(\d+)")
    taken = [int(match[1]) for tag in known.odd if (match := odd.fullmatch(tag.name))]
    for event in moves:
        said = event.said if event.kind in ("promote", "rollback") else None
        held = before.target if before else None
        findings = []
        last = max([0, *([before.counter] if before else []), *(n for n in taken if n < event.counter)])
        if said and event.counter > last + 1:
            findings.append(
                f"{event.counter - last - 1} tags between {name}#{stage}#{last} and it are not here: "
                "not fetched, or deleted"
            )
        if said and said.move.source != held:
            findings.append(f"it says that it left {said.move.source or 'nothing'}; here it was {held or 'nothing'}")
        if said and (said.move.target != event.target or said.move.stage != stage):
            told = f"{said.move.stage or 'no stage'}: {said.move.target}"
            findings.append(f"it says {told}, its name and commit say otherwise")
        version = known.versions.get(event.target or "")
        if version and version.commit != event.commit:
            findings.append(f"it is at {event.commit[:10]}, {version.name} at {version.commit[:10]}: one was moved")
        if version and event.version_tag and event.version_tag != version.tag:
            findings.append(f"it names another tag object of {version.name} than the one here: one was edited or moved")
        if latest and event.at < latest:
            findings.append("its date is before that of the move before it: a clock was wrong, or it was edited")
        if event.kind == "assign":
            findings.append("another tool made it: nothing was proven before")
        latest, before = max(event.at, latest or event.at), event
        line = _line(
            sources, known.tags[event.tag_name], event.kind, version=event.target, commit=event.commit,
            findings=findings, why=event.reason or ("" if said else event.title), stage=stage, source=held,
            forced=bool(said and said.move.forced), where=said.where if said else None,
            checks=tuple(map(one_line, (*said.checks, *said.notes))) if said else (),
        )  # fmt: skip
        yield latest, line


def csv(lines: Sequence[Line]) -> str:
    """Return lines as CSV that a spreadsheet can open: no cell of it is a formula."""
    out = io.StringIO()
    writer = csvlib.writer(out, quoting=csvlib.QUOTE_ALL, lineterminator="\n")
    names = [field.name for field in fields(Line)]
    writer.writerow(names)
    for line in lines:
        writer.writerow([_cell(getattr(line, name)) for name in names])
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    text = "; ".join(value) if isinstance(value, tuple) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
