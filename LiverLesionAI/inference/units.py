"""Cutting out of a study what a model reads, unit by unit."""

from __future__ import annotations

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.errors import PatchError
from LiverLesionAI.inference.predictions import UnitInputs
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.study import Study, labels_in


def cut_units(
    study: Study, bundle: Bundle, progress: Progress = silent
) -> tuple[list[UnitInputs], dict[int, str]]:
    """Cut every unit that a model answers for out of a study.

    Returns
    -------
    units : list of UnitInputs
        One per lesion that could be cut, or a single one where the model answers for the study or its slices.
    failures : dict
        Label to reason for the lesions that could not.

    Raises
    ------
    StudyError
        If the model answers for lesions and nothing is segmented, or the study cannot be used at all.
    PatchError
        If no unit could be cut.
    """
    system, spec = bundle.system, bundle.spec
    if system.unit != "lesion":
        progress("crop", 0.0)
        groups = system.inputs(system.prepared(study, spec), None, spec)
        progress("crop", 1.0)
        return [UnitInputs(None, groups)], {}
    lesion_ids = labels_in(study.outlined_lesions)
    study = system.prepared(study, spec)
    units: list[UnitInputs] = []
    failures: dict[int, str] = {}
    for done, lesion_id in enumerate(lesion_ids):
        progress("crop", done / len(lesion_ids))
        try:
            units.append(UnitInputs(lesion_id, system.inputs(study, lesion_id, spec)))
        except PatchError as error:
            failures[lesion_id] = str(error)
    if not units:
        raise PatchError(next(iter(failures.values()), f"The lesion mask of study {study.id} is empty."))
    progress("crop", 1.0)
    return units, failures
