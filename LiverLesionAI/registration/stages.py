"""The stages of a registration: shift, rigid, affine and B-spline, each refining what the one before found.

Metric: mutual information after Mattes et al., IEEE Trans Med Imaging 2003;22:120–128, as SimpleITK has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.registration.regions import Box

Kind = Literal["translation", "rigid", "affine", "bspline"]
STAGES: tuple[Kind, ...] = ("translation", "rigid", "affine", "bspline")

BINS = 24
SEED = 20210
FIRST_STEP_MM, LAST_STEP_MM = 2.0, 0.05
KNOT_SPACING_MM = 70.0
"""Distance of B-spline knots: breathing deforms the liver smoothly over several centimetres."""
_SPLINE_ORDER = 3


@dataclass(frozen=True)
class Effort:
    """How many samples the metric takes and how many iterations a stage may need."""

    linear_samples: int
    linear_iterations: int
    spline_samples: int
    spline_iterations: int

    @property
    def of_trial(self) -> Effort:
        """Enough to see whether a B-spline promises anything, at a sixth of the price."""
        samples, iterations = self.spline_samples // 3, self.spline_iterations // 2
        return replace(self, spline_samples=samples, spline_iterations=iterations)


QUICK = Effort(15_000, 40, 10_000, 6)
"""For the neighbourhood of lesions."""
THOROUGH = Effort(40_000, 80, 20_000, 20)
"""For whole volumes."""


@dataclass(frozen=True)
class Images:
    """What a stage works on.

    Attributes
    ----------
    box
        Box that the transform is for.
    fixed, moving
        Prepared images.
    mask
        Where samples are taken, on the grid of `fixed`; None is everywhere.
    effort
        Samples and iterations.
    """

    box: Box
    fixed: sitk.Image
    moving: sitk.Image
    mask: sitk.Image | None
    effort: Effort = QUICK


def refine(
    images: Images, kind: Kind, start: sitk.Transform, cancelled: Callable[[], bool] = lambda: False
) -> sitk.Transform:
    """Refine a transform by one stage.

    Parameters
    ----------
    images
        Images and region.
    kind
        The stage; it must be able to represent `start`, or to follow it (B-spline).
    start
        Linear transform, fixed frame to moving frame.
    cancelled
        Asked after each iteration; True stops the work.

    Returns
    -------
    SimpleITK.Transform
        Fixed frame to moving frame.

    Raises
    ------
    RuntimeError
        If the images do not overlap under the transform.
    """
    if kind == "bspline":
        return _refine_spline(images, start, cancelled)
    transform = _linear(kind, start, images.box.centre)
    method = _method(images, images.effort.linear_samples, cancelled)
    method.SetOptimizerAsRegularStepGradientDescent(
        FIRST_STEP_MM,
        LAST_STEP_MM,
        images.effort.linear_iterations,
        relaxationFactor=0.5,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(images.fixed, images.moving)
    return transform


def _refine_spline(images: Images, start: sitk.Transform, cancelled: Callable[[], bool]) -> sitk.Transform:
    mesh = np.maximum(np.round(images.box.size_mm / KNOT_SPACING_MM), 1).astype(int).tolist()
    spline = sitk.BSplineTransformInitializer(images.fixed, mesh, _SPLINE_ORDER)
    method = _method(images, images.effort.spline_samples, cancelled)
    method.SetOptimizerAsLBFGSB(
        gradientConvergenceTolerance=1e-5,
        numberOfIterations=images.effort.spline_iterations,
        maximumNumberOfCorrections=5,
        maximumNumberOfFunctionEvaluations=2 * images.effort.spline_iterations,
        costFunctionConvergenceFactor=1e9,
    )
    method.SetMovingInitialTransform(start)
    method.SetInitialTransform(spline, inPlace=True)
    method.Execute(images.fixed, images.moving)
    return sitk.CompositeTransform([_linear("affine", start, images.box.centre), _fading(spline)])


def _method(images: Images, samples: int, cancelled: Callable[[], bool]) -> sitk.ImageRegistrationMethod:
    """Seeded sampling: with one thread in ITK the same images give the same transform.

    The gradient filter of SimpleITK's default blurs by the coarsest spacing, which on thick slices leads the
    optimiser astray; the images are blurred to a common resolution already.
    """
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = samples / images.fixed.GetNumberOfPixels()
    method.SetMetricSamplingPercentage(min(share, 1.0), SEED)
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetInterpolator(sitk.sitkLinear)
    if images.mask is not None:
        method.SetMetricFixedMask(images.mask)
    method.AddCommand(sitk.sitkIterationEvent, lambda: method.Abort() if cancelled() else None)
    return method


def _linear(kind: Kind, start: sitk.Transform, centre: tuple[float, float, float]) -> sitk.Transform:
    """A linear transform as one of a richer kind, turning about a centre."""
    moved = np.asarray(start.TransformPoint(centre))
    shift = (moved - centre).tolist()
    if kind == "translation":
        return sitk.TranslationTransform(3, shift)
    matrix = matrix_of(start)
    if kind == "rigid":
        rigid = sitk.Euler3DTransform()
        rigid.SetCenter(centre)
        rigid.SetMatrix(matrix.ravel().tolist())
        rigid.SetTranslation(shift)
        return rigid
    return sitk.AffineTransform(matrix.ravel().tolist(), shift, centre)


def composed(outer: sitk.Transform, inner: sitk.Transform) -> sitk.Transform:
    """The transform that applies `inner` first and `outer` then; linear where both are."""
    if not (outer.IsLinear() and inner.IsLinear()):
        both = sitk.CompositeTransform([outer, inner])
        both.FlattenTransform()
        return both
    centre = (0.0, 0.0, 0.0)
    shift = outer.TransformPoint(inner.TransformPoint(centre))
    matrix = matrix_of(outer) @ matrix_of(inner)
    if np.allclose(matrix, np.eye(3), atol=1e-12):
        return sitk.TranslationTransform(3, shift)
    return sitk.AffineTransform(matrix.ravel().tolist(), shift, centre)


def matrix_of(transform: sitk.Transform) -> NDArray[np.float64]:
    """Matrix [3, 3] of a linear transform."""
    origin = (0.0, 0.0, 0.0)
    return np.stack([transform.TransformVector(unit, origin) for unit in np.eye(3).tolist()], axis=1)


def _fading(spline: sitk.BSplineTransform) -> sitk.BSplineTransform:
    """The same spline inside its domain, fading to zero around it instead of breaking off.

    Rings of zero coefficients are laid around the coefficients that there are: as many as a spline reaches.
    """
    rings = [_SPLINE_ORDER] * 3
    return sitk.BSplineTransform(
        [sitk.ConstantPad(image, rings, rings, 0.0) for image in spline.GetCoefficientImages()], _SPLINE_ORDER
    )
