"""Read one CSV file as text, strictly: encoding, separator, header and row lengths are checked."""

import codecs
import csv
import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from ..errors import ProjectError
from .config import Data


def read_csv(file: Path, data: Data, conf_file: str) -> pa.Table:
    """Read one CSV file.

    Parameters
    ----------
    file : Path
    data : Data
        Says how the file is encoded and separated, and what stands for a missing value.
    conf_file : str
        The file that holds `data`, for error messages.

    Returns
    -------
    pyarrow.Table
        Text columns; missing values are null.
    """
    raw = file.read_bytes()
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        encoding = data.encoding
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        known = codecs.lookup(encoding).name
        text = raw if known == "utf-8" else raw.decode(encoding).encode()
        if known == "utf-8":
            pa.scalar(raw, pa.large_binary()).cast(pa.large_string())  # validates without a copy as str
    except LookupError:
        raise ProjectError(
            f"{conf_file}: encoding {encoding!r} is not known",
            "the CSV files cannot be decoded",
            "write utf-8 or latin-1",
        ) from None
    except (UnicodeDecodeError, pa.ArrowInvalid):
        raise ProjectError(
            f"{_undecodable(file, raw, encoding)} is not {encoding} text",
            "its letters would be read wrongly",
            f"set `encoding: latin-1` in {conf_file} if the file came from an older program, or save it as UTF-8",
        ) from None
    separator = data.separator or ("\t" if file.suffix.lower() == ".tsv" else _separator(file, text, conf_file))
    header = _header(file, text, separator)
    try:
        return pa.csv.read_csv(
            pa.BufferReader(text),
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=max(1 << 24, len(text) // 64)),
            parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: pa.string() for name in header},
                null_values=["", *data.missing],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                check_utf8=False,
            ),
        )
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


def _undecodable(file: Path, raw: bytes, encoding: str) -> str:
    """Return `file, row N` for the first line that cannot be decoded."""
    for number, line in enumerate(raw.splitlines()):
        try:
            line.decode(encoding)
        except UnicodeDecodeError:
            return f"{file}, row {number}" if number else f"{file}, the header"
    return str(file)


def _separator(file: Path, text: bytes, conf_file: str) -> str:
    """Return the separator of a file from its header: the only one of `,` `;` tab `|` in it."""
    first = re.sub(rb'"[^"]*"', b"", text.split(b"\n", 1)[0])
    found = [s for s in (",", ";", "\t", "|") if s.encode() in first]
    if len(found) > 1:
        raise ProjectError(
            f"{file}: the header holds {' and '.join(map(repr, found))}",
            "either could separate the columns",
            f"set `separator` in {conf_file}",
        )
    return found[0] if found else ","


def _header(file: Path, text: bytes, separator: str) -> list[str]:
    """Return the column names; refuse empty and repeated ones."""
    if not text.strip():
        raise ProjectError(
            f"{file} is empty", "its first line must name the columns", f"put a table into {file}, or remove it"
        )
    lines = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    # The csv module's default limit of 128 KiB a field is far too small for an unclosed quote to matter.
    header = next(csv.reader(lines, delimiter=separator))
    for position, name in enumerate(header, 1):
        if not name.strip():
            raise ProjectError(
                f"{file}: column {position} has no name",
                "every column needs one; a table saved with its row numbers often lacks the first",
                "name it in the header, or save the table without its row numbers (pandas: index=False)",
            )
        if header.index(name) != position - 1:
            raise ProjectError(
                f"{file}: columns {header.index(name) + 1} and {position} are both called {name!r}",
                "a column is found by its name",
                "give each column a name of its own in the header",
            )
    return header
