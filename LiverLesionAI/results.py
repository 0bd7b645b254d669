"""What comes out of a study, with its provenance: the value objects behind ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from LiverLesionAI import results_v1
from LiverLesionAI.answers import OutOfDistribution, TaskResult, primary_answer
from LiverLesionAI.errors import ConfigError, StudyError
from LiverLesionAI.reading import Reading

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = "liverlesionai.results.v2"
REGISTRATION_SCHEMA = "liverlesionai.registration.v1"
EVALUATION_SCHEMA = "liverlesionai.evaluation.v1"
FEATURES_SCHEMA = "liverlesionai.features.v1"

PHANTOM_NOTICE = "phantom-trained: not for clinical use"
"""Stands wherever a result of a phantom-trained model is shown."""

Unit = Literal["lesion", "study", "slice"]
"""What gets an answer of its own."""


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

    Attributes
    ----------
    name, version
        As in its bundle.
    sha256
        Hash over the bundle's files.
    intended_use
        ``"phantom"`` for models trained on phantoms: not for clinical use. Else ``"research"``.
    members
        How many networks' answers were joined: the folds of a cross-validation, repeats, or one.
    system
        The paper whose system it is, as in :mod:`LiverLesionAI.systems`.
    unit
        What it answers for.
    """

    name: str
    version: str
    sha256: str
    intended_use: str
    members: int
    system: str = "wang2021"
    unit: Unit = "lesion"


@dataclass(frozen=True)
class LesionResult:
    """One segmented lesion: where and how large it is, its classes, and what readers made of them.

    Attributes
    ----------
    id, name
        Label in the segmentation; the reader's name for it.
    diameter_mm
        Longest axial diameter.
    volume_ml
        Volume of the segmentation.
    centroid_lps_mm
        Centre of mass in the reference frame, LPS mm.
    crop_mm
        Side of the cube that the network saw; None where it saw none.
    tasks
        Task to the answer. Empty where the lesion could not be classified, and `warnings` then says why, or
        where the model answers for the study alone. Where it joins the slices of all lesions into the study's
        answer, a lesion's is that of its own slices.
    explained
        Task to the class that was explained: the predicted one, or the study's where the study gets the
        answer, unless another was asked for.
    sequence_weights
        Task to each sequence's ``shapley`` value and, with linear heads, its ``share``
        (:mod:`LiverLesionAI.explanation`).
    sequence_interactions
        Task to the interaction of each pair of sequences.
    warnings
        What was noticed about the lesion.
    reading
        What readers decided; None until one has.
    out_of_distribution
        How unlike the training lesions it is; None where the model cannot tell.
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
    reading: Reading | None = None
    out_of_distribution: OutOfDistribution | None = None

    @property
    def answer(self) -> TaskResult | None:
        """The model's primary answer; None without one."""
        return primary_answer(self.tasks)


@dataclass(frozen=True)
class Candidate:
    """A finding of a detector, which nobody has segmented.

    Attributes
    ----------
    rank
        From 1, the most suspicious first.
    probability
        Of what the detector looks for.
    sequence
        The series that it was found in.
    slices
        First and last slice of the series, counted from 0 at the feet.
    centre_lps_mm
        In the reference frame, LPS mm.
    volume_ml
        Of the region that was found; None where only slices are known.
    lesion
        Label of the segment that was made of it; None where none was.
    """

    rank: int
    probability: float
    sequence: str
    slices: tuple[int, int]
    centre_lps_mm: tuple[float, float, float]
    volume_ml: float | None = None
    lesion: int | None = None


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
        Stages that were refused, and why; what the alignment rests on between frames of reference.
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
    device, precision, engine
        What the network ran on, and what ran it.
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
    engine: str = "torch"


@dataclass(frozen=True)
class StudyResult:
    """Everything that is known after a study has been classified.

    Attributes
    ----------
    study
        The study, its sequences and what it lacks.
    models
        The models that answered.
    lesions
        The segmented lesions, with answers where the models give them.
    provenance
        How the result came about.
    unit
        What the answers are about.
    study_tasks
        Task to the answer for the study as a whole, with the groups behind it.
    explained, sequence_weights, sequence_interactions
        As those of a lesion, for the answers for the study as a whole; clinical data stand among the
        sequences as ``clinical data``.
    clinical_weights
        Task to what each clinical field that is known added to the class explained.
    candidates
        Findings of a detector, by rank.
    registration
        Sequence to how it was registered.
    warnings
        What was noticed about the study.
    out_of_distribution
        How unlike the training studies it is; None where the models cannot tell.
    """

    study: StudySummary
    models: tuple[ModelSummary, ...]
    lesions: tuple[LesionResult, ...]
    provenance: Provenance
    unit: Unit = "lesion"
    study_tasks: Mapping[str, TaskResult] = field(default_factory=dict)
    explained: Mapping[str, str] = field(default_factory=dict)
    sequence_weights: Mapping[str, Any] = field(default_factory=dict)
    sequence_interactions: Mapping[str, Any] = field(default_factory=dict)
    clinical_weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    registration: Mapping[str, SequenceRegistration] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    out_of_distribution: OutOfDistribution | None = None

    @property
    def answer(self) -> TaskResult | None:
        """The primary answer for the study as a whole; None where the models answer for lesions."""
        return primary_answer(self.study_tasks)

    @property
    def chosen_models(self) -> dict[str, TaskResult]:
        """Task to an answer that names its model, where a system's models were asked together.

        The study's answers, else those of the first lesion that has one: all lesions go to the same model.
        """
        answered = [self.study_tasks, *(lesion.tasks for lesion in self.lesions)]
        tasks = next((each for each in answered if each), {})
        return {name: task for name, task in tasks.items() if task.model}

    def model_of(self, task: TaskResult) -> ModelSummary:
        """The model that gave an answer."""
        return next((model for model in self.models if model.name == task.model), self.models[0])

    @property
    def is_phantom_trained(self) -> bool:
        """Whether any of the models was trained on phantoms; :data:`PHANTOM_NOTICE` must then be shown."""
        return any(model.intended_use == "phantom" for model in self.models)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``results.json``."""
        return {"schema": SCHEMA, **asdict(self)}

    def to_json(self) -> str:
        """Return ``results.json`` as text; the same result gives the same text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudyResult:
        """Read the content of a ``results.json`` of this schema or of the first.

        Raises
        ------
        StudyError
            If the content is of another schema, does not fit it, or holds a number that is not finite.
        """
        from pydantic import ValidationError

        from LiverLesionAI.json_values import all_finite

        if not isinstance(content, Mapping):
            raise StudyError("The results are no JSON object; classify the study again.")
        found = content.get("schema")
        if found not in (SCHEMA, results_v1.SCHEMA):
            raise StudyError(
                f"The results are of schema {found!r}, not {SCHEMA!r}; classify the study again."
            )
        if not all_finite(content):
            raise StudyError("The results hold values that are not numbers; classify the study again.")
        rest = {key: value for key, value in content.items() if key != "schema"}
        try:
            rest = results_v1.from_first(rest) if found == results_v1.SCHEMA else rest
            read = _reader().validate_python(rest)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StudyError(f"The results do not fit {found}: {where}: {first['msg']}.") from None
        except (AttributeError, ConfigError, KeyError, TypeError, ValueError) as error:
            raise StudyError(f"The results do not fit {found} ({error}); classify the study again.") from None
        if not read.models:
            raise StudyError(f"The results do not fit {found} (no model); classify the study again.")
        return read


@cache
def _reader() -> TypeAdapter[StudyResult]:
    """What reads a result; it takes far longer to make than to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(StudyResult)


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
    return replace(
        result,
        lesions=lesions,
        explained=explained.explained,
        sequence_weights=explained.sequence_weights,
        sequence_interactions=explained.sequence_interactions,
        clinical_weights=explained.clinical_weights,
        provenance=explained.provenance,
    )


def with_registration(result: StudyResult, registration: Mapping[str, SequenceRegistration]) -> StudyResult:
    """Return a result that tells how its sequences were registered."""
    warnings = [f"{name}: {why}" for name, done in registration.items() for why in done.warnings]
    return replace(result, registration=registration, warnings=(*result.warnings, *warnings))


def with_warnings(result: StudyResult, *warnings: str) -> StudyResult:
    """Return a result that says more of what was noticed."""
    return replace(result, warnings=(*result.warnings, *warnings))


def with_seconds(result: StudyResult, seconds: Mapping[str, float]) -> StudyResult:
    """Return a result that tells how long each step took."""
    return replace(result, provenance=replace(result.provenance, seconds=dict(seconds)))
