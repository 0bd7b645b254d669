"""The apparent diffusion coefficient from images of several b-values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.identify import Identified
from LiverLesionAI.readers.dicom.rules import is_computed_b

FEWEST_DIRECTIONS = 3
"""The mean over three orthogonal directions is that over all."""

LARGEST_ADC = 6000.0
"""10⁻⁶ mm²/s; free water at body temperature has about 3000."""


def series_for_adc(candidates: Iterable[Identified]) -> tuple[Identified, ...]:
    """Return the diffusion-weighted stacks from which an ADC map can be computed.

    Parameters
    ----------
    candidates
        Stacks of diffusion-weighted images.

    Returns
    -------
    tuple of Identified
        By ascending b-value, all of one protocol and grid; empty where there are not two b-values. Of a
        b-value it is the trace where there is one, else all single directions (three or more): one direction
        alone says nothing of the others. What is repeated is all taken. Among several such sets the one with
        most b-values is taken.
    """
    sets: dict[Hashable, dict[float, list[Identified]]] = defaultdict(lambda: defaultdict(list))
    for item in candidates:
        first = item.stack.first
        if first.b is None or is_computed_b(item.stack):
            continue
        places = tuple(round(frame.along or 0.0, 1) for frame in item.stack.frames)
        key = (first.plane, first.te, first.rows, first.columns, first.spacing, places)
        sets[key][first.b].append(item)
    usable = [
        {b: chosen for b, items in by_b.items() if (chosen := _whole_diffusion(items))}
        for by_b in sets.values()
    ]
    best = max(usable, key=len, default={})
    if len(best) < 2 or max(best) - min(best) < 100:
        return ()
    return tuple(item for b in sorted(best) for item in best[b])


def _whole_diffusion(items: list[Identified]) -> list[Identified]:
    """The stacks of one b-value that together have no direction; empty where there are too few of them."""
    traces = [item for item in items if not item.stack.first.directional]
    return traces or (items if len(items) >= FEWEST_DIRECTIONS else [])


def adc_map(images: Iterable[tuple[float, sitk.Image]]) -> sitk.Image:
    """Fit a mono-exponential decay to each voxel.

    The logarithm of the signal is fitted linearly over the b-values (least squares; exact for two).

    Parameters
    ----------
    images
        B-value in s/mm² and image, all on one grid; at least two different b-values, of which each may have
        several images (directions, repetitions), which count alike.

    Returns
    -------
    SimpleITK.Image
        In 10⁻⁶ mm²/s, as scanners store it, between 0 and 6000; 0 where there is no signal.

    Raises
    ------
    DicomError
        If the b-values are fewer than two different ones or the grids differ.
    """
    pairs = list(images)
    b = np.array([value for value, _ in pairs], float)
    if len(set(b)) < 2:
        raise DicomError("An ADC map needs images of at least two b-values.")
    grid = pairs[0][1]
    if any(not _same_grid(image, grid) for _, image in pairs):
        raise DicomError("The diffusion-weighted images lie on different grids; no ADC map can be computed.")
    centred = b - b.mean()
    slope = np.zeros(sitk.GetArrayViewFromImage(grid).shape, np.float64)
    signal = np.ones(slope.shape, bool)
    for weight, (_, image) in zip(centred, pairs, strict=True):
        voxels = sitk.GetArrayViewFromImage(image).astype(np.float64)
        signal &= voxels > 0
        slope += weight * np.log(np.maximum(voxels, 1e-6))
    adc = np.where(signal, -slope / (centred @ centred) * 1e6, 0.0)
    result = sitk.GetImageFromArray(np.clip(adc, 0.0, LARGEST_ADC).astype(np.float32))
    result.CopyInformation(grid)
    return result


def _same_grid(a: sitk.Image, b: sitk.Image) -> bool:
    return a.GetSize() == b.GetSize() and all(
        np.allclose(x, y, atol=1e-3)
        for x, y in (
            (a.GetOrigin(), b.GetOrigin()),
            (a.GetSpacing(), b.GetSpacing()),
            (a.GetDirection(), b.GetDirection()),
        )
    )
