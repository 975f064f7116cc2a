"""Intervals from counts, blocks and placement values are those of the plain bootstrap, which draws rows."""

import subprocess
import sys

import numpy as np
import pytest
from modelbook import training
from modelbook.settings import Bootstrap

LEVEL = 0.95
SEEDS = (1, 2, 3)
#: An end lies where the plain bootstrap's would in other draws: within so many standard errors of its rank, and so much
#: of the interval's half width, which is what blocks add.
STANDARD_ERRORS, OF_HALF_WIDTH = 4, 0.05
RESAMPLES = 4000


def plain(measure, n_rows, resamples, seed):
    """Draw rows one by one, and measure all of them again: the bootstrap as it is defined."""
    generator = np.random.default_rng(seed + 1000)
    for _ in range(resamples):
        yield measure(np.bincount(generator.integers(0, n_rows, n_rows), minlength=n_rows).astype(float))


def classification(n, seed, shares=(0.5, 0.3, 0.2), digits=None, constant=False):
    """Return predictions that are right more often than not; with few digits, scores have ties."""
    generator = np.random.default_rng(seed)
    k = len(shares)
    truth = generator.choice(k, n, p=shares)
    logits = generator.normal(size=(n, k)) + 1.5 * np.eye(k)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if constant:
        probabilities = np.tile(np.asarray(shares, dtype=float), (n, 1))
    if digits is not None:
        probabilities = probabilities.round(digits) + 1e-3
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = [f"c{number}" for number in range(k)]
    scores = training.metrics.Classification(labels, truth, probabilities.argmax(axis=1), probabilities, probabilities)
    return ranked_once(scores)


def ranked_once(scores):
    """Return scores that keep their ranks and losses: these are the same on each of thousands of resamples."""
    ranks, losses = [scores.ranks(k) for k in scores.ranked_classes()], scores.losses()
    object.__setattr__(scores, "ranks", ranks.__getitem__)
    object.__setattr__(scores, "losses", lambda: losses)
    return scores


def regression(n, seed, heavy=False):
    generator = np.random.default_rng(seed)
    truth = 1000 + generator.normal(size=n)
    noise = generator.standard_t(4, n) if heavy else generator.normal(size=n)
    return training.metrics.Regression(truth, truth + 0.5 * noise)


SHAPES = {
    "three classes": lambda s: classification(200, s),
    "few rows": lambda s: classification(20, s),
    "two classes": lambda s: classification(150, s, shares=(0.6, 0.4)),
    "a rare class": lambda s: classification(300, s, shares=(0.6, 0.385, 0.015)),
    "ties": lambda s: classification(200, s, digits=1),
    "constant predictions": lambda s: classification(100, s, constant=True),
    "numbers": lambda s: regression(100, s),
    "few numbers": lambda s: regression(12, s),
    "heavy tails": lambda s: regression(400, s, heavy=True),
    "blocks": lambda s: classification(6000, s, shares=(0.7, 0.29, 0.01)),
    "blocks of ties": lambda s: classification(5000, s, shares=(0.98, 0.02), digits=1),
    "blocks of numbers": lambda s: regression(6000, s, heavy=True),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_ends_are_those_of_the_plain_bootstrap(shape):
    for seed in SEEDS:
        scores = SHAPES[shape](seed)
        resamples = RESAMPLES if scores.n_rows < 1000 else RESAMPLES // 2
        config = Bootstrap(resamples=resamples, level=LEVEL)
        (found,) = training.resampling.resampled([scores], scores.n_rows, config, seed)
        expected = list(plain(scores.metrics, scores.n_rows, resamples, seed))
        assert list(found) == list(expected[0])
        for name, samples in found.items():
            agree(samples, np.array([one[name] for one in expected]), (shape, seed, name))


def agree(samples, expected, where):
    """Compare the ends of two intervals from as many draws."""
    assert np.isnan(samples).mean() == pytest.approx(np.isnan(expected).mean(), abs=0.05), where
    samples, expected = samples[~np.isnan(samples)], expected[~np.isnan(expected)]
    if not len(expected):
        assert not len(samples), where
        return
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    error = STANDARD_ERRORS * np.sqrt(2 * tails[0] * tails[1] / len(expected))
    low, high = np.quantile(expected, tails)
    near = OF_HALF_WIDTH * (high - low) / 2 + 1e-9
    lowest, highest = np.quantile(expected, np.clip([tails - error, tails + error], 0, 1))
    ends = np.quantile(samples, tails)
    assert (lowest - near <= ends).all(), where
    assert (ends <= highest + near).all(), where


def test_classes_have_the_ends_of_the_plain_bootstrap():
    scores = classification(300, 4, shares=(0.6, 0.385, 0.015))
    config = Bootstrap(resamples=RESAMPLES, level=LEVEL)
    found = training.resampling.resampled_classes(scores, config, 4)
    expected = list(plain(lambda w: training.metrics.per_class(scores.confusion(w)), 300, RESAMPLES, 4))
    for name, samples in found.items():
        for k in range(3):
            agree(samples[:, k], np.array([one[name][k] for one in expected]), (name, k))


@pytest.mark.parametrize("n", [400, 9000])
@pytest.mark.parametrize("make", [classification, regression])
def test_a_slice_has_the_ends_of_a_plain_bootstrap_of_all_rows(make, n):
    scores = make(n, 6)
    rows = np.arange(n)[: n // 3 + 7]
    resamples = RESAMPLES if n < 1000 else RESAMPLES // 2
    config = Bootstrap(resamples=resamples, level=LEVEL)
    part = scores.take(rows)
    if make is classification:
        part = ranked_once(part)
    (found,) = training.resampling.resampled([part], n, config, 6)
    expected = list(plain(lambda weights: part.metrics(weights[rows]), n, resamples, 6))
    for name, samples in found.items():
        agree(samples, np.array([one[name] for one in expected]), (n, name))


@pytest.mark.parametrize("n", [40, 600, 5000])
def test_the_difference_of_two_models_is_paired(n):
    """The ends are those of the plain paired bootstrap; a model against itself has no difference."""
    one = classification(n, 8)
    generator = np.random.default_rng(9)
    mixed = 0.9 * one.probabilities + 0.1 * generator.dirichlet([1, 1, 1], n)
    other = ranked_once(training.metrics.Classification(one.labels, one.truth, mixed.argmax(axis=1), mixed, mixed))
    resamples = RESAMPLES if n < 1000 else RESAMPLES // 2
    config = Bootstrap(resamples=resamples, level=LEVEL)
    first, second = training.resampling.resampled([one, other], n, config, 8)
    expected = list(plain(lambda w: (one.metrics(w), other.metrics(w)), n, resamples, 8))
    for name in first:
        paired = np.array([a[name] - b[name] for a, b in expected])
        agree(first[name] - second[name], paired, (n, name))
    same, again = training.resampling.resampled([one, one], n, config, 8)
    for name in same:
        assert not np.nanmax(np.abs(same[name] - again[name])), name


def test_what_has_no_value_has_none_on_any_resample():
    config = Bootstrap(resamples=50, level=LEVEL)
    one_class = classification(60, 1).take(np.arange(60))
    one_class = one_class.take(np.flatnonzero(one_class.truth == 0))
    (found,) = training.resampling.resampled([one_class], 60, config, 0)
    assert np.isnan(found["roc_auc"]).all()
    unranked = training.metrics.Classification(["a", "b"], np.array([0, 1] * 5), np.zeros(10, dtype=int), None, None)
    (found,) = training.resampling.resampled([unranked], 10, config, 0)
    assert np.isnan(found["roc_auc"]).all()
    assert "log_loss" not in found
    assert training.resampling.entry(np.nan, found["roc_auc"], 0.9) == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize("n", [3, 30, 5000])
def test_equal_truths_have_no_share_that_is_explained(n):
    """The mean of equal numbers is not always quite that number: a spread of 1e-34 must not become a wrong R²."""
    scores = training.metrics.Regression(np.full(n, 0.1), np.full(n, 0.2))
    assert np.isnan(scores.metrics(np.ones(n))["r2"])
    config = Bootstrap(resamples=50, level=LEVEL)
    (found,) = training.resampling.resampled([scores], n, config, 0)
    assert np.isnan(found["r2"]).all()
    few = training.metrics.Regression(np.array([0.1, 0.1, 0.1, 0.7]), np.array([0.1, 0.2, 0.1, 0.6]))
    (found,) = training.resampling.resampled([few], 4, config, 0)
    assert np.isnan(found["r2"]).any()
    assert np.nanmin(found["r2"]) > -1e6


def test_one_far_value_leaves_the_spread_of_the_others_exact():
    truth = np.append(np.random.default_rng(0).normal(size=30), 1e12)
    scores = training.metrics.Regression(truth, truth + 0.1)
    config = Bootstrap(resamples=200, level=LEVEL)
    (found,) = training.resampling.resampled([scores], 31, config, 0)
    times = np.concatenate(list(training.resampling.Blocks(31, 0).draws(31, config, 0)))
    expected = [scores.metrics(weights)["r2"] for weights in times]
    assert (times[:, -1] == 0).any()
    np.testing.assert_allclose(found["r2"], expected, rtol=1e-9)


def test_the_interval_narrows_with_rows():
    config = Bootstrap(resamples=200, level=0.9)

    def width(n):
        rows = regression(n, 0)
        (samples,) = training.resampling.resampled([rows], n, config, 0)
        entry = training.resampling.entry(rows.metrics(np.ones(n))["mae"], samples["mae"], 0.9)
        assert entry["low"] < entry["value"] < entry["high"]
        return entry["high"] - entry["low"]

    assert width(4000) < width(40) / 3


@pytest.mark.parametrize("resamples", [60, 1000])
def test_all_resamples_are_drawn_whatever_is_held_at_once(monkeypatch, resamples):
    monkeypatch.setattr(training.resampling, "CHUNK", 2**12)
    config = Bootstrap(resamples=resamples, level=0.9)
    scores = classification(90, 0)
    (found,) = training.resampling.resampled([scores], 90, config, 0)
    assert {len(samples) for samples in found.values()} == {resamples}
    assert training.resampling.resampled_classes(scores, config, 0)["f1"].shape == (resamples, 3)


def test_many_classes_do_not_take_their_square_of_memory():
    generator = np.random.default_rng(0)
    n, k = 3000, 2000
    truth, predicted = generator.integers(0, k, n), generator.integers(0, k, n)
    scores = training.metrics.Classification([str(label) for label in range(k)], truth, predicted, None, None)
    config = Bootstrap(resamples=50, level=0.9)
    first, second = training.resampling.resampled([scores, scores], n, config, 0)
    assert np.array_equal(first["f1_macro"], second["f1_macro"])


SAME = """
import numpy as np
from modelbook.settings import Bootstrap
from modelbook.training import metrics, resampling
generator = np.random.default_rng(0)
truth = generator.integers(0, 3, 7000)
p = generator.dirichlet([1, 1, 1], 7000)
scores = metrics.Classification(["a", "b", "c"], truth, p.argmax(axis=1), p, p)
(found,) = resampling.resampled([scores], 7000, Bootstrap(resamples=100, level=0.9), 7)
print(*(samples.tobytes().hex() for samples in found.values()))
"""


@pytest.mark.real
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(monkeypatch):
    outputs = set()
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", threads)
        outputs.add(subprocess.run([sys.executable, "-c", SAME], capture_output=True, check=True).stdout)
    assert len(outputs) == 1
