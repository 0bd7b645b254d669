"""What the command line shows: progress and warnings on stderr, results on stdout."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.answers import task_title
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import PHANTOM_NOTICE
from LiverLesionAI.writers.tables import task_classes

if TYPE_CHECKING:
    from rich.table import Table

    from LiverLesionAI.answers import TaskResult
    from LiverLesionAI.evaluation.evaluate import Evaluation
    from LiverLesionAI.evaluation.reader_study import ReaderStudy
    from LiverLesionAI.registration import RegisteredStudy
    from LiverLesionAI.results import ModelSummary, StudyResult

TABLE_WIDTH = 118


class ProgressMode(StrEnum):
    """How progress is shown: bars on a terminal, JSON lines for front ends, or not at all."""

    auto = "auto"
    bar = "bar"
    jsonl = "jsonl"
    none = "none"


def resolved(mode: ProgressMode) -> ProgressMode:
    """How progress is shown where that was left open: as bars on a terminal, else not."""
    if mode is not ProgressMode.auto:
        return mode
    return ProgressMode.bar if sys.stderr.isatty() else ProgressMode.none


@contextmanager
def shown_progress(mode: ProgressMode) -> Iterator[Progress]:
    """Show progress on stderr while the block runs."""
    mode = resolved(mode)
    if mode is ProgressMode.jsonl:
        yield _jsonl
    elif mode is ProgressMode.bar:
        with _bars() as progress:
            yield progress
    else:
        yield silent


def _jsonl(step: str, fraction: float) -> None:
    print(json.dumps({"step": step, "fraction": round(fraction, 4)}), file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<24}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, fraction: float) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=1.0)
            bars.update(tasks[step], completed=fraction)

        yield show


def replace_unknown_letters() -> None:
    """Let standard output and error replace letters that their encoding lacks, where they would raise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_json(content: Any) -> None:
    """Print JSON; where the output is not UTF-8, letters beyond ASCII are escaped, so that none is lost."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("_", "-") in ("utf-8", "utf8")
    print(json.dumps(content, indent=1, ensure_ascii=not is_utf8, allow_nan=False))


def warn(message: str) -> None:
    """Show a warning on stderr."""
    print(f"Warning: {message}", file=sys.stderr)


def show_result(result: StudyResult, files: Sequence[Path], truth: dict[int, str] | None = None) -> None:
    """Show a classified study: a table for each task, the model's standing, the files; warnings on stderr.

    Parameters
    ----------
    result
        The study's result.
    files
        Files written, each named on a line of its own.
    truth
        Lesion to the class it really has, where that is known (phantoms).
    """
    for task, classes in task_classes(result).items():
        _print_table(_task_table(result, task, classes, truth))
    if "detection" in result.provenance.parameters:
        _print_table(_candidate_table(result))
    for line in _models_in_words(result):
        print(line)
    if files:
        print("Written:")
        for file in files:
            print(f"  {file}")
    for message in result.warnings:
        warn(message)
    for lesion in result.lesions:
        for message in lesion.warnings if lesion.tasks or result.study_tasks else ():
            warn(f"{lesion.name}: {message}")


def _candidate_table(result: StudyResult) -> Table:
    from rich import box
    from rich.table import Table

    told = result.provenance.parameters["detection"]
    table = Table(
        title=f"Candidates for HCC on {told['sequence']} (from p = {told['operating_point']:g} on)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("rank", "p", "slices", "centre (LPS, mm)", "ml", "segment"):
        table.add_column(name, justify="right")
    for each in result.candidates:
        slices = f"{each.slices[0] + 1}–{each.slices[1] + 1}"
        centre = ", ".join(f"{value:.0f}" for value in each.centre_lps_mm)
        volume = "" if each.volume_ml is None else f"{each.volume_ml:.1f}"
        segment = "" if each.lesion is None else str(each.lesion)
        table.add_row(str(each.rank), f"{each.probability:.2f}", slices, centre, volume, segment)
    return table


def _models_in_words(result: StudyResult) -> list[str]:
    """Which model answered, and where several did, which of them what, and why."""
    notice = f"; {PHANTOM_NOTICE}" if result.is_phantom_trained else ""
    chosen = result.chosen_models
    if not chosen:
        return [f"Model {_model_in_words(result.models[0])}{notice}."]
    lines = []
    for name, task in chosen.items():
        model = _model_in_words(result.model_of(task))
        lines.append(f"{task_title(name).capitalize()}: model {model}; {task.basis}{notice}.")
    return lines


def _model_in_words(model: ModelSummary) -> str:
    joined = "one network" if model.members == 1 else f"mean of {model.members} networks"
    return f"{model.name} {model.version}, {joined}"


def show_registration(registered: RegisteredStudy, files: Sequence[Path]) -> None:
    """Show how each sequence was registered, and the files; warnings on stderr."""
    from rich import box
    from rich.table import Table

    study = registered.study
    title = f"Study {study.id}: registered to {study.reference}, scope {registered.scope}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("sequence", "transform", "similarity before", "after"):
        table.add_column(heading, justify="left" if heading in ("sequence", "transform") else "right")
    for name, done in registered.sequences.items():
        metrics = (done.metric_before, done.metric_after)
        table.add_row(name, done.transform, *("–" if m is None else f"{m:.3f}" for m in metrics))
    _print_table(table)
    print("Written:")
    for file in files:
        print(f"  {file}")
    for message in registered.warnings:
        warn(message)


def show_evaluation(evaluation: Evaluation, files: Sequence[Path]) -> None:
    """Show the figures of each question: a line per class, then accuracy and kappa; then the files."""
    from rich import box
    from rich.table import Table

    from LiverLesionAI.writers.evaluation import p_text

    for task in evaluation.tasks.values():
        title = f"{evaluation.source}: {task.task or 'answers'}, {task.n} cases"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for heading in ("class", "n", "sensitivity", "specificity", "PPV", "NPV", "AUC"):
            table.add_column(heading, justify="left" if heading == "class" else "right")
        for name, figures in task.classes.items():
            counts = figures.counts
            proportions = (counts.sensitivity, counts.specificity, counts.ppv, counts.npv)
            shown = ("–" if each.value is None else f"{each.value:.3f}" for each in proportions)
            auc = f"{figures.auc.value:.3f}" if figures.auc else "–"
            table.add_row(name, str(counts.tp + counts.fn), *shown, auc)
        _print_table(table)
        low, high = task.accuracy.modified_wilson or (0.0, 1.0)
        kappa = f"; kappa {task.kappa.value:.3f}" if task.kappa else ""
        print(
            f"Accuracy {task.accuracy.value:.3f} (95% CI {low:.3f}–{high:.3f}), "
            f"{task.accuracy.successes} of {task.accuracy.n}{kappa}."
        )
        for other, found in evaluation.comparisons[task.task].items():
            print(f"Against {other}: McNemar p {p_text(found.mcnemar.exact_p)} over {found.n} cases.")
        _show_repeats(evaluation, task.task)
        for name, study in evaluation.reader_studies.get(task.task, {}).items():
            _show_reader_study(name, study)
        if task.left_out:
            warn(f"{task.left_out} cases without a truth or an answer were left out of {task.task or 'it'}.")
    print("Written:")
    for file in files:
        print(f"  {file}")


def _show_repeats(evaluation: Evaluation, task: str) -> None:
    from LiverLesionAI.writers.evaluation import p_text

    study = evaluation.repeats.get(task)
    for name, figures in study.models.items() if study else ():
        low, high = figures.accuracy.range
        steel = f"; Steel p {p_text(study.steel[name].p)}" if study and name in study.steel else ""
        print(
            f"{name}: median accuracy {figures.accuracy.median:.3f} ({low:.3f}–{high:.3f}) of "
            f"{len(figures.repeats)} trainings{steel}."
        )


def _show_reader_study(name: str, study: ReaderStudy) -> None:
    from LiverLesionAI.writers.evaluation import p_text
    from LiverLesionAI.writers.reader_study import WAY

    for way, figures in study.ways.items():
        for reader, said in figures.readers.items():
            hits = said.accuracy
            print(f"{name}, {way or WAY}: {reader} {hits.value:.3f}, {hits.successes} of {hits.n}.")
    for of, found in study.multireader.items():
        for (first, second), each in found.random_readers.differences.items():
            low, high = each.interval
            print(
                f"{name}, {of}: area {first} – {second} {each.value:.3f} (95% CI {low:.3f}–{high:.3f}), "
                f"p {p_text(each.p)} for other readers and cases."
            )


def _task_table(
    result: StudyResult, task: str, classes: Sequence[str], truth: dict[int, str] | None
) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(f"Study {result.study.id}: {task_title(task)}"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("study" if result.study_tasks else "lesion", overflow="fold")
    table.add_column("mm", justify="right")
    if truth is not None:
        table.add_column("truth", overflow="fold")
    table.add_column("predicted", style="bold", overflow="fold")
    answers = [given.get(task) for given in (result.study_tasks, *(each.tasks for each in result.lesions))]
    coverage = next((each.coverage for each in answers if each and each.coverage is not None), None)
    with_set = coverage is not None
    if coverage is not None:
        table.add_column(f"{coverage:.0%} set", overflow="fold")
    for name in classes:
        table.add_column(name, justify="right", overflow="fold")
    if task in result.study_tasks:
        unknown = [""] if truth is not None else []
        table.add_row(escape(result.study.id), "", *unknown, *_answer(result.study_tasks[task], with_set))
    for lesion in result.lesions:
        if task in result.study_tasks and task not in lesion.tasks:
            continue
        known = [escape(truth.get(lesion.id, ""))] if truth is not None else []
        table.add_row(
            escape(lesion.name),
            f"{lesion.diameter_mm:.0f}",
            *known,
            *_answer(lesion.tasks.get(task), with_set),
        )
    return table


def _answer(answer: TaskResult | None, with_set: bool) -> list[str]:
    if answer is None:
        return ["not classified"]
    held = [", ".join(answer.prediction_set or ())] if with_set else []
    return [answer.predicted, *held, *(f"{p:.2f}" for p in answer.shown.values())]


def _print_table(table: Table) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    console.print(table)
