"""Images that another program loaded from DICOM are traced to their instances."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantoms import phantom, study_from_dicom

from LiverLesionAI.errors import DicomError
from LiverLesionAI.phantom.dicom import write_dicom_study
from LiverLesionAI.readers.dicom.instances import source_of
from LiverLesionAI.study import SequenceImage


@pytest.fixture(scope="module", params=[("siemens", "separate"), ("philips", "enhanced")], ids="-".join)
def sequence(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SequenceImage:
    """T2WI of a phantom, read from DICOM."""
    vendor, layout = request.param
    root = tmp_path_factory.mktemp(vendor)
    write_dicom_study(phantom(), root, vendor=vendor, layout=layout, distractors=False)
    return study_from_dicom(root, vendor, layout).images["T2WI"]


def _shuffled(files: tuple[Path, ...]) -> list[Path]:
    mixed = list(files)
    random.Random(1).shuffle(mixed)
    return mixed


def test_every_slice_is_found(sequence: SequenceImage) -> None:
    found = source_of(sequence.image, _shuffled(sequence.dicom.files))
    assert (found.series_uid, found.files, found.frames) == (
        sequence.dicom.series_uid,
        sequence.dicom.files,
        sequence.dicom.frames,
    )


def test_slices_may_run_the_other_way(sequence: SequenceImage) -> None:
    """Slicer's index axes are right-handed: they may count the slices from the other end."""
    voxels = sitk.GetArrayFromImage(sequence.image)[::-1].copy()
    flipped = sitk.GetImageFromArray(voxels)
    flipped.SetSpacing(sequence.image.GetSpacing())
    axes = np.reshape(sequence.image.GetDirection(), (3, 3)) * (1, 1, -1)
    flipped.SetDirection(axes.ravel().tolist())
    last = sequence.image.GetDepth() - 1
    flipped.SetOrigin(sequence.image.TransformIndexToPhysicalPoint((0, 0, last)))
    found = source_of(flipped, sequence.dicom.files)
    assert found.files == sequence.dicom.files[::-1]
    assert found.frames == sequence.dicom.frames[::-1]


def test_what_is_not_the_series_is_refused(sequence: SequenceImage) -> None:
    image, files = sequence.image, sequence.dicom.files
    cut = image[:-1, :, :]
    with pytest.raises(DicomError, match="no slice of the image"):
        source_of(cut, files)
    moved = sitk.Image(image)
    moved.SetOrigin([value + 1.0 for value in image.GetOrigin()])
    with pytest.raises(DicomError, match="no slice of the image"):
        source_of(moved, files)
    with pytest.raises(DicomError, match=f"files of {image.GetDepth()} of"):
        source_of(image, [])
    with pytest.raises(DicomError, match="cannot be read"):
        source_of(image, [files[0].with_name("gone.dcm")])


def test_a_missing_file_is_counted(sequence: SequenceImage) -> None:
    gone = sequence.dicom.files[0]
    left = [file for file in sequence.dicom.files if file != gone]
    with pytest.raises(DicomError, match=f"files of {sequence.dicom.files.count(gone)} of"):
        source_of(sequence.image, left)
