"""What of a folder is not in the study, counted and named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from LiverLesionAI.readers.dicom.choose import FEWEST_SLICES, is_usable
from LiverLesionAI.readers.dicom.identify import Identified
from LiverLesionAI.readers.dicom.rules import OTHER
from LiverLesionAI.readers.dicom.scan import Scan
from LiverLesionAI.readers.dicom.split import series_of
from LiverLesionAI.readers.naming import file_in_results

_SHOWN_FILES = 3
_SHOWN_SERIES = 5
_OUTLINES = ("SEG", "RTSTRUCT")
_OF_THE_SYSTEM = {"thumbs.db", "desktop.ini"}


def file_warnings(found: Scan, masks: Iterable[Path]) -> list[str]:
    """Say which files of a scan were left out, and which say too little of themselves.

    Parameters
    ----------
    found
        The scan.
    masks
        Files that are used as masks; they are not left out.
    """
    used = {mask.resolve() for mask in masks}
    unreadable = [file for file in found.unreadable if file.resolve() not in used]
    foreign = [file for file in found.foreign if not _is_of_the_system(file) and file.resolve() not in used]
    warnings = []
    if unreadable:
        warnings.append(f"{_counted(unreadable, 'damaged file')} left out{_named(unreadable)}.")
    if foreign:
        warnings.append(f"{_counted(foreign, 'file')} no DICOM and left out{_named(foreign)}.")
    if found.not_entered:
        folders = _counted(found.not_entered, "folder")
        warnings.append(f"{folders} not looked into: closed, or nested too deep{_named(found.not_entered)}.")
    if found.copies:
        warnings.append(
            f"{found.copies} images were found a second time, with the same UID, place and pixels; "
            "the copies were left out."
        )
    if found.repeated:
        warnings.append(
            f"{found.repeated} images carry the SOPInstanceUID of another one that is different, or none; "
            "they were kept apart by place and pixels."
        )
    if found.without_series:
        warnings.append(
            f"SeriesInstanceUID is missing in {len(found.without_series)} files: they were put into series "
            "by number and name."
        )
    return warnings


def series_warnings(identified: Sequence[Identified]) -> list[str]:
    """Say which series are in no sequence: unknown, of too few slices or too doubtful, or surely none.

    Segmentations and structure sets are spoken of where they are read.
    """
    unknown = [item for item in identified if item.sequence is None]
    unusable = [item for item in identified if item.is_sequence and not is_usable(item)]
    none = [
        item for item in identified if item.sequence == OTHER and item.stack.first.modality not in _OUTLINES
    ]
    warnings = []
    if unknown:
        count = len({series_of(item.stack.first) for item in unknown})
        warnings.append(f"{count} series were not recognised and left out{_named_series(unknown)}.")
    if unusable:
        what = f"of fewer than {FEWEST_SLICES} slices or too doubtful"
        warnings.append(f"{len(unusable)} images are {what} and left out{_named_series(unusable)}.")
    if none:
        warnings.append(
            f"{len(none)} series show none of the sequences and were left out{_named_series(none)}."
        )
    return warnings


def _is_of_the_system(file: Path) -> bool:
    return file.name.startswith(".") or file.name.lower() in _OF_THE_SYSTEM


def _counted(files: Sequence[Path], what: str) -> str:
    return f"{len(files)} {what}{'s were' if len(files) > 1 else ' was'}"


def _named(files: Sequence[Path]) -> str:
    more = ", …" if len(files) > _SHOWN_FILES else ""
    return f" ({', '.join(file_in_results(file) for file in files[:_SHOWN_FILES])}{more})"


def _named_series(items: Sequence[Identified]) -> str:
    names = list(dict.fromkeys(item.stack.name for item in items))
    more = ", …" if len(names) > _SHOWN_SERIES else ""
    return f" ({', '.join(names[:_SHOWN_SERIES])}{more})"
