"""Classifying a study folder: what MONAI's bundle runner calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.files import write_json
from LiverLesionAI.inference.classifier import predict
from LiverLesionAI.inference.units import cut_units

STUDY = "study"
"""Key of the answer for the study as a whole, where others have the lesion's label."""


def classify_folder(
    bundle: Bundle,
    study: str | Path,
    output: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
) -> dict[str, Any]:
    """Classify a study folder as it lies there, without registering or explaining.

    Returns
    -------
    dict
        ``{"model": …, "lesions": {id: {task: {class: probability}}}, "warnings": [words]}``, also written as
        JSON to `output`, or to standard output where none is given. A model that answers for the study has
        ``"study"`` for the id. Warnings tell of lesions that could not be classified, too.

    Raises
    ------
    LiverLesionError
        If study or model cannot be used, or `output` cannot be written.
    """
    from LiverLesionAI.readers.folder import read_study_folder

    units, failures = cut_units(read_study_folder(study), bundle)
    predictions = predict(bundle, units, device=device, precision=precision, engine=engine)
    lesions = {
        STUDY if unit.lesion_id is None else str(unit.lesion_id): {
            task: answer.result().probabilities for task, answer in unit.tasks.items()
        }
        for unit in predictions
    }
    warnings = [
        *predictions.execution.warnings,
        *(f"lesion {lesion}: {why}" for lesion, why in failures.items()),
        *(
            warning if unit.lesion_id is None else f"lesion {unit.lesion_id}: {warning}"
            for unit in predictions
            for warning in unit.warnings
        ),
    ]
    content = {
        "model": bundle.name,
        "intended_use": bundle.spec.intended_use,
        "lesions": lesions,
        "warnings": warnings,
    }
    if output is None:
        print(json.dumps(content, indent=1, allow_nan=False))
    else:
        write_json(output, content)
    return content
