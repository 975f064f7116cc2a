"""What must not travel with a model: the values of columns that tell whose a row is."""

import datetime as dt
from hashlib import blake2b
from math import copysign, isfinite
from typing import Any

import pandas as pd

from .columns import Column

#: A column is personal if its present values are different in more than this share of the rows.
DIFFERENT_SHARE = 0.5
#: So is a text with more values than `MANY`, each in fewer than `FEW_ROWS` rows on average: names that return.
MANY = 10
FEW_ROWS = 10
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def is_personal(values: "pd.Series[Any]", column: Column) -> bool:
    """Tell whether the values of a column may name a person: `conf/data` says so, or they differ in most rows."""
    if column.private:
        return True
    present = len(values) - int(values.isna().sum())
    distinct = values.nunique()
    if column.type == "boolean" or present < 2:
        return False
    often: bool = column.type == "category" and distinct > MANY and distinct * FEW_ROWS > present
    return often or bool(distinct > DIFFERENT_SHARE * present)


def made_up(value: Any, column: Column, row: int, span: tuple[Any, Any]) -> Any:
    """Return a value of the same shape that nobody has: letters for letters, digits for digits.

    Parameters
    ----------
    value : str, float or Timestamp
        Only its shape counts, never its content.
    column : Column
    row : int
        Which of the golden rows. The same row of the same column gives the same value.
    span : tuple
        First and last date of a column of dates.
    """
    seed = f"{column.name}\0{row}"
    if column.type == "category":
        return "".join(_character(character, f"{seed}\0{place}") for place, character in enumerate(value))
    if column.type == "boolean":
        return float(_draw(seed, 2))
    if column.type == "number":
        return _number(float(value), seed)
    first, last = (day.to_pydatetime(warn=False) for day in span)
    day = first + dt.timedelta(days=_draw(seed, (last - first).days + 1))
    second = 0 if value == value.normalize() else _draw(f"{seed}\0time", 24 * 60 * 60)
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    return pd.Timestamp(midnight + dt.timedelta(seconds=second)).as_unit("us")


def _draw(seed: str, size: int) -> int:
    """Return a number below `size` that is the same in every process."""
    return int.from_bytes(blake2b(seed.encode(), digest_size=8).digest()) % size


def _character(character: str, seed: str) -> str:
    if character.isdigit():
        return str(_draw(seed, 10))
    if character.isalpha():
        letter = LETTERS[_draw(seed, len(LETTERS))]
        return letter.upper() if character.isupper() else letter
    return character


def _number(value: float, seed: str) -> float:
    """Return a number with as many digits; the first one is not 0, so that the size stays."""
    mantissa, mark, exponent = repr(value).partition("e")
    shown = mantissa.removesuffix(".0")
    digits = shown.lstrip("-0.")
    made = [c if c == "." else str(_draw(f"{seed}\0{place}", 10)) for place, c in enumerate(digits)]
    if made:
        made[0] = str(1 + _draw(seed, 9))
    number = float(shown[: len(shown) - len(digits)] + "".join(made) + mark + exponent)
    return number if isfinite(number) else copysign(1e300, value)
