"""What a NIfTI file says of its geometry and its values before ITK reads it (NIfTI-1.1, nifti1.h).

ITK decides by the file's name whether it is compressed, takes one of two geometries without a word where they
differ, and fails on sheared axes without naming them.
"""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from LiverLesionAI.errors import StudyError

SUFFIXES = (".nii.gz", ".nii", ".hdr", ".img")
SHEAR_DEG = 0.006
"""ITK reads axes that are so far from right angles, and no more."""

_GZIP = b"\x1f\x8b"


def is_nifti(path: Path) -> bool:
    """Whether a file is named as NIfTI."""
    return path.name.lower().endswith(SUFFIXES)


@contextmanager
def rightly_named(path: Path) -> Iterator[Path]:
    """Give a file under a name that says whether it is compressed: itself, else a copy for the while."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        yield path
        return
    compressed = first_bytes(path, len(_GZIP)) == _GZIP
    if compressed == name.endswith(".gz"):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ("image.nii.gz" if compressed else "image.nii")
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            raise StudyError(f"{path} cannot be unpacked in {folder} ({error.strerror}).") from None
        yield copy


def first_bytes(path: Path, count: int) -> bytes:
    """Read the beginning of a file.

    Raises
    ------
    StudyError
        If it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); check its rights.") from None


def check_header(file: Path, path: Path) -> None:
    """Check that a file has one geometry with right angles, and real values.

    Parameters
    ----------
    file
        The file, rightly named.
    path
        Its name for messages.

    Raises
    ------
    StudyError
        If it cannot be read, is ANALYZE or NIfTI-2, has complex values, sheared axes, or an sform and a qform
        that place its corners more than a voxel apart.
    """
    other = {".hdr": ".img", ".img": ".hdr"}.get(path.suffix.lower())
    if other is not None and not path.with_suffix(other).is_file():
        half = path.with_suffix(other).name
        raise StudyError(
            f"{path} is one half of an image whose other half is not beside it; copy {half} along."
        )
    header = _loaded(file, path).header
    _check_kind(header, path)
    _check_position(header, path)
    if np.issubdtype(header.get_data_dtype(), np.complexfloating):
        raise StudyError(f"{path} has complex values; export the magnitude.")
    try:
        sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    except ValueError:
        raise StudyError(f"{path} gives a qform that is no rotation; save its geometry again.") from None
    if sform is not None and qform is not None:
        _check_agreement(sform, qform, header.get_data_shape(), path)
    elif sform is not None and (shear := _shear_deg(sform)) > SHEAR_DEG:
        raise StudyError(
            f"{path} has sheared axes, {shear:.3g}° from right angles; resample it on a right-angled grid."
        )


def stored_voxels(file: Path, path: Path) -> np.ndarray:
    """Voxels as the file has them: ITK silently completes a truncated file and turns its NaN into 0.

    Raises
    ------
    StudyError
        If the file is damaged.
    """
    if file.name.lower().endswith(".gz") and (voxels := _unpacked_voxels(file)) is not None:
        return voxels
    try:
        return np.asanyarray(_loaded(file, path).dataobj)
    except (OSError, EOFError, ValueError, OverflowError, zlib.error):
        raise _damaged(path) from None


def _unpacked_voxels(file: Path) -> np.ndarray | None:
    """Voxels as ISA-L unpacks them, in half of zlib's time; None where it does not, and zlib has to judge."""
    import nibabel
    from isal import igzip

    with suppress(Exception), file.open("rb") as packed, igzip.IGzipFile(fileobj=packed, mode="rb") as stream:
        return np.asanyarray(nibabel.Nifti1Image.from_stream(stream).dataobj)
    return None


def _loaded(file: Path, path: Path) -> Any:
    import nibabel

    try:
        return nibabel.load(file)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError):
        raise StudyError(f"{path} cannot be read as an image (no NIfTI header); export it again.") from None
    except (OSError, EOFError, ValueError, zlib.error):
        raise _damaged(path) from None


def _damaged(path: Path) -> StudyError:
    return StudyError(f"{path} is damaged or cut short; copy or export it again.")


def _check_kind(header: Any, path: Path) -> None:
    import nibabel

    if isinstance(header, nibabel.Nifti2Header):
        raise StudyError(f"{path} is a NIfTI-2 file; convert it to NIfTI-1.")
    if not isinstance(header, nibabel.Nifti1Header):
        raise StudyError(
            f"{path} is an ANALYZE file, which does not say where left is; convert the original to NIfTI."
        )


def _check_position(header: Any, path: Path) -> None:
    """Refuse a header without finite position, in whose place ITK puts another without a word."""
    position = [*header["pixdim"][1:4]]
    if header["qform_code"]:
        position += [header[f"quatern_{axis}"] for axis in "bcd"]
        position += [header[f"qoffset_{axis}"] for axis in "xyz"]
    if header["sform_code"]:
        position += [value for axis in "xyz" for value in header[f"srow_{axis}"]]
    if not np.isfinite(position).all():
        raise StudyError(f"{path} has a position that is not a number (NaN or infinite); export it again.")


def _check_agreement(sform: np.ndarray, qform: np.ndarray, shape: tuple[int, ...], path: Path) -> None:
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array((*shape, 1, 1, 1)[:3]) - 1)
    apart = corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]
    voxel = np.linalg.norm(qform[:3, :3], axis=0)
    worst = float(np.linalg.norm(apart, axis=1).max() / voxel.min())
    if not worst <= 1.0:
        raise StudyError(
            f"{path} has two geometries: its sform and its qform place it {worst:.0f} voxels apart; save it "
            "with the right one alone."
        )


def _shear_deg(affine: np.ndarray) -> float:
    """How far the axes of an affine are from right angles."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(lengths).all() and lengths.all()):
        return 90.0
    axes = affine[:3, :3] / lengths
    cosines = np.abs(axes.T @ axes - np.eye(3)).max()
    return float(np.degrees(np.arcsin(min(cosines, 1.0))))
