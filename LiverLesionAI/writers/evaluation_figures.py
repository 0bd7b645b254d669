"""Pictures of an evaluation: ROC curves with bands, confusion matrix, figures per class, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from LiverLesionAI.evaluation.embedding import Embedding
from LiverLesionAI.evaluation.figures import Calibration, ClassFigures, TaskEvaluation
from LiverLesionAI.evaluation.intervals import Proportion
from LiverLesionAI.taxonomy import lesion_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE: Any = {"font.size": 7.5, "font.family": "DejaVu Sans", "axes.linewidth": 0.6}
_INK, _FAINT, _OTHER = "#1a1d21", "#8c959c", "#4a6fa5"
_COLUMNS = 4
_BARS = ("sensitivity", "specificity", "ppv", "npv")
_TITLES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV"}


def evaluation_figures(task: TaskEvaluation) -> dict[str, Figure]:
    """Draw every picture of a question that its figures allow.

    Returns
    -------
    dict
        ``roc``, ``confusion``, ``classes``, ``calibration`` to the picture; ROC curves and calibration need
        probabilities.
    """
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        pictures = {"confusion": _confusion(task), "classes": _class_bars(task)}
        curves = {name: figures for name, figures in task.classes.items() if figures.curve is not None}
        if curves:
            pictures["roc"] = _roc(curves, task)
        if task.calibration is not None:
            pictures["calibration"] = _calibration(task.calibration)
    return pictures


def embedding_figure(embedding: Embedding) -> Figure:
    """Draw cases in the plane of their embedding, in the colours of their classes."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = _new(4.6, 3.6)
        axes = figure.add_subplot()
        truth = np.array(embedding.truth)
        for name in sorted(set(embedding.truth)):
            of_class = embedding.points[truth == name]
            colour = _colour(name) if name else _FAINT
            label = f"{name or 'unknown'} ({len(of_class)})"
            across, up = of_class.T
            axes.scatter(across, up, s=12, color=colour, edgecolors=_INK, linewidths=0.3, label=label)
        axes.set(xticks=(), yticks=(), aspect="equal")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def _new(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _colour(name: str) -> Any:
    known = lesion_class(name)
    return tuple(part / 255 for part in known.colour) if known else _OTHER


def _roc(classes: Mapping[str, ClassFigures], task: TaskEvaluation) -> Figure:
    columns = min(_COLUMNS, len(classes))
    rows = -(-len(classes) // columns)
    figure = _new(1.85 * columns, 1.95 * rows)
    for position, (name, figures) in enumerate(classes.items(), start=1):
        axes = figure.add_subplot(rows, columns, position)
        curve, area = figures.curve, figures.auc
        if curve is None or area is None:
            continue
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.6, linestyle=":")
        axes.fill_between(
            curve.false_positive_rate, curve.lower, curve.upper, color=_colour(name), alpha=0.3, linewidth=0
        )
        across, up = (np.append(0.0, values) for values in (curve.false_positive_rate, curve.sensitivity))
        axes.step(across, up, color=_INK, linewidth=1.0, where="post")
        _readers(axes, task, name)
        low, high = area.delong
        axes.set_title(f"{name}\nAUC {area.value:.3f} ({low:.3f}–{high:.3f})", fontsize=7.5)
        axes.set(
            xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal"
        )
        if position > len(classes) - columns:
            axes.set_xlabel("1 − specificity")
        if position % columns == 1 or columns == 1:
            axes.set_ylabel("Sensitivity")
    return figure


def _readers(axes: Axes, task: TaskEvaluation, name: str) -> None:
    """A point for each reader."""
    for reader in task.readers.values():
        counts = reader.classes[name].counts
        sensitivity, specificity = counts.sensitivity.value, counts.specificity.value
        if sensitivity is not None and specificity is not None:
            axes.plot(1 - specificity, sensitivity, "D", markersize=3.5, color="white", markeredgecolor=_INK)


def _confusion(task: TaskEvaluation) -> Figure:
    names, table = list(task.classes), np.array(task.confusion)
    of_row = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = 1.3 + 0.42 * len(names)
    figure = _new(side + 0.6, side)
    axes = figure.add_subplot()
    axes.imshow(of_row, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(table.shape):
        if table[row, column]:
            ink = "white" if of_row[row, column] > 0.55 else _INK
            axes.text(column, row, str(table[row, column]), ha="center", va="center", color=ink)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="Answer", ylabel="Truth")
    axes.tick_params(length=0)
    return figure


def _class_bars(task: TaskEvaluation) -> Figure:
    """A panel per figure, a line per class with its modified Wilson interval."""
    names = list(task.classes)
    figure = _new(1.85 * len(_BARS), 0.75 + 0.24 * len(names))
    for position, kind in enumerate(_BARS, start=1):
        axes = figure.add_subplot(1, len(_BARS), position)
        for row, name in enumerate(names):
            _point(axes, row, getattr(task.classes[name].counts, kind), _colour(name))
        axes.set_title(_TITLES[kind], fontsize=7.5)
        axes.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.5, -0.5), xticks=(0, 0.5, 1))
        axes.set_yticks(range(len(names)), names if position == 1 else [])
        axes.grid(axis="x", color="#e3e6e8", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _point(axes: Axes, row: int, proportion: Proportion, colour: Any) -> None:
    interval = proportion.modified_wilson
    if interval is None or proportion.value is None:
        axes.text(0.5, row, "–", ha="center", va="center", color=_FAINT)
        return
    axes.plot(interval, (row, row), color=_INK, linewidth=0.9)
    axes.plot(
        proportion.value, row, "s", markersize=5, color=colour, markeredgecolor=_INK, markeredgewidth=0.6
    )


def _calibration(calibration: Calibration) -> Figure:
    figure = _new(2.7, 2.7)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.6, linestyle=":")
    sizes = np.array(calibration.n)
    axes.plot(calibration.confidence, calibration.accuracy, color=_OTHER, linewidth=0.9)
    axes.scatter(
        calibration.confidence, calibration.accuracy, s=8 + 90 * sizes / sizes.max(), color=_OTHER, zorder=3
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal")
    axes.set(xlabel="Probability of the predicted class", ylabel="Part that was right")
    axes.set_title(f"ECE {calibration.ece:.3f} · Brier {calibration.brier:.3f}", fontsize=7.5)
    return figure
