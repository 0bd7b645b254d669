"""The page of a cohort: a single HTML file that needs no network."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from LiverLesionAI.errors import StudyError
from LiverLesionAI.results import LesionResult, StudyResult, TaskResult
from LiverLesionAI.writers.report import html_notice, html_style, template, write_html
from LiverLesionAI.writers.tables import task_classes


@dataclass(frozen=True)
class CohortEntry:
    """A study of a cohort: its result, and the address of its report as seen from the cohort page."""

    result: StudyResult
    link: str = ""


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
    report = folder / "report.html"
    link = quote(Path(os.path.relpath(report, page.parent)).as_posix()) if report.is_file() else ""
    return CohortEntry(StudyResult.from_dict(content), link)


def write_cohort_report(entries: Sequence[CohortEntry], path: Path, title: str = "cohort") -> Path:
    """Write the page of a cohort: mean weights of the sequences per class, and a row per lesion.

    Parameters
    ----------
    entries
        The studies, in the order of the page.
    path
        The HTML file.
    title
        Name of the cohort.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    results = [entry.result for entry in entries]
    known = dict.fromkeys(task for result in results for task in task_classes(result))
    answers: list[StudyResult | LesionResult] = [*results, *(each for one in results for each in one.lesions)]
    primary = {_primary_task(_tasks(each)) for each in answers}
    tasks = sorted(known, key=lambda task: task not in primary)
    text = template("cohort.html").render(
        title=title,
        style=html_style(),
        notice=html_notice(results),
        studies=results,
        lesion_count=sum(len(result.lesions) for result in results),
        tasks=tasks,
        rows=[row for entry in entries for row in _cohort_rows(entry, tasks)],
        picture=_cohort_picture(results),
        software=sorted({result.provenance.software for result in results}),
    )  # fmt: skip
    return write_html(text, path)


def mean_sequence_weights(
    results: Iterable[StudyResult], task: str | None = None
) -> dict[str, dict[str, float]]:
    """Mean Shapley value of each sequence per explained class, as in Figure 6 of Wang et al. 2021.

    Parameters
    ----------
    results
        The cohort.
    task
        The task; by default each model's primary one.

    Returns
    -------
    dict
        Class, in the taxonomy's order, to sequence to the mean over the lesions explained as that class that
        have the sequence.
    """
    collected: dict[str, dict[str, list[float]]] = {}
    order: tuple[str, ...] = ()
    for lesion in (lesion for result in results for lesion in result.lesions):
        asked = task or _primary_task(lesion.tasks)
        if asked is None or asked not in lesion.explained:
            continue
        order = tuple(lesion.tasks[asked].probabilities)
        columns = collected.setdefault(lesion.explained[asked], {})
        for name, weight in lesion.sequence_weights[asked].items():
            columns.setdefault(name, []).append(weight["shapley"])
    return {
        name: {sequence: sum(values) / len(values) for sequence, values in collected[name].items()}
        for name in order
        if name in collected
    }


def _tasks(answered: StudyResult | LesionResult) -> Mapping[str, TaskResult]:
    return answered.study_tasks if isinstance(answered, StudyResult) else answered.tasks


def _primary_task(tasks: Mapping[str, TaskResult]) -> str | None:
    return next((name for name, answer in tasks.items() if answer.primary), None)


def _cohort_rows(entry: CohortEntry, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """A row for the study where it is answered for as a whole, then one per lesion."""
    rows = []
    for answered in ([entry.result] if entry.result.study_tasks else []) + list(entry.result.lesions):
        lesion = answered if isinstance(answered, LesionResult) else None
        given = (_tasks(answered).get(name) for name in tasks)
        rows.append(
            {
                "study": entry.result.study.id,
                "link": f"{entry.link}#lesion-{lesion.id}" if entry.link and lesion else entry.link,
                "lesion": lesion.name if lesion else "the study",
                "diameter_mm": lesion.diameter_mm if lesion else None,
                "answers": [
                    {"predicted": task.predicted, "probability": task.probability} if task else None
                    for task in given
                ],
                "notes": "; ".join(answered.warnings),
            }
        )
    return rows


def _cohort_picture(results: Sequence[StudyResult]) -> str | None:
    means = mean_sequence_weights(results)
    if not means:
        return None
    from io import BytesIO

    from LiverLesionAI.writers.figures import cohort_figure, save_png

    sequences = list(dict.fromkeys(name for row in means.values() for name in row))
    picture = BytesIO()
    save_png(cohort_figure(means, sequences, "Mean weight of each sequence for the predicted class"), picture)
    return base64.b64encode(picture.getvalue()).decode()
