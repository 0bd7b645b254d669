"""Stacks of images beyond the study's own: b-values, Dixon images, and what is no sequence of a model."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.phantom.acquisition import (
    draw_shading,
    noise_sigma,
    relaxation,
    sample,
    sample_positions,
    voxel_average,
)
from LiverLesionAI.phantom.fields import stream
from LiverLesionAI.phantom.generate import BODY_HIGH, BODY_LOW
from LiverLesionAI.phantom.protocol import B_VALUE, MR_SEQUENCES
from LiverLesionAI.phantom.signal import SpoiledGradientEcho, rician
from LiverLesionAI.phantom.truth import Truth

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
SAGITTAL = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""Direction cosines of a SimpleITK image, row by row: columns are the x, y and z index axes in LPS."""

SLAB_MM = 40.0
_LIVER_SIGNAL = 500.0
_LOCALISER = (3.0, 12.0)


def diffusion_weighted(dwi: sitk.Image, adc: sitk.Image, b: float) -> sitk.Image:
    """Image at another b-value (s/mm²) that fits the study's b = 800 image and ADC map (10⁻⁶ mm²/s).

    The decay is mono-exponential, as the phantom's is, so a fit over any two of the b-values gives the ADC
    map back within the rounding of the stored values. The noise is that of the b = 800 image.
    """
    exponent = (B_VALUE - b) * 1e-6 * _array(adc)
    return _like(dwi, _array(dwi) * np.exp(exponent))


def dixon(truth: Truth) -> dict[str, sitk.Image]:
    """In-phase, opposed-phase, water and fat images on the unenhanced T1-weighted grid.

    Water and fat are rendered separately, each with the residual shading of the study's own T1-weighted
    image, so that voxels that hold both lose signal in the opposed-phase image (the dark seam around organs).
    Dephasing between the two echoes is left out.
    """
    acquisition, grid = truth.mr_protocol.acquisitions["T1WI"], truth.grids["T1WI"]
    scene, pulse = truth.scene, acquisition.pulse
    assert isinstance(pulse, SpoiledGradientEcho)
    state = relaxation(scene.tissues, None, truth.mr_protocol)
    whole = SpoiledGradientEcho(pulse.tr_ms, pulse.te_ms, pulse.flip_deg, residual_fat=1.0).signal(state)
    gain = _LIVER_SIGNAL / whole[scene.liver]
    points = sample_positions(scene.grid, grid, truth.displacements["T1WI"])
    shading = draw_shading(stream(truth.seed, "shading"), MR_SEQUENCES, BODY_LOW, BODY_HIGH)["T1WI"]
    coil = np.exp(shading.on(grid))

    def rendered(signal: NDArray[np.float64]) -> NDArray[np.float32]:
        labels = (gain * scene.mixture @ signal).astype(np.float32)
        fine = np.take(labels, scene.labels) * scene.texture
        return coil * sample(voxel_average(fine, scene.grid, acquisition.resolution), points)

    water, fat = rendered(whole * (1 - state.fat)), rendered(whole * state.fat)
    parts = {"INPHASE": water + fat, "OUTPHASE": np.abs(water - fat), "water": water, "fat": fat}
    sigma = noise_sigma(acquisition)
    return {
        name: grid.image(_integer(rician(part, sigma, stream(truth.seed, "noise", "dixon", name))))
        for name, part in parts.items()
    }


def localiser(image: sitk.Image) -> tuple[sitk.Image, ...]:
    """Three coarse slices in each of the three main planes, all of one matrix."""
    in_plane, gap = _LOCALISER
    extent = max(np.multiply(image.GetSpacing(), image.GetSize())[:2])
    matrix = int(np.ceil(extent / in_plane))
    size, spacing = (matrix, matrix, 3), (in_plane, in_plane, gap)
    return tuple(_cut(image, direction, size, spacing) for direction in (CORONAL, SAGITTAL, AXIAL))


def coronal(image: sitk.Image, thickness_mm: float) -> sitk.Image:
    """Coronal reformat over the whole image, square pixels of its in-plane spacing."""
    spacing = image.GetSpacing()[0]
    x, y, z = np.multiply(image.GetSpacing(), image.GetSize())
    size = (round(x / spacing), round(z / spacing), max(int(y / thickness_mm), 1))
    return _cut(image, CORONAL, size, (spacing, spacing, thickness_mm))


def thick_slab(image: sitk.Image) -> sitk.Image:
    """Coronal maximum projection of the middle `SLAB_MM`, one slice, as a thick-slab MRCP looks."""
    step = SLAB_MM / 10
    spacing = image.GetSpacing()[0]
    x, _, z = np.multiply(image.GetSpacing(), image.GetSize())
    thin = _cut(image, CORONAL, (round(x / spacing), round(z / spacing), 10), (spacing, spacing, step))
    slab = sitk.MaximumProjection(thin, 2)
    centre = thin.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, 4.5))
    slab.SetOrigin(centre)
    slab.SetSpacing((spacing, spacing, SLAB_MM))
    slab.SetDirection(CORONAL)
    return slab


def subtraction(enhanced: sitk.Image, plain: sitk.Image) -> sitk.Image:
    """Enhancement: one phase minus the unenhanced image of the same grid, negative values cut off."""
    return _like(enhanced, np.maximum(_array(enhanced) - _array(plain), 0))


def _cut(
    image: sitk.Image,
    direction: tuple[float, ...],
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> sitk.Image:
    middle = [(n - 1) / 2 for n in image.GetSize()]
    centre = np.asarray(image.TransformContinuousIndexToPhysicalPoint(middle))
    half = (np.asarray(size) - 1) / 2 * np.asarray(spacing)
    origin = centre - np.asarray(direction).reshape(3, 3) @ half
    return sitk.Resample(
        image,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        spacing,
        direction,
        0.0,
        sitk.sitkInt16,
    )


def _array(image: sitk.Image) -> NDArray[np.float64]:
    return sitk.GetArrayViewFromImage(image).astype(np.float64)


def _integer(array: NDArray) -> NDArray[np.int16]:
    return np.clip(np.rint(array), 0, np.iinfo(np.int16).max).astype(np.int16)


def _like(image: sitk.Image, array: NDArray[np.float64]) -> sitk.Image:
    result = sitk.GetImageFromArray(_integer(array))
    result.CopyInformation(image)
    return result
