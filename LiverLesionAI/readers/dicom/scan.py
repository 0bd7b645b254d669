"""Find DICOM files under a path and read their headers, whatever they are called and however nested."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI.errors import DicomError
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.readers.dicom.copies import Sieve
from LiverLesionAI.readers.dicom.headers import DIRECTORY, Frame, frames_of, whole
from LiverLesionAI.readers.dicom.opening import open_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FILES = 200_000
MAX_DEPTH = 32
SNIFFED_FILES = 2_000
"""How many files are looked at to tell whether a folder holds DICOM at all."""

_PROGRESS_EVERY = 25
_SAYS_WHAT_IT_IS = ("SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "Modality")
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")


@dataclass(frozen=True)
class Scan:
    """What was found.

    Attributes
    ----------
    path
        Where it was looked for.
    frames
        Every slice and every other object (reports, masks: one each), without second copies of the same one.
    files
        How many files were looked at.
    unreadable
        Files that are DICOM but damaged.
    copies
        How many images were found a second time, with the same place and pixels.
    repeated
        How many different images carry the SOPInstanceUID of another one, or none.
    directories
        DICOMDIR files.
    without_series
        Files of images that do not say which series they belong to: SeriesInstanceUID is missing or
        overwritten.
    foreign
        Files that are no DICOM.
    not_entered
        Folders that cannot be opened or lie too deep.
    """

    path: Path
    frames: tuple[Frame, ...]
    files: int
    unreadable: tuple[Path, ...] = ()
    copies: int = 0
    repeated: int = 0
    directories: tuple[Path, ...] = ()
    without_series: tuple[Path, ...] = ()
    foreign: tuple[Path, ...] = ()
    not_entered: tuple[Path, ...] = ()

    @property
    def images(self) -> tuple[Frame, ...]:
        """The slices of MR and CT."""
        return tuple(frame for frame in self.frames if frame.is_image)


def holds_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or a folder has a DICOM file among the first that are met."""
    if path.is_file():
        return is_dicom(path)
    files = _files_below(path, [])
    return any(is_dicom(file) for file, _ in zip(files, range(SNIFFED_FILES), strict=False))


def is_dicom(file: Path) -> bool:
    """Whether a file looks like DICOM: by its mark, or, without a preamble, by its first attribute."""
    try:
        with file.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    if start[128:132] == b"DICM":
        return True
    return start[:2] in _FIRST_GROUPS and len(start) > 8 and _is_plausible_element(start)


def _is_plausible_element(start: bytes) -> bool:
    """Whether the file starts with an attribute of group 2 or 8, with or without its VR."""
    element, kind = int.from_bytes(start[2:4], "little"), start[4:6]
    explicit = kind.isalpha() and kind.isupper()
    implicit_length = int.from_bytes(start[4:8], "little")
    return element <= 0x0100 and (explicit or implicit_length <= 64)


def scan(path: str | Path, progress: Progress = silent) -> Scan:
    """Read the headers of all DICOM files at a path.

    Parameters
    ----------
    path
        A folder, a DICOM file, or a DICOMDIR (then its folder is read).
    progress
        Told how far the work is; may cancel by raising.

    Returns
    -------
    Scan

    Raises
    ------
    DicomError
        If there is nothing at `path`, no DICOM file is there, or there are too many files.
    """
    _check_pydicom()
    path = Path(path)
    if not path.exists():
        raise DicomError(f"{path} does not exist; give a folder of DICOM files.")
    if path.is_file() and not is_dicom(path):
        raise DicomError(f"{path} is no DICOM file; give a folder of DICOM files.")
    with _without_warnings():
        single = path.is_file() and not _is_directory_file(path)
        not_entered: list[Path] = []
        files = [path] if single else _listed(path if path.is_dir() else path.parent, not_entered)
        return replace(_read_all(path, files, progress), not_entered=tuple(not_entered))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide what pydicom finds wrong with values: it quotes them, and they could name the patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_pydicom() -> None:
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise DicomError(
            "Reading DICOM needs pydicom, which is missing; install liverlesionai[dicom]."
        ) from None


def _listed(folder: Path, not_entered: list[Path]) -> list[Path]:
    files: list[Path] = []
    for file in _files_below(folder, not_entered):
        files.append(file)
        if len(files) > MAX_FILES:
            raise DicomError(f"{folder} holds more than {MAX_FILES} files; give the folder of one study.")
    return files


def _files_below(folder: Path, not_entered: list[Path]) -> Iterator[Path]:
    """Files of a folder tree in a stable order; links are followed, but no folder or file is met twice.

    Folders that cannot be opened or lie too deep are added to `not_entered`.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [(folder, 0)]
    while waiting:
        here, depth = waiting.pop()
        try:
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            not_entered.append(here)
            continue
        folders = []
        for entry in entries:
            try:
                status = entry.stat()
                is_folder = entry.is_dir()
                is_file = entry.is_file()
            except OSError:
                continue
            key = (status.st_dev, status.st_ino)
            if (key in seen and status.st_ino != 0) or entry.name.startswith("._"):
                continue
            seen.add(key)
            if is_folder and depth >= MAX_DEPTH:
                not_entered.append(Path(entry.path))
            elif is_folder:
                folders.append((Path(entry.path), depth + 1))
            elif is_file:
                yield Path(entry.path)
        waiting.extend(reversed(folders))


def _read_all(path: Path, files: list[Path], progress: Progress) -> Scan:
    frames: list[Frame] = []
    unreadable: list[Path] = []
    directories: list[Path] = []
    without_series: list[Path] = []
    foreign: list[Path] = []
    sieve = Sieve()
    for done, file in enumerate(files):
        if done % _PROGRESS_EVERY == 0:
            progress("scan", done / len(files))
        if not is_dicom(file):
            foreign.append(file)
            continue
        dataset = read_header(file)
        if dataset is None:
            unreadable.append(file)
            continue
        if _class_of(dataset) == DIRECTORY:
            directories.append(file)
            continue
        found = _frames_in(dataset, file)
        if found is None:
            unreadable.append(file)
            continue
        if any(frame.is_image and not frame.series_uid for frame in found):
            without_series.append(file)
        frames += [frame for frame in found if sieve.keeps(frame)]
    progress("scan", 1.0)
    scanned = Scan(
        path=path,
        frames=tuple(frames),
        files=len(files),
        unreadable=(*unreadable, *sieve.damaged),
        copies=sieve.copies,
        repeated=sieve.repeated,
        directories=tuple(directories),
        without_series=tuple(without_series),
        foreign=tuple(foreign),
    )
    _check_found(scanned)
    return scanned


def _frames_in(dataset: Dataset, file: Path) -> tuple[Frame, ...] | None:
    """Every frame of an object; None where attributes cannot be read or frames are missing."""
    try:
        found = frames_of(dataset, file)
        stated = whole(dataset.get("NumberOfFrames"))
    except Exception:
        return None
    return found if len(found) in (1, stated) else None


def read_header(file: Path) -> Dataset | None:
    """Read a file's header without its pixels; None where it is damaged or does not say what it is."""
    with _without_warnings():
        try:
            dataset = open_dicom(file, stop_before_pixels=True)
            useful = any(keyword in dataset for keyword in _SAYS_WHAT_IT_IS) or bool(_class_of(dataset))
        except Exception:
            return None
    return dataset if useful else None


def _class_of(dataset: Dataset) -> str:
    """SOPClassUID of an object; empty where it is missing or cannot be read."""
    try:
        stated = str(dataset.get("SOPClassUID") or "")
    except Exception:
        stated = ""
    meta = getattr(dataset, "file_meta", None)
    return stated or str((meta.get("MediaStorageSOPClassUID") if meta is not None else "") or "")


def _is_directory_file(file: Path) -> bool:
    dataset = read_header(file)
    return dataset is not None and _class_of(dataset) == DIRECTORY


def _check_found(found: Scan) -> None:
    if found.frames:
        return
    if found.directories:
        index = found.directories[0]
        raise DicomError(f"{index} is only an index, its images are not beside it; copy the whole disc.")
    if found.unreadable:
        raise DicomError(
            f"{found.unreadable[0]} is damaged and {found.path} holds no other DICOM file; export it again."
        )
    raise DicomError(
        f"{found.path} holds no DICOM file ({found.files} files looked at); give the folder of a study."
    )
