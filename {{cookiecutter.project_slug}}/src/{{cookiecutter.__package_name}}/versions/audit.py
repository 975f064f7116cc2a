"""`model history --audit`: every tag of the model with who, when, what, why and from where, and what is odd about it.

It asks nobody: it shows the tags that this clone has. What a tag says about
itself (person, date, machine) is what the machine that made it claimed; only a
signature that is good proves who.
"""

import csv as csvlib
import datetime as dt
import io
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import ProjectError, counted
from . import record
from .git import SIGNED, Git, last_line
from .progress import Say, silent
from .project import Project, one_line
from .record import Record
from .registry import PRUNED, SEMVER, Event, Registry, Version

Signature = Literal["none", "good", "bad", "not known"]

TAGGER = re.compile(r"^tagger (.*>)", re.MULTILINE)
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
class Tag:
    """A tag as git keeps it; a lightweight one has no date and no text."""

    name: str
    hash: str
    at: dt.datetime | None
    text: str | None

    @property
    def body(self) -> str:
        return (self.text or "").partition("\n\n")[2]

    @property
    def subject(self) -> str:
        return self.body.strip().partition("\n")[0]

    @property
    def by(self) -> str:
        found = TAGGER.search((self.text or "").partition("\n\n")[0])
        return found[1] if found else ""

    @property
    def sort_key(self) -> dt.datetime:
        return self.at or dt.datetime.fromtimestamp(0, dt.UTC)

    @property
    def event(self) -> dict[str, Any]:
        """What our own command noted about a move."""
        start = self.body.find("{")
        try:
            found = json.JSONDecoder().raw_decode(self.body, start)[0] if start >= 0 else {}
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def trail(project: Project, stage: str | None = None, say: Say = silent) -> list[Line]:
    """Return every tag of the model, the newest first.

    Parameters
    ----------
    project : Project
    stage : str, optional
        Only the moves of this stage.
    say : callable
    """
    known = project.registry()
    tags = _tags(project.git, project.name)
    signed = [tag for tag in tags.values() if tag.text and SIGNED.search(tag.text)]
    tick = say(f"verifying {len(signed)} signatures", len(signed)) if signed else None
    with ThreadPoolExecutor() as pool:  # git starts a program for each
        signatures = {}
        for tag, found in zip(signed, pool.map(lambda tag: _signature(project.git, tag), signed), strict=True):
            signatures[tag.name] = found
            if tick:
                tick()
    entries: list[tuple[dt.datetime, Line]] = []
    if stage is None:
        entries += _versions(project, known, tags, signatures)
    for name, moves in known.events.items():
        if stage in (None, name):
            entries += _moves(project, known, name, moves, tags, signatures)
    odd = {tag.name: tag.why for tag in known.odd}
    for tag in tags.values():
        number = tag.name.removeprefix(f"{project.name}@")
        if tag.name.startswith(f"{project.name}{PRUNED}"):
            if stage is None:
                entries.append((tag.sort_key, _prune(tag, signatures)))
        elif tag.name in odd or (number != tag.name and not SEMVER.fullmatch(number.removesuffix("!"))):
            why = odd.get(tag.name, f"it is not named as {project.name}@v1.2.3")
            if stage is None or tag.name.startswith((f"{project.name}#{stage}#", f"{project.name}#{stage}!#")):
                line = _line(tag, "uncounted", signatures, why=tag.subject, findings=(f"it does not count: {why}",))
                entries.append((tag.sort_key, line))
    return [line for _, line in sorted(entries, key=lambda entry: entry[0])[::-1]]


def _tags(git: Git, name: str) -> dict[str, Tag]:
    """Read all tags whose names are ours, whether they count or not, with two calls of git."""
    patterns = [f"refs/tags/{name}{mark}*" for mark in ("@", "#", PRUNED)]
    form = "--format=%(objectname) %(objecttype) %(taggerdate:iso-strict) %(refname:strip=2)"
    entries = [line.split(" ", 3) for line in git.run("for-each-ref", form, *patterns).splitlines()]
    annotated = [value for value, kind, *_ in entries if kind == "tag"]
    texts = dict(zip(annotated, git.tags(annotated), strict=True)) if annotated else {}
    return {ref: Tag(ref, value, _date(at), texts.get(value)) for value, _, at, ref in entries}


def _date(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None  # a lightweight tag has none, and some edited one has a date that no calendar has


def _signature(git: Git, tag: Tag) -> tuple[Signature, str | None, str]:
    """Return whether a signature is good, whose it is, and what git says."""
    good, said = git.verify_tag(tag.hash)
    if good:
        signer = SIGNER.search(said)
        return "good", (signer[1] or signer[2]) if signer else None, ""
    return "bad" if any(word in said for word in BROKEN) else "not known", None, last_line(said)


def _line(
    tag: Tag,
    what: str,
    signatures: dict[str, tuple[Signature, str | None, str]],
    *,
    version: str | None = None,
    commit: str | None = None,
    why: str = "",
    findings: Sequence[str] = (),
    **others: Any,
) -> Line:
    by = tag.by
    signature, signer, said = signatures.get(tag.name, ("none", None, ""))
    found = list(findings)
    mail = by.rpartition("<")[2].rstrip(">")
    if signature == "bad":
        found.append(f"its signature does not fit: {said}")
    elif signer and mail not in signer:
        found.append(f"it says that {by} made it, and the key of {signer} signed it")
    # A line break in a reason must not look like another line of the trail.
    told = {key: one_line(value) if isinstance(value, str) else value for key, value in others.items()}
    values: dict[str, Any] = {
        "stage": None, "source": None, "forced": False, "checks": (), "host": None, "job": None, **told,
    }  # fmt: skip
    return Line(
        at=tag.at, what=what, version=version, by=one_line(by), why=one_line(why), signature=signature, signer=signer,
        tag=tag.name, object=tag.hash, commit=commit, findings=tuple(map(one_line, found)), **values,
    )  # fmt: skip


def _versions(
    project: Project, known: Registry, tags: dict[str, Tag], signatures: dict[str, Any]
) -> Iterator[tuple[dt.datetime, Line]]:
    """Yield releases and withdrawals."""
    records: dict[str, Record | str] = {}
    # What other tags saw: the stage tags that made a version live, and the versions that follow it.
    seen: dict[str, list[tuple[str, str]]] = {}
    for event in (event for moves in known.events.values() for event in moves):
        if event.target and event.version_tag:
            seen.setdefault(event.target, []).append((event.tag_name, event.version_tag))
    for version in known.versions.values():
        tag = tags.get(f"{project.name}@{version.name}")
        if not tag:
            continue  # gone since the registry was read
        try:
            kept = record.parse(tag.body, tag.name)
        except ProjectError as error:
            records[version.name] = error.what
            continue
        records[version.name] = kept
        parent = kept.identity.parent
        if parent:
            seen.setdefault(parent.version, []).append((tag.name, parent.tag))
    for name, found in records.items():
        version, tag = known.versions[name], tags[f"{project.name}@{name}"]
        findings = list(_against_others(known, version, seen.get(name, [])))
        host, checks, title = None, [], version.title
        if isinstance(found, str):
            findings.append(found)
        else:
            findings += _against_record(project, known, version, found, signed=tag.name in signatures)
            trained, verdict = found.governance.trained, found.governance.gate
            host, title = (trained.host if trained else None), found.identity.title
            met = f"{counted(len(verdict.rules), 'rule')} met"
            checks = [f"gate {verdict.name} against {verdict.against or 'no version'}: {met}"]
            checks = checks if verdict.passed else []
        line = _line(
            tag, "release", signatures, version=name, commit=version.commit, why=title, findings=findings,
            host=host, checks=tuple(checks),
        )  # fmt: skip
        yield version.at, line
    for tag in tags.values():
        number = tag.name.removeprefix(f"{project.name}@")
        if number.endswith("!") and SEMVER.fullmatch(number[:-1]) and tag.text and not _odd(known, tag):
            lacking = () if number[:-1] in known.versions else (f"it withdraws {number[:-1]}, which is not here",)
            line = _line(tag, "withdraw", signatures, version=number[:-1], why=tag.subject, findings=lacking)
            yield tag.sort_key, line


def _prune(tag: Tag, signatures: dict[str, Any]) -> Line:
    """Return the line of a note whose stored objects were deleted."""
    noted, place = tag.event, tag.event.get("where")
    names = noted.get("versions")
    if not (tag.text and noted.get("kind") == "prune" and isinstance(names, list)):
        return _line(tag, "uncounted", signatures, why=tag.subject, findings=("it does not say what was pruned",))
    return _line(
        tag, "prune", signatures, version=", ".join(map(str, names)), why=_text(noted, "reason") or "",
        host=_text(place, "host"), job=_text(place, "job"),
    )  # fmt: skip


def _odd(known: Registry, tag: Tag) -> bool:
    return any(odd.name == tag.name for odd in known.odd)


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


def _moves(
    project: Project,
    known: Registry,
    stage: str,
    moves: list[Event],
    tags: dict[str, Tag],
    signatures: dict[str, Any],
) -> Iterator[tuple[dt.datetime, Line]]:
    """Yield the moves of a stage; their order is the counter's, whatever the dates say."""
    latest: dt.datetime | None = None
    before: Event | None = None
    odd = re.compile(rf"{re.escape(project.name)}#{re.escape(stage)}!?#(\d+)")
    taken = [int(match[1]) for tag in known.odd if (match := odd.fullmatch(tag.name))]
    for event in moves:
        tag = tags.get(event.tag_name)
        if not tag:
            continue  # gone since the registry was read
        noted = tag.event if event.kind in ("promote", "rollback") else {}
        findings = []
        last = max([0, *([before.counter] if before else []), *(n for n in taken if n < event.counter)])
        if noted and event.counter > last + 1:
            findings.append(
                f"{event.counter - last - 1} tags between {project.name}#{stage}#{last} and it are not here: "
                "not fetched, or deleted"
            )
        held = before.target if before else None
        if noted and noted.get("from") != held:
            findings.append(f"it says that it left {noted.get('from') or 'nothing'}; here it was {held or 'nothing'}")
        if noted and (noted.get("to") != event.target or noted.get("stage") != stage):
            findings.append(f"it says {noted.get('stage')}: {noted.get('to')}, its name and commit say otherwise")
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
        place = noted.get("where")
        line = _line(
            tag, event.kind, signatures, version=event.target, commit=event.commit, findings=findings,
            why=event.reason or ("" if noted else event.title), stage=stage, source=held,
            forced=event.forced, checks=tuple(map(one_line, (*event.checks, *event.notes))),
            host=_text(place, "host"), job=_text(place, "job"),
        )  # fmt: skip
        yield latest, line


def _text(block: Any, key: str) -> str | None:
    value = block.get(key) if isinstance(block, dict) else None
    return value if isinstance(value, str) else None


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
