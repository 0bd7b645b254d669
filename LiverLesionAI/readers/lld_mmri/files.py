"""The three layouts in which LLD-MMRI is found on disks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.readers.lld_mmri.annotation import CLASSES, HIDDEN, PHASES, PhaseRecord, read_annotation

Layout = Literal["raw", "cropped", "masks"]

_BY_NAME = {re.sub(r"[\s_]", "", phase).casefold(): name for phase, name in PHASES.items()}
_MASKED = re.compile(r"(?P<patient>MR-?\d+)_(?P<category>\d+)_(?P<phase>.+?)(?P<image>_0000)?\.nii(\.gz)?")
_COPY = re.compile(r"(?P<patient>.+?)_\d+")


@dataclass(frozen=True)
class PhaseFiles:
    """The files of one phase: the image, and its mask where the layout has one."""

    image: Path
    mask: Path | None = None


@dataclass(frozen=True)
class LldFolder:
    """A copy of the dataset.

    Attributes
    ----------
    path
        Its folder.
    layout
        ``"raw"`` (volumes by UID), ``"cropped"`` (by the challenge's script) or ``"masks"`` (MedSAM2's).
    files
        Case to sequence to files. A case is a patient; in cropped copies one of its lesions.
    records
        Patient to sequence to what ``Annotation.json`` says; empty where there is none.
    categories
        Case to the number of its class as far as the layout itself says it; −1 where hidden.
    folds
        Case to the official fold that it is validated in.
    test
        Cases of the official test part.
    """

    path: Path
    layout: Layout
    files: Mapping[str, Mapping[str, PhaseFiles]]
    records: Mapping[str, Mapping[str, PhaseRecord]] = field(default_factory=dict)
    categories: Mapping[str, int] = field(default_factory=dict)
    folds: Mapping[str, int] = field(default_factory=dict)
    test: frozenset[str] = frozenset()

    def patient(self, case: str) -> str:
        """The patient of a case: cropped copies number the lesions of a patient."""
        if case in self.records or not (match := _COPY.fullmatch(case)):
            return case
        return match["patient"]

    def category(self, case: str) -> int:
        """Number of a case's class; −1 where it is hidden or unknown.

        Raises
        ------
        ConfigError
            If two files say different ones.
        """
        said = {record.category for record in self.records.get(self.patient(case), {}).values()}
        said |= {self.categories[case]} if case in self.categories else set()
        known = said - {HIDDEN}
        if len(known) > 1:
            raise ConfigError(f"{self.path}: case {case} has classes {sorted(known)} in different places.")
        return known.pop() if known else HIDDEN


def find_layout(folder: Path) -> LldFolder:
    """Find out which layout a folder has, and what is in it.

    Raises
    ------
    ConfigError
        If it has none of the layouts, or a file of labels or boxes cannot be used.
    """
    root = folder / "classification_dataset" if (folder / "classification_dataset").is_dir() else folder
    images = root / "images"
    if not images.is_dir():
        raise ConfigError(f"{folder} has no folder images; give a folder of LLD-MMRI (docs/lld_mmri.md).")
    records, test = _records(folder, root)
    masked = {file: match for file in sorted(images.iterdir()) if (match := _MASKED.fullmatch(file.name))}
    categories, folds, listed_test = _labels(root / "labels")
    test |= listed_test
    if masked:
        files, categories = _masked(masked, root / "labels")
        return LldFolder(folder, "masks", files, records, categories, folds, test)
    if cropped := _cropped(images):
        return LldFolder(folder, "cropped", cropped, records, categories, folds, test)
    if raw := _raw(images, records):
        return LldFolder(folder, "raw", raw, records, categories, folds, test)
    raise ConfigError(
        f"{folder} has none of the layouts of LLD-MMRI: volumes by UID with labels/Annotation.json, cropped "
        "volumes by phase, or images with masks (docs/lld_mmri.md)."
    )


def _records(folder: Path, root: Path) -> tuple[dict[str, Mapping[str, PhaseRecord]], frozenset[str]]:
    """Boxes of all files of boxes; whoever stands in that of the test part belongs to it."""
    found: dict[str, Mapping[str, PhaseRecord]] = {}
    test: set[str] = set()
    places = dict.fromkeys((folder / "labels", root / "labels", folder, root))
    files = [file for place in places for file in sorted(place.glob("*Annotation*.json"))]
    for file in dict.fromkeys(files):
        read = read_annotation(file)
        found = {**found, **read}
        if "test" in file.stem.lower():
            test |= set(read)
    return found, frozenset(test)


def _raw(images: Path, records: Mapping[str, Mapping[str, PhaseRecord]]) -> dict[str, dict[str, PhaseFiles]]:
    found: dict[str, dict[str, PhaseFiles]] = {}
    for patient, phases in sorted(records.items()):
        for sequence, record in phases.items():
            place = images / patient / record.study_uid
            file = next((f for f in _named(place, record.series_uid) if f.is_file()), None)
            if file is not None:
                found.setdefault(patient, {})[sequence] = PhaseFiles(file)
    return found


def _named(folder: Path, stem: str) -> Iterator[Path]:
    return (folder / f"{stem}{suffix}" for suffix in (".nii.gz", ".nii"))


def _cropped(images: Path) -> dict[str, dict[str, PhaseFiles]]:
    found: dict[str, dict[str, PhaseFiles]] = {}
    for case in sorted(place for place in images.iterdir() if place.is_dir()):
        for file in sorted(case.glob("*.nii*")):
            sequence = _sequence(file.name.partition(".nii")[0])
            if sequence is not None:
                found.setdefault(case.name, {})[sequence] = PhaseFiles(file)
    return found


def _masked(
    files: Mapping[Path, re.Match[str]], labels: Path
) -> tuple[dict[str, dict[str, PhaseFiles]], dict[str, int]]:
    found: dict[str, dict[str, PhaseFiles]] = {}
    categories: dict[str, int] = {}
    for file, match in files.items():
        sequence = _sequence(match["phase"])
        if sequence is None or match["image"] is None:
            continue
        mask = labels / file.name.replace("_0000.nii", ".nii")
        found.setdefault(match["patient"], {})[sequence] = PhaseFiles(file, mask if mask.is_file() else None)
        category = int(match["category"])
        if category >= len(CLASSES) or categories.setdefault(match["patient"], category) != category:
            raise ConfigError(f"{file} has class {category}, which another of its files does not have.")
    return found, categories


def _sequence(name: str) -> str | None:
    return _BY_NAME.get(re.sub(r"[\s_]", "", name).casefold())


def _labels(folder: Path) -> tuple[dict[str, int], dict[str, int], frozenset[str]]:
    """Classes, official folds and hidden cases of the files of labels."""
    categories: dict[str, int] = {}
    folds: dict[str, int] = {}
    for file in sorted(folder.glob("*.txt")):
        fold = re.fullmatch(r"val_fold(\d+)", file.stem)
        for case, category in _label_lines(file):
            if categories.get(case, HIDDEN) == HIDDEN:
                categories[case] = category
            if fold:
                folds[case] = int(fold[1])
    hidden = frozenset(case for case, category in categories.items() if category == HIDDEN)
    return categories, folds, hidden


def _label_lines(file: Path) -> Iterator[tuple[str, int]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as labels ({error}).") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case, text = line.split()
            category = int(text)
        except ValueError:
            raise ConfigError(f"{file}, line {number}: it is not a case and a class.") from None
        if category not in range(HIDDEN, len(CLASSES)):
            raise ConfigError(f"{file}, line {number}: there is no class {category}.")
        yield case, category
