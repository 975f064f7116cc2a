"""Divide rows into train, validation and test so that old rows stay where they are.

Where a row goes depends on its own values alone, as the files hold them: not on
the type of a column, which other rows decide, and not on what the model does
not see.
"""

import datetime as dt
from hashlib import blake2b

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import ProjectError
from ..settings import Data, Split
from . import own_split, values
from .table import Table

PARTS = ("train", "validation", "test")
#: Numbers whatever the type of their column; codes that a float would take for one another are text.
NUMBER = r"^[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?$"
LONG_CODE = r"^[+-]?[0-9]{16,}$"
#: With fewer different rows than this share of all, equal rows decide how the parts come out.
MOSTLY_DIFFERENT = 0.8
#: Keeps a date apart from the number of its microseconds.
DATE = np.uint64(0xD1B54A32D192ED03)


def assign(table: Table, config: Split, data: Data, notes: list[str]) -> NDArray[np.int8]:
    """Assign every row to a part.

    Parameters
    ----------
    table : Table
    config : Split
        - `row`: the hash of the row decides, so a new row moves no old one,
          and equal rows share a part.
        - `group`: the hash of one column decides, so a group is never divided.
        - `time`: the date decides; what comes later is tested.
        - `stratified`: rows are ranked by hash within their class, so shares are
          exact; new rows can move a few old ones across the border.
        - `function`: a function of the project's own decides.
    data : Data
        Which columns identify a row; if there are none, all count that the
        model sees. The target does not: rows that are equal for the model must
        not go to different parts by their answer.
    notes : list of str
        Takes what is to be said of rows without an id or a group, and of equal rows.

    Returns
    -------
    ndarray of int8, shape (n_rows,)
        0 for train, 1 for validation, 2 for test.
    """
    if config.by == "time":
        return _by_time(table, config)
    if config.by == "function":
        return own_split.assign(table, config, PARTS)
    assert config.test is not None
    assert config.validation is not None
    assert config.salt is not None
    place = _places(table, config, data, config.salt, notes)
    if config.by == "stratified":
        classes = pd.factorize(table.arrow[data.target].to_pandas())[0]
        # Equal rows have one rank, so they stay together.
        place = pd.Series(place).groupby(classes).rank(method="average").to_numpy()
        sizes = np.bincount(classes + 1)[classes + 1]  # -1 marks rows without a class
        # The middle of each rank's interval, so that small classes round to the nearest share.
        place = (place - 0.5) / sizes
    return np.select([place < config.test, place < config.test + config.validation], [2, 1], 0).astype(np.int8)


def _places(table: Table, config: Split, data: Data, salt: str, notes: list[str]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each row: by its group or id, or by its values where it has none."""
    seen = [name for name in table.raw.column_names if name not in (data.target, *data.id, *data.leave_out)]
    if config.by == "group":
        key = [_existing(config, table.raw.column_names)]
        what, apart = f"value in {key[0]!r}, the column of the group", "as a group of its own"
    else:
        key = data.id
        what, apart = f"value in {', '.join(map(repr, key))} (`id`)", "by its other values"
    if not key:
        place = row_fractions(table, seen, data, salt)
        different = len(np.unique(place))
        if different < MOSTLY_DIFFERENT * len(place):
            notes.append(
                f"{len(place)} rows are {different} different ones for the model, and equal rows stay together: it is"
                " tested only on what it never saw, and the parts may be uneven (is each row a case of its own?"
                f" number them in a column, and name it as `id` in conf/data/{data.name}.yaml)"
            )
        return place
    place = row_fractions(table, key, data, salt)
    absent = np.logical_and.reduce([_hashes(table, name, data) == 0 for name in key])
    if absent.any():
        # All at one place they would go to one part, however many they are.
        place[absent] = row_fractions(table, seen, data, salt)[absent]
        notes.append(
            f"{absent.sum()} rows have no {what}, the first in {table.place(int(absent.argmax()))}:"
            f" each is placed {apart}, equal ones together (fill it in if some belong together)"
        )
    return place


def row_fractions(table: Table, names: list[str], data: Data, salt: str) -> NDArray[np.float64]:
    """Hash some columns of every row to a number in [0, 1).

    The same values give the same number whatever rows and columns stand beside
    them, in every process and on every machine. A missing value counts as if
    its column were not there: a column that comes later moves only the rows
    that it fills. Hashes are mixed with the 64-bit finaliser of SplitMix64
    (Steele, Lea and Flood, 2014).
    """
    state = np.full(len(table.raw), _hash_of(salt), dtype=np.uint64)
    for name in names:
        state += _hashes(table, name, data)
    return (_mix(state) >> np.uint64(11)) / float(2**53)


def _hash_of(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))


def _hashes(table: Table, name: str, data: Data) -> NDArray[np.uint64]:
    """Return the hash of each value of a column, with the column's name; 0 for a missing one."""
    typed, raw = table.arrow[name].combine_chunks(), table.raw[name].combine_chunks()
    absent = typed.is_null()
    if table.types[name] == "empty":
        return np.zeros(len(typed), np.uint64)
    if table.types[name] == "number":
        hashes = _hashes_of_numbers(typed)
    elif pa.types.is_timestamp(raw.type):
        hashes = _hashes_of_dates(raw)
    else:
        # A date of the form 20240105 is hashed as the number that it was before somebody said what it is.
        text = raw if table.types[name] == "date" else typed.cast(pa.string())
        if name in table.quoted:
            # "NA" in quotes is a text, but missing as soon as the column is one of numbers.
            absent = pc.or_(absent, pc.is_in(text, pa.array(data.missing, pa.string())))
        hashes = _hashes_of_text(text)
    hashes = _mix(hashes ^ _hash_of(name))
    hashes[absent.to_numpy(zero_copy_only=False)] = 0
    return hashes


def _hashes_of_numbers(numbers: pa.Array) -> NDArray[np.uint64]:
    plain: NDArray[np.float64] = pc.fill_null(numbers, 0.0).to_numpy(zero_copy_only=False) + 0.0  # turns -0.0 into 0.0
    bits: NDArray[np.uint64] = plain.view(np.uint64)
    return _mix(bits)


def _hashes_of_dates(dates: pa.Array) -> NDArray[np.uint64]:
    ticks: NDArray[np.int64] = pc.fill_null(dates.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return _mix(ticks.view(np.uint64) ^ DATE)


def _hashes_of_text(text: pa.Array) -> NDArray[np.uint64]:
    """Hash texts so that those which are the same value for some type of column have the same hash.

    So 1.50 is 1.5, TRUE is true, and 05.01.2024 is 5.1.2024.
    """
    encoded = text.dictionary_encode()
    texts = pc.utf8_trim_whitespace(encoded.dictionary)
    plain = pc.replace_substring_regex(pc.utf8_lower(texts), r"\b0+(\d)", r"\1")
    hashes = np.array(pd.util.hash_array(plain.to_numpy(zero_copy_only=False), categorize=False), dtype=np.uint64)
    is_number = pc.and_not(pc.match_substring_regex(texts, NUMBER), pc.match_substring_regex(texts, LONG_CODE))
    if pc.any(is_number).as_py():
        numbers = pc.replace_substring(texts.filter(is_number), ",", ".")
        hashes[is_number.to_numpy(zero_copy_only=False)] = _hashes_of_numbers(
            values.converted(numbers, "number", ".", None)
        )
    is_date = values.fits(texts, "date", ".", None)
    if pc.any(is_date).as_py():
        dates = values.converted(texts.filter(is_date), "date", ".", None)
        hashes[is_date.to_numpy(zero_copy_only=False)] = _hashes_of_dates(dates)
    # The last one is for missing values; what it is plays no part.
    places = pc.fill_null(encoded.indices, len(texts)).to_numpy(zero_copy_only=False)
    found: NDArray[np.uint64] = np.append(hashes, np.uint64(0))[places]
    return found


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _existing(config: Split, columns: list[str]) -> str:
    if config.column not in columns:
        raise ProjectError(
            f"conf/split/{config.name}.yaml: the column {config.column!r} is not in the table",
            f"the split goes by {config.by}",
            f"name one of: {', '.join(columns[:30])}",
        )
    assert config.column is not None
    return config.column


def _by_time(table: Table, config: Split) -> NDArray[np.int8]:
    name = _existing(config, table.arrow.column_names)
    if table.types[name] != "date":
        raise ProjectError(
            f"conf/split/{config.name}.yaml: the column {name!r} is a {table.types[name]}, not a date",
            "the split goes by time",
            f"name a date column, or write `{name}: date` below `types` (and `date_format`) in conf/data/",
        )
    dates = table.arrow[name].combine_chunks()
    if dates.null_count:
        row = pc.indices_nonzero(dates.is_null())[0].as_py()
        raise ProjectError(
            f"{table.place(row)}, column {name!r} is empty",
            "the split goes by time, so every row needs its date",
            "fill it in, or take the row out",
        )
    days: NDArray[np.int64] = dates.cast(pa.int64()).to_numpy()
    borders = [int(np.datetime64(day, "us").astype(np.int64)) for day in (config.validation_from, config.test_from)]
    return np.digitize(days, borders).astype(np.int8)


def check_parts(parts: NDArray[np.int8], config: Split, table: Table) -> None:
    """Refuse a split that leaves a part without rows."""
    why = f"{len(parts)} rows were split by {config.by} (equal ones stay together); every part needs some"
    if config.by == "time":
        assert config.column is not None
        ends = pc.min_max(table.arrow[config.column]).as_py()
        why = (
            f"the dates in {config.column!r} run from {_day(ends['min'])} to {_day(ends['max'])};"
            f" validation_from is {config.validation_from}, test_from is {config.test_from}"
        )
    fix = f"change the shares or dates in conf/split/{config.name}.yaml, or add rows"
    if config.by == "function":
        why = f"{len(parts)} rows were split by {config.function}; every part needs some"
        fix = f"correct {config.function}, or add rows"
    elif config.by != "time":
        fix += "; if equal rows are cases of their own, name an `id` in conf/data/"
    for number, name in enumerate(PARTS):
        if not (parts == number).any():
            raise ProjectError(f"no row falls into {name}", why, fix)


def _day(moment: dt.datetime) -> str:
    return moment.isoformat(" ").removesuffix(" 00:00:00")
