"""A result in words, as the scene's text node holds it."""

from __future__ import annotations

from collections.abc import Mapping

from LiverLesionAI.answers import TaskResult, task_title
from LiverLesionAI.decisions import in_words
from LiverLesionAI.results import PHANTOM_NOTICE, LesionResult, StudyResult


def summary_title(result: StudyResult) -> str:
    """Name of the text node; short and plain, for it names a file too."""
    notice = " (not for clinical use)" if result.is_phantom_trained else ""
    return f"{result.study.id} summary{notice}"


def result_text(result: StudyResult) -> str:
    """What came out, in words: a line per lesion, with the notice and all warnings."""
    lines = [f"Study {result.study.id}: {', '.join(result.study.sequences)}"]
    if result.study.missing:
        lines.append(f"Missing: {', '.join(result.study.missing)}")
    lines += [f"Model {model.name} {model.version}, {model.members} networks" for model in result.models]
    lines += [
        f"{task_title(name).capitalize()} by {task.model}: {task.basis}"
        for name, task in result.chosen_models.items()
    ]
    if result.is_phantom_trained:
        lines.append(f"{PHANTOM_NOTICE.capitalize()}.")
    if result.study_tasks:
        lines.append(f"The study as a whole: {_answers(result.study_tasks)}")
    lines += [_lesion_line(lesion, result) for lesion in result.lesions]
    lines += [f"Warning: {warning}" for warning in result.warnings]
    lines += [f"Warning, {each.name}: {warning}" for each in result.lesions for warning in each.warnings]
    return "\n".join(lines) + "\n"


def _answers(tasks: Mapping[str, TaskResult]) -> str:
    return ", ".join(_answer(task) for task in tasks.values())


def _answer(task: TaskResult) -> str:
    possible = f", or any of {task.set_in_words}" if task.is_ambiguous else ""
    return f"{task.predicted} ({task.probability:.2f}{possible})"


def _lesion_line(lesion: LesionResult, result: StudyResult) -> str:
    line = f"{lesion.name}, {lesion.diameter_mm:.0f} mm"
    if lesion.tasks or result.unit == "lesion":
        line += f": {_answers(lesion.tasks) or 'not classified'}"
    return f"{line}; {in_words(lesion.reading)}" if lesion.reading is not None else line
