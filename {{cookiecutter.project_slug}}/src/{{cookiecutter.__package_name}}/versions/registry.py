"""The registry: versions and stage moves, read from git's annotated tags.

Names are GTO's: `name@v1.2.0` registers a version, `name#prod#7` assigns it to
a stage, `name#prod!#8` empties the stage, `name@v1.2.0!` withdraws a version.
One name is ours alone: `name.pruned.3` notes whose stored objects were deleted.
Within a stage the counter gives the order, never the date: clocks go wrong.
Only annotated tags of commits count. Tags are never moved or deleted.
"""

import datetime as dt
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from ..errors import ProjectError
from .git import Git

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
    by, reason, title : str
    checks : tuple of str
        What was proven before the move.
    notes : tuple of str
        What whoever moved it was told.
    forced : bool
    version_tag : str or None
        The hash that the version's tag had then.
    """

    stage: str
    counter: int
    kind: Kind
    source: str | None
    target: str | None
    at: dt.datetime
    by: str
    reason: str
    title: str
    tag_name: str
    commit: str
    checks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    forced: bool = False
    version_tag: str | None = None


@dataclass(frozen=True)
class Pruned:
    """A note that the stored objects of versions were deleted.

    Attributes
    ----------
    counter : int
    versions : tuple of str
    at : datetime
    by, reason, title, tag_name : str
    """

    counter: int
    versions: tuple[str, ...]
    at: dt.datetime
    by: str
    reason: str
    title: str
    tag_name: str


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
    """

    name: str
    versions: dict[str, Version]
    events: dict[str, list[Event]]
    odd: list[OddTag] = field(default_factory=list)
    prunes: list[Pruned] = field(default_factory=list)

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
        found = {}
        for stage, moves in self.events.items():
            for event in moves:
                if event.kind == "rollback" and event.source == version:
                    found[stage] = event
                elif event.target == version and event.kind != "rollback":
                    found.pop(stage, None)
        return found

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
    versions: dict[str, Version] = {}
    withdrawn: set[str] = set()
    odd: list[OddTag] = []
    # Both at once: with thousands of tags each takes as long as Python takes to start.
    with ThreadPoolExecutor(1) as pool:
        patterns = (f"refs/tags/{name}#*", f"refs/tags/{name}{PRUNED}*")
        other = pool.submit(_tags, git, patterns, (*FIELDS, "%(contents:body)"))
        registered = _tags(git, (f"refs/tags/{name}@*",), FIELDS)
        moved = other.result()
    for tag, *rest in registered:
        text = tag[len(name) + 1 :]
        number, withdraws, _ = text.partition("!")
        if not SEMVER.fullmatch(number):
            continue
        why = _why_odd(rest)
        if why:
            odd.append(OddTag(tag, why))
        elif withdraws:
            withdrawn.add(number)
        else:
            versions[number] = Version(number, rest[3], rest[1], time_of(rest[4]), _person(rest), rest[7])
    ordered = sorted(versions.values(), key=lambda version: version.key)
    versions = {v.name: v if v.name not in withdrawn else _withdraw(v) for v in ordered}
    at_commit: dict[str, list[str]] = {}
    for version in versions.values():
        at_commit.setdefault(version.commit, []).append(version.name)
    events: dict[str, list[Event]] = {}
    prunes: list[Pruned] = []
    for tag, *rest in moved:
        if tag.startswith(f"{name}{PRUNED}"):
            note = _pruned(tag, tag.rpartition(".")[2], rest)
            if note:
                prunes.append(note)
            else:
                odd.append(OddTag(tag, _why_odd(rest) or "it does not say what was pruned"))
            continue
        stage, _, counter = tag[len(name) + 1 :].rpartition("#")
        stage, cancel = stage.removesuffix("!"), stage.endswith("!")
        if not (counter.isdecimal() and STAGE_NAME.fullmatch(stage)):
            odd.append(OddTag(tag, "it is not named as name#stage#number"))
            continue
        why = _why_odd(rest)
        if why:
            odd.append(OddTag(tag, why))
            continue
        event = _event(tag, stage, int(counter), cancel, rest, at_commit.get(rest[3], []))
        if event.target not in versions and event.kind != "unassign":
            odd.append(OddTag(tag, "its commit is no version"))
            continue
        events.setdefault(stage, []).append(event)
    prunes.sort(key=lambda note: note.counter)
    ordered_events = {stage: _in_order(moves) for stage, moves in sorted(events.items())}
    return Registry(name, versions, ordered_events, odd, prunes)


def _tags(git: Git, patterns: tuple[str, ...], fields: tuple[str, ...]) -> list[list[str]]:
    # Only a zero byte can be in no part of a tag.
    found = git.run("for-each-ref", f"--format={'%00'.join(fields)}%00", *patterns).split("\0")
    count = len(fields)
    return [[found[n].removeprefix("\n"), *found[n + 1 : n + count]] for n in range(0, len(found) - 1, count)]


def _why_odd(rest: list[str]) -> str | None:
    """Return why a tag does not count, or None."""
    if rest[0] != "tag":
        return "it is a lightweight tag; only annotated tags count"
    if rest[2] == "tag":
        return "it tags another tag, not a commit"
    return None if rest[2] == "commit" else f"it tags a {rest[2]}, not a commit"


def time_of(raw: str) -> dt.datetime:
    """Read git's raw date, `seconds +hhmm`; one that no calendar has becomes the epoch."""
    match = DATE.fullmatch(raw)
    if not match or int(match[1]) > LAST_SECOND or int(match[3]) > 23:
        return dt.datetime.fromtimestamp(0, dt.UTC)
    offset = dt.timedelta(hours=int(match[3]), minutes=int(match[4]))
    return dt.datetime.fromtimestamp(int(match[1]), dt.timezone(-offset if match[2] == "-" else offset))


def _person(rest: list[str]) -> str:
    return f"{rest[5]} {rest[6]}"


def _withdraw(version: Version) -> Version:
    return Version(version.name, version.commit, version.tag, version.at, version.by, version.title, withdrawn=True)


def _pruned(tag: str, counter: str, rest: list[str]) -> Pruned | None:
    """Return what a tag says was pruned, or None if it says nothing that counts."""
    if _why_odd(rest) or not counter.isdecimal():
        return None
    noted = _json(rest[8])
    names = noted.get("versions")
    if noted.get("kind") != "prune" or not isinstance(names, list):
        return None
    versions = tuple(map(str, names))
    return Pruned(int(counter), versions, time_of(rest[4]), _person(rest), str(noted.get("reason") or ""), rest[7], tag)


def _json(body: str) -> dict[str, Any]:
    """Return the JSON object in a tag's message, or nothing: it may be a message that somebody else wrote."""
    try:
        found = json.loads(body) if body.lstrip().startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _event(tag: str, stage: str, counter: int, cancel: bool, rest: list[str], here: list[str]) -> Event:
    """Return the event that a stage tag tells; a message of another tool tells only the commit."""
    target = None if cancel or not here else here[-1]
    kind: Kind = "unassign" if cancel else "assign"
    noted = _json(rest[8])
    if noted.get("kind") not in ("promote", "rollback") or not isinstance(noted.get("to"), str):
        noted = {}
    if noted and not cancel:
        kind = noted["kind"]
        # Two versions share a commit only by another tool's hand; then the message says which is meant.
        target = noted["to"] if noted["to"] in here else target or noted["to"]
    return Event(
        stage=stage,
        counter=counter,
        kind=kind,
        source=noted.get("from") if isinstance(noted.get("from"), str) else None,
        target=target,
        at=time_of(rest[4]),
        by=_person(rest),
        reason=str(noted.get("reason") or ""),
        title=rest[7],
        tag_name=tag,
        commit=rest[3],
        checks=_texts(noted.get("checks")),
        notes=_texts(noted.get("notes")),
        forced=noted.get("forced") is True,
        version_tag=noted["version_tag"] if isinstance(noted.get("version_tag"), str) else None,
    )


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, list) else ()


def _in_order(moves: list[Event]) -> list[Event]:
    """Sort by counter, then by date; fill in what another tool's tag does not say: where it came from."""
    ordered = sorted(moves, key=lambda event: (event.counter, event.at))
    before: str | None = None
    result = []
    for event in ordered:
        filled = event if event.source is not None else _from(event, before)
        result.append(filled)
        before = event.target
    return result


def _from(event: Event, source: str | None) -> Event:
    return Event(**{**event.__dict__, "source": source})
