"""Second copies of an image, told from different images that carry one SOPInstanceUID.

Anonymisers and archives repeat SOPInstanceUIDs or write one word over all of them. Only where place, time,
contrast and pixels agree too is an image a copy.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.opening import open_dicom


class Sieve:
    """Keeps the first of several copies.

    Attributes
    ----------
    copies
        How many images were second copies.
    repeated
        How many different images carry the SOPInstanceUID of another one, or none.
    damaged
        Files of copies whose pixels cannot be decoded, beside one whose can.
    """

    def __init__(self) -> None:
        self.copies = 0
        self.repeated = 0
        self.damaged: list[Path] = []
        self._kept: dict[Hashable, list[Frame]] = {}
        self._carried: set[tuple[str, int]] = set()
        self._same_files: dict[tuple[Path, Path], bool] = {}

    def keeps(self, frame: Frame) -> bool:
        """Whether an image is to be kept."""
        like = self._kept.setdefault(_facts(frame), [])
        try:
            if any(self._same_pixels(frame, other) for other in like):
                self.copies += 1
                return False
        except DicomError:
            if frame.file not in self.damaged:
                self.damaged.append(frame.file)
            return False
        like.append(frame)
        name = (frame.sop_uid, frame.number)
        self.repeated += name in self._carried or not frame.sop_uid
        self._carried.add(name)
        return True

    def _same_pixels(self, frame: Frame, other: Frame) -> bool:
        files = (frame.file, other.file)
        if files not in self._same_files:
            self._same_files[files] = _stored_pixels(frame.file) == _stored_pixels(other.file)
        return self._same_files[files] or (frame.is_image and _decode_alike(frame, other))


def _facts(frame: Frame) -> Hashable:
    """What copies have in common, but for their pixels."""
    return (
        frame.sop_uid, frame.number, frame.series_uid, frame.sop_class, frame.instance, frame.position,
        frame.row, frame.column, frame.rows, frame.columns, frame.spacing, frame.te, frame.b,
        frame.directional, frame.image_type, frame.temporal_position, frame.acquisition_number,
        frame.trigger_ms, frame.acquired_s, frame.dimension,
    )  # fmt: skip


def _stored_pixels(file: Path) -> tuple[str, bytes]:
    """Transfer syntax and pixels as they are stored; no pixels where the object has none."""
    try:
        dataset = open_dicom(file)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        return str(syntax or ""), dataset.get("PixelData") or b""
    except Exception:
        raise DicomError(f"{file} is damaged; copy or export it again.") from None


def _decode_alike(frame: Frame, other: Frame) -> bool:
    import numpy as np

    from LiverLesionAI.readers.dicom.pixels import pixels_of

    (mine,) = pixels_of([frame])
    try:
        (others,) = pixels_of([other])
    except DicomError:
        return False
    return np.array_equal(mine, others)
