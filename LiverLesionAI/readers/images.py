"""Reading one image file, with every check that a study needs."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.finite import finite_place, finite_voxels, spans_something
from LiverLesionAI.readers.claims import check_claims
from LiverLesionAI.readers.native import native_messages_logged, native_path, refuse_memory_short

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def image_stem(path: Path) -> str | None:
    """File name without an image suffix; None where the file is no image."""
    name = path.name
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return None


def read_sequence_image(path: Path) -> sitk.Image:
    """Read one sequence.

    Parameters
    ----------
    path
        A ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha`` file.

    Returns
    -------
    SimpleITK.Image
        A scalar 3D image with finite, not everywhere equal intensities.

    Raises
    ------
    StudyError
        If the file cannot be read as such an image.
    """
    image = _read_3d(path)
    voxels = sitk.GetArrayViewFromImage(image)
    if not spans_something(voxels.min(), voxels.max()):
        value = f"{voxels.flat[0]:g}"
        raise StudyError(f"{path} has the same value ({value}) everywhere; export it again or remove it.")
    return image


def read_label_image(path: Path) -> sitk.Image:
    """Read a lesion mask: 0 is background, 1…N are lesions.

    Parameters
    ----------
    path
        A ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha`` file, of integers or of floats that are whole numbers.

    Returns
    -------
    SimpleITK.Image
        Label image of unsigned 16-bit integers.

    Raises
    ------
    StudyError
        If the file is no 3D image of labels, or no voxel is labelled.
    """
    image = _read_3d(path)
    voxels = sitk.GetArrayViewFromImage(image)
    if not np.array_equal(voxels, np.round(voxels)):
        raise StudyError(f"{path} is no lesion mask: it has values that are not whole numbers.")
    if voxels.min() < 0 or voxels.max() > np.iinfo(np.uint16).max:
        raise StudyError(f"{path} is no lesion mask: its labels must lie between 0 and 65535.")
    if not voxels.any():
        raise StudyError(f"{path} is an empty lesion mask, no voxel is labelled; segment a lesion.")
    return sitk.Cast(image, sitk.sitkUInt16)


def _read_3d(path: Path) -> sitk.Image:
    if not path.is_file():
        raise StudyError(f"{path} does not exist or is no file.")
    check_claims(path)
    try:
        with native_path(path) as name, native_messages_logged():
            image = sitk.ReadImage(name)
    except RuntimeError as error:
        refuse_memory_short(error, path)
        raise StudyError(f"{path} cannot be read as an image ({_reason(error)}); export it again.") from None
    if image.GetDimension() != 3:
        found = image.GetDimension()
        raise StudyError(f"{path} has {found} dimensions; a sequence or mask has 3: split or convert it.")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise StudyError(f"{path} is a colour or vector image; a sequence or mask has one value per voxel.")
    if 0 in image.GetSize() or min(image.GetSpacing()) <= 0:
        raise StudyError(f"{path} has no extent: size {image.GetSize()}, spacing {image.GetSpacing()} mm.")
    if not finite_place(image):
        raise StudyError(f"{path} has a position that is not a number (NaN or infinite); export it again.")
    if not all(map(finite_voxels, (sitk.GetArrayViewFromImage(image), _stored_voxels(path, image)))):
        raise StudyError(f"{path} has voxels that are not numbers (NaN or infinite); export it again.")
    return image


def _stored_voxels(path: Path, image: sitk.Image) -> np.ndarray:
    """Voxels as the file has them: ITK silently completes a truncated NIfTI file and turns its NaN into 0."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return sitk.GetArrayViewFromImage(image)
    import nibabel

    try:
        stored = nibabel.load(path)
        _check_header(path, stored.header)
        return np.asanyarray(stored.dataobj)  # type: ignore[attr-defined]
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError):
        raise StudyError(f"{path} is damaged or cut short; copy or export it again.") from None


def _check_header(path: Path, header: Any) -> None:
    """Refuse a NIfTI header without finite position, in whose place ITK puts another without a word."""
    position = [*header["pixdim"][1:4]]
    if header["qform_code"]:
        position += [header[f"quatern_{axis}"] for axis in "bcd"] + [
            header[f"qoffset_{axis}"] for axis in "xyz"
        ]
    if header["sform_code"]:
        position += [value for axis in "xyz" for value in header[f"srow_{axis}"]]
    if not np.isfinite(position).all():
        raise StudyError(f"{path} has a position that is not a number (NaN or infinite); export it again.")


def _reason(error: RuntimeError) -> str:
    """The last sentence of an ITK exception, which is the one that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else "unknown reason").rstrip(".!")
