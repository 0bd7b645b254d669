"""Malignancy as a rank: the ROC curve of a diagnosis that has no probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from LiverLesionAI.evaluation.predictions import BINARY, TaskAnswers
from LiverLesionAI.evaluation.roc import Area, area_under_curve, resampled
from LiverLesionAI.taxonomy import lesion_class

MALIGNANT, OTHER = 4, 3
_SURELY_BENIGN = {"haemangioma": 2, "cyst": 1}
_FEWEST_CLASSES = 3


def malignancy_score(name: str) -> int | None:
    """How malignant a diagnosis is, after Yasaka et al. 2018; None for a name that is not known.

    Malignant tumours 4 (their categories A and B), indeterminate and rarer benign lesions 3 (C), haemangiomas
    2 (D), cysts 1 (E).
    """
    known = lesion_class(name)
    if known is None or name in BINARY:
        return None
    return MALIGNANT if known.malignant else _SURELY_BENIGN.get(name, OTHER)


def malignancy_area(answers: TaskAnswers, patients: Sequence[str]) -> Area | None:
    """Area under the ROC curve of malignant against other lesions, by the score of the named class alone.

    None for questions of two classes, for classes that are not known, and where fewer than two cases are
    malignant or fewer than two are not.
    """
    scores = [malignancy_score(name) for name in answers.classes]
    if None in scores or len(scores) < _FEWEST_CLASSES:
        return None
    answered = answers.is_answered
    of_class = np.array(scores)
    known = [patient for patient, ok in zip(patients, answered, strict=True) if ok]
    said, true = of_class[answers.predicted[answered]], of_class[answers.truth[answered]]
    return area_under_curve(said.astype(float), true == MALIGNANT, resampled(known))
