"""A picture in a figure, pixel for pixel; needs matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from numpy.typing import NDArray


class Picture(Artist):
    """A picture that fills the axes it is added to with its pixels as they are, behind everything else.

    ``imshow`` would sample it anew, colours and opacity each, longer than all that is drawn on it takes.

    Parameters
    ----------
    colours
        ``[y, x, 3]``, the first row being the uppermost; as many as the axes have at the figure's resolution.
    """

    def __init__(self, colours: NDArray[np.uint8]) -> None:
        super().__init__()
        opaque = np.full((*colours.shape[:2], 1), 255, np.uint8)
        self.colours = colours
        self._pixels = np.concatenate([colours, opaque], axis=2)[::-1]

    def draw(self, renderer: Any) -> None:
        """Draw it where the axes lie."""
        graphics = renderer.new_gc()
        assert self.axes is not None
        renderer.draw_image(graphics, *np.round(self.axes.bbox.p0), self._pixels)
        graphics.restore()
        self.stale = False
