"""What is being done, told to whoever waits for it."""

from collections.abc import Callable
from typing import Protocol

#: Called after each part that is done.
Tick = Callable[[], None]


class Say(Protocol):
    """Told what is begun, and of how many parts it consists if that is known."""

    def __call__(self, text: str, total: int | None = None) -> Tick:
        """Return what is to be called after each part."""


def silent(text: str, total: int | None = None) -> Tick:  # noqa: ARG001 (the signature of Say)
    """Tell nobody."""
    return lambda: None
