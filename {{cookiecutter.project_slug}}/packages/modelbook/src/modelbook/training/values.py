"""Turn the text of raw values into what the model sees: the one place that does so, for every column type.

`table` reads files with it, `columns` the rows of a request: the same text is
the same value in both.
"""

import datetime as dt
import re

import pyarrow as pa
import pyarrow.compute as pc

from ..settings import ColumnType

#: Codes, not quantities: 00420, and whole numbers with more digits than a float holds.
CODE = r"^[+-]?(0[0-9]+|[0-9]{16,})$"
#: A date, or a moment as programs and databases write it: `2024-01-05 10:00:00.123456789+00`, `... UTC`.
ISO_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?)?$"
#: Resolution of dates: fine enough for any log, wide enough for the years 1 to 9999.
TIMESTAMP = pa.timestamp("us")
#: Shorter numbers without an exponent are in the range of a float.
LONG_BYTES = 300
#: Up to here a float holds every whole number.
MOST_EXACT = 2**53
#: The first and the last moment of these years, in microseconds from 1970.
FIRST_MOMENT, LAST_MOMENT = -62_135_596_800_000_000, 253_402_300_799_999_999


def cleaned(text: pa.Array, missing: list[str]) -> pa.Array:
    """Return texts without the white space around them; those that stand for a missing value become null."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(["", *missing], pa.string())), pa.scalar(None, pa.string()), text)


def fits(text: pa.Array, kind: ColumnType, decimal: str, date_format: str | None) -> pa.Array:
    """Tell for each text whether it is a value of a type; null for a missing one, which counts neither way."""
    if kind == "boolean":
        good = pc.is_in(pc.utf8_lower(text), pa.array(["true", "false"]))
    elif kind == "number":
        good = _is_number(text, decimal)
    elif kind == "date":
        good = _is_date(text, date_format)
    else:
        good = pc.is_valid(text)
    return pc.if_else(pc.is_valid(text), good, pa.scalar(None, pa.bool_()))


def converted(text: pa.Array, kind: ColumnType, decimal: str, date_format: str | None) -> pa.Array:
    """Convert texts that are known to fit."""
    if kind == "boolean":
        return pc.equal(pc.utf8_lower(text), "true")
    if kind == "date":
        return _parse_dates(text, date_format)
    return _as_numbers(text, decimal) if kind == "number" else text


def as_text(array: pa.Array) -> pa.Array:
    """Write typed values as categories: whole numbers without `.0`, dates in ISO form, `true` and `false`."""
    encoded = array.dictionary_encode()
    return pa.array([_spelled(value) for value in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def _spelled(value: float | bool | dt.datetime) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(int(value)) if value.is_integer() and abs(value) <= MOST_EXACT else repr(value)


def _is_number(text: pa.Array, decimal: str) -> pa.Array:
    """Tell for each text whether it is a number that a float can hold."""
    point = re.escape(decimal)
    looks = pc.match_substring_regex(text, rf"^[+-]?([0-9]+{point}?[0-9]*|{point}[0-9]+)([eE][+-]?[0-9]+)?$")
    # Only an exponent or hundreds of digits can exceed the range; then 1e400 would be read as infinite.
    is_long = (pc.max(pc.binary_length(text)).as_py() or 0) >= LONG_BYTES
    if not is_long and not any(pc.any(pc.match_substring(text, mark)).as_py() for mark in "eE"):
        return looks
    numbers = _as_numbers(pc.if_else(looks, text, pa.scalar(None, pa.string())), decimal)
    return pc.and_(looks, pc.fill_null(pc.is_finite(numbers), True))


def _as_numbers(text: pa.Array, decimal: str) -> pa.Array:
    """Convert texts that look like numbers."""
    text = pc.replace_substring(text, decimal, ".") if decimal != "." else text
    if pc.any(pc.starts_with(text, "+")).as_py():
        text = pc.replace_substring_regex(text, r"^\+", "")
    return text.cast(pa.float64())


def _is_date(text: pa.Array, date_format: str | None) -> pa.Array:
    """Tell for each text whether it is a date."""
    if date_format is None:
        looks = pc.match_substring_regex(text, ISO_DATE)
        if not pc.any(looks).as_py():
            return looks
        text = pc.if_else(looks, text, pa.scalar(None, pa.string()))
    return pc.is_valid(_parse_dates(text, date_format))


def _parse_dates(text: pa.Array, date_format: str | None) -> pa.Array:
    """Parse dates; what is none becomes null. A time zone is taken into account: the result is in UTC."""
    import pandas as pd

    if date_format is None:
        # pandas does not know all of what databases write; digits after the microsecond are dropped.
        text = pc.replace_substring_regex(text, r"[.,](\d{1,6})\d*", r".\1")
        text = pc.replace_substring_regex(text, r" ?UTC$", "Z")
        text = pc.replace_substring_regex(text, r" (Z|[+-][0-9:]+)$", r"\1")
    parsed = pd.to_datetime(text.to_pandas(), format=date_format or "ISO8601", errors="coerce", utc=True)
    moments = pa.array(parsed.dt.tz_localize(None).astype("datetime64[us]"), TIMESTAMP, from_pandas=True)
    ticks = moments.cast(pa.int64())
    # A time zone can carry the last day of the year 9999 over its end.
    held = pc.and_(pc.greater_equal(ticks, FIRST_MOMENT), pc.less_equal(ticks, LAST_MOMENT))
    return pc.if_else(held, moments, pa.scalar(None, TIMESTAMP))


def normalised(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return typed values with one type for each kind: floats without NaN in float64, dates in UTC."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_floating(array.type):
        array = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        return array.cast(TIMESTAMP, safe=False)
    return array
