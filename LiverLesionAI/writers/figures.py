"""Figures of an explanation, as in Figures 5 and 6 of Wang et al. 2021, at a quality fit for print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.palette import THRESHOLD, colours
from LiverLesionAI.results import PHANTOM_NOTICE, LesionResult, StudyResult
from LiverLesionAI.taxonomy import LesionClass
from LiverLesionAI.writers.panels import draw_panels, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.explanation.weights import SequenceWeights

WIDTH_MM = 183.0
"""Two columns of a journal's page."""

HEIGHT_MM = 188.0

RESOLUTION_DPI = 300

_PNG_LEVEL = 2
"""Half of the time of the format's default, for a tenth more bytes."""

_STYLE: Any = {"font.size": 6.5, "font.family": "DejaVu Sans", "axes.linewidth": 0.5}
_SECOND_TASK_COLOUR = "#8c8c8c"


def write_figures(
    explanations: Iterable[LesionExplanation], result: StudyResult, folder: Path
) -> dict[int, Path]:
    """Write ``lesion_<id>.png`` for each explained lesion into a folder.

    Parameters
    ----------
    explanations
        Of lesions of the result.
    result
        What came out.
    folder
        Made if it does not exist.

    Returns
    -------
    dict
        Lesion to its figure.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    answers = {lesion.id: lesion for lesion in result.lesions}
    paths = {}
    for explanation in explanations:
        lesion_id = explanation.lesion.lesion_id
        paths[lesion_id] = folder / f"lesion_{lesion_id}.png"
        figure = lesion_figure(explanation, answers[lesion_id], phantom=result.is_phantom_trained)
        save_png(figure, paths[lesion_id])
    return paths


def save_png(figure: Figure, target: Path | BinaryIO, dpi: int = RESOLUTION_DPI) -> None:
    """Write a figure as PNG, without transparency; the same figure gives the same bytes."""
    from PIL import Image

    figure.dpi = dpi
    canvas: Any = figure.canvas
    canvas.draw()
    picture = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    picture.save(target, "png", compress_level=_PNG_LEVEL, dpi=(dpi, dpi))


def lesion_figure(explanation: LesionExplanation, answer: LesionResult, *, phantom: bool) -> Figure:
    """Draw one lesion's explanation.

    A column for each sequence of the model. From above: the images in the slice of the lesion's largest area
    with its outline, the feature maps, the weighted maps on one scale, the weighted maps in the slice of the
    strongest saliency; the weights as bars; the interactions as a matrix for each task; the probabilities.

    Parameters
    ----------
    explanation
        The lesion's explanation.
    answer
        Its result.
    phantom
        Whether the model was trained on phantoms; the figure then says so.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_MM / 25.4, HEIGHT_MM / 25.4))
        FigureCanvasAgg(figure)
        rows = figure.add_gridspec(
            3, 1, height_ratios=(4, 1.0, 1.75), left=0.075, right=0.945, top=0.918, bottom=0.055, hspace=0.16
        )
        _head(figure, explanation, answer, phantom)
        _colour_bar(figure, draw_panels(figure, rows[0], explanation, RESOLUTION_DPI))
        _weights(figure.add_subplot(rows[1]), explanation, answer)
        _foot(figure, rows[2], explanation, answer)
        return figure


def cohort_figure(means: Mapping[str, Mapping[str, float]], sequences: Sequence[str], title: str) -> Figure:
    """Draw the mean weight of each sequence for each class over a cohort, as in Figure 6 of the paper.

    Parameters
    ----------
    means
        Class to sequence to mean weight (:func:`LiverLesionAI.explanation.lesion.mean_weights`).
    sequences
        Columns, in order.
    title
        What was measured on.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_MM / 25.4, 0.9 + 0.34 * len(means)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        table = np.array([[row.get(name, np.nan) for name in sequences] for row in means.values()])
        _matrix(axes, table, list(sequences), list(means), label="mean weight (log-odds)")
        axes.set_title(title, loc="left", fontsize=7)
        return figure


def _head(figure: Figure, explanation: LesionExplanation, answer: LesionResult, phantom: bool) -> None:
    task = answer.tasks[explanation.task]
    probability = task.shown[explanation.target]
    about = f"{answer.name[:1].upper()}{answer.name[1:]} · {answer.diameter_mm:.0f} mm"
    said = f"{explanation.target}, p = {probability:.2f}"
    if explanation.target != task.predicted:
        said = f"why {said}? (predicted: {task.predicted})"
    figure.text(0.012, 0.975, f"{about} · {said}", fontsize=9, weight="bold", va="center")
    others = ", ".join(
        f"{name}: {each.predicted} {each.probability:.2f}"
        for name, each in answer.tasks.items()
        if name != explanation.task
    )
    figure.text(0.012, 0.953, f"{others}   maps: {explanation.method}".strip(), color="0.3", va="center")
    if phantom:
        figure.text(
            0.988, 0.953, PHANTOM_NOTICE, fontsize=7, color="#b00020", weight="bold", ha="right", va="center"
        )


def _colour_bar(figure: Figure, panels: Axes) -> None:
    """The scale of the maps, beside the three rows that show them."""
    place = panels.get_position()
    axes = figure.add_axes((0.955, place.y0, 0.011, 0.748 * place.height))
    values = np.linspace(1, 0, 256)
    axes.imshow(colours(values)[:, None], aspect="auto", extent=(0, 1, 0, 1))
    axes.axhline(THRESHOLD, color="black", linewidth=0.5)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([0, THRESHOLD, 1], ["0", f"{THRESHOLD:g}", "1"], fontsize=5.5)
    axes.yaxis.set_label_position("right")
    axes.set_ylabel("saliency", fontsize=6, labelpad=-4)


def _weights(axes: Axes, explanation: LesionExplanation, answer: LesionResult) -> None:
    """Bars below the columns of the images, a pair for the two tasks."""
    names = explanation.lesion.sequences
    ordered = sorted(explanation.weights.values(), key=lambda each: each.task != explanation.task)
    width = 0.7 / len(ordered)
    for number, weights in enumerate(ordered):
        places = np.array([names.index(name) for name in weights.sequences])
        offset = (number - (len(ordered) - 1) / 2) * width
        colour = _class_colour(answer, weights) if number == 0 else _SECOND_TASK_COLOUR
        bars = axes.bar(places + offset, weights.shapley, width * 0.92, color=colour, label=_title(weights))
        axes.bar_label(bars, [signed(value) for value in weights.shapley], fontsize=5, padding=1)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks([])
    axes.margins(y=0.22)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_ylabel("weight\n(log-odds)", fontsize=6)
    axes.tick_params(axis="y", labelsize=5.5, length=2, width=0.5)
    axes.legend(loc="best", frameon=False, fontsize=5.5, ncols=len(ordered), borderaxespad=0)


def _foot(figure: Figure, place: Any, explanation: LesionExplanation, answer: LesionResult) -> None:
    tasks = sorted(explanation.weights, key=lambda task: task != explanation.task)
    widths = (*[1.0] * len(tasks), 0.75)
    grid = place.subgridspec(1, len(widths), width_ratios=widths, wspace=0.42)
    for column, task in enumerate(tasks):
        weights = explanation.weights[task]
        axes = figure.add_subplot(grid[0, column])
        table = np.where(np.tri(len(weights.sequences), k=-1, dtype=bool), weights.interactions, np.nan)
        _matrix(axes, table[1:, :-1], list(weights.sequences[:-1]), list(weights.sequences[1:]))
        axes.set_title(f"interactions, {_title(weights)}", fontsize=6.5, loc="left")
    _probabilities(figure.add_subplot(grid[0, -1]), explanation, answer)


def _matrix(
    axes: Axes, table: NDArray[np.float64], columns: list[str], rows: list[str], label: str = ""
) -> None:
    """Signed numbers as a table of colours, white at zero, empty where there is none."""
    extreme = float(np.nanmax(np.abs(table))) if np.isfinite(table).any() else 0.0
    limit = extreme or 1.0
    picture = axes.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(labelsize=5.5, length=0)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = abs(value) > 0.6 * limit
            axes.text(
                column, row, signed(value), fontsize=5, ha="center", va="center",
                color="white" if dark else "black",
            )  # fmt: skip
    if label:
        axes.figure.colorbar(picture, ax=axes, label=label, fraction=0.03, pad=0.01)


def _probabilities(axes: Axes, explanation: LesionExplanation, answer: LesionResult) -> None:
    task = answer.tasks[explanation.task]
    classes = task.classes
    values = [task.shown[each.name] for each in classes]
    spread = [task.std.get(each.name, 0.0) for each in classes]
    axes.barh([each.name for each in classes], values, color=[_colour(each) for each in classes], height=0.7)
    if any(spread):
        axes.errorbar(values, range(len(classes)), xerr=spread, fmt="none", ecolor="black", linewidth=0.6)
    for row, value in enumerate(values):
        axes.text(1.02, row, f"{value:.2f}", fontsize=5.5, va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelsize=5.5, length=2, width=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("probability" + (" ± SD" if any(spread) else ""), fontsize=6.5, loc="left")


def _title(weights: SequenceWeights) -> str:
    return f"{weights.task}: {weights.target}"


def _class_colour(answer: LesionResult, weights: SequenceWeights) -> tuple[float, ...]:
    return _colour(answer.tasks[weights.task].class_named(weights.target))


def _colour(lesion_class: LesionClass) -> tuple[float, ...]:
    return tuple(channel / 255 for channel in lesion_class.colour)
