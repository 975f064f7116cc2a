"""Plots of the test rows: as data for `dvc plots`, and drawn as images.

`new` and `save` are for plots of a project's own, too.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .metrics import Classification, Floats, Regression

#: Points of a curve, or of a cloud; more would not be seen and slow down the browser.
CURVE_POINTS = 200
CLOUD_POINTS = 2000
CALIBRATION_BINS = 10


def write(scores: Classification | Regression, folder: Path) -> None:
    """Write the plots that suit the task into a folder, images below `images/`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    if isinstance(scores, Regression):
        _write_regression(scores, folder)
    else:
        _write_classification(scores, folder)


def _write_classification(scores: Classification, folder: Path) -> None:
    weights = np.ones(scores.n_rows)
    confusion = scores.confusion(weights)
    _table(
        folder / "confusion.csv",
        ("actual", "predicted", "rows"),
        (
            (actual, predicted, int(confusion[i, j]))
            for i, actual in enumerate(scores.labels)
            for j, predicted in enumerate(scores.labels)
        ),
    )
    roc = {label: roc_curve(scores, k) for k, label in enumerate(scores.labels)}
    precision_recall = {label: precision_recall_curve(scores, k) for k, label in enumerate(scores.labels)}
    calibration = {label: calibration_curve(scores, k) for k, label in enumerate(scores.labels)}
    _curves(folder / "roc.csv", ("class", "false_positive_rate", "true_positive_rate"), roc)
    _curves(folder / "precision_recall.csv", ("class", "recall", "precision"), precision_recall)
    _curves(folder / "calibration.csv", ("class", "predicted", "observed"), calibration)

    _draw_confusion(confusion, scores.labels, folder / "images" / "confusion.png")
    images = folder / "images"
    _draw_curves(roc, "ROC", "false positive rate", "true positive rate", images / "roc.png", diagonal=True)
    _draw_curves(precision_recall, "Precision and recall", "recall", "precision", images / "precision_recall.png")
    _draw_curves(
        calibration,
        "Calibration",
        "predicted probability",
        "observed share",
        images / "calibration.png",
        diagonal=True,
        marker="o",
    )


def _write_regression(scores: Regression, folder: Path) -> None:
    chosen = np.unique(np.linspace(0, scores.n_rows - 1, min(scores.n_rows, CLOUD_POINTS)).astype(int))
    true, predicted = scores.truth[chosen], scores.predicted[chosen]
    rows = [
        (round(float(t), 6), round(float(p), 6), round(float(t - p), 6)) for t, p in zip(true, predicted, strict=True)
    ]
    _table(folder / "predictions.csv", ("actual", "predicted", "residual"), rows)
    images = folder / "images"
    _draw_cloud(
        predicted, true, "Predicted and actual values", "predicted", "actual", images / "predicted.png", diagonal=True
    )
    _draw_cloud(predicted, true - predicted, "Residuals", "predicted", "actual - predicted", images / "residuals.png")


def roc_curve(scores: Classification, k: int) -> Floats:
    """Return false and true positive rates of class k against the rest, shape (n_points, 2)."""
    if scores.scores is None:
        return np.empty((0, 2))
    true_positives, false_positives = _cumulative(scores, k)
    return _thin(np.column_stack([_share(false_positives), _share(true_positives)]))


def precision_recall_curve(scores: Classification, k: int) -> Floats:
    """Return recall and precision of class k, shape (n_points, 2)."""
    if scores.scores is None:
        return np.empty((0, 2))
    true_positives, false_positives = _cumulative(scores, k)
    found = true_positives + false_positives
    precision = np.divide(true_positives, found, out=np.ones_like(found), where=found > 0)
    return _thin(np.column_stack([_share(true_positives), precision]))


def calibration_curve(scores: Classification, k: int) -> Floats:
    """Return mean predicted probability and observed share per bin of class k, shape (n_bins, 2)."""
    if scores.probabilities is None:
        return np.empty((0, 2))
    predicted, observed = scores.probabilities[:, k], (scores.truth == k).astype(np.float64)
    bins = np.minimum((predicted * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = rows > 0
    means: list[Floats] = [
        np.bincount(bins, weights=v, minlength=CALIBRATION_BINS)[filled] / rows[filled] for v in (predicted, observed)
    ]
    return np.column_stack(means)


def _cumulative(scores: Classification, k: int) -> tuple[Floats, Floats]:
    """Return true and false positives as the threshold falls from above the highest score."""
    assert scores.scores is not None
    values, is_k = scores.scores[:, k], scores.truth == k
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)  # one point for each distinct score
    true_positives = np.cumsum(is_k[order])[ends]
    return np.append(0.0, true_positives), np.append(0.0, ends + 1 - true_positives)


def _share(counts: Floats) -> Floats:
    total = float(counts[-1])
    return counts / total if total else counts


def _thin(points: Floats) -> Floats:
    """Keep the first, the last, and evenly spread points between."""
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), CURVE_POINTS)).astype(int))
    return np.take(points, chosen, axis=0)


def _curves(path: Path, header: tuple[str, ...], curves: dict[str, Floats]) -> None:
    _table(
        path,
        header,
        ((label, *(round(float(v), 6) for v in point)) for label, curve in curves.items() for point in curve),
    )


def _table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def new(title: str, x: str, y: str) -> tuple[Any, Any]:
    """Return an empty figure and its axes, in the size of the other plots.

    Parameters
    ----------
    title, x, y : str
        What stands above it, and along its axes.

    Returns
    -------
    (matplotlib.figure.Figure, matplotlib.axes.Axes)

    Examples
    --------
    >>> figure, axes = new("Errors", "predicted", "error")
    >>> _ = axes.plot([0, 1], [0.2, 0.1])
    >>> save(figure, "plots/images/errors.png")  # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def save(figure: Any, path: str | Path) -> None:
    """Write a figure as PNG; the same picture is the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path
        A file below `plots/`, which DVC keeps.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Without the entry that names matplotlib's version, the bytes depend on the picture alone.
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def _plain(label: str) -> str:
    """Shorten a label, and keep matplotlib from reading `$` as mathematics."""
    short = label if len(label) <= 24 else label[:23] + "…"
    return short.replace("$", r"\$")


def _draw_confusion(confusion: Floats, labels: list[str], path: Path) -> None:
    figure, axes = new("Confusion matrix (rows of the test set)", "predicted", "actual")
    rows = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, rows, out=np.zeros_like(confusion), where=rows > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(labels) <= 20:
        names = [_plain(label) for label in labels]
        axes.set_xticks(range(len(labels)), names, rotation=0 if len(labels) < 5 else 90)
        axes.set_yticks(range(len(labels)), names)
        for i, j in np.ndindex(*confusion.shape):
            axes.text(
                j,
                i,
                f"{int(confusion[i, j])}",
                ha="center",
                va="center",
                color="white" if share[i, j] > 0.5 else "black",
            )
    save(figure, path)


def _draw_curves(
    curves: dict[str, Floats], title: str, x: str, y: str, path: Path, *, diagonal: bool = False, marker: str = ""
) -> None:
    figure, axes = new(title, x, y)
    if diagonal:
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    for label, points in list(curves.items())[:20]:
        axes.plot(points[:, 0], points[:, 1], label=_plain(label), marker=marker, markersize=4)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="best", fontsize="small")
    save(figure, path)


def _draw_cloud(
    x_values: Floats, y_values: Floats, title: str, x: str, y: str, path: Path, *, diagonal: bool = False
) -> None:
    figure, axes = new(title, x, y)
    axes.scatter(x_values, y_values, s=9, alpha=0.6, linewidths=0)
    if diagonal:
        axes.axline(
            (float(x_values.mean()), float(x_values.mean())), slope=1, color="grey", linewidth=0.8, linestyle="--"
        )
    else:
        axes.axhline(0, color="grey", linewidth=0.8, linestyle="--")
    save(figure, path)
