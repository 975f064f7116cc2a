"""How often an interval of 95 % holds the value that the metric has over all rows that there could be."""

import sys
from pathlib import Path

from measure import run, title

#: Samples of each size; and large draws whose mean stands for all rows that there could be, with the rows of each.
SAMPLES, LARGE_DRAWS, LARGE_ROWS = 300, 20, 1_000_000

#: Prints a line for each size: the coverage of each metric in percent. Runs in a generated project.
COVERAGE = """
import sys
import numpy as np
from modelbook import settings
from modelbook.training import metrics, resampling

samples, large_draws, large_rows = map(int, sys.argv[1:])
bootstrap = settings.Bootstrap(resamples=500, level=0.95)
names = {0: "rare class", 1: "numbers", 2: "heavy tails"}

def drawn(kind, n, generator):
    if kind:
        truth = generator.normal(size=n)
        noise = generator.normal(size=n) if kind == 1 else generator.standard_t(5, n)
        return [metrics.Regression(truth, truth + size * noise) for size in (0.5, 0.6)]
    truth = generator.choice(3, n, p=(0.6, 0.35, 0.05))
    logits = generator.normal(size=(n, 3)) + 1.5 * np.eye(3)[truth]
    sides = []
    for more in (0.0, 0.5):
        p = np.exp(logits + more * generator.normal(size=(n, 3)))
        p /= p.sum(axis=1, keepdims=True)
        sides.append(metrics.Classification(["a", "b", "c"], truth, p.argmax(axis=1), p, p))
    return sides

for kind, name in names.items():
    large = []
    for seed in range(large_draws):
        sides = drawn(kind, large_rows, np.random.default_rng([seed, 0]))
        large.append([side.metrics(np.ones(large_rows)) for side in sides])
    right = {
        key: (np.mean([a[key] for a, _ in large]), np.mean([a[key] - b[key] for a, b in large])) for key in large[0][0]
    }
    for n in (30, 100, 500, 2000, 3000, 10000, 50000):
        hits = {key: [0, 0] for key in right}
        for seed in range(samples):
            sides = drawn(kind, n, np.random.default_rng(seed + 1))
            one, other = resampling.resampled(sides, n, bootstrap, seed)
            for key, values in right.items():
                for place, (value, found) in enumerate(zip(values, (one[key], one[key] - other[key]))):
                    low, high = np.nanquantile(found, [0.025, 0.975])
                    hits[key][place] += low <= value <= high
        print(f"{name:<12}{n:>7,}  " + "  ".join(
            f"{key} {100 * value / samples:.0f} ({100 * difference / samples:.0f})"
            for key, (value, difference) in hits.items()
        ), flush=True)
"""


def measure(project: Path, samples: int = SAMPLES) -> None:
    """Print the coverage at a few sizes; more than 2,048 rows are resampled in blocks."""
    title(f"coverage of the interval of 95 %, in % of {samples} samples (in brackets: of the difference of two models)")
    print(run("python", "-c", COVERAGE, samples, LARGE_DRAWS, LARGE_ROWS, cwd=project), end="")
    sys.stdout.flush()
