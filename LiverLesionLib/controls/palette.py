"""Colours that can be read in Slicer's light style and in its dark one."""

from __future__ import annotations

from typing import Any

import qt

Colour = tuple[int, int, int]
"""sRGB in [0, 255]."""

_MIDDLE = 128


def is_dark(widget: Any) -> bool:
    """Whether a widget's background is dark."""
    return bool(widget.palette.color(qt.QPalette.Window).lightness() < _MIDDLE)


def text_on(colour: Colour) -> str:
    """Black or white, whichever stands out more from a colour (relative luminance of WCAG 2)."""
    red, green, blue = (_linear(channel / 255) for channel in colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
