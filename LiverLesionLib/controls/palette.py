"""Colours that can be read in Slicer's light style and in its dark one."""

from __future__ import annotations

from typing import Any

import qt

Colour = tuple[int, int, int]
"""sRGB in [0, 255]."""

_MIDDLE = 128
_READABLE = 4.5
_PARTS = 50


def is_dark(widget: Any) -> bool:
    """Whether a widget's background is dark."""
    return bool(widget.palette.color(qt.QPalette.Window).lightness() < _MIDDLE)


def under_text(colour: Colour, dark: bool) -> Colour:
    """Make a colour as much lighter, or in dark style darker, as black, or white, letters on it need.

    They need the contrast of 4.5 : 1 that WCAG 2 (success criterion 1.4.3) asks for.
    """
    goal, letters = (0, 255) if dark else (255, 0)
    for part in range(_PARTS):
        share = part / _PARTS
        red, green, blue = (round(channel + share * (goal - channel)) for channel in colour)
        if contrast((red, green, blue), (letters,) * 3) >= _READABLE:
            return red, green, blue
    return (goal,) * 3


def contrast(one: Colour, other: Colour) -> float:
    """Contrast ratio of WCAG 2, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
