"""What makes a model."""

from . import inputs  # noqa: F401 (from here on it sees what is read)
