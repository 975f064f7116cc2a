"""The registry: versions and stage moves, read from git's annotated tags.

Names are GTO's: `name@v1.2.0` registers a version, `name#prod#7` assigns it to
a stage, `name#prod!#8` empties the stage, `name@v1.2.0!` withdraws a version.
One name is ours alone: `name.pruned.3` notes whose stored objects were deleted.
Within a stage the counter gives the order, never the date: clocks go wrong.
Only annotated tags of commits count. Tags are never moved or deleted.
"""

import datetime as dt
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from ..errors import ProjectError
from ..store.git import Git
from .event import MoveEvent, PruneEvent, parse

SEMVER = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
DATE = re.compile(r"(\d{1,12}) ([+-])(\d\d)([0-5]\d)", re.ASCII)
#: The end of the year 9998, in seconds since 1970: whatever the time zone, a date that Python has.
LAST_SECOND = 253_370_764_800
STAGE_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?")
#: Between the model's name and the number in the name of a tag that notes what was pruned.
PRUNED = ".pruned."
#: What one `git for-each-ref` prints for a tag; a version's record is long and read only when it is asked for.
FIELDS = (
    "%(refname:strip=2)", "%(objecttype)", "%(objectname)", "%(*objecttype)", "%(*objectname)",
    "%(taggerdate:raw)", "%(taggername)", "%(taggeremail)", "%(contents:subject)",
)  # fmt: skip

Kind = Literal["promote", "rollback", "assign", "unassign"]


@dataclass(frozen=True)
class Tag:
    """A tag with a name of ours, as `git for-each-ref` tells it, whether it counts or not.

    Attributes
    ----------
    name : str
    kind : str
        The type of its object: `tag`, or for a lightweight one that of what it names.
    hash : str
        The object.
    target_kind, commit : str
        Type and hash of what an annotated tag names; empty for a lightweight one.
    date : str
        Git's raw date.
    tagger, mail : str
        The mail stands in `<>`.
    subject : str
    body : str
        Of versions it is empty: their records are long, and read when they are asked for.
    """

    name: str
    kind: str
    hash: str
    target_kind: str
    commit: str
    date: str
    tagger: str
    mail: str
    subject: str
    body: str = ""

    @property
    def annotated(self) -> bool:
        return self.kind == "tag"

    @property
    def dated(self) -> bool:
        """Whether it has a date that a calendar has."""
        return _moment(self.date) is not None

    @property
    def at(self) -> dt.datetime:
        """When it was made; the epoch, if it has no date."""
        return time_of(self.date)

    @property
    def by(self) -> str:
        """`Name <mail>`, or nothing."""
        return f"{self.tagger} {self.mail}".strip()

    @property
    def fault(self) -> str | None:
        """Why it does not count, or None."""
        if not self.annotated:
            return "it is a lightweight tag; only annotated tags count"
        if self.target_kind == "tag":
            return "it tags another tag, not a commit"
        return None if self.target_kind == "commit" else f"it tags a {self.target_kind}, not a commit"


@dataclass(frozen=True)
class Version:
    """A released model.

    Attributes
    ----------
    name : str
        `v1.2.0`.
    commit, tag : str
        Hashes of the commit and of the tag's own object.
    at : datetime
    by : str
        `Name <mail>`.
    title : str
    withdrawn : bool
        Taken back, by `gto deregister`.
    """

    name: str
    commit: str
    tag: str
    at: dt.datetime
    by: str
    title: str
    withdrawn: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        return version_key(self.name)


@dataclass(frozen=True)
class Event:
    """One move of a stage.

    Attributes
    ----------
    stage : str
    counter : int
        The order within the stage.
    kind : str
        `promote` and `rollback` are ours; `assign` and `unassign` another tool's.
    source, target : str or None
        The versions that it was moved from and to; None for none.
    at : datetime
    by, title, tag_name, commit : str
    said : MoveEvent or None
        What our command wrote; None for another tool's tag.
    """

    stage: str
    counter: int
    kind: Kind
    source: str | None
    target: str | None
    at: dt.datetime
    by: str
    title: str
    tag_name: str
    commit: str
    said: MoveEvent | None = None

    @property
    def reason(self) -> str:
        return self.said.move.reason if self.said else ""

    @property
    def version_tag(self) -> str | None:
        """The hash that the version's tag had then."""
        return self.said.version_tag if self.said else None


@dataclass(frozen=True)
class Pruned:
    """A note that the stored objects of versions were deleted.

    Attributes
    ----------
    counter : int
    at : datetime
    by, title, tag_name : str
    said : PruneEvent
        What our command wrote.
    """

    counter: int
    at: dt.datetime
    by: str
    title: str
    tag_name: str
    said: PruneEvent

    @property
    def versions(self) -> tuple[str, ...]:
        return self.said.versions

    @property
    def reason(self) -> str:
        return self.said.reason


@dataclass(frozen=True)
class OddTag:
    """A tag with a name of ours that does not count."""

    name: str
    why: str


@dataclass(frozen=True)
class Registry:
    """All versions and stage moves of one model.

    Attributes
    ----------
    name : str
        The model's name, from `artifacts` in `dvc.yaml`.
    versions : dict of str to Version
        In the order of version numbers.
    events : dict of str to list of Event
        By stage, in the order of counters.
    odd : list of OddTag
    prunes : list of Pruned
        In the order of counters.
    tags : dict of str to Tag
        All that was read, by name.
    """

    name: str
    versions: dict[str, Version]
    events: dict[str, list[Event]]
    odd: list[OddTag] = field(default_factory=list)
    prunes: list[Pruned] = field(default_factory=list)
    tags: dict[str, Tag] = field(default_factory=dict)

    def live(self, stage: str) -> str | None:
        """Return the version that a stage holds."""
        moves = self.events.get(stage)
        return moves[-1].target if moves else None

    def live_since(self, stage: str) -> Event | None:
        moves = self.events.get(stage)
        return moves[-1] if moves and moves[-1].target else None

    @cached_property
    def by_commit(self) -> dict[str, str]:
        """The highest version of each released commit."""
        return {version.commit: version.name for version in self.versions.values()}

    def good_before(self, stage: str) -> list[str]:
        """Return what a stage may be rolled back to, the one that was live last first."""
        known = [name for name in self.previously_live(stage) if name in self.versions]  # a tag may be gone
        before = (self.versions[name] for name in known if not self.quarantined_by(name))
        return [version.name for version in before if not version.withdrawn and not self.pruned(version.name)]

    def stages_of(self, version: str) -> list[str]:
        """Return the stages in which a version is live."""
        return [stage for stage in self.events if self.live(stage) == version]

    def quarantined_by(self, version: str) -> dict[str, Event]:
        """Return the roll-backs that left a version and that no later promotion in that stage took back."""
        return self.quarantine.get(version, {})

    @cached_property
    def quarantine(self) -> dict[str, dict[str, Event]]:
        """By version and stage: the roll-backs that left it and that no later promotion took back."""
        left: dict[str, dict[str, Event]] = {}
        for stage, moves in self.events.items():
            for event in moves:
                if event.kind == "rollback" and event.source:
                    left.setdefault(event.source, {})[stage] = event
                elif event.target and event.kind != "rollback":
                    left.get(event.target, {}).pop(stage, None)
        return left

    def pruned(self, version: str) -> Pruned | None:
        """Return the note that a version cannot be restored; a promotion since then has proven that it can."""
        note = next((note for note in reversed(self.prunes) if version in note.versions), None)
        moves = (event for events in self.events.values() for event in events if event.target == version)
        return None if note is None or any(event.at >= note.at for event in moves) else note

    def next_counter(self, stage: str) -> int:
        """Return the number of a stage's next tag; tags that do not count have taken theirs, too."""
        name = re.compile(rf"{re.escape(self.name)}#{re.escape(stage)}!?#(\d+)")
        odd = [int(match[1]) for tag in self.odd if (match := name.fullmatch(tag.name))]
        return max([0, *(event.counter for event in self.events.get(stage, [])), *odd]) + 1

    def previously_live(self, stage: str) -> list[str]:
        """Return the versions that a stage held before the one that it holds, last one first."""
        seen = [event.target for event in reversed(self.events.get(stage, [])) if event.target]
        current = self.live(stage)
        return [version for version in dict.fromkeys(seen) if version != current]

    def get(self, name: str) -> Version:
        """Return a version by name (`v1.2.0`, `1.2.0`, `name@v1.2.0`), stage (`prod`) or `latest`."""
        wanted = name.removeprefix(f"{self.name}@").removeprefix(f"{self.name}#")
        if wanted == "latest" and self.versions:
            wanted = next(reversed(self.versions))
        if wanted in self.events:
            held = self.live(wanted)
            if held is None:
                raise ProjectError(f"nothing is live in {wanted}", "the stage is empty", "model history")
            wanted = held
        for candidate in (wanted, f"v{wanted}"):
            if candidate in self.versions:
                return self.versions[candidate]
        known = list(self.versions)
        raise ProjectError(
            f"there is no version {name}",
            f"known are {', '.join(known[-5:])}" + (f" and {len(known) - 5} older ones" if len(known) > 5 else "")
            if known
            else "nothing has been released yet",
            "git fetch --tags, then model history" if known else "model release",
        )


def version_key(name: str) -> tuple[Any, ...]:
    """Return what orders versions: by number, a pre-release before its release."""
    match = SEMVER.fullmatch(name)
    assert match, name
    parts = (match[4] or "").split(".") if match[4] else []
    ranked = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts)
    return (int(match[1]), int(match[2]), int(match[3]), not parts, ranked)


def artifact(root: Path) -> tuple[str, str]:
    """Return name and path of the model, from `artifacts` in `dvc.yaml`."""
    file = root / "dvc.yaml"
    try:
        # DVC's own parser takes five times as long, and names and paths read the same in both.
        loaded = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        models = [(n, a["path"]) for n, a in (loaded.get("artifacts") or {}).items() if a.get("type") == "model"]
    except (OSError, yaml.YAMLError, AttributeError, KeyError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ProjectError(
            f"{file.name} cannot be read: {first}", "it names the model", "git diff dvc.yaml, then correct it"
        ) from None
    if len(models) != 1:
        raise ProjectError(
            f"dvc.yaml names {len(models) or 'no'} artifacts of type model",
            "versions are versions of one model",
            "give exactly one artifact in dvc.yaml `type: model`",
        )
    return models[0]


def read(git: Git, name: str) -> Registry:
    """Read all versions and stage moves with one call of git each.

    Parameters
    ----------
    git : Git
    name : str
        The model's name.
    """
    # Both at once: with thousands of tags each takes as long as Python takes to start.
    with ThreadPoolExecutor(1) as pool:
        patterns = (f"refs/tags/{name}#*", f"refs/tags/{name}{PRUNED}*")
        other = pool.submit(_tags, git, patterns, (*FIELDS, "%(contents:body)"))
        registered = _tags(git, (f"refs/tags/{name}@*",), FIELDS)
        moved = other.result()
    odd: list[OddTag] = []
    versions = _versions(name, registered, odd)
    at_commit: dict[str, list[str]] = {}
    for version in versions.values():
        at_commit.setdefault(version.commit, []).append(version.name)
    events: dict[str, list[Event]] = {}
    prunes: list[Pruned] = []
    for tag in moved:
        if tag.name.startswith(f"{name}{PRUNED}"):
            note = _pruned(tag)
            if note:
                prunes.append(note)
            else:
                odd.append(OddTag(tag.name, tag.fault or "it does not say what was pruned"))
            continue
        stage, _, counter = tag.name[len(name) + 1 :].rpartition("#")
        stage, cancel = stage.removesuffix("!"), stage.endswith("!")
        if not (counter.isdecimal() and STAGE_NAME.fullmatch(stage)):
            odd.append(OddTag(tag.name, "it is not named as name#stage#number"))
            continue
        if tag.fault:
            odd.append(OddTag(tag.name, tag.fault))
            continue
        event = _event(tag, stage, int(counter), cancel, at_commit.get(tag.commit, []))
        if event.target not in versions and event.kind != "unassign":
            odd.append(OddTag(tag.name, "its commit is no version"))
            continue
        events.setdefault(stage, []).append(event)
    prunes.sort(key=lambda note: note.counter)
    ordered = {stage: _in_order(moves) for stage, moves in sorted(events.items())}
    return Registry(name, versions, ordered, odd, prunes, {tag.name: tag for tag in (*registered, *moved)})


def _versions(name: str, tags: list[Tag], odd: list[OddTag]) -> dict[str, Version]:
    """Return the versions that tags register, in the order of numbers; add to `odd` the tags that do not count."""
    versions: list[Version] = []
    withdrawn: set[str] = set()
    for tag in tags:
        number, withdraws, _ = tag.name[len(name) + 1 :].partition("!")
        if not SEMVER.fullmatch(number):
            continue
        if tag.fault:
            odd.append(OddTag(tag.name, tag.fault))
        elif withdraws:
            withdrawn.add(number)
        else:
            versions.append(Version(number, tag.commit, tag.hash, tag.at, tag.by, tag.subject))
    ordered = sorted(versions, key=lambda version: version.key)
    return {v.name: replace(v, withdrawn=True) if v.name in withdrawn else v for v in ordered}


def _tags(git: Git, patterns: tuple[str, ...], fields: tuple[str, ...]) -> list[Tag]:
    # Only a zero byte can be in no part of a tag.
    cells = git.run("for-each-ref", f"--format={'%00'.join(fields)}%00", *patterns).split("\0")
    count = len(fields)
    return [Tag(cells[n].removeprefix("\n"), *cells[n + 1 : n + count]) for n in range(0, len(cells) - 1, count)]


def time_of(raw: str) -> dt.datetime:
    """Read git's raw date, `seconds +hhmm`; one that no calendar has becomes the epoch."""
    return _moment(raw) or dt.datetime.fromtimestamp(0, dt.UTC)


def _moment(raw: str) -> dt.datetime | None:
    match = DATE.fullmatch(raw)
    if not match or int(match[1]) > LAST_SECOND or int(match[3]) > 23:
        return None
    offset = dt.timedelta(hours=int(match[3]), minutes=int(match[4]))
    return dt.datetime.fromtimestamp(int(match[1]), dt.timezone(-offset if match[2] == "-" else offset))


def _pruned(tag: Tag) -> Pruned | None:
    """Return what a tag says was pruned, or None if it says nothing that counts."""
    counter = tag.name.rpartition(".")[2]
    if tag.fault or not counter.isdecimal():
        return None
    said = parse(tag.body)
    return Pruned(int(counter), tag.at, tag.by, tag.subject, tag.name, said) if isinstance(said, PruneEvent) else None


def _event(tag: Tag, stage: str, counter: int, cancel: bool, here: list[str]) -> Event:
    """Return the event that a stage tag tells; a message of another tool tells only the commit."""
    target = None if cancel or not here else here[-1]
    kind: Kind = "unassign" if cancel else "assign"
    said = parse(tag.body)
    if not isinstance(said, MoveEvent):
        return Event(stage, counter, kind, None, target, tag.at, tag.by, tag.subject, tag.name, tag.commit)
    if not cancel:
        kind = said.move.kind
        # Two versions share a commit only by another tool's hand; then the message says which is meant.
        target = said.move.target if said.move.target in here else target or said.move.target
    source = said.move.source
    return Event(stage, counter, kind, source, target, tag.at, tag.by, tag.subject, tag.name, tag.commit, said)


def _in_order(moves: list[Event]) -> list[Event]:
    """Sort by counter, then by date; fill in what another tool's tag does not say: where it came from."""
    ordered = sorted(moves, key=lambda event: (event.counter, event.at))
    before: str | None = None
    result = []
    for event in ordered:
        result.append(event if event.source is not None else replace(event, source=before))
        before = event.target
    return result
