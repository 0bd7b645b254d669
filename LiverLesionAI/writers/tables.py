"""Results as tables: ``results.csv``, ``results.json`` and the table that people read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from LiverLesionAI.answers import GroupResult, OutOfDistribution, TaskResult
from LiverLesionAI.decisions import in_words
from LiverLesionAI.files import write_text_whole
from LiverLesionAI.results import LesionResult, StudyResult
from LiverLesionAI.spreadsheet import Cell, write_table


@dataclass(frozen=True)
class Table:
    """Named columns and their rows, a cell being None where there is nothing to say."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def task_classes(result: StudyResult) -> dict[str, tuple[str, ...]]:
    """Tasks of a result and their classes: the study's, then those of lesions in the order of the first."""
    tasks: dict[str, tuple[str, ...]] = {}
    for answers in (result.study_tasks, *(lesion.tasks for lesion in result.lesions)):
        for name, task in answers.items():
            tasks.setdefault(name, tuple(task.probabilities))
    return tasks


def prediction_columns(
    tasks: Mapping[str, tuple[str, ...]], *, of_slices: bool = False, readers: int = 0
) -> tuple[str, ...]:
    """Columns of :func:`prediction_table` for tasks with their classes, slices or not, so many readers."""
    columns = ["study_id", "patient_id", "lesion", *(["slice"] if of_slices else []), "truth"]
    for task, classes in tasks.items():
        columns += [f"pred_{task}", *(f"prob_{task}_{name}" for name in classes)]
    if readers:
        columns += [*(f"reader_{number}" for number in range(1, readers + 1)), "reader_final"]
    for task, classes in tasks.items():
        columns += [*(f"cal_{task}_{name}" for name in classes), f"set_{task}"]
    return (*columns, "unlike_score", "unlike_threshold")


def prediction_table(
    result: StudyResult,
    *,
    patient_id: str = "",
    truth: Mapping[int, str] | None = None,
    tasks: Mapping[str, tuple[str, ...]] | None = None,
) -> Table:
    """Rows of ``results.csv``, for machines: one per lesion, or one for the study where that is answered for.

    An answer for the study leaves `lesion` empty; where slices get answers, a row per slice follows, with a
    column ``slice``.

    Parameters
    ----------
    result
        What came out.
    patient_id
        Pseudonym of the patient, for statistics that cluster by patient.
    truth
        Lesion to its known class.
    tasks
        Tasks and their classes, where several studies share one table; else those of the result.

    Returns
    -------
    Table
        ``study_id, patient_id, lesion, truth``, then for each task ``pred_<task>`` and
        ``prob_<task>_<class>``. None where a lesion has no answer or the truth is unknown. Where readers have
        decided, ``reader_1``, ``reader_2`` (their classes) and ``reader_final`` (what holds) follow. Last
        come ``cal_<task>_<class>`` (calibrated probabilities) and ``set_<task>`` (classes of the prediction
        set between bars) of each task, ``unlike_score`` and ``unlike_threshold``.
    """
    tasks, truth = task_classes(result) if tasks is None else tasks, truth or {}
    of_slices = result.unit == "slice"
    readers = _reader_count(result)
    columns = prediction_columns(tasks, of_slices=of_slices, readers=readers)
    rows: list[tuple[Cell, ...]] = []
    if result.study_tasks:
        unread: list[Cell] = [None] * (readers and readers + 1)
        head = (result.study.id, patient_id, None, *((None,) if of_slices else ()), _one_truth(truth))
        sure = _reliance(result.study_tasks, tasks, result.out_of_distribution)
        rows.append((*head, *_answers(result.study_tasks, tasks), *unread, *sure))
        if of_slices:
            unsure = [None] * len(sure)
            rows += [(*row, *unread, *unsure) for row in _slice_rows(result, patient_id, tasks)]
        return Table(columns, tuple(rows))
    of_study = truth.get(0) if len(result.lesions) == 1 else None
    for lesion in result.lesions:
        head = (result.study.id, patient_id, lesion.id, truth.get(lesion.id, of_study))
        said = _diagnoses(lesion, readers) if readers else ()
        sure = _reliance(lesion.tasks, tasks, lesion.out_of_distribution)
        rows.append((*head, *_answers(lesion.tasks, tasks), *said, *sure))
    return Table(columns, tuple(rows))


def _one_truth(truth: Mapping[int, str]) -> str | None:
    """The class of a study: that of its lesions, where these are of one class."""
    classes = set(truth.values())
    return classes.pop() if len(classes) == 1 else None


def _slice_rows(
    result: StudyResult, patient_id: str, tasks: Mapping[str, tuple[str, ...]]
) -> list[tuple[Cell, ...]]:
    """A row per group behind the study's answers; the groups of all tasks are the same."""
    answered = {name: result.study_tasks[name].groups for name in tasks if name in result.study_tasks}
    rows: list[tuple[Cell, ...]] = []
    for position, group in enumerate(next(iter(answered.values()), ())):
        cells: list[Cell] = []
        for name, classes in tasks.items():
            cells += _group_cells(answered[name][position] if name in answered else None, classes)
        rows.append((result.study.id, patient_id, None, group.slice, None, *cells))
    return rows


def _group_cells(group: GroupResult | None, classes: Sequence[str]) -> list[Cell]:
    if group is None:
        return [None] * (1 + len(classes))
    best = max(classes, key=lambda name: group.probabilities[name])
    return [best, *(group.probabilities[name] for name in classes)]


def lesion_table(result: StudyResult) -> Table:
    """One row per lesion, for people: name, size (to 0.1 mm, 0.01 ml), class, probabilities (to 0.001), set.

    Where readers have decided, a column tells in words what. An answer for the study stands in a first row of
    its own.
    """
    tasks = task_classes(result)
    with_sets = _tasks_with_sets(result)
    columns = ["lesion", "name", "diameter (mm)", "volume (ml)"]
    for task, classes in tasks.items():
        columns += [task, *(f"p({name})" for name in classes)]
        columns += [f"{task}, set"] if task in with_sets else []
    is_read = bool(_reader_count(result))
    columns += ["readers"] if is_read else []
    rows: list[tuple[Cell, ...]] = []
    if result.study_tasks:
        answers = _shown_answers(result.study_tasks, tasks, with_sets)
        rows.append((None, "study", None, None, *answers, *([None] if is_read else [])))
    for lesion in result.lesions:
        size = (round(lesion.diameter_mm, 1), round(lesion.volume_ml, 2))
        said = [in_words(lesion.reading) if lesion.reading else None] if is_read else []
        rows.append((lesion.id, lesion.name, *size, *_shown_answers(lesion.tasks, tasks, with_sets), *said))
    return Table(tuple(columns), tuple(rows))


CANDIDATE_COLUMNS = (
    "study_id", "rank", "probability", "sequence", "first_slice", "last_slice", "x_lps_mm", "y_lps_mm",
    "z_lps_mm", "volume_ml", "lesion",
)  # fmt: skip


def candidate_table(result: StudyResult) -> Table:
    """Rows of ``candidates.csv``: one per candidate, slices counted from 0 at the feet."""
    rows = tuple(
        (
            result.study.id,
            each.rank,
            each.probability,
            each.sequence,
            *each.slices,
            *each.centre_lps_mm,
            each.volume_ml,
            each.lesion,
        )
        for each in result.candidates
    )
    return Table(CANDIDATE_COLUMNS, rows)


def _tasks_with_sets(result: StudyResult) -> set[str]:
    """Tasks of which a prediction set is known."""
    answers = (result.study_tasks, *(lesion.tasks for lesion in result.lesions))
    return {name for given in answers for name, task in given.items() if task.prediction_set is not None}


def _shown_answers(
    given: Mapping[str, TaskResult], tasks: Mapping[str, tuple[str, ...]], with_sets: Collection[str]
) -> list[Cell]:
    """Class, probabilities as people are shown them, and the prediction set."""
    cells: list[Cell] = []
    for name, classes in tasks.items():
        task = given.get(name)
        cells.append(task.predicted if task else None)
        cells += [round(task.shown[each], 3) if task else None for each in classes]
        cells += [task.set_in_words or None if task else None] if name in with_sets else []
    return cells


def _reliance(
    given: Mapping[str, TaskResult],
    tasks: Mapping[str, tuple[str, ...]],
    unlike: OutOfDistribution | None,
) -> list[Cell]:
    """Calibrated probabilities and sets of all tasks, then how unlike the training the unit is."""
    cells: list[Cell] = []
    for name, classes in tasks.items():
        task = given.get(name)
        known = task.calibrated if task else None
        cells += [known[each] if known is not None else None for each in classes]
        held = task.prediction_set if task else None
        cells.append("|".join(held) if held is not None else None)
    return [*cells, unlike.score if unlike else None, unlike.threshold if unlike else None]


def write_csv(table: Table, path: Path) -> Path:
    """Write a table as CSV; probabilities to six decimals."""
    write_table(path, table.columns, ([rounded_text(cell) for cell in row] for row in table.rows))
    return path


def write_results(
    result: StudyResult, folder: Path, *, patient_id: str = "", truth: Mapping[int, str] | None = None
) -> tuple[Path, Path]:
    """Write ``results.json`` and ``results.csv`` into a folder and return their paths."""
    json_path = folder / "results.json"
    write_text_whole(json_path, result.to_json())
    table = prediction_table(result, patient_id=patient_id, truth=truth)
    return json_path, write_csv(table, folder / "results.csv")


def _answers(given: Mapping[str, TaskResult], tasks: Mapping[str, tuple[str, ...]]) -> list[Cell]:
    cells: list[Cell] = []
    for name, classes in tasks.items():
        task = given.get(name)
        cells.append(task.predicted if task else None)
        cells += [task.probabilities[each] if task else None for each in classes]
    return cells


def _reader_count(result: StudyResult) -> int:
    """How many readers decided about a lesion at most."""
    return max((len(each.reading.decisions) for each in result.lesions if each.reading), default=0)


def _diagnoses(lesion: LesionResult, readers: int) -> list[Cell]:
    """The class of each reader, and the one that holds."""
    reading = lesion.reading
    said = [each.diagnosis for each in reading.decisions] if reading else []
    final = reading.final if reading else None
    return [*said, *[None] * (readers - len(said)), final.diagnosis if final else None]


def rounded_text(cell: Cell) -> Cell:
    return f"{cell:.6f}" if isinstance(cell, float) else cell
