"""Readers' decisions on lesions: accept or override the model, a second reader, consensus.

Nothing of the model's answer is changed: a decision stands beside it. As in Wang et al. 2021, two readers
decide one after the other and find a consensus where they differ. All functions return new objects.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from LiverLesionAI.answers import TaskResult
from LiverLesionAI.errors import ConfigError, DecisionError
from LiverLesionAI.reading import Decision, Reading
from LiverLesionAI.results import LesionResult, StudyResult, with_warnings
from LiverLesionAI.taxonomy import LesionClass, taxonomy_named

MOST_READERS = 2
SAME_PLACE_MM = 1e-3
"""An outline that measures the same within this (mm, ml) is taken for the same outline."""


def accept(
    lesion: LesionResult, reader: str = "", *, reason: str = "", time: str | None = None
) -> LesionResult:
    """Return the lesion with a reader's agreement to the model's class.

    Parameters
    ----------
    lesion
        A classified lesion.
    reader
        Name; may be empty.
    reason
        May be empty.
    time
        ISO 8601, UTC; by default now.

    Raises
    ------
    DecisionError
        If the lesion was not classified, this reader has decided it already, or two others have.
    """
    answer = _answer(lesion)
    return _with_decision(lesion, _decision(lesion, answer.predicted, reader, reason, time))


def override(
    lesion: LesionResult, diagnosis: str, reader: str = "", *, reason: str, time: str | None = None
) -> LesionResult:
    """Return the lesion with another class than the model's.

    Parameters
    ----------
    lesion, reader, time
        See :func:`accept`.
    diagnosis
        A class of the model's taxonomy.
    reason
        Why; not empty.

    Raises
    ------
    DecisionError
        As :func:`accept`; also if the class is not in the taxonomy or is the model's, or the reason is empty.
    """
    answer = _answer(lesion)
    if diagnosis == answer.predicted:
        raise DecisionError(f"The model already says {diagnosis} of {lesion.name}; accept it instead.")
    if not reason.strip():
        raise DecisionError(f"Give a reason for overriding {answer.predicted} of {lesion.name}.")
    return _with_decision(lesion, _decision(lesion, diagnosis, reader, reason, time))


def reach_consensus(
    lesion: LesionResult, diagnosis: str, *, reason: str, time: str | None = None
) -> LesionResult:
    """Return the lesion with the class that two readers agreed on after they had differed.

    Parameters
    ----------
    lesion, time
        See :func:`accept`.
    diagnosis
        A class of the model's taxonomy: that of one of the readers, or a third one.
    reason
        Why; not empty.

    Raises
    ------
    DecisionError
        If no two readers differ, the class is not in the taxonomy, or the reason is empty.
    """
    reading = lesion.reading
    if reading is None or not reading.readers_differ:
        raise DecisionError(f"No consensus is needed: no two readers differ on {lesion.name}.")
    if not reason.strip():
        raise DecisionError(f"Give a reason for the consensus on {diagnosis} of {lesion.name}.")
    both = " and ".join(decision.reader for decision in reading.decisions if decision.reader)
    consensus = _decision(lesion, diagnosis, both, reason, time)
    return replace(lesion, reading=replace(reading, consensus=consensus))


def take_back(lesion: LesionResult) -> LesionResult:
    """Return the lesion without what was decided last: the consensus, else the latest decision.

    Raises
    ------
    DecisionError
        If nothing has been decided.
    """
    if lesion.reading is None:
        raise DecisionError(f"Nothing has been decided about {lesion.name}.")
    if lesion.reading.consensus is not None:
        return replace(lesion, reading=replace(lesion.reading, consensus=None))
    left = lesion.reading.decisions[:-1]
    return replace(lesion, reading=Reading(left) if left else None)


def with_lesion(result: StudyResult, lesion: LesionResult) -> StudyResult:
    """Return the result with a lesion in the place of the one of the same number."""
    lesions = tuple(lesion if each.id == lesion.id else each for each in result.lesions)
    return replace(result, lesions=lesions)


def carry_over(earlier: StudyResult, result: StudyResult) -> StudyResult:
    """Return a new result of the same study with the decisions taken on an earlier one.

    A decision stays with its outline: where the lesion's outline measures as before it is kept, with a
    warning if the model now answers otherwise. Where the outline was changed or removed, or the model that
    answers now has other classes, it is left out, and a warning tells what it was.
    """
    lost = []
    for before in earlier.lesions:
        if before.reading is None:
            continue
        now = next((lesion for lesion in result.lesions if _same_outline(lesion, before)), None)
        why = "" if now is not None else "its outline has changed: decide again"
        if now is not None and not _is_asked_the_same(now, before.reading, result):
            why = "the model that answers now has other classes"
        if now is None or why:
            said = in_words(before.reading)
            lost.append(f"what was decided about {before.name} ({said}) was left out, because {why}")
        else:
            result = with_lesion(result, _with_reading(now, before))
    return with_warnings(result, *lost)


def _is_asked_the_same(lesion: LesionResult, reading: Reading, result: StudyResult) -> bool:
    """Whether a lesion's answer has the classes that a reading was made of; so it has where it lacks one."""
    if lesion.answer is None:
        return result.unit == "lesion"
    return lesion.answer.taxonomy == reading.decisions[0].taxonomy


def in_words(reading: Reading) -> str:
    """Say who decided what, for people."""
    said = [_words(decision) for decision in reading.decisions]
    if reading.consensus is not None:
        said.append(f"consensus {reading.consensus.diagnosis}")
    elif reading.readers_differ:
        said.append("no consensus")
    return "; ".join(said)


def decided_class(lesion: LesionResult) -> LesionClass | None:
    """The class that holds by the readers; None where none has decided, or two differ."""
    decision = lesion.reading.final if lesion.reading is not None else None
    return None if decision is None else decision.decided_class


def _words(decision: Decision) -> str:
    how = "accepted" if decision.is_accepted else f"instead of {decision.model_class}"
    return f"{decision.reader or 'reader'}: {decision.diagnosis} ({how})"


def _answer(lesion: LesionResult) -> TaskResult:
    if lesion.answer is None:
        raise DecisionError(f"{lesion.name} was not classified, so there is no class to decide about.")
    return lesion.answer


def _decision(lesion: LesionResult, diagnosis: str, reader: str, reason: str, time: str | None) -> Decision:
    answer = _answer(lesion)
    taxonomy = taxonomy_named(answer.taxonomy)
    try:
        decided = taxonomy.classes[taxonomy.index(diagnosis)]
    except ConfigError as error:
        raise DecisionError(str(error)) from None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Decision(
        reader=reader.strip(),
        taxonomy=taxonomy.name,
        diagnosis=diagnosis,
        malignant=decided.malignant,
        model_class=answer.predicted,
        reason=reason.strip(),
        time=time or now,
    )


def _with_decision(lesion: LesionResult, decision: Decision) -> LesionResult:
    earlier = lesion.reading.decisions if lesion.reading is not None else ()
    if any(each.reader.casefold() == decision.reader.casefold() for each in earlier):
        who = decision.reader or "A reader without a name"
        raise DecisionError(
            f"{who} has decided about {lesion.name} already; take that back, or give another reader's name."
        )
    if len(earlier) == MOST_READERS:
        raise DecisionError(f"Two readers have decided about {lesion.name} already; take one decision back.")
    return replace(lesion, reading=Reading((*earlier, decision)))


def _with_reading(now: LesionResult, before: LesionResult) -> LesionResult:
    reading = before.reading
    warnings = now.warnings
    if reading is not None and now.answer is not None:
        answered = reading.decisions[0].model_class
        if answered != now.answer.predicted:
            warnings = (*warnings, f"readers decided when the model had answered {answered}")
    return replace(now, reading=reading, warnings=warnings)


def _same_outline(first: LesionResult, second: LesionResult) -> bool:
    measures = ((lesion.diameter_mm, lesion.volume_ml, *lesion.centroid_lps_mm) for lesion in (first, second))
    return all(abs(a - b) <= SAME_PLACE_MM for a, b in zip(*measures, strict=True))
