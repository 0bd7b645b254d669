"""DICOM files of many patients in one tree, sorted by study."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI.files import errors_of_disk
from LiverLesionAI.progress import Progress

if TYPE_CHECKING:
    from LiverLesionAI.readers.dicom.headers import Frame

_PROGRESS_EVERY = 50


@dataclass
class _Series:
    """Files of a series, and the header that speaks for it."""

    first: Frame
    files: list[Path] = field(default_factory=list)


def sorted_studies(
    root: Path, files: Sequence[Path], links: Path, progress: Progress
) -> Iterator[tuple[str, Path]]:
    """Sort files by the DICOM study that they belong to.

    Parameters
    ----------
    root
        The tree.
    files
        Files of any kind below it; what is no DICOM is passed over.
    links
        A study whose files lie in no folder of their own gets a folder of links to them here.
    progress
        Told how far the headers are read.

    Yields
    ------
    tuple
        Pseudonym of the study, and the folder that holds it and no other, the uppermost one, where a mask may
        lie beside the images; in the order of the first file.

    Notes
    -----
    One header is kept per series, so that a tree of a million files takes no more memory than its series do.
    What joins series is what joins those of one folder (:mod:`LiverLesionAI.readers.dicom.studies`).
    """
    from LiverLesionAI.readers.dicom.studies import pseudonym_of, studies_of

    series = _series(files, progress)
    studies = studies_of(series, lambda each: each.first)
    owners: dict[Path, set[int]] = defaultdict(set)
    for number, study in enumerate(studies):
        for file in (file for each in study for file in each.files):
            for folder in _folders_of(file, root):
                owners[folder].add(number)
    for study in studies:
        if not any(each.first.is_image for each in study):
            continue
        name = pseudonym_of([each.first for each in study if each.first.is_image])
        own = sorted(file for each in study for file in each.files)
        home = Path(os.path.commonpath([file.parent for file in own]))
        if len(owners[home]) > 1:
            yield name, _linked(own, links / name)
            continue
        while home != root and home.parent != root and len(owners[home.parent]) == 1:
            home = home.parent
        yield name, home


def _series(files: Sequence[Path], progress: Progress) -> list[_Series]:
    from LiverLesionAI.readers.dicom.headers import frames_of
    from LiverLesionAI.readers.dicom.scan import is_dicom, read_header
    from LiverLesionAI.readers.dicom.split import series_of

    found: dict[object, _Series] = {}
    for done, file in enumerate(files):
        if done % _PROGRESS_EVERY == 0:
            progress("sort", done / len(files))
        dataset = read_header(file) if is_dicom(file) else None
        try:
            frame = frames_of(dataset, file)[0] if dataset is not None else None
        except Exception:
            frame = None
        if frame is not None:
            key = (frame.study_uid, frame.identity, series_of(frame), frame.is_image)
            found.setdefault(key, _Series(frame)).files.append(file)
    progress("sort", 1.0)
    return list(found.values())


def _folders_of(file: Path, root: Path) -> Iterator[Path]:
    """Folders that hold a file, up to the root."""
    for folder in file.parents:
        yield folder
        if folder == root:
            return


def _linked(files: Sequence[Path], folder: Path) -> Path:
    """A folder of links to files, made anew; where links are not allowed, of copies."""
    with errors_of_disk(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number, file in enumerate(files):
            link = folder / f"{number:06d}{file.suffix}"
            try:
                link.symlink_to(file.resolve())
            except (OSError, NotImplementedError):
                shutil.copy2(file, link)
    return folder
