"""What comes out of a study, with its provenance: the value objects behind ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

SCHEMA = "liverlesionai.results.v1"
REGISTRATION_SCHEMA = "liverlesionai.registration.v1"

PHANTOM_NOTICE = "phantom-trained: not for clinical use"
"""Stands wherever a result of a phantom-trained model is shown."""

CLASS_TASK = "type"
"""The task that tells what kind a lesion is of."""


@dataclass(frozen=True)
class StudySummary:
    """The study that was classified: sequences used and missing, and the reference sequence."""

    id: str
    source: str
    reference: str
    sequences: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelSummary:
    """The model that answered.

    ``intended_use`` is ``"phantom"`` for models trained on phantoms: not for clinical use. ``sha256`` is the
    hash over the bundle's files.
    """

    name: str
    version: str
    sha256: str
    intended_use: str
    folds: int


@dataclass(frozen=True)
class TaskResult:
    """One classification task for one lesion.

    Attributes
    ----------
    taxonomy
        Name in :data:`LiverLesionAI.taxonomy.TAXONOMIES`.
    probabilities
        Class to the mean of the folds' probabilities, in the taxonomy's order; sums to 1.
    predicted
        The class of the highest probability.
    fold_std
        Class to the standard deviation of the folds' probabilities (population formula).
    """

    taxonomy: str
    probabilities: Mapping[str, float]
    predicted: str
    fold_std: Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """What a reader says a lesion is, having seen the model's answer.

    Attributes
    ----------
    reader
        Name; empty where the reader gave none. Both names where two readers settled their differences.
    taxonomy, diagnosis
        The class, and the taxonomy that it is one of.
    malignant
        Follows from the class; None where the class mixes both.
    model_class
        What the model had answered; the reader accepted it where it is the diagnosis, else overrode it.
    reason
        Why; never empty where the model was overridden or a difference was settled.
    time
        ISO 8601, UTC.
    """

    reader: str
    taxonomy: str
    diagnosis: str
    malignant: bool | None
    model_class: str
    reason: str
    time: str

    @property
    def is_accepted(self) -> bool:
        """Whether the reader agreed with the model."""
        return self.diagnosis == self.model_class


@dataclass(frozen=True)
class Reading:
    """What up to two readers decided about a lesion, and what they settled on where they differed.

    Made and changed by :mod:`LiverLesionAI.decisions`.
    """

    decisions: tuple[Decision, ...]
    settled: Decision | None = None

    @property
    def readers_differ(self) -> bool:
        """Whether two readers named different classes, settled since or not."""
        return len({decision.diagnosis for decision in self.decisions}) > 1

    @property
    def final(self) -> Decision | None:
        """What holds: the settled decision, else what all readers said; None while they differ."""
        if self.settled is not None:
            return self.settled
        return None if self.readers_differ else self.decisions[0]


@dataclass(frozen=True)
class LesionResult:
    """One lesion: where and how large it is, what it was classified as, and what readers made of that.

    ``tasks`` is empty where the lesion could not be classified; ``warnings`` then says why. ``diameter_mm``
    is the longest axial diameter; ``centroid_lps_mm`` lies in the reference frame; ``crop_mm`` is the side of
    the cube that the network saw. Where the answer was explained, ``sequence_weights`` gives for each task
    each sequence's ``shapley`` value and, with linear heads, its ``share``, and ``sequence_interactions`` the
    interaction of each pair of sequences (:mod:`LiverLesionAI.saliency`); both are those of the class in
    ``explained``, which is the predicted one unless another was asked for.
    ``reader`` is None until a reader has decided.
    """

    id: int
    name: str
    diameter_mm: float
    volume_ml: float
    centroid_lps_mm: tuple[float, float, float]
    crop_mm: float | None
    tasks: Mapping[str, TaskResult] = field(default_factory=dict)
    explained: Mapping[str, str] = field(default_factory=dict)
    sequence_weights: Mapping[str, Any] = field(default_factory=dict)
    sequence_interactions: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reader: Reading | None = None

    @property
    def kind(self) -> TaskResult | None:
        """The model's answer in task :data:`CLASS_TASK`, else in its first task; None without an answer."""
        return self.tasks.get(CLASS_TASK) or next(iter(self.tasks.values()), None)


@dataclass(frozen=True)
class SequenceRegistration:
    """How one sequence was registered to the reference.

    Attributes
    ----------
    transform
        The last stage that was kept: ``"translation"``, ``"rigid"``, ``"affine"`` or ``"bspline"``;
        ``"none"`` where the scanner's positions stay, ``"given"`` where the sequence came with a transform.
    metric_before, metric_after
        Normalised mutual information with the reference around the lesions, 1 (independent) to 2; 0 where
        they hardly overlap, None where nothing was measured.
    warnings
        Stages that were refused, and why.
    """

    transform: str
    metric_before: float | None
    metric_after: float | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """How the result came about.

    Attributes
    ----------
    software
        This program and its version.
    started
        ISO 8601, UTC.
    seconds
        Step to the time it took.
    device, precision
        What the network ran on.
    parameters
        Settings of each step.
    inputs
        Sequence, or ``lesions``, to what identifies it: ``{"series_uid": …}`` for DICOM, else
        ``{"sha256": …}`` of voxels and geometry (:mod:`LiverLesionAI.fingerprint`).
    """

    software: str
    started: str
    seconds: Mapping[str, float]
    device: str
    precision: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyResult:
    """Everything that is known after a study has been classified."""

    study: StudySummary
    models: tuple[ModelSummary, ...]
    lesions: tuple[LesionResult, ...]
    provenance: Provenance
    study_tasks: Mapping[str, TaskResult] = field(default_factory=dict)
    registration: Mapping[str, SequenceRegistration] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def is_phantom_trained(self) -> bool:
        """Whether any of the models was trained on phantoms; :data:`PHANTOM_NOTICE` must then be shown."""
        return any(model.intended_use == "phantom" for model in self.models)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``results.json``."""
        return {"schema": SCHEMA, **asdict(self)}

    def to_json(self) -> str:
        """Return ``results.json`` as text; the same result gives the same text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudyResult:
        """Read the content of a ``results.json``.

        Raises
        ------
        StudyError
            If the content is of another schema or does not fit it.
        """
        from pydantic import TypeAdapter, ValidationError

        from LiverLesionAI.errors import StudyError

        if content.get("schema") != SCHEMA:
            found = content.get("schema")
            raise StudyError(
                f"The results are of schema {found!r}, not {SCHEMA!r}; classify the study again."
            )
        try:
            return TypeAdapter(cls).validate_python({k: v for k, v in content.items() if k != "schema"})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StudyError(f"The results do not fit {SCHEMA}: {where}: {first['msg']}.") from None


def with_weights_of(result: StudyResult, explained: StudyResult) -> StudyResult:
    """Return a result with the explanations of another one of the same classification."""
    answers = {lesion.id: lesion for lesion in explained.lesions}
    lesions = tuple(
        replace(
            lesion,
            sequence_weights=answers[lesion.id].sequence_weights,
            sequence_interactions=answers[lesion.id].sequence_interactions,
            explained=answers[lesion.id].explained,
        )
        for lesion in result.lesions
    )
    return replace(result, lesions=lesions, provenance=explained.provenance)


def with_registration(result: StudyResult, registration: Mapping[str, SequenceRegistration]) -> StudyResult:
    """Return a result that tells how its sequences were registered."""
    warnings = [f"{name}: {why}" for name, done in registration.items() for why in done.warnings]
    return replace(result, registration=registration, warnings=(*result.warnings, *warnings))


def with_seconds(result: StudyResult, seconds: Mapping[str, float]) -> StudyResult:
    """Return a result that tells how long each step took."""
    return replace(result, provenance=replace(result.provenance, seconds=dict(seconds)))
