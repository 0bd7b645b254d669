"""A result in words, as the scene's text node holds it."""

from __future__ import annotations

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
    lines += [f"Model {model.name} {model.version}, {model.folds} folds" for model in result.models]
    if result.is_phantom_trained:
        lines.append(f"{PHANTOM_NOTICE.capitalize()}.")
    lines += [_lesion_line(lesion) for lesion in result.lesions]
    lines += [f"Warning: {warning}" for warning in result.warnings]
    lines += [f"Warning, {each.name}: {warning}" for each in result.lesions for warning in each.warnings]
    return "\n".join(lines) + "\n"


def _lesion_line(lesion: LesionResult) -> str:
    tasks = lesion.tasks.values()
    answers = [f"{task.predicted} ({task.probabilities[task.predicted]:.2f})" for task in tasks]
    line = f"{lesion.name}, {lesion.diameter_mm:.0f} mm: {', '.join(answers) or 'not classified'}"
    return f"{line}; {in_words(lesion.reader)}" if lesion.reader is not None else line
