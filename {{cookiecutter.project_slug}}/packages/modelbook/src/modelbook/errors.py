"""The one exception for faults that a user can fix, and how messages count."""


class ProjectError(Exception):
    """A fault that the user can fix.

    Parameters
    ----------
    what : str
        What happened, with the file, key or column that is meant.
    why : str
        Why that stops the work.
    fix : str
        What to type or to change.
    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix

    def as_dict(self) -> dict[str, str]:
        """Return its parts, for JSON."""
        return {"what": self.what, "why": self.why, "fix": self.fix}

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  fix: {self.fix}"


class MissingError(ProjectError):
    """What is needed is nowhere to be had."""


class UnavailableError(ProjectError):
    """What is needed is busy or does not answer now; later it may."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 row`, `2 rows`, `2 classes`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
