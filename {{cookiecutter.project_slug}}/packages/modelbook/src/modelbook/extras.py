"""What `modelbook[train]` installs and `modelbook` alone does not: the registry needs none of it."""

from importlib import metadata
from importlib.util import find_spec

from .errors import ProjectError

#: The packages of the extra `train`, as Python imports them.
TRAIN = (
    "hydra", "matplotlib", "numpy", "omegaconf", "pandas", "pandera", "pyarrow", "sklearn", "skops", "threadpoolctl",
    "wrapt",
)  # fmt: skip


def need_train() -> None:
    """Refuse to go on where a package of the extra `train` is not installed."""
    missing = [name for name in TRAIN if find_spec(name) is None]
    if missing:
        raise ProjectError(
            f"this command needs packages that are not installed: {', '.join(missing)}",
            "it works with tables, models or conf/; modelbook without the extra `train` only reads the registry",
            f'pip install "modelbook[train]=={metadata.version("modelbook")}"   (in a project with uv.lock: uv sync)',
        )
