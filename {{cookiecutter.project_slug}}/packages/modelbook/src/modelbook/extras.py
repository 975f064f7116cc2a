"""What `modelbook[train]` installs and `modelbook` alone does not: the registry needs none of it."""

from importlib import metadata
from importlib.util import find_spec

from .errors import UnavailableError

#: The packages of the extra `train`, as Python imports them.
TRAIN = (
    "hydra", "matplotlib", "numpy", "omegaconf", "pandas", "pandera", "pyarrow", "sklearn", "skops", "threadpoolctl",
    "wrapt",
)  # fmt: skip


def missing() -> list[str]:
    """Return the packages of the extra `train` that are not installed."""
    return [name for name in TRAIN if find_spec(name) is None]


def command() -> str:
    """Return what installs them; with the version, so that pip stays with the modelbook that is there."""
    return f'pip install "modelbook[train]=={metadata.version("modelbook")}"   (in a project with uv.lock: uv sync)'


def need_train() -> None:
    """Refuse to go on where a package of the extra `train` is not installed."""
    names = missing()
    if names:
        raise UnavailableError(
            f"this needs packages that are not installed: {', '.join(names)}",
            "modelbook without its extra `train` knows the versions, and cannot compute with their tables and models",
            command(),
        )
