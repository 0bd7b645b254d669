"""Reader studies and repeated trainings as tables and as rows of the page of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from LiverLesionAI.evaluation.figures import TaskEvaluation
from LiverLesionAI.evaluation.multireader import Difference, Inference, MultireaderAnalysis
from LiverLesionAI.evaluation.reader_study import ReaderStudy
from LiverLesionAI.evaluation.repeats import RepeatStudy, Spread
from LiverLesionAI.spreadsheet import Cell
from LiverLesionAI.writers.tables import Table

POPULATIONS = {
    "random_readers": "other readers, other cases",
    "fixed_readers": "these readers, other cases",
    "fixed_cases": "other readers, these cases",
}
"""Attribute of an analysis to whom it speaks for."""

WAY = "as they are"
"""Name of the one way of reading of a table that names none."""

_READER_COLUMNS = (
    *("modality", "reader", "class", "n", "accuracy", "low", "high", "sensitivity", "specificity", "kappa"),
    *("median_seconds", "mcnemar_exact_p_model"),
)
_PAIR_COLUMNS = (
    *("first", "second", "reader", "n", "only_first_right", "only_second_right", "mcnemar_exact_p"),
    "seconds_p",
)
_MULTIREADER_COLUMNS = (
    *("class", "population", "first", "second", "difference", "low", "high", "p", "f"),
    *("df_numerator", "df_denominator"),
)


def reader_tables(study: ReaderStudy) -> dict[str, Table]:
    """Tables of a reader study: ``readers``, ``pairs``, ``multireader``; empty ones are left out."""
    tables = {
        "readers": Table(
            _READER_COLUMNS,
            tuple(_reader_rows(study)),
        ),
        "pairs": Table(
            _PAIR_COLUMNS,
            tuple(_pair_rows(study)),
        ),
        "multireader": Table(
            _MULTIREADER_COLUMNS,
            tuple(_multireader_rows(study)),
        ),
    }
    return {name: table for name, table in tables.items() if table.rows}


def repeat_table(study: RepeatStudy) -> Table:
    """One row per model and figure: median, lowest and highest over its trainings."""
    rows: list[tuple[Cell, ...]] = []
    for name, figures in study.models.items():
        spreads: dict[tuple[str, str], Spread] = {("accuracy", ""): figures.accuracy}
        spreads |= {("sensitivity", of): spread for of, spread in figures.sensitivity.items()}
        spreads |= {("auc", of): spread for of, spread in figures.auc.items()}
        if figures.malignancy_auc is not None:
            spreads["malignancy_auc", ""] = figures.malignancy_auc
        steel = study.steel[name].p if name in study.steel else None
        for (figure, of), spread in spreads.items():
            p = steel if figure == "accuracy" else None
            rows.append((name, figure, of, len(spread.values), spread.median, *spread.range, p))
    return Table(("model", "figure", "class", "n", "median", "low", "high", "steel_p"), tuple(rows))


def page_reader_study(name: str, study: ReaderStudy) -> dict[str, Any]:
    """What the page shows of a reader study."""
    return {
        "name": name,
        "study": study,
        "readers": [
            {
                "way": way or WAY,
                "name": reader,
                "figures": said,
                "against": figures.against_model.get(reader),
                "seconds": figures.seconds.get(reader),
            }
            for way, figures in study.ways.items()
            for reader, said in _everyone(figures.readers, figures.consensus)
        ],
        "pairs": [
            {"ways": pair, "reader": reader, "found": found, "seconds_p": compared.seconds_p.get(reader)}
            for pair, compared in study.pairs.items()
            for reader, found in compared.readers.items()
        ],
        "areas": [
            {"of": of, "way": way, "mean": found.means[way], "areas": list(map(float, areas))}
            for of, found in study.multireader.items()
            for way, areas in zip(found.ways, found.areas, strict=True)
        ],
        "multireader": [
            {
                "of": of,
                "population": words,
                "inference": inference,
                "pair": pair,
                "difference": difference,
            }
            for of, found in study.multireader.items()
            for words, inference, pair, difference in _differences(found)
        ],
    }


def _everyone(
    readers: Mapping[str, TaskEvaluation], consensus: TaskEvaluation | None
) -> Iterator[tuple[str, TaskEvaluation]]:
    yield from readers.items()
    if consensus is not None:
        yield "consensus", consensus


def _reader_rows(study: ReaderStudy) -> Iterator[tuple[Cell, ...]]:
    for way, figures in study.ways.items():
        for reader, said in _everyone(figures.readers, figures.consensus):
            ends = said.accuracy.modified_wilson or (None, None)
            kappa = said.kappa.value if said.kappa else None
            seconds = figures.seconds[reader].median if reader in figures.seconds else None
            p = figures.against_model[reader].mcnemar.exact_p
            yield (way, reader, "", said.n, said.accuracy.value, *ends, None, None, kappa, seconds, p)
            for name, each in said.classes.items():
                counts = each.counts
                proportions = (counts.sensitivity.value, counts.specificity.value)
                nothing = (None, None, None)
                yield (way, reader, name, counts.tp + counts.fn, *nothing, *proportions, None, None, None)


def _pair_rows(study: ReaderStudy) -> Iterator[tuple[Cell, ...]]:
    for pair, compared in study.pairs.items():
        for reader, found in compared.readers.items():
            test = found.mcnemar
            tested = (test.first_only, test.second_only, test.exact_p)
            yield (*pair, reader, found.n, *tested, compared.seconds_p.get(reader))


def _multireader_rows(study: ReaderStudy) -> Iterator[tuple[Cell, ...]]:
    for of, found in study.multireader.items():
        for words, inference, pair, each in _differences(found):
            degrees = (inference.df_numerator, inference.df_denominator)
            yield (of, words, *pair, each.value, *each.interval, each.p, inference.statistic, *degrees)


def _differences(
    found: MultireaderAnalysis,
) -> Iterator[tuple[str, Inference, tuple[str, str], Difference]]:
    for attribute, words in POPULATIONS.items():
        inference: Inference = getattr(found, attribute)
        for pair, difference in inference.differences.items():
            yield words, inference, pair, difference
