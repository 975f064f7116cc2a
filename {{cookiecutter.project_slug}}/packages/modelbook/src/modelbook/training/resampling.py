"""Confidence intervals: how far metrics spread over resamples of the rows (bootstrap; Efron, 1979).

A resample draws the n rows n times with replacement. No metric needs all of its rows:

- Accuracy, F1, precision and recall need how often each cell of the confusion
  matrix was drawn. That is a multinomial draw, exact for any number of rows.
- Means (log loss, errors, R²) need sums. Rows are dealt at random into at most
  `MOST_BLOCKS` blocks, and blocks are drawn. The means of blocks spread as those
  of rows do, so only the width of the interval gets a noise, of about
  1/sqrt(2 * MOST_BLOCKS) = 1.6 % (of 500 resamples alone it is 10 %).
- The ROC AUC is a mean of the rows' placement values up to a rest (DeLong, DeLong
  and Clarke-Pearson, 1988), which is smaller than the noise where one class has
  more than MOST_BLOCKS / 2 rows.

Up to `MOST_BLOCKS` rows every row is a block of its own, and the AUC is counted
in full: that is the plain bootstrap. Random numbers depend on the seed and the
number of rows alone, so that no interval changes by what else is measured.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings import Bootstrap
from . import metrics
from .metrics import Classification, Floats, Regression

#: With this many rows or fewer, rows are drawn one by one.
MOST_BLOCKS = 2048
#: Numbers of a table of draws that is held at once.
CHUNK = 2**20


def entry(value: float, samples: Floats, level: float) -> dict[str, float | None]:
    """Return `value`, `low` and `high` for a file: the percentile interval of the resamples that have a value.

    Parameters
    ----------
    value : float
        NaN becomes null.
    samples : ndarray of float, shape (n_resamples,)
    level : float
        The share of the resamples that lies in the interval.
    """
    known = samples[~np.isnan(samples)]
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
    return {name: metrics.rounded(number) for name, number in (("value", value), ("low", low), ("high", high))}


def resampled(
    sides: Sequence[Classification | Regression], n_rows: int, bootstrap: Bootstrap, seed: int
) -> list[dict[str, Floats]]:
    """Return what the metrics are on each resample; all sides are measured on the same ones.

    Parameters
    ----------
    sides : sequence of Classification or Regression
        Predictions of one or more models for the same rows: all rows, or a slice of them.
    n_rows : int
        All rows: of a slice, a resample holds now more, now fewer.
    bootstrap : Bootstrap
    seed : int

    Returns
    -------
    list of dict of str to ndarray of float, shape (n_resamples,)
        For each side every metric that `metrics` returns; NaN where a resample has no value.
    """
    blocks = Blocks(sides[0].n_rows, seed)
    draws = blocks.draws(n_rows, bootstrap, seed)
    regressions = [side for side in sides if isinstance(side, Regression)]
    if regressions:
        return _measured(draws, [_Errors(side, blocks) for side in regressions])
    classifications = [side for side in sides if isinstance(side, Classification)]
    ranked = _measured(draws, [_Ranking(side, blocks) for side in classifications])
    counted: list[list[dict[str, Floats]]] = [[] for _ in classifications]
    for chunk in _confusions(classifications, n_rows, bootstrap, seed):
        for parts, (hits, true, predicted) in zip(counted, chunk, strict=True):
            accuracy = _ratios(hits.sum(axis=1), true.sum(axis=1))
            parts.append({"accuracy": accuracy, "f1_macro": _means(metrics.rates(hits, true, predicted)["f1"])})
    return [_joined(parts) | found for parts, found in zip(counted, ranked, strict=True)]


def resampled_classes(scores: Classification, bootstrap: Bootstrap, seed: int) -> dict[str, Floats]:
    """Return precision, recall and F1 of every class on each resample, each of shape (n_resamples, k)."""
    chunks = _confusions([scores], scores.n_rows, bootstrap, seed)
    return _joined([metrics.rates(*sums) for (sums,) in chunks])


class Blocks:
    """Rows dealt at random into blocks of one size, give or take a row.

    Parameters
    ----------
    n_rows : int
    seed : int
    most : int
        Up to so many rows, each is a block, in its place.
    """

    def __init__(self, n_rows: int, seed: int, most: int = MOST_BLOCKS) -> None:
        self.n_rows = n_rows
        self.n_blocks = min(n_rows, most)
        self.are_rows = self.n_blocks == n_rows
        self.order = np.arange(n_rows) if self.are_rows else np.random.default_rng(seed).permutation(n_rows)
        self.starts = np.arange(self.n_blocks) * n_rows // self.n_blocks
        self.sizes = np.diff(np.append(self.starts, n_rows)).astype(np.float64)

    def sums(self, values: NDArray[Any]) -> Floats:
        """Return the sum of each block, shape (n_blocks,)."""
        return np.add.reduceat(values[self.order].astype(np.float64), self.starts)

    def draws(self, n_all: int, bootstrap: Bootstrap, seed: int) -> Iterator[Floats]:
        """Yield how often each block is drawn, shape (some resamples, n_blocks), of `n_all` rows with these in them."""
        generator = np.random.default_rng(seed)
        trials = round(n_all * self.n_blocks / self.n_rows)
        for many in _chunks(bootstrap.resamples, self.n_blocks):
            drawn = generator.binomial(trials, self.n_blocks / trials, many)
            chosen = np.repeat(np.arange(many) * self.n_blocks, drawn)
            chosen += generator.integers(0, self.n_blocks, len(chosen))
            times = np.bincount(chosen, minlength=many * self.n_blocks)
            yield times.reshape(many, self.n_blocks).astype(np.float64)


class _Errors:
    """The sums of a regressor's errors in each block."""

    def __init__(self, scores: Regression, blocks: Blocks) -> None:
        error = scores.predicted - scores.truth
        self.sizes = blocks.sizes
        self.squared, self.absolute = blocks.sums(error**2), blocks.sums(np.abs(error))
        self.means = blocks.sums(scores.truth) / blocks.sizes
        truth = scores.truth[blocks.order]
        around = (truth - np.repeat(self.means, blocks.sizes.astype(np.intp))) ** 2
        self.within = np.zeros(blocks.n_blocks) if blocks.are_rows else np.add.reduceat(around, blocks.starts)
        self.lowest = np.minimum.reduceat(truth, blocks.starts)
        self.highest = np.maximum.reduceat(truth, blocks.starts)

    def measure(self, times: Floats) -> dict[str, Floats]:
        total, squared = _dot(times, self.sizes), _dot(times, self.squared)
        mean = _ratios(_dot(times, self.sizes * self.means), total)
        # Around the mean of the resample: a difference of two large sums would lose all digits of a small spread.
        around = self.within + self.sizes * (self.means - mean[:, None]) ** 2
        spread = np.einsum("rb,rb->r", times, around)
        drawn = times > 0
        lowest = np.where(drawn, self.lowest, np.inf).min(axis=1)
        highest = np.where(drawn, self.highest, -np.inf).max(axis=1)
        r2 = 1 - _ratios(squared, np.where(lowest < highest, spread, 0.0))
        return {"rmse": _ratios(squared, total) ** 0.5, "mae": _ratios(_dot(times, self.absolute), total), "r2": r2}


class _Ranking:
    """What log loss and ROC AUC need of each block."""

    def __init__(self, scores: Classification, blocks: Blocks) -> None:
        self.sizes = blocks.sizes
        self.loss = None if scores.probabilities is None else blocks.sums(scores.losses())
        part = _RowsRanked if blocks.are_rows else _BlocksPlaced
        self.classes = [] if scores.scores is None else [part(scores, k, blocks) for k in scores.ranked_classes()]

    def measure(self, times: Floats) -> dict[str, Floats]:
        found = {}
        if self.loss is not None:
            found["log_loss"] = _ratios(_dot(times, self.loss), _dot(times, self.sizes))
        areas = [one.areas(times) for one in self.classes] or [np.full(len(times), np.nan)]
        return {**found, "roc_auc": _means(np.column_stack(areas))}


class _RowsRanked:
    """Rows in the order of their scores for class k: the ROC AUC in full."""

    def __init__(self, scores: Classification, k: int, _: Blocks) -> None:
        groups, n_groups = scores.ranks(k)
        self.order = np.argsort(groups, kind="stable")
        self.starts = np.searchsorted(groups[self.order], np.arange(n_groups))
        self.is_k = (scores.truth == k)[self.order]

    def areas(self, times: Floats) -> Floats:
        sorted_times = times[:, self.order]
        positive = np.add.reduceat(sorted_times * self.is_k, self.starts, axis=1)
        negative = np.add.reduceat(sorted_times, self.starts, axis=1) - positive
        below = np.cumsum(negative, axis=1) - negative
        won = np.einsum("rg,rg->r", positive, below + negative / 2)
        return _ratios(won, positive.sum(axis=1) * negative.sum(axis=1))


class _BlocksPlaced:
    """Sums of the placement values of class k: the share of the other side that each row outranks."""

    def __init__(self, scores: Classification, k: int, blocks: Blocks) -> None:
        groups, n_groups = scores.ranks(k)
        is_k = scores.truth == k
        positive = np.bincount(groups[is_k], minlength=n_groups)
        negative = np.bincount(groups[~is_k], minlength=n_groups)
        below = (np.cumsum(negative) - negative / 2) / max(negative.sum(), 1)
        above = (positive.sum() - np.cumsum(positive) + positive / 2) / max(positive.sum(), 1)
        self.positive, self.negative = blocks.sums(is_k), blocks.sums(~is_k)
        self.above_the_rest = blocks.sums(np.where(is_k, below[groups], 0.0))
        self.below_the_class = blocks.sums(np.where(is_k, 0.0, above[groups]))
        self.area = float(positive @ below / positive.sum()) if is_k.any() and not is_k.all() else np.nan

    def areas(self, times: Floats) -> Floats:
        first = _ratios(_dot(times, self.above_the_rest), _dot(times, self.positive))
        second = _ratios(_dot(times, self.below_the_class), _dot(times, self.negative))
        return np.clip(first + second - self.area, 0.0, 1.0)


def _measured(draws: Iterator[Floats], sides: Sequence[_Errors] | Sequence[_Ranking]) -> list[dict[str, Floats]]:
    chunks = [[side.measure(times) for side in sides] for times in draws]
    return [_joined([chunk[number] for chunk in chunks]) for number in range(len(sides))]


def _confusions(
    sides: Sequence[Classification], n_all: int, bootstrap: Bootstrap, seed: int
) -> Iterator[list[tuple[Floats, Floats, Floats]]]:
    """Yield for each side how often each class was hit, true and predicted, each of shape (some resamples, k).

    Drawn are the combinations of the truth and what each side predicts, so that the sides stay paired.
    """
    k, truth = len(sides[0].labels), sides[0].truth
    codes = truth.astype(np.int64)
    for side in sides:
        _, codes = np.unique(codes, return_inverse=True)  # small numbers, however many classes and sides there are
        codes = codes * k + side.predicted
    _, rows, counts = np.unique(codes, return_index=True, return_counts=True)
    shares = np.append(counts, n_all - counts.sum()) / n_all
    generator = np.random.default_rng(seed)
    for many in _chunks(bootstrap.resamples, max(len(shares), k)):
        times = generator.multinomial(n_all, shares, many)[:, :-1].astype(np.float64)
        true = _by_class(times, truth[rows], k)
        found = []
        for side in sides:
            predicted = side.predicted[rows]
            hit = predicted == truth[rows]
            found.append((_by_class(times[:, hit], predicted[hit], k), true, _by_class(times, predicted, k)))
        yield found


def _by_class(times: Floats, classes: NDArray[np.intp], k: int) -> Floats:
    """Add up the columns of each class, shape (n_resamples, k)."""
    sums = np.zeros((len(times), k))
    if len(classes):
        order = np.argsort(classes, kind="stable")
        present, starts = np.unique(classes[order], return_index=True)
        sums[:, present] = np.add.reduceat(times[:, order], starts, axis=1)
    return sums


def _chunks(resamples: int, width: int) -> Iterator[int]:
    """Divide the resamples so that a table of them, `width` numbers each, stays small."""
    most = max(1, CHUNK // width)
    for start in range(0, resamples, most):
        yield min(most, resamples - start)


def _joined(parts: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _dot(times: Floats, sums: Floats) -> Floats:
    """Return the sum of each resample. Not with `@`: there the order of a sum depends on threads and processor."""
    total: Floats = np.einsum("rb,b->r", times, sums)
    return total


def _ratios(above: Floats, below: Floats) -> Floats:
    ratios: Floats = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return ratios


def _means(values: Floats) -> Floats:
    """Return the mean of the known values in each row."""
    known = ~np.isnan(values)
    return _ratios(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))
