"""Say of a column that is read as text when most of it looks like numbers, dates or booleans, and how to read it so."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from ..settings import ColumnType, Data
from . import values

#: A column looks like a type when more than this share of its values does, or of its different values.
SHARE = 0.5
#: How many of the texts that do not fit are named.
NAMED = 3
#: Numbers as people write them: with thousands separators, a currency or a percent sign, in brackets for minus.
DRESSED_NUMBER = (
    r"^[(+-]?[ \x{00a0}]?(\p{Sc}|[A-Z]{3} )?[ \x{00a0}]?[+-]?"
    r"(\d{1,3}([.,'\x{2019} \x{00a0}\x{202f}]\d{3})+([.,]\d+)?|\d+([.,]\d+)?([eE][+-]?\d+)?)"
    r"[ \x{00a0}\x{202f}]?(%|\p{Sc}|[A-Z]{3})?[-)]?$"
)
#: Days and moments as people and programs write them, beside ISO.
DRESSED_DATE = (
    r"^(\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{8}|(\d{1,2}[ .-]+)?\pL{3,9}[ .,-]+(\d{1,2}[ ,-]+)?\d{2,4})"
    r"([T ,]+\d{1,2}[:.]?\d{2}.*)?$"
)
#: The usual ways to write a day, and a moment.
DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y.%m.%d", "%b %d, %Y", "%d %b %Y", "%d-%b-%y",
        "%Y%m%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%Y-%m-%d")  # fmt: skip
FORMS = tuple(day + time for time in ("", " %H:%M", " %H:%M:%S", "T%H%M%SZ") for day in DAYS)
#: So many values are tried with each of them.
TRIED = 200
THOUSANDS = r"^[+-]?[1-9]\d{0,2}([.,]\d{3})+$"
#: Texts that stand for a missing value: to pandas, in databases and among people.
MARKS = ("NA", "na", "N/A", "n/a", "NaN", "NAN", "nan", "-nan", "-NaN", "NULL", "Null", "null", "(null)", "None",
         "<NA>", "#N/A", "#N/A N/A", "#NA", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN", "\\N", "?", "??", "-", "--",
         ".", "..")  # fmt: skip
#: To some readers of YAML these are no texts, unless they are in quotes.
YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
DRESSED: dict[ColumnType, str | None] = {"boolean": None, "number": DRESSED_NUMBER, "date": DRESSED_DATE}


def quoted(text: str) -> str:
    """Return a name or value as it has to be typed in YAML: in quotes, unless it is a plain word."""
    if re.fullmatch(r"[^\W\d]\w*", text) and text.casefold() not in YAML_WORDS:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return '"' + "".join(escaped) + '"'


def note(text: pa.Array, name: str, data: Data, conf_file: str, *, is_parquet: bool = False) -> str | None:
    """Return what to say of a column of text; None if it looks like text.

    Parameters
    ----------
    text : Array of string
        The column; missing values are null.
    name : str
    data : Data
    conf_file : str
        The file that holds `data`, for the fix.
    is_parquet : bool
        Whether Parquet gives the column the type text: then it is text, whatever it says.
    """
    as_written = text
    text = values.cleaned(text, data.missing) if is_parquet else text
    counted = pc.value_counts(text.drop_null())
    texts, counts = counted.field("values"), counted.field("counts")
    total = pc.sum(counts).as_py() or 0
    best: tuple[int, ColumnType, pa.Array] | None = None
    for kind, dressed in DRESSED.items() if total else ():
        fits = values.fits(texts, kind, data.decimal, data.date_format)
        alike = pc.or_(fits, _is_like(texts, dressed))
        rows = pc.sum(counts.filter(alike)).as_py() or 0
        if max(rows / total, pc.sum(alike).as_py() / len(texts)) > SHARE and (best is None or rows > best[0]):
            best = (rows, kind, fits)
    if best is None:
        return _note_marks(as_written, name, data, conf_file, is_parquet)
    _, kind, fits = best
    codes = pc.and_(fits, _is_like(texts, values.CODE if kind == "number" else None))
    plain, others = pc.sum(counts.filter(pc.and_not(fits, codes))).as_py() or 0, pc.invert(fits)
    form = (f" of the form {data.date_format}" if data.date_format else " such as 2009-11-16") if kind == "date" else ""
    parts = [f"{plain} of its {total} values are {kind}s{form}"]
    if pc.any(codes).as_py():
        parts.append(f"these have leading zeros, or more digits than a number keeps: {_most_frequent(counted, codes)}")
    if pc.any(others).as_py():
        parts.append(f"these are not: {_most_frequent(counted, others)}")
    is_whole = is_parquet and not pc.any(codes).as_py()
    lines = [
        *([f"{kind}s? `{quoted(name)}: {kind}` below `types`"] if is_whole else []),
        *([f"quantities, and not codes? `{quoted(name)}: number` below `types`"] if pc.any(codes).as_py() else []),
        *fixes(texts.filter(others), kind, data),
        f"text? `{quoted(name)}: category` below `types`",
    ]
    return "\n  - ".join([f"column {name!r} is read as text: {'; '.join(parts)}. In {conf_file}:", *lines])


def _note_marks(text: pa.Array, name: str, data: Data, conf_file: str, is_parquet: bool) -> str | None:
    """Name the texts of a column that others take as missing, and that are categories here."""
    marks = {*MARKS, *data.missing, ""} if is_parquet else {*MARKS} - {*data.missing}
    counted = pc.value_counts(text.drop_null())
    is_mark = pc.is_in(counted.field("values"), pa.array(sorted(marks), pa.string()))
    if not pc.any(is_mark).as_py():
        return None
    found = sorted(counted.field("values").filter(is_mark).to_pylist())
    fix = "write them as null in the file"
    if not is_parquet:
        fix = f"`missing: [{', '.join(map(quoted, [*data.missing, *found]))}]`"
    return (
        f"column {name!r}: often a missing value, here a text like others: {_most_frequent(counted, is_mark)}"
        f" (missing? {fix}; a text? `{quoted(name)}: category` below `types`; in {conf_file})"
    )


def _most_frequent(counted: pa.StructArray, chosen: pa.Array) -> str:
    kept = counted.filter(chosen)
    order = pc.sort_indices(kept.field("counts"), sort_keys=[("", "descending")])
    named = [f"{entry['values']!r} ({entry['counts']})" for entry in kept.take(order[:NAMED]).to_pylist()]
    return ", ".join([*named, "..."] if len(kept) > NAMED else named)


def _is_like(texts: pa.Array, pattern: str | None) -> pa.Array:
    return pc.match_substring_regex(texts, pattern) if pattern else pa.repeat(pa.scalar(False), len(texts))


def fixes(misfits: pa.Array, kind: ColumnType, data: Data) -> list[str]:
    """Return the lines that would make the column one of a type, by the different texts that do not fit."""
    dressed = _is_like(misfits, DRESSED[kind])
    other = "," if data.decimal == "." else "."
    lines = []
    strange = misfits.filter(pc.invert(dressed))
    if kind == "boolean":
        lines.append("booleans? write them in the file as true and false")
    if kind == "date" and pc.any(dressed).as_py():
        chosen = misfits.filter(dressed)[:TRIED]
        forms = [form for form in FORMS if pc.all(values.fits(chosen, "date", data.decimal, form)).as_py()]
        if forms:
            lines.append(
                f"dates? write them in the file as {data.date_format or 'ISO, such as 2009-11-16'}; or, if all columns"
                " of dates are written like this one (one form serves all of them): "
                + " or ".join(f"`date_format: {form!r}`" for form in forms)
            )
        else:
            strange = misfits
    if kind == "number" and pc.any(dressed).as_py():
        is_decimal = pc.all(values.fits(misfits.filter(dressed), "number", other, None)).as_py()
        if is_decimal and not pc.any(_is_like(misfits.filter(dressed), THOUSANDS)).as_py():
            lines.append(f'a {other} before the decimals? `decimal: "{other}"`')
        else:
            lines.append("numbers? write them in the file without separators of thousands, and without signs")
    if 0 < len(strange) <= NAMED:
        listed = ", ".join(quoted(text) for text in [*data.missing, *strange.to_pylist()])
        lines.append(f"missing values? `missing: [{listed}]`")
    return lines
