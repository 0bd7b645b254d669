"""How a study travels between front end and worker: files in a folder.

The folder is a study folder (:mod:`LiverLesionAI.readers.folder`), uncompressed for speed, with
``transforms/<SEQ>.tfm`` beside the sequences and ``exchange.json`` for what a study folder does not say.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.study import Study

DESCRIPTION = "exchange.json"
TRANSFORMS = "transforms"


def write_study(study: Study, folder: str | Path) -> Path:
    """Write a study for the worker.

    Parameters
    ----------
    study
        The study; its transforms, outlines and lesions' names travel along, where its slices stand in DICOM
        does not.
    folder
        An empty or missing folder.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(folder)
    (folder / TRANSFORMS).mkdir(parents=True, exist_ok=True)
    for name, sequence in study.images.items():
        sitk.WriteImage(sequence.image, folder / f"{name}.nrrd", useCompression=False)
        if sequence.transform is not None:
            sitk.WriteTransform(sequence.transform, folder / TRANSFORMS / f"{name}.tfm")
    for name, outline in study.outlines.items():
        sitk.WriteImage(outline, folder / f"lesions_{name}.nrrd", useCompression=False)
    if study.lesions is not None:
        sitk.WriteImage(study.lesions, folder / "lesions.nrrd", useCompression=False)
    limits = {
        name: {"intensity_limits": list(sequence.intensity_limits)}
        for name, sequence in study.images.items()
        if sequence.intensity_limits is not None
    }
    (folder / "acquisition.json").write_text(json.dumps(limits), encoding="utf-8")
    description = {
        "id": study.id,
        "source": study.source,
        "reference": study.reference,
        "lesion_names": {str(label): name for label, name in study.lesion_names.items()},
        "warnings": list(study.warnings),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
    return folder


def read_study(path: str | Path, mask: str | Path | None = None) -> Study:
    """Read a study that a front end wrote, or any other that :func:`LiverLesionAI.pipeline.read_study` reads.

    Parameters
    ----------
    path
        What to read.
    mask
        Lesion mask to use instead of the study's own.

    Raises
    ------
    StudyError
        If there is nothing usable at `path`.
    """
    from LiverLesionAI import pipeline
    from LiverLesionAI.readers import folder

    path = Path(path)
    if not (path / DESCRIPTION).is_file():
        return pipeline.read_study(path, mask)
    description = _description(path / DESCRIPTION)
    study = folder.read_study(path, mask, reference=description["reference"])
    study = replace(
        study,
        id=description["id"],
        source=description["source"],
        lesion_names={int(label): name for label, name in description["lesion_names"].items()},
        warnings=tuple(description["warnings"]),
    )
    files = sorted((path / TRANSFORMS).glob("*.tfm"))
    return study.with_transforms({file.stem: _transform(file) for file in files})


def _description(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("id", "source", "reference", "lesion_names", "warnings")}
    except (ValueError, TypeError, KeyError):
        raise StudyError(f"{file} is damaged; have the study written again.") from None


def _transform(file: Path) -> sitk.Transform:
    try:
        return sitk.ReadTransform(file)
    except RuntimeError:
        raise StudyError(f"{file} cannot be read as a transform; have the study written again.") from None
