"""A patient's clinical data in a scene: on the volume of a sequence, so that they go where the study goes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.readers.folder import checked_clinical
from LiverLesionAI.study import ClinicalValue


def clinical_of(volumes: Iterable[Node]) -> dict[str, ClinicalValue]:
    """Return the clinical data that the first of a study's volumes carries that has some; empty for none.

    Raises
    ------
    StudyError
        If they are damaged.
    """
    for volume in volumes:
        text = volume.GetAttribute(attributes.CLINICAL)
        if text:
            try:
                content = json.loads(text)
            except (ValueError, RecursionError):
                content = None
            return checked_clinical(content, f"Attribute {attributes.CLINICAL} of the scene")
    return {}


def keep_clinical(
    clinical: Mapping[str, ClinicalValue], reference: Node, others: Iterable[Node] = ()
) -> None:
    """Keep clinical data on the reference volume of a study.

    Parameters
    ----------
    clinical
        Field to value; None and empty texts are left out.
    reference
        Volume node of the reference sequence.
    others
        The study's other volumes, which lose what they carried.
    """
    known = {name: value for name, value in clinical.items() if value not in (None, "")}
    for volume in others:
        volume.RemoveAttribute(attributes.CLINICAL)
    if known:
        reference.SetAttribute(attributes.CLINICAL, json.dumps(known, ensure_ascii=False))
    else:
        reference.RemoveAttribute(attributes.CLINICAL)
