"""A study as a study folder, as :mod:`LiverLesionAI.readers.folder` reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import SimpleITK as sitk

from LiverLesionAI.files import write_json
from LiverLesionAI.readers.folder import (
    ACQUISITION_FILE,
    CLINICAL_FILE,
    MASK_STEM,
    OUTLINE_PREFIX,
    TRANSFORMS_FOLDER,
)
from LiverLesionAI.study import Study
from LiverLesionAI.writers.volumes import (
    COMPRESSED,
    smallest_labels,
    write_image,
    write_transforms,
)


def write_study_folder(study: Study, folder: Path, suffix: str = COMPRESSED) -> Iterator[Path]:
    """Write a study file by file: sequences, lesions, outlines, transforms, clinical data.

    Parameters
    ----------
    study
        Where its slices stand in DICOM, and the lesions' names, are not kept.
    folder
        Exists already.
    suffix
        How the images are kept.

    Yields
    ------
    pathlib.Path
        Each file once it is written.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    for stem, image in _images(study):
        yield write_image(image, folder / f"{stem}{suffix}")
    yield from write_transforms(study, folder / TRANSFORMS_FOLDER)
    limits = {
        name: {"intensity_limits": list(sequence.intensity_limits)}
        for name, sequence in study.images.items()
        if sequence.intensity_limits is not None
    }
    if limits:
        write_json(folder / ACQUISITION_FILE, limits)
        yield folder / ACQUISITION_FILE
    if study.clinical:
        write_json(folder / CLINICAL_FILE, dict(study.clinical))
        yield folder / CLINICAL_FILE


def _images(study: Study) -> Iterator[tuple[str, sitk.Image]]:
    """Every image of a study folder with the stem of its file's name."""
    for name, sequence in study.images.items():
        yield name, sequence.image
    if study.lesions is not None:
        yield MASK_STEM, smallest_labels(study.lesions)
    for name, outline in study.outlines.items():
        yield f"{OUTLINE_PREFIX}{name}", smallest_labels(outline)
