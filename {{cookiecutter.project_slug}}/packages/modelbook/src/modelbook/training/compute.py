"""Fix what could change the last digits of a result."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

from ..settings import Compute


@contextlib.contextmanager
def pinned(compute: Compute, jobs: int = 1) -> Iterator[None]:
    """Fix what changes the last digits: threads of the numeric libraries, and seeds.

    Parameters
    ----------
    compute : Compute
    jobs : int
        Fits that run side by side. Only for fitting: each is a result of its
        own, whereas predictions of a forest are sums, in the order that its
        threads happen to end in.
    """
    import numpy as np
    from joblib import parallel_config
    from threadpoolctl import threadpool_limits

    # scikit-learn caps OpenMP at the physical cores unless this variable is set.
    os.environ["OMP_NUM_THREADS"] = str(compute.threads)
    random.seed(compute.seed)
    np.random.seed(compute.seed)
    # Threads, because starting processes takes longer than most fits.
    with threadpool_limits(limits=compute.threads), parallel_config("threading", n_jobs=jobs):
        yield


def available_bytes() -> int | None:
    """Return the memory that this process may still take, or None where only Linux would tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    group = Path("/sys/fs/cgroup")  # in a container with a limit, that counts
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int((group / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        free = min(free, limit - used)
    return free
