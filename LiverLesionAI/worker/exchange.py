"""How a study travels between front end and worker: files in a folder.

The folder is a study folder (:mod:`LiverLesionAI.readers.folder`), uncompressed for speed, with
``exchange.json`` for what a study folder does not say.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from LiverLesionAI.errors import StudyError
from LiverLesionAI.files import write_json
from LiverLesionAI.study import Study

DESCRIPTION = "exchange.json"


def send_study(study: Study, folder: str | Path) -> Path:
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

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from LiverLesionAI.writers.study_folder import UNCOMPRESSED, write_study_folder

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for _file in write_study_folder(study, folder, UNCOMPRESSED):
        pass
    description = {
        "id": study.id,
        "source": study.source,
        "reference": study.reference,
        "lesion_names": {str(label): name for label, name in study.lesion_names.items()},
        "warnings": list(study.warnings),
    }
    write_json(folder / DESCRIPTION, description)
    return folder


def receive_study(path: str | Path, mask: str | Path | None = None) -> Study:
    """Read a study that a front end sent, or any other that :func:`LiverLesionAI.pipeline.read_study` reads.

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
    from LiverLesionAI.readers.folder import read_study_folder

    path = Path(path)
    if not (path / DESCRIPTION).is_file():
        return pipeline.read_study(path, mask)
    description = _description(path / DESCRIPTION)
    return replace(
        read_study_folder(path, mask, reference=description["reference"]),
        id=description["id"],
        source=description["source"],
        lesion_names={int(label): name for label, name in description["lesion_names"].items()},
        warnings=tuple(description["warnings"]),
    )


def _description(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("id", "source", "reference", "lesion_names", "warnings")}
    except (ValueError, TypeError, KeyError):
        raise StudyError(f"{file} is damaged; have the study written again.") from None
