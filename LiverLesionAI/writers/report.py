"""The report of a study, and the page of a cohort: single HTML files that need no network.

Pictures come first, then numbers, then how they came about and what they cannot say.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from LiverLesionAI.decisions import decided_class
from LiverLesionAI.errors import OutputError, StudyError
from LiverLesionAI.results import (
    CLASS_TASK,
    PHANTOM_NOTICE,
    Decision,
    LesionResult,
    StudyResult,
    TaskResult,
)
from LiverLesionAI.taxonomy import taxonomy_named
from LiverLesionAI.writers.tables import task_classes

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
NEEDED_PACKAGES = ("jinja2", "matplotlib")
SHOWN_INTERACTIONS = 5

LIMITS = (
    "The answer is one of the classes that the model knows; a lesion of any other kind gets one of them too.",
    "Probabilities are those of the model, not of the patient: they depend on how frequent each class was in "
    "training.",
    "Maps and weights explain the model, not the disease. They show what the model used, which may be an "
    "artefact, and a convincing map does not make the answer right.",
    "A map is as coarse as the network's cells and can miss thin structures; the weights of the sequences "
    "are exact for this model, relative to the average lesion of its training.",
    "The outline decides the crop and the measurements; another outline can give another answer.",
)


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


def missing_packages() -> tuple[str, ...]:
    """Packages that figures and report need and that are not installed."""
    return tuple(name for name in NEEDED_PACKAGES if find_spec(name) is None)


def write_report(result: StudyResult, path: Path, figures: Mapping[int, Path] | None = None) -> Path:
    """Write the report of a study.

    Parameters
    ----------
    result
        What came out.
    path
        The HTML file.
    figures
        Lesion to its PNG, which is put into the file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    pictures = {lesion: _base64(figure) for lesion, figure in (figures or {}).items()}
    folds = max((model.folds for model in result.models), default=1)
    text = _environment().get_template("report.html").render(
        result=result,
        style=_style(),
        notice=_notice([result]),
        lesions=[_lesion(lesion, pictures.get(lesion.id), folds) for lesion in result.lesions],
        limits=LIMITS,
    )  # fmt: skip
    return _write(text, path)


def write_cohort_report(entries: Sequence[CohortEntry], path: Path, title: str = "cohort") -> Path:
    """Write the page of a cohort: mean weights of the sequences per class, and a row a lesion.

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
    tasks = sorted(known, key=lambda task: task != CLASS_TASK)
    text = _environment().get_template("cohort.html").render(
        title=title,
        style=_style(),
        notice=_notice(results),
        studies=results,
        lesion_count=sum(len(result.lesions) for result in results),
        tasks=tasks,
        rows=[row for entry in entries for row in _cohort_rows(entry, tasks)],
        picture=_cohort_picture(results),
        software=sorted({result.provenance.software for result in results}),
    )  # fmt: skip
    return _write(text, path)


def mean_sequence_weights(
    results: Iterable[StudyResult], task: str = CLASS_TASK
) -> dict[str, dict[str, float]]:
    """Mean Shapley value of each sequence per explained class, as in Figure 6 of Wang et al. 2021.

    Returns
    -------
    dict
        Class, in the taxonomy's order, to sequence to the mean over the lesions explained as that class that
        have the sequence.
    """
    collected: dict[str, dict[str, list[float]]] = {}
    order: tuple[str, ...] = ()
    for lesion in (lesion for result in results for lesion in result.lesions):
        if task not in lesion.explained:
            continue
        order = tuple(lesion.tasks[task].probabilities)
        columns = collected.setdefault(lesion.explained[task], {})
        for name, weight in lesion.sequence_weights[task].items():
            columns.setdefault(name, []).append(weight["shapley"])
    return {
        name: {sequence: sum(values) / len(values) for sequence, values in collected[name].items()}
        for name in order
        if name in collected
    }


def _lesion(lesion: LesionResult, picture: str | None, folds: int) -> dict[str, Any]:
    """What the template says about a lesion."""
    tasks = _ordered(lesion)
    return {
        "id": lesion.id,
        "name": lesion.name,
        "headline": _headline(lesion),
        "diameter_mm": lesion.diameter_mm,
        "volume_ml": lesion.volume_ml,
        "warnings": lesion.warnings,
        "tasks": lesion.tasks,
        "answers": [_answer(name, task) for name, task in tasks.items()],
        "readers": _readers(lesion),
        "asked": _asked(lesion),
        "picture": picture,
        "probabilities": [{"task": name, "rows": _rows(task, folds)} for name, task in tasks.items()],
        "weights": _weights(lesion),
        "interactions": _interactions(lesion),
    }


def _ordered(lesion: LesionResult) -> dict[str, TaskResult]:
    """Tasks of a lesion, the class of the lesion first."""
    return dict(sorted(lesion.tasks.items(), key=lambda item: item[0] != CLASS_TASK))


def _asked(lesion: LesionResult) -> list[dict[str, Any]]:
    """Classes that were explained in place of the predicted ones."""
    return [
        {
            "title": _class_title(lesion.tasks[task], name),
            "probability": lesion.tasks[task].probabilities[name],
        }
        for task, name in lesion.explained.items()
        if name != lesion.tasks[task].predicted
    ]


def _class_title(task: TaskResult, name: str) -> str:
    taxonomy = taxonomy_named(task.taxonomy)
    return taxonomy.classes[taxonomy.index(name)].title


def _headline(lesion: LesionResult) -> str:
    if not lesion.tasks:
        return ""
    name, task = next(iter(_ordered(lesion).items()))
    model, decided = _answer(name, task)["title"], decided_class(lesion)
    if lesion.reader is None:
        return model
    readers = f"{decided.title} (readers)" if decided is not None else "readers differ"
    return f"{model} (model), {readers}"


def _answer(name: str, task: TaskResult) -> dict[str, str]:
    title = _class_title(task, task.predicted)
    return {"task": name, "title": title, "percent": f"p = {task.probabilities[task.predicted]:.2f}"}


def _readers(lesion: LesionResult) -> list[dict[str, str]]:
    """The model's answer, then the readers', in rows of one shape."""
    reading, answer = lesion.reader, lesion.kind
    if reading is None or answer is None:
        return []
    names = [(f"Reader {number}", each) for number, each in enumerate(reading.decisions, start=1)]
    names += [("Settled", reading.settled)] if reading.settled is not None else []
    binary = next((task.predicted for task in lesion.tasks.values() if task.taxonomy == "binary"), "–")
    model = {**_class_cells(answer.taxonomy, answer.predicted), "who": "Model", "malignancy": binary}
    return [model, *(_decision_row(title, decision) for title, decision in names)]


def _decision_row(title: str, decision: Decision) -> dict[str, str]:
    return {
        **_class_cells(decision.taxonomy, decision.diagnosis),
        "who": f"{title}: {decision.reader}" if decision.reader else title,
        "malignancy": {True: "malignant", False: "benign", None: "–"}[decision.malignant],
        "how": "accepted" if decision.is_accepted else f"instead of {decision.model_class}",
        "reason": decision.reason,
        "time": decision.time,
    }


def _class_cells(taxonomy_name: str, class_name: str) -> dict[str, str]:
    taxonomy = taxonomy_named(taxonomy_name)
    shown = taxonomy.classes[taxonomy.index(class_name)]
    return {"title": shown.title, "colour": _css(shown.colour), "how": "", "reason": "", "time": ""}


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _rows(task: TaskResult, folds: int) -> list[dict[str, Any]]:
    classes = taxonomy_named(task.taxonomy).classes
    return [
        {
            "title": each.title,
            "colour": _css(each.colour),
            "probability": task.probabilities[each.name],
            "spread": task.fold_std.get(each.name) if folds > 1 else None,
            "predicted": each.name == task.predicted,
        }
        for each in classes
    ]


def _weights(lesion: LesionResult) -> dict[str, Any] | None:
    tasks = [task for task in _ordered(lesion) if task in lesion.sequence_weights]
    if not tasks:
        return None
    names = list(lesion.sequence_weights[tasks[0]])
    columns = [f"{task}: {lesion.explained.get(task, lesion.tasks[task].predicted)}" for task in tasks]
    cells = {
        name: [lesion.sequence_weights[task].get(name, {}).get("shapley") for task in tasks] for name in names
    }
    sums = [sum(each["shapley"] for each in lesion.sequence_weights[task].values()) for task in tasks]
    return {"columns": columns, "rows": list(cells.items()), "sums": sums}


def _interactions(lesion: LesionResult) -> list[dict[str, Any]]:
    pairs = [
        {"task": task, "first": first, "second": second, "value": value}
        for task, found in lesion.sequence_interactions.items()
        for first, second, value in found
    ]
    return sorted(pairs, key=lambda pair: -abs(pair["value"]))[:SHOWN_INTERACTIONS]


def _cohort_rows(entry: CohortEntry, tasks: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for lesion in entry.result.lesions:
        answers = [
            {"predicted": task.predicted, "probability": task.probabilities[task.predicted]} if task else None
            for task in (lesion.tasks.get(name) for name in tasks)
        ]
        rows.append(
            {
                "study": entry.result.study.id,
                "link": f"{entry.link}#lesion-{lesion.id}" if entry.link else "",
                "lesion": lesion.name,
                "diameter_mm": lesion.diameter_mm,
                "answers": answers,
                "notes": "; ".join(lesion.warnings),
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


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["capital"] = _capital
    environment.filters["sentence"] = lambda text: f"{_capital(text).rstrip('.')}."
    environment.filters["compact"] = lambda value: json.dumps(value).replace('"', "")
    return environment


def _style() -> Any:
    from markupsafe import Markup

    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _notice(results: Iterable[StudyResult]) -> str:
    trained = any(result.is_phantom_trained for result in results)
    return _capital(PHANTOM_NOTICE) if trained else ""


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(text: str, path: Path) -> Path:
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path
