"""Which series are one study: what joins them, and what forbids it.

A missing UID is not an equal one. Series without StudyInstanceUID are joined by the same known PatientID and
study date, else by the same FrameOfReferenceUID, which belongs to one patient in one position; where there is
neither, each series stands alone. Whatever joins them, series whose PatientID, sex or birth date contradict
each other are never one study.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from LiverLesionAI.errors import DicomError
from LiverLesionAI.identity import UNKNOWN, Identity
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.split import series_of

if TYPE_CHECKING:
    from LiverLesionAI.study import SequenceImage

T = TypeVar("T")
Evidence = tuple[Any, ...]

_UID, _PATIENT, _PLACE, _SERIES = range(4)
"""Kinds of evidence that series are one study, the strongest first."""


def studies_of(items: Iterable[T], frame_of: Callable[[T], Frame]) -> tuple[tuple[T, ...], ...]:
    """Put what belongs to one study together.

    Parameters
    ----------
    items
        Slices, or stacks of them.
    frame_of
        The slice that speaks for one of them.

    Returns
    -------
    tuple of tuple
        A tuple for each study, in the order of the first item of each.
    """
    groups: dict[Evidence, list[T]] = defaultdict(list)
    told: dict[Evidence, set[Evidence]] = defaultdict(set)
    for item in items:
        frame = frame_of(item)
        groups[_evidence(frame)].append(item)
        told[_evidence(frame)] |= _facts(frame)
    studies: dict[Evidence, list[T]] = defaultdict(list)
    for evidence, group in groups.items():
        studies[_home(evidence, told)] += group
    return tuple(tuple(study) for study in studies.values())


def _evidence(frame: Frame) -> Evidence:
    """What a slice says of the study that it belongs to."""
    if frame.study_uid:
        return _UID, frame.study_uid
    if frame.identity.patient_id:
        return _PATIENT, frame.identity.patient_id, frame.study_day
    if frame.frame_of_reference:
        return _PLACE, frame.frame_of_reference
    return _SERIES, series_of(frame)


def _facts(frame: Frame) -> set[Evidence]:
    """Evidence that a slice gives beside its own, by which others without UID may join its study."""
    facts: set[Evidence] = set()
    if frame.identity.patient_id and frame.study_day is not None:
        facts.add((_PATIENT, frame.identity.patient_id, frame.study_day))
    if frame.frame_of_reference:
        facts.add((_PLACE, frame.frame_of_reference))
    return facts


def _home(evidence: Evidence, told: Mapping[Evidence, set[Evidence]]) -> Evidence:
    """The evidence of the only other study that gives this evidence too and stronger one; else its own."""
    hosts = [other for other, facts in told.items() if other[0] < evidence[0] and evidence in facts]
    return _home(hosts[0], told) if len(hosts) == 1 else evidence


def only_study(path: Path, studies: Sequence[Sequence[Frame]]) -> None:
    """Refuse several studies, and several patients in one.

    Parameters
    ----------
    path
        Where they were found.
    studies
        Slices of the images, study by study.

    Raises
    ------
    DicomError
        If there is more than one study, or images of one contradict each other in whose they are.
    """
    if len(studies) > 1:
        raise DicomError(f"{path} holds {_several(studies)}; {_way_out(studies)}.")
    identities = {frame.identity: frame for study in studies for frame in study}
    for one, other in combinations(identities.values(), 2):
        differ = one.identity.differences(other.identity)
        if differ:
            raise DicomError(
                f"{path} holds {_patients(identities)} patients in one study: {' and '.join(differ)} of "
                f"{one.file} and {other.file} differ; give a folder that holds one patient."
            )


def _patients(identities: Iterable[Identity]) -> int:
    """How many patients there are at least, given that two identities contradict each other."""
    return max(2, len({identity.patient_id for identity in identities} - {""}))


def _several(studies: Sequence[Sequence[Frame]]) -> str:
    frames = [study[0] for study in studies]
    folders = sorted({str(frame.file.parent) for frame in frames})
    where = f" (they begin in {', '.join(folders[:4])})" if len(folders) > 1 else ""
    if any(a.identity.differences(b.identity) for a, b in combinations(frames, 2)):
        return f"{_patients(frame.identity for frame in frames)} patients{where}"
    if all(frame.study_uid for frame in frames):
        patient = {frame.identity.patient_id for frame in frames}
        same = " of one patient" if len(patient) == 1 and "" not in patient else ""
        return f"{len(studies)} studies{same}{where}"
    return (
        f"series without StudyInstanceUID that share no known PatientID and study date, nor a frame of "
        f"reference, so that nothing says that they are one study{where}"
    )


def _way_out(studies: Sequence[Sequence[Frame]]) -> str:
    if all(study[0].study_uid for study in studies):
        return "give a folder that holds one study"
    return "give a folder that holds one study, or name its images by their sequence in a study folder"


def basis_warnings(frames: Sequence[Frame]) -> list[str]:
    """Say what joins series of one study where StudyInstanceUID does not, or stands alone.

    Parameters
    ----------
    frames
        A slice of each series at least.
    """
    without = [frame for frame in frames if not frame.study_uid]
    if len({series_of(frame) for frame in frames}) < 2:
        return []
    if not without:
        return _uid_alone(frames)
    basis = {_BASES[_evidence(frame)[0], frame.study_day is not None] for frame in without}
    count = len({series_of(frame) for frame in without})
    return [
        f"StudyInstanceUID is missing in {count} series: that they are one study rests on the same "
        f"{' and '.join(sorted(basis))}."
    ]


_BASES: dict[tuple[int, bool], str] = {
    (_PATIENT, True): "PatientID and study date",
    (_PATIENT, False): "PatientID alone",
    (_PLACE, True): "frame of reference, for no patient is named",
    (_PLACE, False): "frame of reference, for no patient is named",
}


def _uid_alone(frames: Sequence[Frame]) -> list[str]:
    places = {frame.frame_of_reference for frame in frames}
    named = any(frame.identity != UNKNOWN for frame in frames)
    if named or (len(places) == 1 and "" not in places):
        return []
    return [
        "No series says whose it is, and they share no frame of reference: that they are one study rests on "
        "StudyInstanceUID alone."
    ]


def frame_warnings(images: Mapping[str, SequenceImage], reference: str) -> list[str]:
    """Say which sequences of a study lie in another frame of reference than the reference sequence.

    A frame of reference that is missing is neither equal nor different: the scanner's positions are trusted
    then, as they are for image files, and it is said where the other one is known.
    """
    frames = {name: image.dicom.frame_of_reference for name, image in images.items() if image.dicom}
    base = frames.get(reference, "")
    other = [n for n, image in images.items() if image.lies_in_another_frame_than(images[reference])]
    unsaid = [name for name, frame in frames.items() if bool(frame) != bool(base)]
    warnings = []
    if other:
        warnings.append(
            f"{_listed(other)} in another frame of reference than {reference}: the patient was moved or the "
            "scanner set up anew, and positions cannot be compared without registration."
        )
    if unsaid:
        without = unsaid if base else [reference]
        warnings.append(
            f"FrameOfReferenceUID is missing in {', '.join(without)}: whether positions can be compared with "
            "those of the other sequences is not said; they were taken as they are."
        )
    return warnings


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'lies' if len(names) == 1 else 'lie'}"


def pseudonym_of(frames: Sequence[Frame]) -> str:
    """Return a short name for a study that says nothing of the patient and is always the same.

    It is made from StudyInstanceUID, else from what stands for it.
    """
    first = min(frames, key=lambda frame: (not frame.study_uid, str(_evidence(frame)), str(frame.file)))
    known = (first.identity.patient_id, first.study_day, first.frame_of_reference, first.series_uid)
    told = first.study_uid or (str(known) if any(known) else str(first.file))
    return f"study-{hashlib.sha256(told.encode()).hexdigest()[:10]}"
