"""The stored pixels of slices, whatever the transfer syntax.

pydicom decodes what it has a decoder for, else SimpleITK's GDCM does (JPEG lossless, JPEG-LS, JPEG 2000).

Pixel padding (DICOM PS3.3 C.7.5.1.1.2) is no signal: where it lies beyond all other values of the slices it
becomes the closest of them, the lowest, so that it does not stretch the range of intensities. MONOCHROME1
(C.7.6.3.1.2) shows low values bright: its values are turned round within their range, but for Hounsfield
units, which are the same however they are shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import DicomError, LiverLesionError
from LiverLesionAI.limits import BYTES_PER_VOXEL, MAX_VOXELS, check_memory
from LiverLesionAI.readers.dicom.headers import Frame, whole
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.readers.native import native_messages_logged, native_path, refuse_memory_short

if TYPE_CHECKING:
    from pydicom import Dataset

INVERTED = "MONOCHROME1"


@dataclass(frozen=True)
class _Slice:
    """Rescaled pixels, and which of them are padding; None where the object has no padding value."""

    pixels: np.ndarray
    padding: np.ndarray | None


def is_turned_round(frame: Frame) -> bool:
    """Whether a slice's values are stored the wrong way round."""
    return frame.photometric == INVERTED and frame.modality != "CT"


def pixels_of(frames: Sequence[Frame]) -> list[np.ndarray]:
    """Read slices with rescale slope and intercept applied, padding taken out and high values bright.

    Parameters
    ----------
    frames
        Slices of one image, in any order, of any number of files; each file is opened once.

    Returns
    -------
    list of numpy.ndarray
        An array ``[y, x]`` for each slice; float32 where values are rescaled by other than whole numbers.

    Raises
    ------
    DicomError
        If a file is cut short, damaged, or compressed in a way that nothing here decodes, or if only some
        slices are stored the wrong way round.
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
    found: dict[int, _Slice] = {}
    for file, indices in by_file.items():
        found.update(zip(indices, _read(file, [frames[index] for index in indices]), strict=True))
    slices = [found[index] for index in range(len(frames))]
    turned = {is_turned_round(frame) for frame in frames}
    if len(turned) > 1:
        other = next(f.file for f in frames if is_turned_round(f) != is_turned_round(frames[0]))
        raise DicomError(f"{other} shows high values dark, other slices of its series bright: it is mixed.")
    return [_compact(pixels) for pixels in _bright(slices, turned == {True})]


def _bright(slices: list[_Slice], turned: bool) -> list[np.ndarray]:
    """Pixels of the slices of one image, turned round if asked for, and padding as dark as the darkest."""
    if not turned and all(each.padding is None or not each.padding.any() for each in slices):
        return [each.pixels for each in slices]
    signal = [each.pixels if each.padding is None else each.pixels[~each.padding] for each in slices]
    signal = [pixels for pixels in signal if pixels.size]
    if not signal:
        return [each.pixels for each in slices]
    lowest, highest = min(p.min() for p in signal), max(p.max() for p in signal)
    bright = []
    for each in slices:
        pixels = lowest + (highest - each.pixels.astype(np.float64)) if turned else each.pixels
        beyond = (each.pixels < lowest) | (each.pixels > highest)
        if beyond.any():
            pixels = np.where(beyond, lowest, pixels)
        bright.append(pixels)
    return bright


def _read(file: Path, frames: list[Frame]) -> list[_Slice]:
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
    expected = [(frame.rows, frame.columns) for frame in frames]
    if [found.pixels.shape for found in pixels] != expected:
        raise DicomError(f"{file} has other pixels than its header says; export it again.")
    return pixels


def _by_pydicom(file: Path, frames: list[Frame]) -> list[_Slice]:
    from pydicom.pixels import pixel_array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = open_dicom(file)
        if "TransferSyntaxUID" not in dataset.file_meta:
            _assume_uncompressed(dataset)
        _check_length(dataset, file)
        multiple = int(dataset.get("NumberOfFrames") or 1) > 1
        padding = _padding_range(dataset)
        stored = [pixel_array(dataset, index=frame.number - 1 if multiple else None) for frame in frames]
        return [
            _Slice(_rescaled(pixels, frame), _within(pixels, padding))
            for pixels, frame in zip(stored, frames, strict=True)
        ]


def _sum_of_ends(header: Dataset) -> int:
    """Lowest and highest value that can be stored, added up: the sum of a value and the one turned round."""
    return -1 if header.get("PixelRepresentation") == 1 else (1 << int(header.get("BitsStored") or 16)) - 1


def _padding_range(dataset: Dataset) -> tuple[int, int] | None:
    """Stored values from PixelPaddingValue to PixelPaddingRangeLimit, as signed as the pixels are."""
    value = whole(dataset.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = whole(dataset.get("PixelPaddingRangeLimit"))
    ends = [_as_stored(end, dataset) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(value: int, dataset: Dataset) -> int:
    """A value that was written with the wrong sign, as some programs write it."""
    bits = int(dataset.get("BitsAllocated") or 16)
    value %= 1 << bits
    signed = dataset.get("PixelRepresentation") == 1
    return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value


def _within(pixels: np.ndarray, span: tuple[float, float] | None) -> np.ndarray | None:
    return None if span is None else (pixels >= span[0]) & (pixels <= span[1])


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


def _by_gdcm(file: Path, frames: list[Frame]) -> list[_Slice]:
    """GDCM rescales and turns MONOCHROME1 round by itself: the padding value follows, the turn is undone."""
    try:
        with native_path(file) as name, native_messages_logged():
            voxels = sitk.GetArrayFromImage(sitk.ReadImage(name, imageIO="GDCMImageIO"))
    except RuntimeError as error:
        refuse_memory_short(error, file)
        raise _damaged(file, error) from None
    if voxels.ndim != 3 or max(frame.number for frame in frames) > len(voxels):
        raise DicomError(f"{file} holds other frames than its header says; export it again.")
    header = open_dicom(file, stop_before_pixels=True)
    padding = _padding_range(header)
    slices = []
    for frame in frames:
        slope, intercept = frame.rescale
        ends = None if padding is None else [end * slope + intercept for end in padding]
        pixels = voxels[frame.number - 1]
        if frame.photometric == INVERTED:
            pixels = _sum_of_ends(header) * slope + 2 * intercept - pixels.astype(np.float64)
        slices.append(_Slice(pixels, _within(pixels, None if ends is None else (min(ends), max(ends)))))
    return slices


def _compact(pixels: np.ndarray) -> np.ndarray:
    """Whole numbers as 16 bit where they fit, everything else as float32; what is too large is infinite."""
    if pixels.dtype in (np.int16, np.uint16):
        return pixels
    is_whole = not np.issubdtype(pixels.dtype, np.floating) or np.array_equal(pixels, np.round(pixels))
    if is_whole and pixels.size and pixels.min() >= -32768 and pixels.max() <= 32767:
        return pixels.astype(np.int16)
    with np.errstate(over="ignore"):
        return pixels.astype(np.float32)


def _damaged(file: Path, error: Exception) -> DicomError:
    reason = (
        str(error).strip().splitlines()[-1][:160].rstrip(".") if str(error).strip() else type(error).__name__
    )
    return DicomError(f"{file} cannot be decoded ({reason}); copy or export it again.")
