"""Figures of an explanation, as in Figures 5 and 6 of Wang et al. 2021, at a quality fit for print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.palette import THRESHOLD, colours, overlay
from LiverLesionAI.results import PHANTOM_NOTICE, LesionResult, StudyResult
from LiverLesionAI.taxonomy import LesionClass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.explanation.weights import SequenceWeights

WIDTH_MM = 183.0
"""Two columns of a journal's page."""

HEIGHT_MM = 188.0

RESOLUTION_DPI = 300

_PNG_LEVEL = 3
"""Half of the time of the format's default, for a few per cent more bytes."""

_STYLE: Any = {"font.size": 6.5, "font.family": "DejaVu Sans", "axes.linewidth": 0.5}
_WINDOW_PERCENTILES = (1.0, 99.0)
_WINDOW_MARGIN_MM = 4.0
_OUTLINE_COLOUR = "#00e5ff"
_SECOND_TASK_COLOUR = "#8c8c8c"
_SCALE_BAR_MM = 10.0


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
    """Write a figure as PNG; the same figure gives the same bytes."""
    figure.savefig(
        target, format="png", dpi=dpi, metadata={"Software": None}, pil_kwargs={"compress_level": _PNG_LEVEL}
    )


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
        _images(figure, rows[0], explanation)
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
            0.988, 0.975, PHANTOM_NOTICE, fontsize=7, color="#b00020", weight="bold", ha="right", va="center"
        )


def _images(figure: Figure, place: Any, explanation: LesionExplanation) -> None:
    names = explanation.lesion.sequences
    largest, strongest = explanation.largest_slice, explanation.strongest_slice
    grid = place.subgridspec(4, len(names), wspace=0.04, hspace=0.04)
    rows: tuple[tuple[str, int, str | None], ...] = (
        ("image", largest, None),
        ("where it looked", largest, "feature"),
        ("× sequence weight", largest, "weighted"),
        ("the same, slice of\nstrongest saliency", strongest, "weighted"),
    )
    for row, (title, index, kind) in enumerate(rows):
        for column, name in enumerate(names):
            axes = figure.add_subplot(grid[row, column])
            _panel(axes, explanation, name, index, kind)
            if row == 0:
                axes.set_title(name, fontsize=7.5, weight="bold", pad=3)
            if column == 0:
                axes.set_ylabel(
                    f"{title}\nz = {_signed(explanation.slice_position_mm(index), 0)} mm",
                    fontsize=6,
                    labelpad=3,
                )
        if row == 0:
            _marks(figure.axes[-len(names)], explanation)
    _colour_bar(figure, figure.axes[-2 * len(names) - 1], figure.axes[-1])


def _panel(axes: Axes, explanation: LesionExplanation, name: str, index: int, kind: str | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("black")
    size = explanation.lesion.grid.size
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_box_aspect(1)
    if name not in explanation.sequences:
        axes.text(size / 2, size / 2, "absent", color="0.7", ha="center", va="center")
        return
    patch, annotation = explanation.lesion.patches[explanation.lesion.sequences.index(name)]
    lower, upper = np.percentile(patch[_surroundings(explanation)], _WINDOW_PERCENTILES)
    axes.imshow(patch[index], cmap="gray", vmin=lower, vmax=max(upper, lower + 1e-6), interpolation="bicubic")
    if kind is not None:
        of = explanation.weighted_map if kind == "weighted" else explanation.feature_map
        axes.imshow(overlay(of(name)[index]), interpolation="bilinear")
    level = 0.5 * annotation.max()
    if annotation[index].max() > level:
        axes.contour(annotation[index], [level], colors=_OUTLINE_COLOUR, linewidths=0.6)


def _surroundings(explanation: LesionExplanation) -> tuple[slice, ...]:
    """Box of the lesion and what is near it, from which the window of the images is taken."""
    grid = explanation.lesion.grid
    margin = round(_WINDOW_MARGIN_MM / grid.spacing_mm)
    corners = np.argwhere(explanation.outline)
    lower, upper = corners.min(axis=0) - margin, corners.max(axis=0) + margin + 1
    return tuple(slice(max(a, 0), b) for a, b in zip(lower.tolist(), upper.tolist(), strict=True))


def _marks(axes: Axes, explanation: LesionExplanation) -> None:
    """Sides of the patient, and a bar of 10 mm."""
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=2.0, foreground="black")]
    grid = explanation.lesion.grid
    middle, far = (grid.size - 1) / 2, grid.size - 1
    for x, letter, side in ((1.5, "R", "left"), (far - 1.5, "L", "right")):
        axes.text(x, middle, letter, color="white", fontsize=6, ha=side, va="center", path_effects=edge)
    length = _SCALE_BAR_MM / grid.spacing_mm
    axes.plot(
        [3, 3 + length], [far - 3] * 2, color="white", linewidth=1.2, solid_capstyle="butt", path_effects=edge
    )
    axes.text(3, far - 5, "10 mm", color="white", fontsize=5, ha="left", va="bottom", path_effects=edge)


def _colour_bar(figure: Figure, top: Axes, bottom: Axes) -> None:
    upper, lower = top.get_position(), bottom.get_position()
    axes = figure.add_axes((0.955, lower.y0, 0.011, upper.y1 - lower.y0))
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
        axes.bar_label(bars, [_signed(value) for value in weights.shapley], fontsize=5, padding=1)
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
                column, row, _signed(value), fontsize=5, ha="center", va="center",
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


def _signed(value: float, digits: int = 1) -> str:
    """A number with its sign, nought without."""
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if float(f"{value:.{digits}f}") else text[1:]


def _title(weights: SequenceWeights) -> str:
    return f"{weights.task}: {weights.target}"


def _class_colour(answer: LesionResult, weights: SequenceWeights) -> tuple[float, ...]:
    return _colour(answer.tasks[weights.task].class_named(weights.target))


def _colour(lesion_class: LesionClass) -> tuple[float, ...]:
    return tuple(channel / 255 for channel in lesion_class.colour)
