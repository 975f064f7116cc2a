"""The event: what the message of a stage tag, or of a prune's note, says, as canonical JSON.

`event.schema.json` beside this module describes it for other programs. An event
is built once, by the command that tags it, and parsed once, by `registry.read`.
"""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = 1


@dataclass(frozen=True)
class Where:
    """The machine and, in CI, the address of the job."""

    host: str | None = None
    job: str | None = None


@dataclass(frozen=True)
class Move:
    """What was asked for: a stage that is to hold another version.

    Attributes
    ----------
    kind : {'promote', 'rollback'}
    stage : str
    source : str or None
        The version that it holds.
    target : str
        The version that it is to hold.
    reason : str
    forced : bool
        A rule may be passed over.
    """

    kind: Literal["promote", "rollback"]
    stage: str
    source: str | None
    target: str
    reason: str = ""
    forced: bool = False


@dataclass(frozen=True)
class MoveEvent:
    """The event of a stage tag: a move, and what was proven before it.

    Attributes
    ----------
    move : Move
    checks : tuple of str
        What was proven.
    notes : tuple of str
        What whoever moved it was told.
    version_tag : str or None
        The hash that the version's tag had then.
    actor : str
        `Name <mail>`.
    where : Where
    """

    move: Move
    checks: tuple[str, ...]
    notes: tuple[str, ...]
    version_tag: str | None
    actor: str
    where: Where

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as the JSON holds them."""
        move = self.move
        return {
            "schema": SCHEMA,
            "kind": move.kind,
            "stage": move.stage,
            "from": move.source,
            "to": move.target,
            "reason": move.reason,
            "forced": move.forced,
            "checks": list(self.checks),
            "notes": list(self.notes),
            "version_tag": self.version_tag,
            "actor": self.actor,
            "where": asdict(self.where),
        }


@dataclass(frozen=True)
class PruneEvent:
    """The event of a prune's note: the stored objects of versions were deleted.

    Attributes
    ----------
    versions : tuple of str
    bytes : int
        What that freed.
    rules : dict
        The rules of retention that were asked for.
    reason : str
    actor : str
        `Name <mail>`.
    where : Where
    """

    versions: tuple[str, ...]
    bytes: int
    rules: dict[str, Any] = field(hash=False)
    reason: str
    actor: str
    where: Where

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as the JSON holds them."""
        return {
            "schema": SCHEMA,
            "kind": "prune",
            "versions": list(self.versions),
            "bytes": self.bytes,
            "rules": self.rules,
            "reason": self.reason,
            "actor": self.actor,
            "where": asdict(self.where),
        }


Event = MoveEvent | PruneEvent


def message(line: str, event: Event) -> str:
    """Return the message of a tag: a line for people, an empty line, canonical JSON."""
    body = json.dumps(
        event.as_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )  # as the record's
    return f"{line}\n\n{body}\n"


def parse(body: str) -> Event | None:
    """Read an event from the body of a tag's message.

    Kind and versions make an event. Any other field that is missing or is of
    another type is empty: a roll-back must still count after somebody edited
    its reason.

    Returns
    -------
    Event or None
        None if another tool or a person wrote the message.
    """
    try:
        value = json.loads(body) if body.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    kind, target, versions = value.get("kind"), value.get("to"), value.get("versions")
    if kind in ("promote", "rollback") and isinstance(target, str):
        move = Move(
            kind, _text(value, "stage"), _known(value, "from"), target, _text(value, "reason"),
            value.get("forced") is True,
        )  # fmt: skip
        return MoveEvent(
            move, _texts(value.get("checks")), _texts(value.get("notes")), _known(value, "version_tag"),
            _text(value, "actor"), _where(value.get("where")),
        )  # fmt: skip
    if kind == "prune" and isinstance(versions, list):
        size, rules = value.get("bytes"), value.get("rules")
        return PruneEvent(
            tuple(map(str, versions)),
            size if isinstance(size, int) else 0,
            rules if isinstance(rules, dict) else {},
            _text(value, "reason"),
            _text(value, "actor"),
            _where(value.get("where")),
        )
    return None


def here() -> Where:
    """Return this machine and, in CI, the address of the job, as the environment tells."""
    job = os.environ.get("CI_JOB_URL")
    github = [os.environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if all(github):
        job = "{}/{}/actions/runs/{}".format(*github)
    # A job's address is one line, without control characters.
    clean = " ".join("".join(c if c.isprintable() else " " for c in job or "").split())
    return Where(platform.node() or None, clean or None)


def _known(value: dict[str, Any], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None


def _text(value: dict[str, Any], key: str) -> str:
    return _known(value, key) or ""


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, list) else ()


def _where(value: Any) -> Where:
    return Where(_known(value, "host"), _known(value, "job")) if isinstance(value, dict) else Where()
