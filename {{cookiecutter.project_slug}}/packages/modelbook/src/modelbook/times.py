"""Times as people read them: in UTC, whatever the clock of the one who acted said."""

import datetime as dt


def minute(moment: dt.datetime) -> str:
    """Return a time for a column whose head says UTC."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def utc(moment: dt.datetime) -> str:
    """Return a time for a sentence."""
    return f"{minute(moment)} UTC"


def day(moment: dt.datetime) -> str:
    """Return the day of a time, in UTC."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d}"
