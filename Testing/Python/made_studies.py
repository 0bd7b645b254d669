"""Small made-up studies on oblique, flipped and different grids, and results to go with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import SimpleITK as sitk
from hypothesis import strategies as st

from LiverLesionAI.answers import TaskResult
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.results import LesionResult, ModelSummary, Provenance, StudyResult, StudySummary
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.taxonomy import taxonomy_named

RADIUS_MM = 14.0


def rigid(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform((10.0, -20.0, 5.0), *angles, shift)


def grid(
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
    direction: np.ndarray,
    centre: tuple[float, float, float],
    pixel: int = sitk.sitkFloat32,
) -> sitk.Image:
    """Empty image, centred on a point."""
    image = sitk.Image(size, pixel)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin((np.asarray(centre) - direction @ ((np.array(size) - 1) / 2 * spacing)).tolist())
    return image


def points_of(image: sitk.Image) -> np.ndarray:
    """Physical points of all voxels, [z, y, x, 3] in LPS mm."""
    direction = np.reshape(image.GetDirection(), (3, 3))
    index = np.stack(np.meshgrid(*map(np.arange, image.GetSize()), indexing="ij"), axis=-1)
    points = (index * image.GetSpacing()) @ direction.T + image.GetOrigin()
    return points.transpose(2, 1, 0, 3)


def misplacement(first: sitk.Image, second: sitk.Image) -> float:
    """Distance in mm between the corner voxels of two images, whichever way their index axes run."""
    away = np.linalg.norm(_corners(first)[:, None] - _corners(second)[None], axis=-1)
    return float(max(away.min(axis=0).max(), away.min(axis=1).max()))


def _corners(image: sitk.Image) -> np.ndarray:
    ends = product(*((0, size - 1) for size in image.GetSize()))
    return np.array([image.TransformIndexToPhysicalPoint(end) for end in ends])


def ball(
    image: sitk.Image, centre: tuple[float, float, float], transform: sitk.Transform | None = None
) -> np.ndarray:
    """Voxels of `image` within a ball whose centre `transform` carries there from the reference frame."""
    points = points_of(image)
    if transform is not None:
        centre = transform.TransformPoint(centre)
    return np.linalg.norm(points - np.asarray(centre), axis=-1) <= RADIUS_MM


def filled(image: sitk.Image, voxels: np.ndarray) -> sitk.Image:
    result = sitk.GetImageFromArray(voxels)
    result.CopyInformation(image)
    return result


CENTRES = ((-30.0, -10.0, 8.0), (25.0, 15.0, -12.0))


def made_study(
    direction: np.ndarray | None = None,
    centre: tuple[float, float, float] = (2.0, -5.0, 3.0),
    transform: sitk.Transform | None = None,
    study_id: str = "S1",
    seed: int = 0,
) -> Study:
    """Three sequences of two balls, LAP on another grid and displaced by `transform`, and their mask."""
    direction = np.eye(3) if direction is None else direction
    rng = np.random.default_rng(seed)
    frames = {
        "T2WI": grid((30, 26, 14), (4.0, 4.0, 6.0), direction, centre),
        "T1WI": grid((24, 24, 18), (5.0, 5.0, 5.0), direction, centre, sitk.sitkInt16),
        "LAP": grid((44, 40, 14), (3.0, 3.0, 6.5), direction[:, [1, 0, 2]] * [1, -1, 1], centre),
    }
    images = {}
    for name, frame in frames.items():
        way = transform if name == "LAP" else None
        voxels = rng.normal(100.0, 5.0, frame.GetSize()[::-1])
        for ball_centre in CENTRES:
            voxels[ball(frame, ball_centre, way)] += 100
        dtype = sitk.GetArrayViewFromImage(frame).dtype
        images[name] = SequenceImage(filled(frame, voxels.astype(dtype)), way)
    labels = np.zeros(frames["T2WI"].GetSize()[::-1], np.uint16)
    for label, ball_centre in enumerate(CENTRES, start=1):
        labels[ball(frames["T2WI"], ball_centre)] = label
    return Study(study_id, "made up", images, lesions=filled(frames["T2WI"], labels))


def answer(taxonomy: str, predicted: str, probability: float = 0.7, *, primary: bool = False) -> TaskResult:
    names = taxonomy_named(taxonomy).names
    rest = (1 - probability) / (len(names) - 1)
    probabilities = {name: probability if name == predicted else rest for name in names}
    return TaskResult(taxonomy, probabilities, predicted, dict.fromkeys(names, 0.01), primary)


def made_result(study: Study, classes: tuple[str | None, ...] = ("HCC", "cyst")) -> StudyResult:
    """A result that gives each lesion a class of W7, or no answer for None."""
    lesions = []
    for lesion_id, name in zip(study.lesion_ids, classes, strict=True):
        geometry = lesion_geometry(study.lesions, lesion_id)
        lesion = LesionResult(
            id=lesion_id,
            name=study.lesion_name(lesion_id),
            diameter_mm=geometry.diameter_mm,
            volume_ml=geometry.volume_ml,
            centroid_lps_mm=geometry.centroid_lps_mm,
            crop_mm=48.0,
            warnings=("The lesion lies at the edge.",) if name is None else (),
        )
        if name is not None:
            malignant = name in ("HCC", "ICC", "metastasis")
            tasks = {
                "malignancy": answer("binary", "malignant" if malignant else "benign", 0.9),
                "type": answer("W7", name, primary=True),
            }
            lesion = replace(lesion, tasks=tasks)
        lesions.append(lesion)
    return StudyResult(
        study=StudySummary(study.id, study.source, study.reference, study.sequences, ("DWI",)),
        models=(ModelSummary("wang2021-phantom", "0.1.0", "ab" * 32, "phantom", 5),),
        lesions=tuple(lesions),
        provenance=Provenance("LiverLesionAI", "2026-01-01T00:00:00Z", {"classify": 0.5}, "cpu", "fp32"),
        warnings=("Sequence DWI is missing.",),
    )


def same_image(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether two images have the same voxels in the same places, be their index axes flipped or not.

    Slicer makes index axes right-handed when it reads a file.
    """
    resampled = sitk.Resample(second, first, sitk.Transform(), sitk.sitkNearestNeighbor, -1.0)
    return same_voxels(first, resampled) and misplacement(first, second) <= 1e-9


def same_voxels(first: sitk.Image, second: sitk.Image) -> bool:
    return np.array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))


def same_study(first: Study, second: Study) -> None:
    """Assert that two studies hold the same, whatever they were read from."""
    assert (first.id, first.sequences, first.reference) == (second.id, second.sequences, second.reference)
    assert first.lesion_ids == second.lesion_ids
    assert dict(first.lesion_names) == dict(second.lesion_names)
    assert same_image(first.lesions, second.lesions)
    assert list(first.outlines) == list(second.outlines)
    for name, outline in first.outlines.items():
        assert same_image(outline, second.outlines[name])
    for name, image in first.images.items():
        other = second.images[name]
        assert same_image(image.image, other.image)
        assert image.image.GetPixelID() == other.image.GetPixelID()
        assert image.intensity_limits == other.intensity_limits
        assert (image.transform is None) == (other.transform is None)
        if image.transform is not None:
            for point in CENTRES:
                expected = image.transform.TransformPoint(point)
                assert np.allclose(other.transform.TransformPoint(point), expected, rtol=0, atol=1e-9)


def bspline(seed: int = 0) -> sitk.Transform:
    frame = grid((12, 12, 12), (25.0, 25.0, 25.0), np.eye(3), (0.0, 0.0, 0.0))
    transform = sitk.BSplineTransformInitializer(frame, (4, 4, 4))
    displacements = np.random.default_rng(seed).normal(0, 4, len(transform.GetParameters()))
    transform.SetParameters(displacements.tolist())
    return transform


def tilts(limit: int) -> st.SearchStrategy[tuple[float, float, float]]:
    """Three angles up to so many milliradians, in whole ones: ITK cannot invert cosines below 1e-290."""
    return st.tuples(*[st.integers(-limit, limit).map(lambda milliradians: milliradians / 1000)] * 3)


@st.composite
def directions(draw: st.DrawFn) -> np.ndarray:
    """Oblique direction matrices, their axes permuted and flipped, right- and left-handed."""
    rotation = np.reshape(rigid(draw(tilts(1500)), (0, 0, 0)).GetMatrix(), (3, 3))
    order = draw(st.permutations([0, 1, 2]))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    return rotation[:, order] * signs


centres = st.tuples(*[st.floats(-300, 300)] * 3)
rigid_transforms = st.builds(rigid, tilts(300), st.tuples(*[st.floats(-20, 20)] * 3))
