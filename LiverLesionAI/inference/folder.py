"""Classifying a study folder: what MONAI's bundle runner calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.files import write_text_whole
from LiverLesionAI.inference.classifier import predict
from LiverLesionAI.inputs.intensity import with_intensity_limits
from LiverLesionAI.inputs.patches import extract_patches


def classify_folder(
    bundle: Bundle,
    study: str | Path,
    output: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
) -> dict[str, Any]:
    """Classify every lesion of a study folder: what MONAI's bundle runner calls.

    Returns
    -------
    dict
        ``{"model": …, "lesions": {id: {task: {class: probability}}}}``, also written as JSON to `output`, or
        to standard output where none is given.

    Raises
    ------
    OutputError
        If `output` cannot be written.
    """
    from LiverLesionAI.readers.folder import read_study_folder

    opened = with_intensity_limits(read_study_folder(study), bundle.spec.patches)
    inputs = [
        extract_patches(opened, lesion, bundle.spec.sequences, bundle.spec.patches)
        for lesion in opened.lesion_ids
    ]
    predictions = predict(bundle, inputs, device=device, precision=precision)
    lesions = {
        str(lesion.lesion_id): {task: p.result().probabilities for task, p in lesion.tasks.items()}
        for lesion in predictions
    }
    content = {"model": bundle.name, "intended_use": bundle.spec.intended_use, "lesions": lesions}
    text = json.dumps(content, indent=1) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        write_text_whole(output, text)
    return content
