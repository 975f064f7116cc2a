"""Work on the columns or parts of a table side by side: PyArrow lets other threads run while it computes."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Each holds one more column in the making.
MOST = 4


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what a function makes of each item, in their order; the first item that fails raises its error.

    The function must make the same of an item whatever happens to the others.

    Examples
    --------
    >>> each(str.upper, ["a", "b"])
    ['A', 'B']
    """
    with ThreadPoolExecutor(min(MOST, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))
