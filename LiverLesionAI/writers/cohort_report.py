"""The page of a cohort: a single HTML file that needs no network, with filters that run in the browser."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from LiverLesionAI.answers import TaskResult, primary_answer
from LiverLesionAI.errors import StudyError
from LiverLesionAI.evaluation.predictions import label_in
from LiverLesionAI.results import PHANTOM_NOTICE, LesionResult, StudyResult
from LiverLesionAI.writers.cohort_summary import CohortSummary, mean_sequence_weights
from LiverLesionAI.writers.report import html_style, template, write_html

__all__ = ["CohortEntry", "FailedStudy", "cohort_entry", "mean_sequence_weights", "write_cohort_report"]

LONGEST_NOTE = 200
"""Letters of a row's notes that are shown; the study's report has them in full."""


@dataclass(frozen=True)
class CohortEntry:
    """A study of a cohort.

    Attributes
    ----------
    result
        What came out.
    link
        Address of its report as seen from the cohort page.
    truth
        Lesion to its known class; that of the study as a whole under 0.
    unanswered
        Lesion that the cohort knows and the result lacks, to the reason.
    """

    result: StudyResult
    link: str = ""
    truth: Mapping[int, str] = field(default_factory=dict)
    unanswered: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FailedStudy:
    """A study that failed: its id, the kind of failure in a word, the reason in a sentence."""

    study: str
    kind: str
    reason: str


def cohort_entry(folder: Path, page: Path) -> CohortEntry:
    """Read a study of a cohort from the output folder of ``classify``.

    Parameters
    ----------
    folder
        The output folder.
    page
        The cohort page to be, from which the study's report is linked.

    Raises
    ------
    StudyError
        If the folder holds no results, or those of another schema.
    """
    file = folder / "results.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{file} cannot be read ({error}); name output folders of classify.") from None
    return CohortEntry(StudyResult.from_dict(content), report_link(folder, page))


def report_link(folder: Path, page: Path) -> str:
    """Address of the report in an output folder as seen from a page; empty where there is none."""
    report = folder / "report.html"
    return quote(Path(os.path.relpath(report, page.parent)).as_posix()) if report.is_file() else ""


def write_cohort_report(
    entries: Iterable[CohortEntry],
    path: Path,
    title: str = "cohort",
    failures: Sequence[FailedStudy] = (),
) -> Path:
    """Write the page of a cohort: counts, classes, sureness, times, weights of sequences, a row per lesion.

    Parameters
    ----------
    entries
        The studies, in the order of the page; each is looked at once and not kept.
    path
        The HTML file.
    title
        Name of the cohort.
    failures
        Studies that failed.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    summary = CohortSummary()
    rows: list[dict[str, Any]] = []
    for entry in entries:
        summary.add(entry.result)
        rows += _rows(entry)
    tasks = summary.tasks
    notice = f"{PHANTOM_NOTICE[:1].upper()}{PHANTOM_NOTICE[1:]}" if summary.is_phantom else ""
    text = template("cohort.html").render(
        title=title,
        style=html_style(),
        notice=notice,
        summary=summary,
        tasks=tasks,
        rows=[{**row, "answers": [row["answers"].get(task) for task in tasks]} for row in rows],
        has_truth=any(row["truth"] for row in rows),
        choices=sorted({answer["predicted"] for row in rows for answer in row["answers"].values()}),
        failures=failures,
        kinds=Counter(each.kind for each in failures).most_common(),
        picture=_picture(summary.weights.means),
        software=sorted(summary.software),
    )
    return write_html(text, path)


def _rows(entry: CohortEntry) -> list[dict[str, Any]]:
    """A row for the study where it is answered for as a whole, one per lesion, one for what got no answer."""
    rows = []
    for answered in ([entry.result] if entry.result.study_tasks else []) + list(entry.result.lesions):
        lesion = answered if isinstance(answered, LesionResult) else None
        tasks = answered.study_tasks if isinstance(answered, StudyResult) else answered.tasks
        unlike = answered.out_of_distribution
        notes = "; ".join([*answered.warnings, *(unlike.in_words if unlike is not None else ())])
        rows.append(
            {
                "study": entry.result.study.id,
                "link": f"{entry.link}#lesion-{lesion.id}" if entry.link and lesion else entry.link,
                "lesion": lesion.name if lesion else "the study",
                "diameter_mm": lesion.diameter_mm if lesion else None,
                "answers": {name: _answer(task) for name, task in tasks.items()},
                "truth": entry.truth.get(0 if lesion is None else lesion.id, ""),
                "wrong": _differs(tasks, entry.truth.get(0 if lesion is None else lesion.id, "")),
                "doubt": _is_doubtful(tasks, answered.warnings if lesion else ()),
                "notes": notes if len(notes) <= LONGEST_NOTE else f"{notes[:LONGEST_NOTE]}…",
            }
        )
    return rows + [
        {
            "study": entry.result.study.id,
            "link": entry.link,
            "lesion": f"lesion {lesion}",
            "diameter_mm": None,
            "answers": {},
            "truth": entry.truth.get(lesion, ""),
            "wrong": False,
            "doubt": True,
            "notes": reason,
        }
        for lesion, reason in entry.unanswered.items()
    ]


def _answer(task: TaskResult) -> dict[str, Any]:
    spread = task.std.get(task.predicted)
    possible = task.set_in_words if task.is_ambiguous else task.predicted
    return {
        "predicted": task.predicted,
        "possible": possible,
        "probability": task.probability,
        "spread": spread,
    }


def _differs(tasks: Mapping[str, TaskResult], truth: str) -> bool:
    """Whether the primary answer is known to be another class than the truth."""
    primary = primary_answer(tasks)
    if primary is None or not truth:
        return False
    classes = tuple(primary.probabilities)
    known = label_in(classes, truth)
    return known is not None and classes[known] != primary.predicted


def _is_doubtful(tasks: Mapping[str, TaskResult], warnings: Sequence[str]) -> bool:
    """Whether a reader should look twice: not classified, below one in two, or answers that disagree."""
    primary = primary_answer(tasks)
    disagree = any("disagree" in text for text in warnings)
    return primary is None or primary.probability < 0.5 or disagree


def _picture(means: Mapping[str, Mapping[str, float]]) -> str | None:
    if not means:
        return None
    from io import BytesIO

    from LiverLesionAI.writers.figures import cohort_figure, save_png

    sequences = list(dict.fromkeys(name for row in means.values() for name in row))
    picture = BytesIO()
    save_png(cohort_figure(means, sequences, "Mean weight of each sequence for the predicted class"), picture)
    return base64.b64encode(picture.getvalue()).decode()
