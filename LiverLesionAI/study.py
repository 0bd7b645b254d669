"""The study: sequences on their own grids and the lesions outlined in them.

Geometry is kept by the SimpleITK images; physical space is LPS in mm. The *reference frame* is the patient
space of the reference sequence, where the lesions are outlined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError


@dataclass(frozen=True)
class DicomSource:
    """Where the slices of a sequence stand in DICOM.

    Attributes
    ----------
    series_uid
        SeriesInstanceUID.
    files
        The file of each slice, in the order of the image's z index; a multi-frame file is repeated.
    frames
        Number of each slice's frame in its file, counted from 1 as in DICOM.
    """

    series_uid: str
    files: tuple[Path, ...]
    frames: tuple[int, ...]


@dataclass(frozen=True)
class SequenceImage:
    """One sequence on its native grid.

    Attributes
    ----------
    image
        Scalar 3D image.
    transform
        Maps points of the reference frame to points of this sequence (LPS mm, SimpleITK's resampling
        direction). None where the sequence has not been registered: then the scanner's positions are trusted.
    intensity_limits
        Lower and upper intensity of the whole volume, where `image` is only a part of it. None where the
        image itself is the whole volume.
    dicom
        Where it came from, for images read from DICOM; None also for maps computed from several series.
    """

    image: sitk.Image
    transform: sitk.Transform | None = None
    intensity_limits: tuple[float, float] | None = None
    dicom: DicomSource | None = None


@dataclass(frozen=True)
class Study:
    """A multisequence liver study.

    Attributes
    ----------
    id
        Pseudonym, safe to print and store.
    source
        Where it was read from, in words, without the patient's identity.
    images
        Sequence name to image, in the order of :data:`LiverLesionAI.sequences.SEQUENCES`.
    lesions
        Label image in the reference frame, on any grid: 0 is background, 1…N are lesions. None where nothing
        has been outlined.
    outlines
        Label images drawn on single sequences, each in its sequence's own frame, with the same labels.
    reference
        The sequence whose frame is the reference frame.
    lesion_names
        Label to the name that a reader gave the lesion.
    warnings
        What was noticed on the way in.
    """

    id: str
    source: str
    images: Mapping[str, SequenceImage]
    lesions: sitk.Image | None = None
    outlines: Mapping[str, sitk.Image] = field(default_factory=lambda: MappingProxyType({}))
    reference: str = "T2WI"
    lesion_names: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()

    @property
    def sequences(self) -> tuple[str, ...]:
        """Names of the sequences at hand."""
        return tuple(self.images)

    @property
    def lesion_ids(self) -> tuple[int, ...]:
        """Labels of the lesions, ascending; empty where nothing is outlined."""
        if self.lesions is None:
            return ()
        return labels_in(self.lesions)

    @property
    def outlined_lesions(self) -> sitk.Image:
        """The label image of the lesions.

        Raises
        ------
        StudyError
            If nothing has been outlined.
        """
        if self.lesions is None:
            raise StudyError(f"Study {self.id} has no outlined lesions; add lesions.nii.gz or give --mask.")
        return self.lesions

    def lesion_name(self, lesion_id: int) -> str:
        """Name of a lesion: the reader's, else ``"lesion <id>"``."""
        return self.lesion_names.get(lesion_id, f"lesion {lesion_id}")

    def with_transforms(self, transforms: Mapping[str, sitk.Transform]) -> Study:
        """Return the study with registration transforms (reference frame to sequence, LPS mm).

        Raises
        ------
        StudyError
            If a transform is given for a sequence that the study lacks.
        """
        unknown = sorted(set(transforms) - set(self.images))
        if unknown:
            raise StudyError(f"Study {self.id} has no {', '.join(unknown)} to register.")
        images = {
            name: replace(image, transform=transforms.get(name, image.transform))
            for name, image in self.images.items()
        }
        return replace(self, images=images)


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


def labels_in(lesions: sitk.Image) -> tuple[int, ...]:
    """Labels of a label image, ascending, without the background."""
    return tuple(int(label) for label in np.unique(sitk.GetArrayViewFromImage(lesions)) if label != 0)


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
    mask = sitk.GetArrayViewFromImage(lesions) == lesion_id
    voxels = np.argwhere(mask)[:, ::-1]
    if len(voxels) == 0:
        raise StudyError(f"The lesion mask has no voxel with label {lesion_id}.")
    lower, upper = voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5
    x, y, z = lesions.TransformContinuousIndexToPhysicalPoint(voxels.mean(axis=0).tolist())
    voxel_ml = float(np.prod(lesions.GetSpacing())) / 1000
    return LesionGeometry(
        diameter_mm=_longest_axial_diameter(voxels, lesions),
        volume_ml=len(voxels) * voxel_ml,
        centroid_lps_mm=(x, y, z),
        box_index=(tuple(lower.tolist()), tuple(upper.tolist())),
    )


def _longest_axial_diameter(voxels: np.ndarray, image: sitk.Image) -> float:
    axis = axial_axis(image)
    in_plane = [a for a in range(3) if a != axis]
    spacing = np.asarray(image.GetSpacing())[in_plane]
    face_midpoints = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    longest = 0.0
    for level in np.unique(voxels[:, axis]):
        pixels = voxels[voxels[:, axis] == level][:, in_plane]
        edges = (_row_ends(pixels)[:, None, :] + face_midpoints).reshape(-1, 2) * spacing
        longest = max(longest, _farthest_pair(edges))
    return longest


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
