"""Read one CSV file as text, strictly: encoding, separator, header, quotation marks and row lengths are checked."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..errors import ProjectError
from ..settings import Data
from . import threads

#: UTF-32 comes before UTF-16, whose mark is the beginning of its own.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Excel writes this line above the header, to tell itself the separator.
SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[^\r\n]*[\r\n]+', re.IGNORECASE)
QUOTE = ord('"')
#: How many bytes are looked at in one step.
BLOCK = 1 << 24
#: RE2 repeats no more often than this.
MOST_REPEATS = 1000


@dataclass(frozen=True)
class CsvFile:
    """What one file holds.

    Attributes
    ----------
    table : pyarrow.Table
        Texts without the white space around them; a missing value is null. A
        text that stands for a missing value is kept where it is quoted.
    raw : pyarrow.Table
        The same, with the texts that stand for a missing value.
    quoted : set of str
        Columns in which such a text is quoted.
    missing : mapping
        How often a text was taken as missing, by column and text.
    notes : tuple of str
    """

    table: pa.Table
    raw: pa.Table
    quoted: set[str]
    missing: Mapping[tuple[str, str], int]
    notes: tuple[str, ...]


def read_csv(file: Path, data: Data, conf_file: str, verbatim: Collection[str] = ()) -> CsvFile:
    """Read one CSV file.

    Parameters
    ----------
    file : Path
    data : Data
        Says how the file is encoded and separated, and what stands for a missing value.
    conf_file : str
        The file that holds `data`, for error messages.
    verbatim : collection of str
        Columns whose texts are values as they are: only nothing at all is missing.

    Returns
    -------
    CsvFile
    """
    # Lines without anything above the header are no rows, and no header.
    text = re.sub(rb"\A(?:[ \t]*[\r\n]+)+", b"", _decoded(file, data, conf_file))
    told = SEPARATOR_LINE.match(text)
    separator = data.separator or (told[1].decode("latin-1") if told else None)
    text = text[told.end() :] if told else text
    if not text.strip():
        raise ProjectError(
            f"{file} is empty", "its first line must name the columns", f"put a table into {file}, or remove it"
        )
    if separator is None:
        separator = "\t" if file.suffix.lower() == ".tsv" else _separator(file, text, conf_file)
    _check_quotes(file, text, separator)
    header = _header(file, text, separator)
    columns = _parse(file, text, separator, header, conf_file)
    table, raw, quoted, missing = _without_missing(columns, text, separator, header, data, file, conf_file)
    _refuse_header_as_row(table, file)
    if not set(verbatim).isdisjoint(header):
        as_written = _parse(file, text, separator, header, conf_file, ("",))
        table = pa.table({name: (as_written if name in verbatim else table)[name] for name in header})
    return CsvFile(table, raw, quoted, missing, tuple(_note_line_breaks(table, text, separator, file)))


def _decoded(file: Path, data: Data, conf_file: str) -> bytes:
    """Return a file as UTF-8 without byte-order mark; a mark in the file says more than the configuration."""
    raw = file.read_bytes()
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if raw.startswith(mark)), data.encoding)
    try:
        if codecs.lookup(encoding).name == "utf-8":
            text = raw
            pa.scalar(raw, pa.large_binary()).cast(pa.large_string())  # validates without a copy as str
        else:
            text = raw.decode(encoding).encode()
    except LookupError:
        raise ProjectError(
            f"{conf_file}: encoding {encoding!r} is not known",
            "the CSV files cannot be decoded",
            "write utf-8, or cp1252 for files of Windows",
        ) from None
    except (UnicodeError, pa.ArrowInvalid):
        place = _undecodable(raw, encoding)
        hint = "save it as UTF-8, or write the encoding of the program that wrote it"
        if encoding != "cp1252" and _is_text(raw, "cp1252"):
            hint = "set `encoding: cp1252` in {0} if the file comes from Windows, or save it as UTF-8"
        raise ProjectError(
            f"{file}, {place} is not {encoding} text", "its letters would be read wrongly", hint.format(conf_file)
        ) from None
    if text is not raw and not raw.isascii() and _is_text(raw, "utf-8") and len(raw.decode(encoding)) == len(raw):
        # With one letter for each byte, every file can be read; but others than UTF-8 hardly ever make UTF-8.
        raise ProjectError(
            f"{file} is UTF-8 text, and {conf_file} says {encoding}",
            "its letters would be read wrongly: Ã¶ for ö",
            f"set `encoding: utf-8` in {conf_file}; are other files {encoding}? save all of them as UTF-8",
        )
    while text.startswith(codecs.BOM_UTF8):
        text = text.removeprefix(codecs.BOM_UTF8)
    _refuse_control_characters(file, text, encoding, conf_file)
    return text


def _undecodable(raw: bytes, encoding: str) -> str:
    """Return the place of the first byte that cannot be decoded."""
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        return _row_at(raw[: error.start].decode(encoding, errors="replace").encode())
    except UnicodeError:
        pass  # a codec that does not say where
    return "a row"


def _is_text(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_control_characters(file: Path, text: bytes, encoding: str, conf_file: str) -> None:
    """Refuse characters that no program writes: the file was decoded with the wrong table."""
    zero = text.find(b"\0")
    if zero >= 0:
        raise ProjectError(
            f"{file}, {_row_at(text[:zero])} holds a character U+0000",
            "no text has it; it is half of a letter in UTF-16",
            f"set `encoding: utf-16-le` (or utf-16-be) in {conf_file}, or save the file as UTF-8",
        )
    control = None if text.isascii() else re.search(rb"\xc2[\x80-\x9f]", text)
    if control:
        name = f"U+{ord(control[0].decode()):04X}"
        wrong = encoding not in ("utf-8", "utf-16", "utf-32")
        raise ProjectError(
            f"{file}, {_row_at(text[: control.start()])} holds the control character {name}",
            "no text has it; it is a sign of Windows (such as € or …) that was read as latin-1",
            f"set `encoding: cp1252` in {conf_file}"
            if wrong
            else f"export {file} again from the program that it comes from, as UTF-8",
        )


def _row_at(before: bytes, separator: str = ",") -> str:
    """Return `row N` or `the header` for a place, by the bytes before it."""
    apart = re.escape(separator.encode())
    flat = re.sub(rb'(\A|[\r\n]|%s)"(?:[^"]|"")*"' % apart, rb"\1x", before)
    number = sum(bool(line.strip()) for line in re.split(rb"[\r\n]", flat)[:-1])
    return f"row {number}" if number else "the header"


def _separator(file: Path, text: bytes, conf_file: str) -> str:
    """Return the separator of a file from its header: the only one of `,` `;` tab `|` in it."""
    header = re.match(rb'(?:"[^"]*"|[^\r\n])*', text)
    first = re.sub(rb'"[^"]*"', b"", header[0]) if header else b""
    found = [s for s in (",", ";", "\t", "|") if s.encode() in first]
    if len(found) > 1:
        raise ProjectError(
            f"{file}: the header holds {' and '.join(map(repr, found))}",
            "either could separate the columns",
            f"set `separator` in {conf_file}",
        )
    return found[0] if found else ","


def _check_quotes(file: Path, text: bytes, separator: str) -> None:
    """Refuse a quotation mark that opens a value and does not close it at its end.

    In a file of RFC 4180 marks open and close in turn, each beside a border of
    a value or another mark; that is looked at in whole blocks. Only a file with
    marks in the middle of bare texts (5" pipe) is searched value by value.
    """
    characters = np.frombuffer(text, np.uint8)
    border = np.zeros(256, bool)
    border[[QUOTE, ord("\n"), ord("\r"), *separator.encode()]] = True
    inside = 0
    for start in range(0, len(text), BLOCK):
        marks = np.flatnonzero(characters[start : start + BLOCK] == QUOTE) + start
        opening, closing = marks[inside::2], marks[1 - inside :: 2]
        before, after = opening[opening > 0] - 1, closing[closing < len(text) - 1] + 1
        if not (border[characters[before]].all() and border[characters[after]].all()):
            break
        inside ^= len(marks) % 2
    else:
        if not inside:
            return
    apart = re.escape(separator.encode())
    blanks = rb"[ \t]*" if separator != "\t" else rb" *"
    opened = re.compile(rb'(?:\A|(?<=[\r\n])|(?<=%s))%s"' % (apart, blanks))
    whole = re.compile(rb'"[^"]*(?:""[^"]*)*"')
    end = re.compile(rb"[\r\n]|%s|\Z" % apart)
    position = 0
    while found := opened.search(text, position):
        mark = found.end() - 1
        closed = whole.match(text, mark)
        if closed and found.start() == mark and end.match(text, closed.end()):
            position = closed.end()
            continue
        if found.start() < mark:
            fault, fix = "has a blank before a quotation mark", "take the blank out"
        elif closed:
            fault, fix = "closes a quotation mark in the middle of a value", "close it at the end of the value"
        else:
            fault, fix = "opens a quotation mark that is never closed", "close it at the end of the value"
        raise ProjectError(
            f"{file}, {_row_at(text[:mark], separator)} {fault}",
            "all that follows, up to the next mark, would become one value",
            f'{fix}; a mark that belongs to a text is written twice, in quotes: "5"" pipe"',
        )


def _header(file: Path, text: bytes, separator: str) -> list[str]:
    """Return the column names; refuse empty and repeated ones."""
    lines = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    try:
        header = [name.strip().strip("\ufeff") for name in next(csv.reader(lines, delimiter=separator))]
    except csv.Error as error:
        raise ProjectError(
            f"{file}: the header cannot be read: {error}",
            "it must name the columns",
            f"correct the first line of {file}",
        ) from None
    for position, name in enumerate(header, 1):
        if not name and position == 1 and all(header[1:]):
            raise ProjectError(
                f"{file}: column 1 has no name",
                "every column needs one; a table that is saved with its row numbers has none for the first",
                "name it in the header, or save the table without its row numbers (pandas: index=False)",
            )
        if not name:
            raise ProjectError(
                f"{file}: column {position} has no name",
                "the first line must name every column; a spreadsheet may save titles above it, or empty columns",
                "name it in the header, or save the table alone, without titles and empty columns",
            )
        if header.index(name) != position - 1:
            raise ProjectError(
                f"{file}: columns {header.index(name) + 1} and {position} are both called {name!r}",
                "a column is found by its name",
                "give each column a name of its own in the header",
            )
    return header


def _parse(
    file: Path, text: bytes, separator: str, header: list[str], conf_file: str, null_values: tuple[str, ...] = ()
) -> pa.Table:
    """Return the texts of a file; null only what is one of some unquoted texts."""
    numbered = [str(number) for number in range(len(header))]
    try:
        return pa.csv.read_csv(
            pa.BufferReader(text),
            # The header is read once, above: here it is a row of its own, taken off below.
            read_options=pa.csv.ReadOptions(
                use_threads=False, block_size=max(BLOCK, len(text) // 64), column_names=numbered
            ),
            parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(numbered, pa.string()),
                null_values=list(null_values),
                strings_can_be_null=bool(null_values),
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )[1:].rename_columns(header)
    except pa.ArrowInvalid as error:
        found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        if not found:
            raise ProjectError(f"{file} is not a CSV table: {error}", "it cannot be read", f"correct {file}") from None
        row, expected, got = (int(number) for number in found.groups())
        raise ProjectError(
            f"{file}, row {row - 1} has {got} values, the header has {expected}",
            f"a value that holds the separator {separator!r} must stand in double quotes",
            f"correct that row, or set `separator` in {conf_file}",
        ) from None


def _without_missing(
    columns: pa.Table, text: bytes, separator: str, header: list[str], data: Data, file: Path, conf_file: str
) -> tuple[pa.Table, pa.Table, set[str], Counter[tuple[str, str]]]:
    """Take white space off, and turn the texts that stand for a missing value into null, unless they are quoted."""
    marks = [mark for mark in data.missing if mark]
    is_quoted = marks and re.search(b'"(?:' + b"|".join(re.escape(m.encode()) for m in marks) + b')"', text)
    bare = _parse(file, text, separator, header, conf_file, tuple(marks)) if is_quoted else None
    null = pa.scalar(None, pa.string())

    def without(name: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray, dict[str, int], bool]:
        column = pc.utf8_trim_whitespace(columns[name])
        column = raw = pc.if_else(pc.equal(column, ""), null, column)
        absent = mark = pc.is_in(column, pa.array(marks, pa.string()))
        if bare is not None:
            # With blanks around it a text was bare or quoted, which cannot be told: it is taken as missing.
            absent = pc.and_not(mark, pc.and_(pc.equal(columns[name], column), pc.is_valid(bare[name])))
            absent = pc.fill_null(absent, False)
        taken = pc.sum(absent).as_py()
        counts = {}
        if taken:
            counts = {e["values"]: e["counts"] for e in pc.value_counts(column.filter(absent)).to_pylist()}
            column = pc.if_else(absent, null, column)
        return raw, column, counts, bare is not None and taken != pc.sum(mark).as_py()

    cleaned, raw, quoted, missing = {}, {}, set[str](), Counter[tuple[str, str]]()
    for name, (as_written, column, counts, is_text) in zip(header, threads.each(without, header), strict=True):
        raw[name], cleaned[name] = as_written, column
        missing.update({(name, text): count for text, count in counts.items()})
        quoted.update([name] if is_text else [])
    return pa.table(cleaned), pa.table(raw), quoted, missing


def _refuse_header_as_row(table: pa.Table, file: Path) -> None:
    """Refuse a row that is the header again: two files were joined as text."""
    if table.num_columns < 2 or not table.num_rows:
        return
    rows = pc.indices_nonzero(pc.fill_null(pc.equal(table.column(0), table.column_names[0]), False)).to_pylist()
    for row in rows[:1000]:
        if list(table.slice(row, 1).to_pylist()[0].values()) == table.column_names:
            raise ProjectError(
                f"{file}, row {row + 1} is the header again",
                "the names of the columns would be read as values",
                "take that row out",
            )


def _note_line_breaks(table: pa.Table, text: bytes, separator: str, file: Path) -> list[str]:
    """Name values that go over several lines: a mark too many at both ends makes one of many rows.

    A value that holds whole rows is refused.
    """
    ended = text.rstrip(b"\r\n")
    if b'"' not in text or max(ended.count(b"\n"), ended.count(b"\r")) <= table.num_rows:
        return []
    bare = f"[^{re.escape(separator)}\n]*"
    others = f"(?:{re.escape(separator)}{bare})"
    row = bare + others + "{" + str(table.num_columns - 1) + "}\n"
    notes = []
    for name in table.column_names:
        breaks = pc.indices_nonzero(pc.fill_null(pc.match_substring_regex(table[name], r"[\r\n]"), False))
        if not len(breaks):
            continue
        values = table[name].take(breaks)
        lines = pc.count_substring_regex(values, r"\r\n|\r|\n")
        longest = pc.index(lines, pc.max(lines)).as_py()
        place = f"row {breaks[longest].as_py() + 1}, column {name!r}"
        if 2 < table.num_columns <= MOST_REPEATS:
            rows = pc.match_substring_regex(pc.replace_substring_regex(values, r"\r\n?", "\n"), f"\n{row}{row}")
            first = pc.index(rows, True).as_py()
            if first >= 0:
                raise ProjectError(
                    f"{file}, row {breaks[first].as_py() + 1}, column {name!r} holds whole rows of the table",
                    "a quotation mark too many at its beginning, and another further down, make one value of them",
                    "take the marks out, or write them twice where they belong to a text",
                )
        notes.append(
            f"{file}: {len(breaks)} values of column {name!r} have line breaks; the longest has"
            f" {lines[longest].as_py() + 1} lines ({place}; a quotation mark too many joins rows)"
        )
    return notes
