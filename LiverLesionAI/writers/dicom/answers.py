"""What the model answered, in the codes that DICOM objects carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from LiverLesionAI.decisions import in_words
from LiverLesionAI.results import LesionResult, StudyResult, TaskResult
from LiverLesionAI.taxonomy import LesionClass, taxonomy_named

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

SCHEME = "99LIVERLESIONAI"
"""Coding scheme of what SNOMED CT and DICOM have no concept for; private ones begin with 99 (PS3.3 8.2)."""
BINARY = "binary"


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


def predicted_class(task: TaskResult) -> LesionClass:
    """The class that a task predicts."""
    taxonomy = taxonomy_named(task.taxonomy)
    return taxonomy.classes[taxonomy.index(task.predicted)]


def type_task(lesion: LesionResult) -> TaskResult | None:
    """The task that tells the kind of lesion, None where it was not classified."""
    return next((task for task in lesion.tasks.values() if task.taxonomy != BINARY), None)


def answer_in_words(lesion: LesionResult, result: StudyResult) -> str:
    """The answer for people: class, probability, model; and what readers decided."""
    task = type_task(lesion)
    if task is None:
        return "; ".join(("not classified", *lesion.warnings))
    probability = task.probabilities[task.predicted]
    models = ", ".join(f"{model.name} {model.version}" for model in result.models)
    said = f"{predicted_class(task).title}, p = {probability:.2f}, by {models}"
    return f"{said}; {in_words(lesion.reader)}" if lesion.reader is not None else said
