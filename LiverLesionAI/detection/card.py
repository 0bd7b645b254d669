"""What a detector's card says of its operating points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.bundles.metadata import Metric

_NAME = re.compile(r"(sensitivity|specificity) of slices from ([0-9.]+) on")


@dataclass(frozen=True)
class PointFigures:
    """Sensitivity and specificity of slices from a probability on."""

    point: float
    sensitivity: float
    specificity: float


def metric_name(figure: str, point: float) -> str:
    """Name of a figure at an operating point in a bundle's metadata."""
    return f"{figure} of slices from {point:g} on"


def nearest_figures(bundle: Bundle, point: float) -> PointFigures | None:
    """The figures of the operating point nearest to the one given; None where the card has none."""
    every = list(_points(bundle.spec.metrics))
    return min(every, key=lambda each: abs(each.point - point), default=None)


def _points(metrics: Sequence[Metric]) -> list[PointFigures]:
    found: dict[float, dict[str, float]] = {}
    for metric in metrics:
        if match := _NAME.fullmatch(metric.name):
            found.setdefault(float(match[2]), {})[match[1]] = metric.value
    return [
        PointFigures(point, each["sensitivity"], each["specificity"])
        for point, each in found.items()
        if len(each) == 2
    ]
