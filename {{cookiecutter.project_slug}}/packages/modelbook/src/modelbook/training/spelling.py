"""How a column of categories spells values that are not text: 7 or 7.0, true or TRUE.

A CSV file holds text, and text is what the model learns. A request, a Parquet
file or pandas may bring the same values as numbers and booleans. They are
written as training wrote them, or refused where that cannot be known: 7 is
text 7 in one file and 007 in another.
"""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import isinf
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from . import values

#: Whole numbers from here on are not all held by a float, so a float does not tell which one was meant.
LARGEST_WHOLE = 2**53
#: Digits that every float holds, however the program that read it rounds the last one.
DIGITS = 15
NUMBER = re.compile(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")
WHOLE = re.compile(r"^(0|-?[1-9][0-9]*)$")
WHOLE_WITH_POINT = re.compile(r"^(0|-?[1-9][0-9]*)\.0$")
BOOLEANS = {"true": ("true", "false"), "True": ("True", "False"), "TRUE": ("TRUE", "FALSE")}

Value: TypeAlias = bool | int | float | Decimal | dt.datetime


@dataclass(frozen=True)
class Spelling:
    """How one column writes each kind of value, by an example; None where that is not known.

    Attributes
    ----------
    whole : str or None
        `1` or `1.0`.
    fraction : str or None
        `0.5`: as short as can be.
    boolean : str or None
        `true`, `True` or `TRUE`.
    source : str
        What the files hold: `text`, or `number`, `boolean` or `date`; text is then read as that first.
    """

    whole: Literal["1", "1.0"] | None = "1"
    fraction: Literal["0.5"] | None = "0.5"
    boolean: Literal["true", "True", "TRUE"] | None = "true"
    source: Literal["text", "number", "boolean", "date"] = "text"


#: How `prepare` writes the typed values of Parquet files.
TYPED = Spelling()


def of_type(kind: pa.DataType) -> Spelling:
    """Return the spelling of a Parquet column with a type of its own that is taken as a category."""
    if pa.types.is_boolean(kind):
        return Spelling(None, None, "true", "boolean")
    if pa.types.is_temporal(kind):
        return Spelling(None, None, None, "date")
    return Spelling("1", "0.5", None, "number")


def of_texts(texts: pa.Array | pa.ChunkedArray) -> Spelling:
    """Learn the spelling of a column from its texts: it is known where all texts agree.

    Parameters
    ----------
    texts : array of str
        Without white space around them; a missing value is null.

    Examples
    --------
    >>> of_texts(pa.array(["1", "2", "0.5"])).whole
    '1'
    >>> of_texts(pa.array(["7", "007"])).whole is None
    True
    """
    distinct = pc.unique(texts).drop_null()
    numbers = distinct.filter(pc.match_substring_regex(distinct, NUMBER.pattern)).to_pylist()
    whole, fractions = set(), set()
    for text in numbers:
        if WHOLE.match(text):
            whole.add("1")
        elif WHOLE_WITH_POINT.match(text):
            whole.add("1.0")
        elif float(text).is_integer():
            whole.add("other")
        else:
            fractions.add("0.5" if _short(float(text)) == text else "other")
    words = distinct.filter(pc.is_in(pc.utf8_lower(distinct), pa.array(["true", "false"]))).to_pylist()
    styles = {style for word in words for style, pair in BOOLEANS.items() if word in pair}
    known = all(any(word in pair for pair in BOOLEANS.values()) for word in words)
    return Spelling(
        whole=_only(whole),
        fraction=_only(fractions),
        boolean=_only(styles) if known else None,
    )


def _only(found: set[str]) -> Any:
    """Return the one style that was found; None if there are several, or none that is known."""
    return next(iter(found)) if len(found) == 1 and "other" not in found else None


def spelled(array: pa.Array, how: Spelling) -> pa.Array:
    """Write typed values as text; null where the spelling is not known."""
    if how.source == "text":
        return _each(array, lambda value: _spell(value, how))
    is_boolean, is_date = pa.types.is_boolean(array.type), pa.types.is_timestamp(array.type)
    if how.source != ("boolean" if is_boolean else "date" if is_date else "number"):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string())
    return values.as_text(array if is_boolean or is_date else array.cast(pa.float64(), safe=False))


def respelled(texts: pa.Array, how: Spelling) -> pa.Array:
    """Write texts anew for a column whose files hold no text but values of one type; null where a text is none."""
    if how.source == "text":
        return texts
    good = pc.fill_null(values.fits(texts, how.source, ".", None), False)
    known = pc.if_else(good, texts, pa.scalar(None, pa.string()))
    return spelled(values.converted(known, how.source, ".", None), how)


def _each(array: pa.Array, function: Callable[[Any], str | None]) -> pa.Array:
    """Apply a function to each different value."""
    encoded = array.dictionary_encode()
    words = pa.array([function(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return words.take(encoded.indices)


def _spell(value: Value, how: Spelling) -> str | None:
    if isinstance(value, bool):
        return None if how.boolean is None else BOOLEANS[how.boolean][not value]
    if isinstance(value, dt.datetime):
        return None
    whole = value == value // 1 if isinstance(value, int | Decimal) else value.is_integer()
    if whole:
        if how.whole is None or (isinstance(value, float) and abs(value) >= LARGEST_WHOLE):
            return None
        return f"{int(value)}{how.whole.removeprefix('1')}"
    if how.fraction is None or (isinstance(value, float) and isinf(value)):
        return None
    return _short(value)


def _short(value: float | Decimal) -> str:
    """Return a fraction as short as can be."""
    if isinstance(value, Decimal) and len(value.normalize().as_tuple().digits) > DIGITS:
        return f"{value.normalize():f}"
    return f"{float(value):.{DIGITS}g}"
