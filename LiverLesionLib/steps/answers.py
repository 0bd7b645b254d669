"""What got answers in a result, as rows of the panel's tables: each lesion, or the study as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from LiverLesionLib.controls import bars

if TYPE_CHECKING:
    from LiverLesionAI.answers import OutOfDistribution, TaskResult
    from LiverLesionAI.reading import Reading
    from LiverLesionAI.results import LesionResult, StudyResult

_LIKELY = 0.5


@dataclass(frozen=True)
class Answered:
    """What a model answered for.

    Attributes
    ----------
    name
        Of the lesion; the study as a whole is called that.
    answer
        That of the model's primary task; None where there is none.
    tasks
        Task to answer.
    members
        Networks that answered.
    lesion
        Label of the lesion; None for the study as a whole.
    reading
        What readers decided; None where none has.
    unlike
        How unlike the training it is; None where the model cannot tell.
    """

    name: str
    answer: TaskResult | None
    tasks: Mapping[str, TaskResult]
    members: int
    lesion: int | None = None
    reading: Reading | None = None
    unlike: OutOfDistribution | None = None

    def row(self, outdated: str = "") -> tuple[bars.Cell, ...]:
        """Name, class, probability with its standard deviation, probability of malignancy, decision.

        Parameters
        ----------
        outdated
            Why the answer does not hold any more; empty where it does.
        """
        if self.answer is None:
            return (self.name, _("not classified"))
        name, p = self.answer.predicted, self.answer.probability
        colour = self.answer.predicted_class.colour
        if outdated:
            return (self.name, bars.Stale(name, outdated), bars.Stale(f"{100 * p:.0f} %", outdated))
        sd = self._sd(self.answer, name)
        said, all_said = self._possible(self.answer)
        tip = _("Standard deviation over {members} networks: {sd}").format(members=self.members, sd=sd)
        with_sd = f"{100 * p:.0f}{sd.replace('± ', '±')}" if self.members > 1 else ""
        return (
            self._marked_name(),
            bars.Chip(said, colour, all_said),
            bars.Bar(p, colour, with_sd, tip if with_sd else ""),
            self._malignancy(),
            self._decision(),
        )

    def classes(self) -> list[tuple[bars.Cell, ...]]:
        """Class, probability and standard deviation of the tasks' classes, the most probable first.

        Beside other tasks a binary one is left out unless it is the primary one.
        """
        rows: list[tuple[bars.Cell, ...]] = []
        listed = {
            name: task
            for name, task in self.tasks.items()
            if not task.is_binary or len(self.tasks) == 1 or task is self.answer
        }
        for title, task in listed.items():
            if len(listed) > 1:
                rows.append((title.replace("_", " ").capitalize(),))
            for name, p in sorted(task.shown.items(), key=lambda item: -item[1]):
                colour = task.class_named(name).colour
                rows.append((bars.Chip(name, colour), bars.Bar(p, colour), self._sd(task, name)))
        return rows

    def _marked_name(self) -> bars.Cell:
        """The name, with a mark where the answer is about something unlike the training."""
        if self.unlike is None or not self.is_unlike:
            return self.name
        return bars.Tipped(f"{self.name} ⚠", _sentence(self.unlike.in_words[0]))

    def _possible(self, task: TaskResult) -> tuple[str, str]:
        """The class, or the set where the model cannot tell; what there is to say under the mouse."""
        if not task.is_ambiguous or task.prediction_set is None or task.coverage is None:
            return task.predicted, ""
        all_said = _held_in_words(task)
        others = len(task.prediction_set) - 1
        if others == 1:
            return task.set_in_words, all_said
        few = _("{name} or {others} others ({percent:.0f} %)")
        return few.format(name=task.predicted, others=others, percent=100 * task.coverage), all_said

    @property
    def is_unlike(self) -> bool:
        """Whether the answer is about something unlike the training, so that it says little."""
        return self.unlike is not None and self.unlike.is_unlike

    @property
    def remarks(self) -> list[str]:
        """What is to be known of the probabilities: that they are unlike the training, and the set."""
        said = [_sentence(text) for text in (self.unlike.in_words if self.unlike is not None else ())]
        if self.answer is not None and self.answer.prediction_set:
            said.append(_held_in_words(self.answer))
        return said

    def _malignancy(self) -> bars.Cell:
        task = next((each for each in self.tasks.values() if each.is_binary), None)
        if task is None:
            return ""
        p = task.shown["malignant"]
        return bars.Bar(p, task.class_named("malignant" if p >= _LIKELY else "benign").colour)

    def _decision(self) -> bars.Cell:
        """What holds by the readers."""
        if self.reading is None:
            return ""
        final = self.reading.final
        if final is None:
            return _("open")
        text = "✓" if final.is_accepted else final.diagnosis
        tip = "\n".join(filter(None, (final.diagnosis, final.reader, final.reason)))
        return bars.Chip(text, final.decided_class.colour, tip)

    def _sd(self, task: TaskResult, name: str) -> str:
        """Standard deviation over the members; one alone has none."""
        return f"± {100 * task.std[name]:.0f} %" if self.members > 1 and name in task.std else "–"


def answered(result: StudyResult) -> list[Answered]:
    """Return what a result has answers for: the study as a whole, then its lesions in order."""
    if result.unit == "lesion":
        return [_lesion(result, lesion) for lesion in result.lesions]
    members, unlike = result.models[0].members, result.out_of_distribution
    study = Answered(_("the study"), result.answer, result.study_tasks, members, unlike=unlike)
    return [study, *(_lesion(result, lesion) for lesion in result.lesions if lesion.tasks)]


def answered_with(result: StudyResult, lesion: LesionResult | None) -> Answered | None:
    """Return what was answered for a selected lesion, or for the study as a whole; None without either."""
    if result.unit != "lesion" and (lesion is None or not lesion.tasks):
        return answered(result)[0]
    return None if lesion is None else _lesion(result, lesion)


def _lesion(result: StudyResult, lesion: LesionResult) -> Answered:
    members = result.models[0].members
    unlike = lesion.out_of_distribution
    return Answered(lesion.name, lesion.answer, lesion.tasks, members, lesion.id, lesion.reading, unlike)


def _held_in_words(task: TaskResult) -> str:
    """The set in a sentence."""
    held = _(" or ").join(task.prediction_set or ())
    text = _("{held}: such sets hold the truth in {percent:.0f} % of cases.")
    return text.format(held=held, percent=100 * (task.coverage or 0))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
