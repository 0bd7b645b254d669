"""The study: sequences on their own grids and the lesions outlined in them.

Geometry is kept by the SimpleITK images; physical space is LPS in mm. The *reference frame* is the patient
space of the reference sequence, where the lesions are outlined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError, printable
from LiverLesionAI.identity import UNKNOWN, Identity, frames_differ

ClinicalValue = str | float | bool | None


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
    study_uid, frame_of_reference
        StudyInstanceUID and FrameOfReferenceUID; empty where missing, which is equal to nothing.
    identity
        What tells patients apart, as digests.
    """

    series_uid: str
    files: tuple[Path, ...]
    frames: tuple[int, ...]
    study_uid: str = ""
    frame_of_reference: str = ""
    identity: Identity = UNKNOWN


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

    def lies_in_another_frame_than(self, other: SequenceImage) -> bool:
        """Whether both are known to have been scanned in different DICOM frames of reference.

        Then the scanner's positions of one say nothing of the other. What is not known differs from nothing.
        """
        mine, others = (each.dicom.frame_of_reference if each.dicom else "" for each in (self, other))
        return frames_differ(mine, others)


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
    clinical
        Clinical data of the patient by field, as they were given; empty where nothing is known.
    """

    id: str
    source: str
    images: Mapping[str, SequenceImage]
    lesions: sitk.Image | None = None
    outlines: Mapping[str, sitk.Image] = field(default_factory=lambda: MappingProxyType({}))
    reference: str = "T2WI"
    lesion_names: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    clinical: Mapping[str, ClinicalValue] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", printable(self.id))
        object.__setattr__(self, "source", printable(self.source))
        object.__setattr__(self, "warnings", tuple(map(printable, self.warnings)))

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
            raise StudyError(f"Study {self.id} has no segmented lesions; add lesions.nii.gz or give --mask.")
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


def is_finite(number: float) -> bool:
    """Whether a number, also a whole one of any size, is finite as a float."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def labels_in(lesions: sitk.Image) -> tuple[int, ...]:
    """Labels of a label image, ascending, without the background."""
    voxels = sitk.GetArrayViewFromImage(lesions)
    return tuple(np.unique(voxels[voxels != 0]).astype(int).tolist())
