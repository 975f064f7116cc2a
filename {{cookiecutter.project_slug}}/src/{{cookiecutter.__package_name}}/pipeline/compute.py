"""Fix what could change the last digits of a result."""

import contextlib
import os
import random
from collections.abc import Iterator

from .config import Compute


@contextlib.contextmanager
def pinned(compute: Compute) -> Iterator[None]:
    """Fix what changes the last digits of a fit: threads of the numeric libraries, and seeds.

    `jobs` is how many fits run side by side; it changes no result.
    """
    import joblib
    import numpy as np
    from threadpoolctl import threadpool_limits

    # scikit-learn caps OpenMP at the physical cores unless this variable is set.
    os.environ["OMP_NUM_THREADS"] = str(compute.threads)
    random.seed(compute.seed)
    np.random.seed(compute.seed)
    with threadpool_limits(limits=compute.threads), joblib.parallel_config(n_jobs=compute.jobs):
        yield
