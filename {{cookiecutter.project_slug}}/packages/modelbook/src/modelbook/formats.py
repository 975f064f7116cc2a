"""How numbers, sizes and people are written for people."""

from collections.abc import Iterable


def number(value: float) -> str:
    """Return a number with four digits that count."""
    return f"{value:.4g}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Return a metric with its confidence interval.

    Examples
    --------
    >>> interval(0.91234, 0.85, 0.95)
    '0.9123 [0.85, 0.95]'
    >>> interval(0.91234, None, None)
    '0.9123'
    >>> interval(None, None, None)
    'no value'
    """
    if value is None:
        return "no value"
    return number(value) + ("" if low is None or high is None else f" [{number(low)}, {number(high)}]")


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [["", *map(cell, line), ""] for line in (header, *rows)]
    texts = [" | ".join(line).strip() for line in lines]
    return [texts[0], "|" + "---|" * (len(lines[0]) - 2), *texts[1:]]


def cell(text: str) -> str:
    """Return text that neither ends a cell of a table nor becomes a tag of HTML."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def person(who: str) -> str:
    """Return the name alone of `Name <mail>`; a table is narrow."""
    return who.partition(" <")[0]


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}" if unit != "B" else f"{count} B"
        value /= 1000
    return f"{value:.3g} TB"
