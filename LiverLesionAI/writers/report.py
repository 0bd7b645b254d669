"""The report of a study: a single HTML file that needs no network.

Pictures come first, then numbers, then how they came about and what they cannot say.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.answers import TaskResult, task_title
from LiverLesionAI.decisions import decided_class
from LiverLesionAI.files import write_text_whole
from LiverLesionAI.inputs.clinical import FIELDS
from LiverLesionAI.reading import Decision
from LiverLesionAI.results import PHANTOM_NOTICE, LesionResult, StudyResult
from LiverLesionAI.taxonomy import LesionClass

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).with_name("templates")
NEEDED_PACKAGES = ("jinja2", "matplotlib")
SHOWN_INTERACTIONS = 5

LIMITS = (
    "The answer is one of the classes that the model knows; a lesion of any other kind gets one of them too.",
    "Probabilities are those of the model, not of the patient: they depend on how frequent each class was in "
    "training. What calibration promises holds for cases like those that it was measured with.",
    "SD is the spread of the networks that were joined, before calibration.",
    "Maps and weights explain the model, not the disease. They show what the model used, which may be an "
    "artefact, and a convincing map does not make the answer right.",
    "Maps of some methods are as coarse as the network's cells, and any can miss thin structures; the "
    "weights of the sequences are exact for this model, relative to what it is given in the place of a "
    "missing one.",
    "The segmentation decides the crop and the measurements; another one can give another answer.",
)


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
    members = max((model.members for model in result.models), default=1)
    text = template("report.html").render(
        result=result,
        style=html_style(),
        notice=html_notice([result]),
        study=_study_answer(result, members),
        lesions=[_lesion(lesion, pictures.get(lesion.id), result, members) for lesion in result.lesions],
        limits=LIMITS,
    )  # fmt: skip
    return write_html(text, path)


def _study_answer(result: StudyResult, members: int) -> dict[str, Any] | None:
    """What the template says about the answer for the study as a whole."""
    tasks = _ordered(result.study_tasks)
    if not tasks:
        return None
    return {
        "headline": _said(next(iter(tasks.values()))),
        "answers": [_answer(name, task) for name, task in tasks.items()],
        "basis": [
            {"task": task_title(name), "model": task.model, "basis": task.basis}
            for name, task in tasks.items()
            if task.model or task.clinical
        ],
        "probabilities": [_probability_table(name, task, members) for name, task in tasks.items()],
        "weights": _weights(result, tasks),
        "fields": _clinical_weights(result),
        "groups": [
            {
                "name": group.name,
                "predicted": task.class_named(group.predicted).title,
                "probability": group.probabilities[group.predicted],
            }
            for task in list(tasks.values())[:1]
            for group in task.groups
        ],
        "note_on_groups": next(iter(tasks.values())).note_on_groups,
    }


def _lesion(lesion: LesionResult, picture: str | None, result: StudyResult, members: int) -> dict[str, Any]:
    """What the template says about a lesion."""
    tasks = _ordered(lesion.tasks)
    return {
        "id": lesion.id,
        "is_unit": result.unit == "lesion",
        "name": lesion.name,
        "headline": _headline(lesion),
        "diameter_mm": lesion.diameter_mm,
        "volume_ml": lesion.volume_ml,
        "warnings": lesion.warnings,
        "tasks": lesion.tasks,
        "answers": [_answer(name, task) for name, task in tasks.items()],
        "readers": _readers(lesion),
        "others": _others(lesion, result),
        "picture": picture,
        "probabilities": [_probability_table(name, task, members) for name, task in tasks.items()],
        "weights": _weights(lesion, lesion.tasks),
        "interactions": _interactions(lesion),
    }


def _ordered(tasks: Mapping[str, TaskResult]) -> dict[str, TaskResult]:
    """Answers, the primary one first."""
    return dict(sorted(tasks.items(), key=lambda item: not item[1].primary))


def _others(lesion: LesionResult, result: StudyResult) -> list[dict[str, Any]]:
    """Classes that were explained in place of the predicted ones, and why."""
    if result.provenance.parameters.get("saliency", {}).get("target"):
        why = "as was asked, not for the predicted class"
    elif result.study_tasks:
        why = "the class of the study as a whole, not for this lesion's own"
    else:
        why = "not for the predicted class"
    return [
        {
            "title": lesion.tasks[task].class_named(name).title,
            "probability": lesion.tasks[task].shown[name],
            "why": why,
        }
        for task, name in lesion.explained.items()
        if name != lesion.tasks[task].predicted
    ]


def _headline(lesion: LesionResult) -> str:
    if not lesion.tasks:
        return ""
    task = next(iter(_ordered(lesion.tasks).values()))
    model, decided = _said(task), decided_class(lesion)
    if lesion.reading is None:
        return model
    readers = f"{decided.title} (readers)" if decided is not None else "readers differ"
    return f"{model} (model), {readers}"


def _said(task: TaskResult) -> str:
    """The class, or the set where the model cannot tell."""
    return task.set_in_words if task.is_ambiguous else task.predicted_class.title


def _answer(name: str, task: TaskResult) -> dict[str, str]:
    return {
        "task": task_title(name),
        "title": task.predicted_class.title,
        "percent": f"p = {task.probability:.2f}",
        "possible": task.set_in_words if task.is_ambiguous else "",
    }


def _readers(lesion: LesionResult) -> list[dict[str, str]]:
    """The model's answer, then the readers', in rows of one shape."""
    reading, answer = lesion.reading, lesion.answer
    if reading is None or answer is None:
        return []
    names = [(f"Reader {number}", each) for number, each in enumerate(reading.decisions, start=1)]
    names += [("Consensus", reading.consensus)] if reading.consensus is not None else []
    binary = next((task.predicted for task in lesion.tasks.values() if task.is_binary), "–")
    model = {**_class_cells(answer.predicted_class), "who": "Model", "malignancy": binary}
    return [model, *(_decision_row(title, decision) for title, decision in names)]


def _decision_row(title: str, decision: Decision) -> dict[str, str]:
    return {
        **_class_cells(decision.decided_class),
        "who": f"{title}: {decision.reader}" if decision.reader else title,
        "malignancy": {True: "malignant", False: "benign", None: "–"}[decision.malignant],
        "how": "accepted" if decision.is_accepted else f"instead of {decision.model_class}",
        "reason": decision.reason,
        "time": decision.time,
    }


def _class_cells(shown: LesionClass) -> dict[str, str]:
    return {"title": shown.title, "colour": _css(shown.colour), "how": "", "reason": "", "time": ""}


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _rows(task: TaskResult, members: int) -> list[dict[str, Any]]:
    return [
        {
            "title": each.title,
            "colour": _css(each.colour),
            "probability": task.shown[each.name],
            "held": each.name in (task.prediction_set or ()),
            "sd": task.std.get(each.name) if members > 1 else None,
            "predicted": each.name == task.predicted,
        }
        for each in task.classes
    ]


def _probability_table(name: str, task: TaskResult, members: int) -> dict[str, Any]:
    return {"task": task_title(name), "rows": _rows(task, members), "set": _set_in_words(task)}


def _set_in_words(task: TaskResult) -> str:
    """What probabilities and set mean; that they may not mean it where the model is not calibrated."""
    if task.calibrated is None:
        return "Not calibrated: of answers with p = 0.8, more or fewer than 8 of 10 may be right."
    return f"Calibrated. Sets as the one marked ● hold the truth in {task.coverage:.0%} of cases."


def _weights(
    explained: LesionResult | StudyResult, answers: Mapping[str, TaskResult]
) -> dict[str, Any] | None:
    """What each sequence was worth, task by task, to a lesion's answers or to those for the study."""
    weights = explained.sequence_weights
    tasks = [task for task in _ordered(answers) if task in weights]
    if not tasks:
        return None
    names = dict.fromkeys(name for task in tasks for name in weights[task])
    columns = [
        f"{task_title(task)}: {explained.explained.get(task, answers[task].predicted)}" for task in tasks
    ]
    cells = {name: [weights[task].get(name, {}).get("shapley") for task in tasks] for name in names}
    sums = [sum(each["shapley"] for each in weights[task].values()) for task in tasks]
    return {"columns": columns, "rows": list(cells.items()), "sums": sums}


def _clinical_weights(result: StudyResult) -> list[dict[str, Any]]:
    """What each clinical field added, the strongest first."""
    titles = {each.name: each.title for each in FIELDS}
    return [
        {
            "task": f"{task_title(task)}: {result.explained[task]}",
            "rows": sorted(
                ((titles.get(name, name), value) for name, value in fields.items()),
                key=lambda row: -abs(row[1]),
            ),
        }
        for task, fields in result.clinical_weights.items()
    ]


def _interactions(lesion: LesionResult) -> list[dict[str, Any]]:
    pairs = [
        {"task": task, "first": first, "second": second, "value": value}
        for task, found in lesion.sequence_interactions.items()
        for first, second, value in found
    ]
    return sorted(pairs, key=lambda pair: -abs(pair["value"]))[:SHOWN_INTERACTIONS]


def template(name: str) -> Template:
    """One of the templates of pages, with our filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["capital"] = _capital
    environment.filters["sentence"] = lambda text: f"{_capital(text).rstrip('.')}."
    environment.filters["compact"] = lambda value: json.dumps(value).replace('"', "")
    return environment.get_template(name)


def html_style() -> Any:
    """The style sheet of all pages."""
    from markupsafe import Markup

    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def html_notice(results: Iterable[StudyResult]) -> str:
    """What must be said of phantom-trained models; empty for others."""
    trained = any(result.is_phantom_trained for result in results)
    return _capital(PHANTOM_NOTICE) if trained else ""


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def write_html(text: str, path: Path) -> Path:
    """Write a page, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_text_whole(path, text)
    return path
