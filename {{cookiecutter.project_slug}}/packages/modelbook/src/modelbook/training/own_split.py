"""Parts of rows that a function of the project's own decides."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ProjectError
from ..settings import Split
from . import own
from .own import Own
from .table import Table


def assign(table: Table, config: Split, parts: tuple[str, ...]) -> NDArray[np.int8]:
    """Ask the function which part each row is for.

    Parameters
    ----------
    table : Table
    config : Split
        `function` takes a DataFrame with the rows (numbers, booleans, dates and
        texts; missing ones are NaN or None) and this block. It returns the name of a part for each row.
    parts : tuple of str
        The names that it may return.

    Returns
    -------
    ndarray of int8, shape (n_rows,)
        Positions in `parts`.
    """
    assert config.function is not None
    function = own.function(config.function, f"conf/split/{config.name}.yaml: function")
    rows = table.arrow.to_pandas()
    found = _ask(function, rows, config, parts, table.place)
    # Rows come in another order as soon as a file is added.
    reversed_rows = rows.iloc[::-1].reset_index(drop=True)
    again = _ask(function, reversed_rows, config, parts, lambda row: table.place(len(rows) - 1 - row))[::-1]
    if (found != again).any():
        row = int(np.flatnonzero(found != again)[0])
        raise ProjectError(
            f"{function.path} puts {table.place(row)} into {parts[found[row]]}, and into {parts[again[row]]} when the "
            f"same rows come in reverse ({int((found != again).sum())} such rows)",
            "the part of a row must not depend on where it stands, or on chance: each new file would move old rows",
            "decide by the values of the row: a date, a group, or a hash of an id",
        )
    return found


def _ask(
    function: Own, rows: pd.DataFrame, config: Split, parts: tuple[str, ...], place: Callable[[int], str]
) -> NDArray[np.int8]:
    answer = function(rows.copy(), config)
    if isinstance(answer, pd.Series) and answer.index.is_unique and not answer.index.equals(rows.index):
        answer = answer.reindex(rows.index)
    names = np.asarray(answer, dtype=object)
    if names.shape != (len(rows),):
        raise ProjectError(
            f"{function.path} returns the shape {names.shape} for {len(rows)} rows",
            "each row belongs to one part",
            f"return one of {', '.join(parts)} for each row, in their order",
        )
    known: dict[Any, int] = {name: number for number, name in enumerate(parts)}
    numbers = np.array([known.get(name, -1) if isinstance(name, str) else -1 for name in names], dtype=np.int8)
    if (numbers < 0).any():
        row = int(np.flatnonzero(numbers < 0)[0])
        raise ProjectError(
            f"{function.path} returns {names[row]!r} for {place(row)} ({int((numbers < 0).sum())} such rows)",
            "a row that is in no part is lost without a word",
            f"return one of {', '.join(parts)}; rows that should not be there are left out in prepare.py",
        )
    return numbers
