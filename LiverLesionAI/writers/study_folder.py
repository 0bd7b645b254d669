"""A study as a study folder, as :mod:`LiverLesionAI.readers.folder` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import SimpleITK as sitk

from LiverLesionAI.errors import OutputError
from LiverLesionAI.readers.folder import ACQUISITION_FILE, MASK_STEM, TRANSFORMS_FOLDER
from LiverLesionAI.study import Study
from LiverLesionAI.writers.volumes import smallest_labels, write_transforms

_COMPRESSION = 1
"""Noise does not get smaller by trying harder."""


def write_study_folder(study: Study, folder: Path) -> Iterator[Path]:
    """Write a study file by file: sequences, transforms, lesions, outlines on single sequences.

    Parameters
    ----------
    study
        Where its slices stand in DICOM, and the lesions' names, are not kept.
    folder
        Exists already.

    Yields
    ------
    pathlib.Path
        Each file once it is written.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    for name, sequence in study.images.items():
        yield _write_image(sequence.image, folder / f"{name}.nii.gz")
    if any(sequence.transform is not None for sequence in study.images.values()):
        yield from write_transforms(study, folder / TRANSFORMS_FOLDER)
    if study.lesions is not None:
        yield _write_image(smallest_labels(study.lesions), folder / f"{MASK_STEM}.nii.gz")
    for name, outline in study.outlines.items():
        yield _write_image(smallest_labels(outline), folder / f"{MASK_STEM}_{name}.nii.gz")
    limits = {
        name: {"intensity_limits": list(sequence.intensity_limits)}
        for name, sequence in study.images.items()
        if sequence.intensity_limits is not None
    }
    if limits:
        (folder / ACQUISITION_FILE).write_text(json.dumps(limits, indent=1), encoding="utf-8")
        yield folder / ACQUISITION_FILE


def _write_image(image: sitk.Image, path: Path) -> Path:
    try:
        sitk.WriteImage(image, str(path), True, _COMPRESSION)
    except RuntimeError as error:
        message = f"{path} could not be written; check the free space and the rights of its folder."
        raise OutputError(message) from error
    return path
