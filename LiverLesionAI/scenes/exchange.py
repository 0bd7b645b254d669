"""How a study travels between processes: files in a folder.

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
    """Write a study for another process.

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
    from LiverLesionAI.writers.study_folder import write_study_folder
    from LiverLesionAI.writers.volumes import UNCOMPRESSED

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


def is_sent_study(path: Path) -> bool:
    """Whether a path is the folder of a study that was sent."""
    return (path / DESCRIPTION).is_file()


def read_sent_study(folder: Path, mask: str | Path | None = None) -> Study:
    """Read the folder of :func:`send_study`.

    Parameters
    ----------
    folder
        The folder.
    mask
        Lesion mask to use instead of the study's own.

    Raises
    ------
    StudyError
        If the folder is damaged.
    """
    from LiverLesionAI.readers.folder import read_study_folder

    description = _description(folder / DESCRIPTION)
    study = read_study_folder(folder, mask, description["reference"], written_here=mask is None)
    study = replace(study, id=description["id"], source=description["source"])
    said = description["warnings"]
    if mask is not None:
        return replace(study, warnings=(*said, *study.warnings))
    return replace(study, lesion_names=description["lesion_names"], warnings=said)


def _description(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        texts = {key: content[key] for key in ("id", "source", "reference")}
        names = {int(label): name for label, name in content["lesion_names"].items()}
        warnings = tuple(content["warnings"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _damaged(file) from None
    if not all(isinstance(text, str) for text in (*texts.values(), *names.values(), *warnings)):
        raise _damaged(file)
    return {**texts, "lesion_names": names, "warnings": warnings}


def _damaged(file: Path) -> StudyError:
    return StudyError(f"{file} is damaged; have the study written again.")
