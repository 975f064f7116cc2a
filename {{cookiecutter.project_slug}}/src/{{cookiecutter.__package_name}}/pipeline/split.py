"""Divide rows into train, validation and test so that old rows stay where they are."""

from hashlib import blake2b

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import ProjectError
from .config import Split
from .table import Table

PARTS = ("train", "validation", "test")
#: What a missing value hashes to, whatever the type of its column.
MISSING = np.uint64(0x9E3779B97F4A7C15)


def assign(table: Table, config: Split, key: list[str], target: str) -> NDArray[np.int8]:
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
    key : list of str
        The columns that identify a row; all columns if there are none.
    target : str

    Returns
    -------
    ndarray of int8, shape (n_rows,)
        0 for train, 1 for validation, 2 for test.
    """
    columns = table.arrow.column_names
    if config.by == "time":
        return _by_time(table, config)
    if config.by == "group":
        key = [_existing(config, columns)]
    place = row_fractions(table.arrow.select(sorted(key or columns)), config.salt)
    assert config.test is not None
    assert config.validation is not None
    if config.by == "stratified":
        classes = pd.factorize(table.arrow[target].to_pandas())[0]
        place = pd.Series(place).groupby(classes).rank(method="first").to_numpy()
        sizes = np.bincount(classes + 1)[classes + 1]  # -1 marks rows without a class
        # The middle of each rank's interval, so that small classes round to the nearest share.
        place = (place - 0.5) / sizes
    return np.select([place < config.test, place < config.test + config.validation], [2, 1], 0).astype(np.int8)


def row_fractions(table: pa.Table, salt: str) -> NDArray[np.float64]:
    """Hash every row to a number in [0, 1).

    The same values give the same number whatever rows stand beside them, in
    every process and on every machine. Values are hashed column by column with
    `pandas.util.hash_array`, joined and mixed with the 64-bit finaliser of
    SplitMix64 (Steele, Lea and Flood, 2014).
    """
    state = np.full(table.num_rows, int.from_bytes(blake2b(salt.encode(), digest_size=8).digest()), dtype=np.uint64)
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_null(column.type):
            hashes = np.full(len(column), MISSING, dtype=np.uint64)
        else:
            if pa.types.is_string(column.type):
                values = column.to_pandas().astype(object).fillna("").to_numpy()
            else:
                values = pc.fill_null(
                    column.cast(pa.int64() if pa.types.is_timestamp(column.type) else pa.float64()), 0
                )
                values = values.to_numpy(zero_copy_only=False)
            hashes = np.array(pd.util.hash_array(values, categorize=True), dtype=np.uint64)
            hashes[column.is_null().to_numpy(zero_copy_only=False)] = MISSING
        state = _mix(state ^ hashes)
    return (state >> np.uint64(11)) / float(2**53)


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
            f"name a date column, or write `{name}: date` below `types`, and a `date_format`, in conf/data/",
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


def check_parts(parts: NDArray[np.int8], config: Split) -> None:
    """Refuse a split that leaves a part without rows."""
    for number, name in enumerate(PARTS):
        if not (parts == number).any():
            raise ProjectError(
                f"no row falls into {name}",
                f"{len(parts)} rows were split by {config.by} (equal ones stay together); every part needs some",
                f"change the shares or dates in conf/split/{config.name}.yaml, or add rows",
            )
