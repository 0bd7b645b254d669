"""The studies of a cohort: rows of a table, or what is found in a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from LiverLesionAI.batch.settings import LEDGER_FILE
from LiverLesionAI.cohort import COHORT_FILE, CohortRow, clinical_data, path_in, read_rows, row_error
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import is_output
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.pseudonyms import pseudonym, study_code
from LiverLesionAI.study import ClinicalValue

KEPT_COLUMNS = ("group_", "reader_")
"""Begin the names of a cohort's columns that its tables of results have, too."""

_SCENES = (".mrml", ".mrb")
_LONGEST_NAME = 80
_ODD_NAMES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}
)


@dataclass(frozen=True)
class KnownRow:
    """What a cohort's table says of a lesion, or of the study where `lesion` is None."""

    lesion: int | None
    truth: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CohortStudy:
    """A study of a cohort.

    Attributes
    ----------
    id
        Unique in the cohort.
    path
        A study folder, a DICOM folder or a scene.
    mask
        Lesion mask to use instead of its own.
    patient
        Pseudonym of the patient; empty where none is given.
    clinical
        Clinical data beside the study's own; not shown where the study is printed.
    rows
        What is known of its lesions.
    folder
        Name of its folder among the outputs.
    """

    id: str
    path: Path
    mask: Path | None = None
    patient: str = ""
    clinical: Mapping[str, ClinicalValue] = field(default_factory=dict, repr=False)
    rows: tuple[KnownRow, ...] = ()
    folder: str = ""

    @property
    def truth(self) -> dict[int, str]:
        """Lesion to its class; that of the study as a whole stands alone under 0."""
        own = next((row.truth for row in self.rows if row.lesion is None and row.truth), "")
        if own:
            return {0: own}
        return {row.lesion: row.truth for row in self.rows if row.lesion is not None and row.truth}


def list_studies(
    cohort: str | Path, links: str | Path, *, progress: Progress = silent
) -> tuple[CohortStudy, ...]:
    """List the studies of a cohort.

    Parameters
    ----------
    cohort
        ``cohort.csv``, a folder that has one, or a folder with study folders, scenes and DICOM files in any
        nesting, those of many patients in one folder included; outputs of the program in it are passed over.
    links
        Folder for links to the files of DICOM studies that share a folder with others; it need not exist.
    progress
        Told how far the headers of DICOM files are read.

    Raises
    ------
    ConfigError
        If there is no study, or the table cannot be used.
    """
    cohort = _table_or_folder(Path(cohort))
    if not cohort.is_dir():
        return _with_folders(_from_table(cohort))
    studies = _distinct(_found(cohort, Path(links), progress), cohort)
    if not studies:
        raise _without_study(cohort)
    return _with_folders(studies)


def check_cohort(cohort: str | Path) -> None:
    """Refuse a cohort that is not there, or a table that cannot be used; a folder is not searched.

    Raises
    ------
    ConfigError
        As :func:`list_studies`.
    """
    cohort = _table_or_folder(Path(cohort))
    if not cohort.is_dir():
        _from_table(cohort)


def _table_or_folder(cohort: Path) -> Path:
    if cohort.is_dir() and (cohort / COHORT_FILE).is_file():
        return cohort / COHORT_FILE
    if not cohort.is_dir() and not cohort.is_file():
        raise ConfigError(f"{cohort} does not exist; give a cohort's table or a folder of studies.")
    return cohort


def _without_study(cohort: Path) -> ConfigError:
    return ConfigError(f"{cohort} holds no study; give a cohort's table or a folder of studies.")


def _from_table(table: Path) -> list[CohortStudy]:
    rows = read_rows(table)
    if not rows:
        raise _without_study(table)
    clinical = clinical_data(table, rows)
    studies: dict[str, list[CohortRow]] = {}
    for row in rows:
        studies.setdefault(row.study_id, []).append(row)
    return [_study_of(table, own, clinical) for own in studies.values()]


def _study_of(
    table: Path, rows: Sequence[CohortRow], clinical: Mapping[Path, Mapping[str, ClinicalValue]]
) -> CohortStudy:
    first = rows[0]
    for row in rows:
        if row.mask != first.mask:
            raise row_error(
                table,
                row.line,
                f"study {row.study_id!r} has another mask than in line {first.line}; give each mask a "
                "study_id of its own.",
            )
    path = path_in(table, first.path)
    return CohortStudy(
        id=first.study_id,
        path=path,
        mask=path_in(table, first.mask) if first.mask else None,
        patient=first.patient_id,
        clinical=clinical[path],
        rows=tuple(KnownRow(row.lesion, row.truth, _kept(row)) for row in rows),
    )


def _kept(row: CohortRow) -> dict[str, str]:
    return {name: value for name, value in row.free.items() if name.startswith(KEPT_COLUMNS)}


def _found(folder: Path, links: Path, progress: Progress) -> Iterator[CohortStudy]:
    """Study folders and scenes of a tree, in order; what remains is sorted as DICOM."""
    rest: list[Path] = []
    for path in _entries(folder):
        if path.is_dir():
            yield CohortStudy(study_code(path.name), path)
        elif path.suffix.lower() in _SCENES:
            yield CohortStudy(study_code(path.stem), path)
        else:
            rest.append(path)
    from LiverLesionAI.batch.dicom_dump import sorted_studies

    for name, path in sorted_studies(folder, rest, links, progress):
        yield CohortStudy(name, path)


def _entries(folder: Path) -> Iterator[Path]:
    """Study folders, which are not entered, and files below a folder, in a stable order; nothing of ours."""
    from LiverLesionAI.readers.folder import is_study_folder

    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        elif not is_output(path) and not (path / LEDGER_FILE).exists():
            if is_study_folder(path):
                yield path
            elif not path.is_symlink():
                yield from _entries(path)


def _distinct(found: Iterable[CohortStudy], root: Path) -> list[CohortStudy]:
    """Tell studies of one name apart by where they are."""
    studies = list(found)
    taken = Counter(study.id for study in studies)
    return [
        replace(study, id=f"{study.id}-{_digest(os.path.relpath(study.path, root))}")
        if taken[study.id] > 1
        else study
        for study in studies
    ]


def _with_folders(studies: Sequence[CohortStudy]) -> tuple[CohortStudy, ...]:
    """Give each study the name of its output folder, also where systems do not tell A from a."""
    names = Counter(study.id.casefold() for study in studies)
    return tuple(
        replace(study, folder=study.id if _is_plain(study.id) and names[study.id.casefold()] == 1
                else pseudonym(study.id))
        for study in studies
    )  # fmt: skip


def _is_plain(name: str) -> bool:
    """Whether a name is one of a folder on every system."""
    letters = name.replace("-", "").replace("_", "").replace(".", "")
    return (
        letters.isalnum()
        and letters.isascii()
        and len(name) <= _LONGEST_NAME
        and not name.startswith(".")
        and not name.endswith(".")
        and name.split(".")[0].casefold() not in _ODD_NAMES
    )


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
