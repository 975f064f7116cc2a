"""What `modelbook[train]` installs and `modelbook` alone does not: the registry needs none of it."""

from importlib import metadata
from importlib.util import find_spec

from .errors import UnavailableError

#: The packages of the extra `train`, as Python imports them.
TRAIN = (
    "hydra", "matplotlib", "numpy", "omegaconf", "pandas", "pandera", "pyarrow", "sklearn", "skops", "threadpoolctl",
    "wrapt",
)  # fmt: skip


def need_train() -> None:
    """Refuse to go on where a package of the extra `train` is not installed."""
    missing = [name for name in TRAIN if find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"this needs packages that are not installed: {', '.join(missing)}",
            "modelbook without its extra `train` knows the versions, and cannot compute with their tables and models",
            f'pip install "modelbook[train]=={metadata.version("modelbook")}"   (in a project with uv.lock: uv sync)',
        )
