"""What a model answers: probabilities, sets, and how unlike its training an input is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from LiverLesionAI.taxonomy import LesionClass, taxonomy_named


@dataclass(frozen=True)
class GroupResult:
    """The answer for one of the groups of images that an answer was joined from, such as a slice.

    Attributes
    ----------
    name
        For people, for example ``"lesion 1, slice 3"``.
    probabilities
        Class to the mean of the members' probabilities.
    lesion, slice
        Label of the lesion, and number of the slice, that the group shows; None where it shows none.
    centre_lps_mm
        Middle of what it shows, in the reference frame; None where that is not known.
    """

    name: str
    probabilities: Mapping[str, float]
    lesion: int | None = None
    slice: int | None = None
    centre_lps_mm: tuple[float, float, float] | None = None

    @property
    def predicted(self) -> str:
        """The class of the highest probability."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@dataclass(frozen=True)
class TaskResult:
    """One classification task of one lesion, slice or study.

    Attributes
    ----------
    taxonomy
        Name in :data:`LiverLesionAI.taxonomy.TAXONOMIES`.
    probabilities
        Class to the mean of the members' probabilities, in the taxonomy's order; sums to 1.
    predicted
        The class of the highest probability.
    std
        Class to the standard deviation of the members' probabilities (population formula).
    primary
        Whether this is the answer that the model is asked for first, and that readers decide about.
    calibrated
        Class to calibrated probability; None where the model has not been calibrated.
    prediction_set
        Classes that hold the true one in the part of cases that `coverage` says; None without one.
    coverage
        In which part of the cases of each class the set holds the truth, 0 to 1; None without a set.
    groups
        What was joined, where the answer comes from several groups of images.
    model
        Name of the model that answered, where several models answer a study's questions; else empty.
    reason
        Why that model was asked, in words; empty where there was no choice.
    clinical
        Names of the clinical fields that the answer rests on beside the images. Their values are not kept.
    """

    taxonomy: str
    probabilities: Mapping[str, float]
    predicted: str
    std: Mapping[str, float]
    primary: bool = False
    calibrated: Mapping[str, float] | None = None
    prediction_set: tuple[str, ...] | None = None
    coverage: float | None = None
    groups: tuple[GroupResult, ...] = ()
    model: str = ""
    reason: str = ""
    clinical: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = taxonomy_named(self.taxonomy).names
        if self.predicted not in self.probabilities or not set(self.probabilities) <= set(known):
            raise ValueError(f"{self.predicted!r} and the probabilities are not of taxonomy {self.taxonomy}")

    @property
    def classes(self) -> tuple[LesionClass, ...]:
        """The classes that it chose among, in the taxonomy's order."""
        return taxonomy_named(self.taxonomy).classes

    @property
    def predicted_class(self) -> LesionClass:
        """The predicted class with its title, colour and code."""
        return self.class_named(self.predicted)

    @property
    def shown(self) -> Mapping[str, float]:
        """The probabilities that people are shown: calibrated ones where there are any."""
        return self.probabilities if self.calibrated is None else self.calibrated

    @property
    def probability(self) -> float:
        """Probability of the predicted class, as people are shown it."""
        return self.shown[self.predicted]

    @property
    def is_ambiguous(self) -> bool:
        """Whether more classes than one stay possible at the coverage that is promised."""
        return self.prediction_set is not None and len(self.prediction_set) > 1

    @property
    def set_in_words(self) -> str:
        """The prediction set for people, ``"HCC or metastasis (90%)"``; empty without one."""
        if not self.prediction_set or self.coverage is None:
            return ""
        *others, last = self.prediction_set
        listed = f"{', '.join(others)} or {last}" if others else last
        return f"{listed} ({self.coverage:.0%})"

    @property
    def note_on_groups(self) -> str:
        """Why the numbers of its groups do not fit its own; empty where they do, and without groups."""
        if not self.groups or self.calibrated is None:
            return ""
        return "Numbers of slices are the network's own; only the answer joined from them is calibrated."

    @property
    def is_binary(self) -> bool:
        """Whether it tells no more than benign from malignant."""
        return self.taxonomy == "binary"

    def class_named(self, name: str) -> LesionClass:
        """One of the classes by its name."""
        return self.classes[taxonomy_named(self.taxonomy).index(name)]

    @property
    def basis(self) -> str:
        """Why its model was asked and which clinical fields it read, in words; empty without either."""
        read = f"clinical data read: {', '.join(self.clinical)}" if self.clinical else ""
        return "; ".join(part for part in (self.reason, read) if part)


def task_title(task: str) -> str:
    """A task's name for people."""
    return task.replace("_", " ")


def primary_answer(tasks: Mapping[str, TaskResult]) -> TaskResult | None:
    """The answer that a model is asked for first; None where it gave none."""
    return next((task for task in tasks.values() if task.primary), None)


@dataclass(frozen=True)
class OutOfDistribution:
    """How unlike the training data an input is.

    Attributes
    ----------
    score
        Larger is less alike.
    threshold
        Above it the input is unlike.
    sequences
        Those that by themselves are unlike the training.
    """

    score: float
    threshold: float
    sequences: tuple[str, ...] = ()

    @property
    def is_unlike(self) -> bool:
        """Whether the input is unlike the training."""
        return self.score > self.threshold

    @property
    def in_words(self) -> tuple[str, ...]:
        """A sentence for people; none where the input is like the training."""
        if not self.is_unlike:
            return ()
        where = f", most of all in {', '.join(self.sequences)}" if self.sequences else ""
        return (
            f"unlike what the model was trained on{where} (score {self.score:.1f}, usually below "
            f"{self.threshold:.1f}): do not rely on the answer",
        )
