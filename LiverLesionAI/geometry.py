"""Size and place of a segmented lesion, and whether a sequence shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import PatchError, StudyError
from LiverLesionAI.study import SequenceImage, Study


@dataclass(frozen=True)
class LesionGeometry:
    """Size and place of a lesion on the mask's own grid.

    Attributes
    ----------
    diameter_mm
        Longest axial diameter.
    volume_ml
        Volume of the mask in millilitres.
    centroid_lps_mm
        Centre of mass in the reference frame, LPS mm.
    box_index
        Lower and upper corner of the mask's box in continuous indices of the mask's grid, [x, y, z], whole
        voxels included (from the first voxel's − 0.5 to the last one's + 0.5).
    """

    diameter_mm: float
    volume_ml: float
    centroid_lps_mm: tuple[float, float, float]
    box_index: tuple[tuple[float, float, float], tuple[float, float, float]]


def axial_axis(image: sitk.Image) -> int:
    """Index axis (0 = x, 1 = y, 2 = z) of an image's grid that runs closest to the patient's long axis."""
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    return int(np.argmax(np.abs(direction[2])))


def lesion_geometry(lesions: sitk.Image, lesion_id: int) -> LesionGeometry:
    """Measure one lesion on the label image's grid.

    The diameter is the longest distance between edges of the mask in one axial slice, measured between the
    mid-points of the outer voxel faces, which for a large sphere is unbiased; a single voxel measures its
    longer in-plane side. An image in another orientation is measured in the planes of its grid that are
    closest to axial.

    Parameters
    ----------
    lesions
        Label image.
    lesion_id
        Label of the lesion.

    Returns
    -------
    LesionGeometry

    Raises
    ------
    StudyError
        If no voxel has that label.
    """
    voxels = _voxels(lesions, lesion_id)
    lower, upper = voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5
    x, y, z = lesions.TransformContinuousIndexToPhysicalPoint(voxels.mean(axis=0).tolist())
    voxel_ml = float(np.prod(lesions.GetSpacing())) / 1000
    return LesionGeometry(
        diameter_mm=_longest_axial_diameter(voxels, lesions),
        volume_ml=len(voxels) * voxel_ml,
        centroid_lps_mm=(x, y, z),
        box_index=(tuple(lower.tolist()), tuple(upper.tolist())),
    )


def largest_level(lesions: sitk.Image, lesion_id: int) -> tuple[int, int]:
    """Find the slice that shows a lesion's longest axial diameter.

    Returns
    -------
    axis : int
        The index axis that numbers the slices (0 = x, 1 = y, 2 = z).
    level : int
        The slice; the middle one of several in which the lesion is as long.

    Raises
    ------
    StudyError
        If no voxel has that label.
    """
    voxels = _voxels(lesions, lesion_id)
    diameters = _axial_diameters(voxels, lesions)
    longest = max(diameters.values())
    levels = [level for level, diameter in diameters.items() if diameter >= longest - 1e-6]
    return axial_axis(lesions), levels[len(levels) // 2]


def _voxels(lesions: sitk.Image, lesion_id: int) -> np.ndarray:
    """Indices of a lesion's voxels, ``[N, 3]``, x first; looked for in its box only, which is faster."""
    mask = sitk.GetArrayViewFromImage(lesions) == lesion_id
    levels = np.flatnonzero(mask.any(axis=(1, 2)))
    if len(levels) == 0:
        raise StudyError(f"The lesion mask has no voxel with label {lesion_id}.")
    z = slice(levels[0], levels[-1] + 1)
    plane = mask[z].any(axis=0)
    rows, columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    y, x = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    corner = np.array([z.start, y.start, x.start])
    return (np.argwhere(mask[z, y, x]) + corner)[:, ::-1]


def _longest_axial_diameter(voxels: np.ndarray, image: sitk.Image) -> float:
    return max(_axial_diameters(voxels, image).values())


def _axial_diameters(voxels: np.ndarray, image: sitk.Image) -> dict[int, float]:
    """Slice to the longest diameter that it shows, in mm."""
    from scipy.spatial import ConvexHull

    axis = axial_axis(image)
    in_plane = [a for a in range(3) if a != axis]
    spacing = np.asarray(image.GetSpacing())[in_plane]
    face_midpoints = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    diameters = {}
    sliced = voxels[np.argsort(voxels[:, axis], kind="stable")]
    levels, starts = np.unique(sliced[:, axis], return_index=True)
    for level, pixels in zip(levels, np.split(sliced[:, in_plane], starts[1:]), strict=True):
        edges = (_row_ends(pixels)[:, None, :] + face_midpoints).reshape(-1, 2) * spacing
        diameters[int(level)] = _farthest_pair(edges[ConvexHull(edges).vertices])
    return diameters


def _row_ends(pixels: np.ndarray) -> np.ndarray:
    """First and last pixel of each row and column: the longest diameter ends at two of them."""
    ends = []
    for a in (0, 1):
        order = np.lexsort((pixels[:, 1 - a], pixels[:, a]))
        rows = pixels[order]
        change = np.flatnonzero(np.diff(rows[:, a])) + 1
        first = np.concatenate([[0], change])
        last = np.concatenate([change - 1, [len(rows) - 1]])
        ends.append(rows[np.concatenate([first, last])])
    return np.unique(np.concatenate(ends), axis=0)


def _farthest_pair(points: np.ndarray) -> float:
    from scipy.spatial.distance import pdist

    return float(pdist(points).max())


def covers_lesion(image: SequenceImage, lesions: sitk.Image, geometry: LesionGeometry) -> bool:
    """Whether the centre of the lesion's box or its centroid lies within the sequence's field of view."""
    lower, upper = (np.asarray(corner) for corner in geometry.box_index)
    centre = lesions.TransformContinuousIndexToPhysicalPoint(((lower + upper) / 2).tolist())
    return any(_inside(image, point) for point in (centre, geometry.centroid_lps_mm))


@dataclass(frozen=True)
class Coverage:
    """Which sequences show a lesion.

    Attributes
    ----------
    present
        Of each sequence that was asked for, whether it is at hand and covers the lesion.
    warnings
        Those that are at hand and do not cover it.
    """

    present: tuple[bool, ...]
    warnings: tuple[str, ...]


def coverage(study: Study, lesion_id: int, geometry: LesionGeometry, sequences: Sequence[str]) -> Coverage:
    """Find out which sequences show a lesion.

    Parameters
    ----------
    study
        The study; its `lesions` must be set.
    lesion_id, geometry
        The lesion's label, and its size and place.
    sequences
        The sequences wanted.

    Raises
    ------
    StudyError
        If the study has no outlined lesions.
    PatchError
        If none of the sequences is at hand, or none shows it.
    """
    lesions = study.outlined_lesions
    images = [(name, study.images.get(name)) for name in sequences]
    if all(image is None for _, image in images):
        raise PatchError(
            f"Study {study.id} has none of the sequences that the model reads ({', '.join(sequences)}); "
            "choose another model."
        )
    present = tuple(image is not None and covers_lesion(image, lesions, geometry) for _, image in images)
    if not any(present):
        raise PatchError(
            f"{study.lesion_name(lesion_id)} of study {study.id} lies outside every sequence that the model "
            f"reads ({', '.join(sequences)}); check that mask and images belong together."
        )
    warnings = tuple(
        f"{name} does not cover {study.lesion_name(lesion_id)} and was left out"
        for (name, image), shows in zip(images, present, strict=True)
        if image is not None and not shows
    )
    return Coverage(present, warnings)


def _inside(image: SequenceImage, point_lps_mm: tuple[float, ...]) -> bool:
    if image.transform is not None:
        point_lps_mm = image.transform.TransformPoint(point_lps_mm)
    index = np.asarray(image.image.TransformPhysicalPointToContinuousIndex(point_lps_mm))
    return bool(np.all(index >= -0.5) and np.all(index <= np.asarray(image.image.GetSize()) - 0.5))
