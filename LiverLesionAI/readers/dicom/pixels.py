"""The stored pixels of slices, whatever the transfer syntax.

pydicom decodes what it has a decoder for, else SimpleITK's GDCM does (JPEG lossless, JPEG-LS, JPEG 2000).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import DicomError, LiverLesionError
from LiverLesionAI.limits import BYTES_PER_VOXEL, MAX_VOXELS, check_memory
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.readers.native import native_messages_logged, native_path, refuse_memory_short

if TYPE_CHECKING:
    from pydicom import Dataset


def pixels_of(frames: Sequence[Frame]) -> list[np.ndarray]:
    """Read slices with rescale slope and intercept applied.

    Parameters
    ----------
    frames
        Slices, in any order, of any number of files; each file is opened once.

    Returns
    -------
    list of numpy.ndarray
        An array ``[y, x]`` for each slice; float32 where values are rescaled by other than whole numbers.

    Raises
    ------
    DicomError
        If a file is cut short, damaged, or compressed in a way that nothing here decodes.
    """
    voxels = sum((frame.rows or 0) * (frame.columns or 0) for frame in frames)
    if voxels > MAX_VOXELS:
        raise DicomError(
            f"{frames[0].file} belongs to a series of more than {MAX_VOXELS} voxels; leave it out."
        )
    check_memory(voxels * BYTES_PER_VOXEL, f"The series of {frames[0].file}")
    by_file: dict[Path, list[int]] = {}
    for index, frame in enumerate(frames):
        by_file.setdefault(frame.file, []).append(index)
    found: dict[int, np.ndarray] = {}
    for file, indices in by_file.items():
        found.update(zip(indices, _read(file, [frames[index] for index in indices]), strict=True))
    return [found[index] for index in range(len(frames))]


def _read(file: Path, frames: list[Frame]) -> list[np.ndarray]:
    """Rescaled pixels of some frames of one file."""
    try:
        pixels = _by_pydicom(file, frames)
    except (NotImplementedError, RuntimeError) as error:
        refuse_memory_short(error, file)
        pixels = _by_gdcm(file, frames)
    except LiverLesionError:
        raise
    except Exception as error:
        refuse_memory_short(error, file)
        raise _damaged(file, error) from None
    if any(found.shape != (frame.rows, frame.columns) for found, frame in zip(pixels, frames, strict=True)):
        raise DicomError(f"{file} has other pixels than its header says; export it again.")
    return [_compact(found) for found in pixels]


def _by_pydicom(file: Path, frames: list[Frame]) -> list[np.ndarray]:
    from pydicom.pixels import pixel_array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = open_dicom(file)
        if "TransferSyntaxUID" not in dataset.file_meta:
            _assume_uncompressed(dataset)
        _check_length(dataset, file)
        multiple = int(dataset.get("NumberOfFrames") or 1) > 1
        return [
            _rescaled(pixel_array(dataset, index=frame.number - 1 if multiple else None), frame)
            for frame in frames
        ]


def _rescaled(pixels: np.ndarray, frame: Frame) -> np.ndarray:
    slope, intercept = frame.rescale
    return pixels if (slope, intercept) == (1.0, 0.0) else pixels * slope + intercept


def _assume_uncompressed(dataset: Dataset) -> None:
    """Objects without file meta information are implicit little endian (DICOM PS3.5, A.1) or as read."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit = dataset.original_encoding[0]
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _check_length(dataset: Dataset, file: Path) -> None:
    """Uncompressed pixels have a known length; what is shorter was cut off."""
    if "PixelData" not in dataset:
        raise DicomError(f"{file} has no pixel data; copy or export the series again.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1) * frames
    expected = samples * int(dataset.BitsAllocated) // 8
    if len(dataset.PixelData) < expected:
        found = len(dataset.PixelData)
        raise DicomError(f"{file} is cut short ({found} of {expected} bytes of pixels); copy it again.")


def _by_gdcm(file: Path, frames: list[Frame]) -> list[np.ndarray]:
    """GDCM rescales by itself."""
    try:
        with native_path(file) as name, native_messages_logged():
            voxels = sitk.GetArrayFromImage(sitk.ReadImage(name, imageIO="GDCMImageIO"))
    except RuntimeError as error:
        refuse_memory_short(error, file)
        raise _damaged(file, error) from None
    if voxels.ndim != 3 or max(frame.number for frame in frames) > len(voxels):
        raise DicomError(f"{file} holds other frames than its header says; export it again.")
    return [voxels[frame.number - 1] for frame in frames]


def _compact(pixels: np.ndarray) -> np.ndarray:
    """Whole numbers as 16 bit where they fit, everything else as float32."""
    if pixels.dtype in (np.int16, np.uint16):
        return pixels
    if np.issubdtype(pixels.dtype, np.floating) and not np.array_equal(pixels, np.round(pixels)):
        return pixels.astype(np.float32)
    fits = pixels.size and pixels.min() >= -32768 and pixels.max() <= 32767
    return pixels.astype(np.int16) if fits else pixels.astype(np.float32)


def _damaged(file: Path, error: Exception) -> DicomError:
    reason = (
        str(error).strip().splitlines()[-1][:160].rstrip(".") if str(error).strip() else type(error).__name__
    )
    return DicomError(f"{file} cannot be decoded ({reason}); copy or export it again.")
