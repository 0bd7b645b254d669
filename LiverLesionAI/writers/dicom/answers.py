"""What the model answered, in the codes that DICOM objects carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from LiverLesionAI.answers import TaskResult
from LiverLesionAI.decisions import in_words
from LiverLesionAI.results import LesionResult, StudyResult
from LiverLesionAI.taxonomy import LesionClass, taxonomy_named

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

SCHEME = "99LIVERLESIONAI"
"""Coding scheme of what SNOMED CT and DICOM have no concept for; private ones begin with 99 (PS3.3 8.2)."""


def coded(value: str, scheme: str, meaning: str) -> CodedConcept:
    """A coded concept."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)


def class_code(lesion_class: LesionClass, taxonomy: str) -> CodedConcept:
    """Code of a class: SNOMED CT where there is one, else its number in its taxonomy."""
    if lesion_class.code is not None:
        return coded(lesion_class.code.value, lesion_class.code.scheme, lesion_class.code.meaning)
    number = taxonomy_named(taxonomy).index(lesion_class.name)
    return coded(f"{taxonomy}.{number}", SCHEME, lesion_class.title)


def answer_in_words(lesion: LesionResult, result: StudyResult) -> str:
    """The answer for people: class, probability, model; and what readers decided."""
    answer = lesion.answer
    if answer is None and result.answer is not None:
        return study_answer_in_words(result)
    if answer is None:
        return "; ".join(("not classified", *lesion.warnings))
    said = _said(answer, result)
    return f"{said}; {in_words(lesion.reading)}" if lesion.reading is not None else said


def study_answer_in_words(result: StudyResult) -> str:
    """The answer for the study as a whole, for people: class, probability, model."""
    assert result.answer is not None
    return f"the study as a whole: {_said(result.answer, result)}"


def _said(answer: TaskResult, result: StudyResult) -> str:
    of_unit = tuple(model for model in result.models if model.unit == result.unit)
    asked = (result.model_of(answer),) if answer.model else of_unit or result.models
    models = ", ".join(f"{model.name} {model.version}" for model in asked)
    basis = f" ({answer.basis})" if answer.basis else ""
    possible = f"; possible are {answer.set_in_words}" if answer.is_ambiguous else ""
    return f"{answer.predicted_class.title}, p = {answer.probability:.2f}{possible}, by {models}{basis}"
