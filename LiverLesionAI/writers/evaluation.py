"""An evaluation in files: ``evaluation.json``, tables, pictures and a page."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from LiverLesionAI.evaluation.embedding import Embedding
from LiverLesionAI.evaluation.evaluate import Evaluation
from LiverLesionAI.evaluation.figures import TaskEvaluation
from LiverLesionAI.evaluation.intervals import Interval, LikelihoodRatio, Proportion
from LiverLesionAI.evaluation.paired import Comparison
from LiverLesionAI.evaluation.repeats import Spread
from LiverLesionAI.writers.figures import save_png
from LiverLesionAI.writers.reader_study import page_reader_study, reader_tables, repeat_table
from LiverLesionAI.writers.report import html_style, missing_packages, template, write_html
from LiverLesionAI.writers.tables import Cell, Table, write_csv

EVALUATION_FILE = "evaluation.json"
EVALUATION_NAMES = frozenset({EVALUATION_FILE, "evaluation.html", "tables", "figures"})
"""What ``evaluate`` writes at the top of its output folder."""

NO_PICTURES = "figures and page were not written, for lack of {packages}; install liverlesionai[report]."

_PROPORTIONS = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
_RATIOS = ("plr", "nlr")
_TITLES = {
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "plr": "PLR",
    "nlr": "NLR",
}
_PICTURES = {
    "roc": "ROC curves, each class against the rest; bands: 95% over resampled patients; diamonds: readers.",
    "confusion": "Cases of each true class (row) by answer (column), shaded by share of the row.",
    "classes": "Each class against the rest, with modified Wilson intervals (95%).",
    "embedding": "Cases laid out by what the network's last hidden layer sees (t-SNE, perplexity 50): what "
    "lies close together looks alike to it; distances between groups say nothing.",
    "calibration": "Calibration of the predicted class in ten bins; the larger the point, the more cases.",
}


def write_evaluation(evaluation: Evaluation, folder: Path) -> tuple[str, ...]:
    """Write an evaluation into an existing folder.

    Parameters
    ----------
    evaluation
        What came out.
    folder
        Gets ``evaluation.json``, ``tables/<task>_<table>.csv`` and, where matplotlib and jinja2 are at hand,
        ``figures/<task>_<picture>.png`` and ``evaluation.html``.

    Returns
    -------
    tuple of str
        What was left out, in words.

    Raises
    ------
    OSError, OutputError
        If a file cannot be written.
    """
    (folder / EVALUATION_FILE).write_bytes(evaluation.to_json().encode())
    (folder / "tables").mkdir()
    for task in evaluation.tasks.values():
        for name, table in _tables(task, evaluation).items():
            write_csv(table, folder / "tables" / f"{_prefix(task)}{name}.csv")
    if evaluation.embedding is not None:
        write_csv(_embedding_table(evaluation.embedding), folder / "tables" / "embedding.csv")
    missing = missing_packages()
    if missing:
        return (NO_PICTURES.format(packages=" and ".join(missing)),)
    (folder / "figures").mkdir()
    pictures = {task.task: _write_pictures(task, folder / "figures") for task in evaluation.tasks.values()}
    if evaluation.embedding is not None:
        pictures[evaluation.primary.task]["embedding"] = _write_embedding(
            evaluation.embedding, folder / "figures"
        )
    write_html(_page(evaluation, pictures), folder / "evaluation.html")
    return ()


def class_table(task: TaskEvaluation) -> Table:
    """One row per class and one for all: every figure with its interval, as numbers."""
    columns = ["class", "n", "tp", "fp", "fn", "tn", "threshold"]
    for name in _PROPORTIONS:
        columns += [name, f"{name}_modified_wilson_low", f"{name}_modified_wilson_high"]
        columns += [f"{name}_clopper_pearson_low", f"{name}_clopper_pearson_high"]
    for name in (*_RATIOS, "auc"):
        columns += [name, f"{name}_low", f"{name}_high"]
    rows: list[tuple[Cell, ...]] = []
    for name, figures in task.classes.items():
        counts = figures.counts
        cells: list[Cell] = [name, counts.tp + counts.fn, counts.tp, counts.fp, counts.fn, counts.tn]
        cells.append(figures.threshold)
        for kind in _PROPORTIONS:
            found: Proportion = getattr(counts, kind)
            cells += [found.value, *_ends(found.modified_wilson), *_ends(found.clopper_pearson)]
        for kind in _RATIOS:
            ratio: LikelihoodRatio = getattr(counts, kind)
            cells += [ratio.finite, *_ends(ratio.interval)]
        cells += [figures.auc.value, *_ends(figures.auc.delong)] if figures.auc else [None] * 3
        rows.append(tuple(cells))
    return Table(tuple(columns), tuple(rows))


def _tables(task: TaskEvaluation, evaluation: Evaluation) -> dict[str, Table]:
    names, compared = tuple(task.classes), evaluation.comparisons[task.task]
    tables = {
        "classes": class_table(task),
        "confusion": Table(
            ("truth", *names),
            tuple((name, *row) for name, row in zip(names, task.confusion, strict=True)),
        ),
    }
    curves = tuple(_curve_rows(task))
    if curves:
        columns = ("class", "false_positive_rate", "sensitivity", "lower", "upper")
        tables["roc"] = Table(columns, curves)
    for reader, figures in task.readers.items():
        name = f"classes_{_file_name(reader)}"
        tables[f"{name}_{len(tables)}" if name in tables else name] = class_table(figures)
    if compared:
        tables["comparisons"] = _comparison_table(compared, names)
    if task.subgroups:
        tables["subgroups"] = _subgroup_table(task)
    for study_name, study in evaluation.reader_studies.get(task.task, {}).items():
        for name, table in reader_tables(study).items():
            tables[f"study_{_file_name(study_name)}_{name}"] = table
    if task.task in evaluation.repeats:
        tables["repeats"] = repeat_table(evaluation.repeats[task.task])
    return tables


def _embedding_table(embedding: Embedding) -> Table:
    rows = zip(embedding.units, embedding.truth, embedding.points, strict=True)
    cells = tuple((*unit, truth or None, *map(float, point)) for unit, truth, point in rows)
    return Table(("study_id", "lesion", "slice", "truth", "x", "y"), cells)


def _write_embedding(embedding: Embedding, folder: Path) -> Path:
    from LiverLesionAI.writers.evaluation_figures import embedding_figure

    path = folder / "embedding.png"
    save_png(embedding_figure(embedding), path)
    return path


def _curve_rows(task: TaskEvaluation) -> Iterator[tuple[Cell, ...]]:
    for name, figures in task.classes.items():
        curve = figures.curve
        if curve is not None:
            for values in zip(
                curve.false_positive_rate, curve.sensitivity, curve.lower, curve.upper, strict=True
            ):
                yield (name, *map(float, values))


def _comparison_table(compared: Mapping[str, Comparison], classes: tuple[str, ...]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for other, found in compared.items():
        rows.append((other, None, found.n, found.mcnemar.exact_p, None, None, None))
        for name in classes:
            delong = found.delong[name][1] if name in found.delong else None
            tests = (found.sensitivity[name].exact_p, found.specificity[name].exact_p)
            rows.append((other, name, found.n, None, *tests, delong))
    columns = ("other", "class", "n", "mcnemar_exact_p", "sensitivity_p", "specificity_p", "delong_p")
    return Table(columns, tuple(rows))


def _subgroup_table(task: TaskEvaluation) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (column, group, hits.n, hits.successes, hits.value, *_ends(hits.modified_wilson), found.p, found.test)
        for column, found in task.subgroups.items()
        for group, hits in found.accuracy.items()
    ]
    columns = ("column", "group", "n", "right", "accuracy", "low", "high", "p", "test")
    return Table(columns, tuple(rows))


def _write_pictures(task: TaskEvaluation, folder: Path) -> dict[str, Path]:
    from LiverLesionAI.writers.evaluation_figures import evaluation_figures

    paths = {}
    for name, figure in evaluation_figures(task).items():
        paths[name] = folder / f"{_prefix(task)}{name}.png"
        save_png(figure, paths[name])
    return paths


def _page(evaluation: Evaluation, pictures: Mapping[str, Mapping[str, Path]]) -> str:
    points = {"argmax": "the most probable class", "youden": "the best Youden index on these cases"}
    return template("evaluation.html").render(
        evaluation=evaluation,
        style=html_style(),
        p_text=p_text,
        with_interval=_with_interval,
        spread_text=_spread_text,
        infinity=float("inf"),
        operating_point=points.get(evaluation.operating_point, f"thresholds of {evaluation.operating_point}"),
        tasks=[
            {
                "figures": task,
                "name": task.task or "answers",
                "rows": _page_rows(task),
                "columns": [_TITLES[name] for name in (*_PROPORTIONS, *_RATIOS)],
                "readers": {name: _page_head(reader) for name, reader in task.readers.items()},
                "head": _page_head(task),
                "comparisons": evaluation.comparisons[task.task],
                "reader_studies": [
                    page_reader_study(name, study)
                    for name, study in evaluation.reader_studies.get(task.task, {}).items()
                ],
                "repeats": evaluation.repeats.get(task.task),
                "pictures": [
                    {"data": base64.b64encode(path.read_bytes()).decode(), "caption": _PICTURES[name]}
                    for name in _PICTURES
                    if (path := pictures[task.task].get(name)) is not None
                ],
            }
            for task in evaluation.tasks.values()
        ],
    )


def _page_head(task: TaskEvaluation) -> dict[str, str]:
    kappa = task.kappa
    said = f"{kappa.value:.3f} (z = {kappa.z:.1f}, p {p_text(kappa.p)})" if kappa else "–"
    return {
        "accuracy": _with_interval(task.accuracy),
        "counts": f"{task.accuracy.successes} of {task.accuracy.n}",
        "kappa": said,
        "macro_f1": _figure_text(task.macro_f1, task.macro_f1_interval),
        "malignancy_auc": "–"
        if task.malignancy_auc is None
        else _figure_text(task.malignancy_auc.value, task.malignancy_auc.delong),
    }


def _page_rows(task: TaskEvaluation) -> list[dict[str, Any]]:
    rows = []
    for name, figures in task.classes.items():
        counts = figures.counts
        cells = [_with_interval(getattr(counts, kind)) for kind in _PROPORTIONS]
        cells += [_ratio_text(getattr(counts, kind)) for kind in _RATIOS]
        auc = "–"
        if figures.auc:
            auc = _figure_text(figures.auc.value, figures.auc.delong)
        rows.append({"name": name, "n": counts.tp + counts.fn, "auc": auc, "cells": cells})
    return rows


def _with_interval(proportion: Proportion) -> str:
    return _figure_text(proportion.value, proportion.modified_wilson)


def _spread_text(spread: Spread) -> str:
    return _figure_text(spread.median, spread.range, 2)


def _ratio_text(ratio: LikelihoodRatio) -> str:
    if ratio.value == math.inf:
        return "∞"
    return _figure_text(ratio.value, ratio.interval, 2)


def _figure_text(value: float | None, interval: Interval | None, digits: int = 3) -> str:
    if value is None:
        return "–"
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({interval[0]:.{digits}f}–{interval[1]:.{digits}f})"


def p_text(p: float) -> str:
    """A p-value for people, with what stands between it and the letter."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return interval if interval is not None else (None, None)


def _prefix(task: TaskEvaluation) -> str:
    return f"{_file_name(task.task)}_" if task.task else ""


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
