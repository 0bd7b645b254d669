"""The slices of a lesion with its maps laid over them, composed as one picture within a figure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.palette import overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from LiverLesionAI.explanation.lesion import LesionExplanation

Kind = Literal["image", "feature", "weighted"]

_WINDOW_PERCENTILES = (1.0, 99.0)
_WINDOW_MARGIN_MM = 4.0
_OUTLINE_COLOUR = "#00e5ff"
_SCALE_BAR_MM = 10.0
_GAP_MM = 0.6
_MM_PER_INCH = 25.4
_LEVELS = 1024
_OVERLAY = overlay(np.linspace(0, 1, _LEVELS + 1))


@dataclass(frozen=True)
class Row:
    """A row of panels.

    Attributes
    ----------
    title
        What it shows, in words.
    index
        Slice of the patch.
    kind
        What lies over the image: nothing, the feature maps or the weighted maps.
    """

    title: str
    index: int
    kind: Kind


def rows_of(explanation: LesionExplanation) -> tuple[Row, ...]:
    """Rows of a lesion's figure, from above."""
    largest, strongest = explanation.largest_slice, explanation.strongest_slice
    return (
        Row("image", largest, "image"),
        Row("where it looked", largest, "feature"),
        Row("× sequence weight", largest, "weighted"),
        Row("the same, slice of\nstrongest saliency", strongest, "weighted"),
    )


@dataclass(frozen=True)
class SequencePanels:
    """Panels of one sequence.

    Attributes
    ----------
    explanation
        Of the lesion.
    name
        The sequence, which the lesion has.
    """

    explanation: LesionExplanation
    name: str

    @cached_property
    def window(self) -> tuple[float, float]:
        """Grey values that become black and white, taken from the lesion and what is near it."""
        lower, upper = np.percentile(self._patch[_surroundings(self.explanation)], _WINDOW_PERCENTILES)
        return float(lower), max(float(upper), float(lower) + 1e-6)

    def picture(self, row: Row, side: int) -> NDArray[np.uint8]:
        """Compose image (by cubic interpolation) and map (by linear one), ``[side, side, 3]``."""
        lower, upper = self.window
        grey = _enlarged(self._patch[row.index], side, "bicubic")
        found = np.clip((grey - lower) / (upper - lower), 0.0, 1.0)[..., None]
        if row.kind != "image":
            saliency = np.clip(_enlarged(self._map(row.kind)[row.index], side, "bilinear"), 0.0, 1.0)
            colour = _OVERLAY[np.rint(saliency * _LEVELS).astype(np.intp)]
            found = found + colour[..., 3:] * (colour[..., :3] - found)
        return np.rint(255 * np.broadcast_to(found, (side, side, 3))).astype(np.uint8)

    def outline(self, index: int) -> list[NDArray[np.float64]]:
        """The lesion's border in a slice: lines ``[points, 2]``, x and y in voxels."""
        from contourpy import contour_generator

        annotation = self._channels[1]
        found: Any = contour_generator(z=annotation[index]).lines(0.5 * annotation.max())
        return list(found)

    def _map(self, kind: Kind) -> NDArray[np.float32]:
        return self._weighted if kind == "weighted" else self.explanation.feature_map(self.name)

    @cached_property
    def _weighted(self) -> NDArray[np.float32]:
        return self.explanation.weighted_map(self.name)

    @property
    def _channels(self) -> NDArray[np.float32]:
        lesion = self.explanation.lesion
        return lesion.patches[lesion.sequences.index(self.name)]

    @property
    def _patch(self) -> NDArray[np.float32]:
        return self._channels[0]


def draw_panels(figure: Figure, place: Any, explanation: LesionExplanation, dpi: int) -> Axes:
    """Draw a column for each sequence of the model and a row for each of :func:`rows_of`.

    One picture and one set of axes hold all panels: with axes of their own the figure takes twice as long.

    Parameters
    ----------
    figure
        The figure.
    place
        Part of its grid (``matplotlib.gridspec.SubplotSpec``).
    explanation
        Of the lesion.
    dpi
        Resolution at which a pixel of the picture becomes one of the figure.

    Returns
    -------
    matplotlib.axes.Axes
        In mm from the upper left corner of the place.
    """
    axes = figure.add_subplot(place)
    names, rows = explanation.lesion.sequences, rows_of(explanation)
    width, height = figure.get_size_inches() * place.get_position(figure).size * _MM_PER_INCH
    tiles = _Tiles(width, height, len(names), len(rows))
    dots = dpi / _MM_PER_INCH
    side = round(tiles.side_mm * dots)
    canvas = np.full((round(height * dots), round(width * dots), 3), 255, np.uint8)
    lines: list[NDArray[np.float64]] = []
    for column, name in enumerate(names):
        axes.text(tiles.middle_mm(column), tiles.corner_mm(0, 0)[1] - 1.0, name, fontsize=7.5, weight="bold",
                  ha="center", va="bottom")  # fmt: skip
        panels = SequencePanels(explanation, name) if name in explanation.sequences else None
        for number, row in enumerate(rows):
            x, y = tiles.corner_mm(column, number)
            top, left = min(round(y * dots), len(canvas) - side), round(x * dots)
            tile = canvas[top : top + side, left : left + side]
            if panels is None:
                tile[:] = 0
                axes.text(x + tiles.side_mm / 2, y + tiles.side_mm / 2, "absent", color="0.7",
                          ha="center", va="center")  # fmt: skip
                continue
            tile[:] = panels.picture(row, side)
            voxel = tiles.side_mm / explanation.lesion.grid.size
            lines += [(line + 0.5) * voxel + (x, y) for line in panels.outline(row.index)]
    for number, row in enumerate(rows):
        x, y = tiles.corner_mm(0, number)
        said = f"{row.title}\nz = {signed(explanation.slice_position_mm(row.index), 0)} mm"
        axes.text(x - 1.2, y + tiles.side_mm / 2, said, fontsize=6, ha="right", va="center", rotation=90,
                  multialignment="center")  # fmt: skip
    _finish(axes, tiles, canvas, lines)
    _marks(axes, tiles, explanation)
    return axes


@dataclass(frozen=True)
class _Tiles:
    """Where squares lie in a rectangle of columns and rows, mm from its upper left corner."""

    width_mm: float
    height_mm: float
    columns: int
    rows: int

    @property
    def side_mm(self) -> float:
        return min(self.width_mm / self.columns, self.height_mm / self.rows) - _GAP_MM

    def middle_mm(self, column: int) -> float:
        return (column + 0.5) * self.width_mm / self.columns

    def corner_mm(self, column: int, row: int) -> tuple[float, float]:
        left = self.middle_mm(column) - self.side_mm / 2
        return left, (row + 0.5) * self.height_mm / self.rows - self.side_mm / 2


def _finish(axes: Axes, tiles: _Tiles, canvas: NDArray[np.uint8], lines: list[NDArray[np.float64]]) -> None:
    from matplotlib.collections import LineCollection

    from LiverLesionAI.writers.picture import Picture

    axes.set(xlim=(0, tiles.width_mm), ylim=(tiles.height_mm, 0))
    axes.add_artist(Picture(canvas))
    axes.add_collection(LineCollection(lines, colors=_OUTLINE_COLOUR, linewidths=0.6), autolim=False)
    axes.set_axis_off()


def _marks(axes: Axes, tiles: _Tiles, explanation: LesionExplanation) -> None:
    """Sides of the patient, and a bar of 10 mm, on the first panel."""
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=2.0, foreground="black")]
    side, (left, top) = tiles.side_mm, tiles.corner_mm(0, 0)
    for x, letter, end in ((left + 0.6, "R", "left"), (left + side - 0.6, "L", "right")):
        axes.text(
            x, top + side / 2, letter, color="white", fontsize=6, ha=end, va="center", path_effects=edge
        )
    length = _SCALE_BAR_MM / (explanation.lesion.grid.size * explanation.lesion.grid.spacing_mm) * side
    x, y = left + 1.1, top + side - 1.1
    axes.plot(
        [x, x + length], [y, y], color="white", linewidth=1.2, solid_capstyle="butt", path_effects=edge,
        scalex=False, scaley=False,
    )  # fmt: skip
    axes.text(x, y - 0.7, "10 mm", color="white", fontsize=5, ha="left", va="bottom", path_effects=edge)


def _enlarged(
    values: NDArray[np.float32], side: int, how: Literal["bicubic", "bilinear"]
) -> NDArray[np.float32]:
    from PIL import Image

    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize((side, side), filters[how]))


def _surroundings(explanation: LesionExplanation) -> tuple[slice, ...]:
    """Box of the lesion and what is near it."""
    grid = explanation.lesion.grid
    margin = round(_WINDOW_MARGIN_MM / grid.spacing_mm)
    corners = np.argwhere(explanation.outline)
    lower, upper = corners.min(axis=0) - margin, corners.max(axis=0) + margin + 1
    return tuple(slice(max(a, 0), b) for a, b in zip(lower.tolist(), upper.tolist(), strict=True))


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, nought without."""
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if float(f"{value:.{digits}f}") else text[1:]
