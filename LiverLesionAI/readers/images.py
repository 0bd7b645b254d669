"""Reading one image file, with every check that a study needs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.finite import NO_PLACE, finite_place, finite_voxels, spans_something
from LiverLesionAI.readers import nifti
from LiverLesionAI.readers.claims import check_claims
from LiverLesionAI.readers.native import native_messages_logged, native_path, refuse_memory_short

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", ".mhd", ".hdr")
"""The longer of two that end alike comes first. ``.raw`` and ``.img`` are read through their headers."""

UNREAD_SUFFIXES = (
    *(".nhdr", ".nii.bz2", ".nii.zst", ".nii.xz", ".mgz", ".mgh", ".mnc", ".mif", ".gipl", ".vtk", ".vti"),
    *(".hdf5", ".h5", ".npy", ".npz", ".mat", ".tif", ".tiff", ".dcm"),
)
"""Of images that other programs write."""

SMALLEST_VOXEL_MM, LARGEST_VOXEL_MM = 0.01, 100.0
"""No scanner of patients makes smaller or larger ones: the unit of length is another."""

_HEADER_BYTES = 65_536
_DATA_FILE = re.compile(r"^(?:ElementDataFile\s*=|data ?file:)\s*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)

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
        A ``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha``, ``.mhd`` or NIfTI ``.hdr`` file.

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


def labels_of(image: sitk.Image, path: Path) -> sitk.Image:
    """Return an image of whole numbers as labels: 0 is background, 1…N are lesions.

    Parameters
    ----------
    image
        Scalar image of integers or of floats that are whole numbers.
    path
        Its file, for messages.

    Returns
    -------
    SimpleITK.Image
        Label image of unsigned 16-bit integers.

    Raises
    ------
    StudyError
        If it is no image of labels, or no voxel is labelled.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    if not np.array_equal(voxels, np.round(voxels)):
        raise StudyError(f"{path} is no lesion mask: it has values that are not whole numbers.")
    if voxels.min() < 0 or voxels.max() > np.iinfo(np.uint16).max:
        raise StudyError(f"{path} is no lesion mask: its labels must lie between 0 and 65535.")
    if not voxels.any():
        raise StudyError(f"{path} is an empty lesion mask, no voxel is labelled; segment a lesion.")
    return sitk.Cast(image, sitk.sitkUInt16)


def read_voxels(path: Path) -> sitk.Image:
    """Read a 3D image of any number of components, without a look at its values.

    Raises
    ------
    StudyError
        If it cannot be read or has no usable geometry.
    """
    if not path.is_file():
        raise StudyError(f"{path} does not exist or is no file.")
    check_claims(path)
    with nifti.rightly_named(path) as file:
        if nifti.is_nifti(path):
            nifti.check_header(file, path)
        else:
            _check_data_file(path)
        image = _read_by_itk(file, path)
        _check_grid(image, path)
        stored = [nifti.stored_voxels(file, path)] if nifti.is_nifti(path) else []
        if not all(map(finite_voxels, (sitk.GetArrayViewFromImage(image), *stored))):
            raise StudyError(f"{path} has voxels that are not numbers (NaN or infinite); export it again.")
    return image


def _check_grid(image: sitk.Image, path: Path) -> None:
    if image.GetDimension() != 3:
        found = image.GetDimension()
        raise StudyError(f"{path} has {found} dimensions; a sequence or mask has 3: split or convert it.")
    if 0 in image.GetSize() or min(image.GetSpacing()) <= 0:
        raise StudyError(f"{path} has no extent: size {image.GetSize()}, spacing {image.GetSpacing()} mm.")
    if min(image.GetSpacing()) < SMALLEST_VOXEL_MM or max(image.GetSpacing()) > LARGEST_VOXEL_MM:
        sides = " × ".join(f"{side:g}" for side in image.GetSpacing())
        raise StudyError(
            f"{path} has voxels of {sides} mm; mend the unit of length in its header (NIfTI: xyzt_units)."
        )
    if not finite_place(image):
        raise StudyError(f"{path} has {NO_PLACE}; export it again.")
    if "complex" in image.GetPixelIDTypeAsString():
        raise StudyError(f"{path} has complex values; export the magnitude.")


def _read_3d(path: Path) -> sitk.Image:
    image = read_voxels(path)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise StudyError(f"{path} is a colour or vector image; a sequence or mask has one value per voxel.")
    return image


def _read_by_itk(file: Path, path: Path) -> sitk.Image:
    try:
        with native_path(file) as name, native_messages_logged():
            return sitk.ReadImage(name)
    except RuntimeError as error:
        refuse_memory_short(error, path)
        raise StudyError(f"{path} cannot be read as an image ({_reason(error)}); export it again.") from None


def _check_data_file(path: Path) -> None:
    """Check that the voxels of a MetaImage or NRRD header lie in it or beside it, nowhere else."""
    header = nifti.first_bytes(path, _HEADER_BYTES).decode("latin-1").replace("\r", "").split("\n\n")[0]
    field = _DATA_FILE.search(header)
    if field is None or field[1] == "LOCAL":
        return
    if Path(field[1]).name != field[1] or not (path.parent / field[1]).is_file():
        raise StudyError(f"{path} is a header whose voxels are not beside it; copy their file along.")


def _reason(error: RuntimeError) -> str:
    """The last sentence of an ITK exception, which says why; MetaImage's is the system's last error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else "unknown reason"
    return "damaged or cut short" if last.startswith("Reason:") else last.rstrip(".!")
