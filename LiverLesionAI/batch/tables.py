"""The tables and the page of a run, made from its ledger alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from LiverLesionAI.batch.ledger import Ledger
from LiverLesionAI.batch.records import Finished
from LiverLesionAI.batch.studies import CohortStudy
from LiverLesionAI.batch.task import INPUT
from LiverLesionAI.cohort import NOT_IN_MASK, lesions_beyond
from LiverLesionAI.files import whole_file
from LiverLesionAI.pseudonyms import cleaned
from LiverLesionAI.spreadsheet import Cell, write_table
from LiverLesionAI.writers.cohort_report import CohortEntry, FailedStudy, report_link, write_cohort_report
from LiverLesionAI.writers.report import missing_packages
from LiverLesionAI.writers.tables import prediction_columns, prediction_table, rounded_text

RESULTS, FAILURES, PAGE = "results", "failures.csv", "cohort.html"
NO_PARQUET = "results.parquet was not written, for lack of pyarrow; install liverlesionai[batch] to have it"
NO_PAGE = "no page was written, for lack of {packages}; install liverlesionai[report] to have it"
NOT_IN_MASKS = (
    "lesions of the cohort's table that are not in the study's mask: {count}; failures.csv names them"
)

_ROWS_AT_A_TIME = 2000
_WHOLE_NUMBERS = ("lesion", "slice")


@dataclass(frozen=True)
class _Columns:
    """Columns of a model's table: those of :func:`prediction_table`, and the cohort's own behind them."""

    tasks: Mapping[str, tuple[str, ...]]
    of_slices: bool
    kept: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*prediction_columns(self.tasks, of_slices=self.of_slices), *self.kept)

    @property
    def head(self) -> int:
        return 5 if self.of_slices else 4


def write_outputs(ledger: Ledger, out: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write ``results.csv``, ``results.parquet`` and ``cohort.html`` of each model, and ``failures.csv``.

    Where there are several models, the files carry their names. The same answers give the same
    files, byte for byte, whenever and in whatever order they were computed.

    Returns
    -------
    files : tuple of Path
    warnings : tuple of str
        What could not be written.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    models = ledger.models()
    missing = {model: _not_in_masks(ledger, model) for model in models}
    files: list[Path] = []
    warnings: list[str] = []
    for model in models:
        stem = out / (RESULTS if len(models) == 1 else f"{RESULTS}-{model}")
        columns = _columns(ledger, model)
        rows = partial(_rows, ledger, model, columns, missing[model])
        write_table(stem.with_name(f"{stem.name}.csv"), columns.names, _texts(rows()))
        files.append(stem.with_name(f"{stem.name}.csv"))
        if _write_parquet(stem.with_name(f"{stem.name}.parquet"), columns, rows()):
            files.append(stem.with_name(f"{stem.name}.parquet"))
        else:
            warnings.append(NO_PARQUET)
    for model in models if not missing_packages() else ():
        name = PAGE if len(models) == 1 else f"{Path(PAGE).stem}-{model}.html"
        files.append(_write_page(ledger, model, missing[model], out / name))
    if missing_packages():
        warnings.append(NO_PAGE.format(packages=" and ".join(missing_packages())))
    failures = [(each.study.id, each.model, each.kind, each.reason) for each in ledger.failures()]
    left_out = [
        (study, model, INPUT, f"Lesion {lesion}: {NOT_IN_MASK}")
        for model, of_studies in missing.items()
        for study, lesions in of_studies.items()
        for lesion in lesions
    ]
    write_table(out / FAILURES, ("study_id", "model", "kind", "reason"), [*failures, *left_out])
    if left_out:
        warnings.append(NOT_IN_MASKS.format(count=len(left_out)))
    return (*files, out / FAILURES), tuple(dict.fromkeys(warnings))


def _not_in_masks(ledger: Ledger, model: str) -> dict[str, tuple[int, ...]]:
    """Study to the lesions that the cohort knows and the mask lacks, where lesions get answers."""
    found = {}
    for done in ledger.finished(model):
        lesions = lesions_beyond(_known_lesions(done.study), {lesion.id for lesion in done.result.lesions})
        if lesions and not done.result.study_tasks:
            found[done.study.id] = lesions
    return found


def _known_lesions(study: CohortStudy) -> list[int]:
    return [row.lesion for row in study.rows if row.lesion is not None]


def _write_page(ledger: Ledger, model: str, missing: Mapping[str, tuple[int, ...]], path: Path) -> Path:
    entries = (
        CohortEntry(
            done.result,
            report_link(path.parent / done.folder, path) if done.folder else "",
            ledger.truth(done.study, model),
            dict.fromkeys(missing.get(done.study.id, ()), NOT_IN_MASK),
        )
        for done in ledger.finished(model)
    )
    failures = [FailedStudy(each.study.id, each.kind, each.reason) for each in ledger.failures(model)]
    title = Path(ledger.fact("cohort", "cohort"))
    name = cleaned(title.parent.name if title.suffix else title.name)
    return write_cohort_report(entries, path, name, failures)


def _columns(ledger: Ledger, model: str) -> _Columns:
    kept = dict.fromkeys(name for study in ledger.studies() for row in study.rows for name in row.columns)
    first = next(ledger.finished(model), None)
    return _Columns(ledger.tasks(model), first is not None and first.result.unit == "slice", tuple(kept))


def _rows(
    ledger: Ledger, model: str, columns: _Columns, missing: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Cell, ...]]:
    """Rows of finished and failed studies in the cohort's order."""
    finished, failures = ledger.finished(model), ledger.failures(model)
    done, failure = next(finished, None), next(failures, None)
    for study in ledger.studies():
        if done is not None and done.study.id == study.id:
            truth = ledger.truth(study, model)
            yield from _answered(done, truth, columns)
            yield from _unanswered(study, missing.get(study.id, ()), truth, columns)
            done = next(finished, None)
        elif failure is not None and failure.study.id == study.id:
            yield from _unanswered(
                study, _known_lesions(study) or (None,), ledger.truth(study, model), columns
            )
            failure = next(failures, None)


def _answered(done: Finished, truth: Mapping[int, str], columns: _Columns) -> Iterator[tuple[Cell, ...]]:
    table = prediction_table(done.result, patient_id=done.study.patient, truth=truth, tasks=columns.tasks)
    for row in table.rows:
        yield (*row, *_kept(done.study, row[2], columns))


def _unanswered(
    study: CohortStudy, lesions: Iterable[int | None], truth: Mapping[int, str], columns: _Columns
) -> Iterator[tuple[Cell, ...]]:
    """A row per lesion that got no answer; None stands for the study."""
    for lesion in lesions:
        of_study = truth.get(0) if lesion is None or len(_known_lesions(study)) < 2 else None
        known = of_study or (truth.get(lesion) if lesion is not None else None)
        slices = (None,) if columns.of_slices else ()
        answers = (None,) * (len(columns.names) - columns.head - len(columns.kept))
        yield (study.id, study.patient, lesion, *slices, known, *answers, *_kept(study, lesion, columns))


def _kept(study: CohortStudy, lesion: Cell, columns: _Columns) -> tuple[Cell, ...]:
    """The cohort's own columns of a lesion, else of the study."""
    row = next((row for row in study.rows if row.lesion == lesion), None)
    row = row or next((row for row in study.rows if row.lesion is None or lesion is None), None)
    return tuple(row.columns.get(name) or None if row else None for name in columns.kept)


def _texts(rows: Iterable[tuple[Cell, ...]]) -> Iterator[list[Cell]]:
    for row in rows:
        yield [rounded_text(cell) for cell in row]


def _write_parquet(path: Path, columns: _Columns, rows: Iterator[tuple[Cell, ...]]) -> bool:
    """Write a table as Parquet, some thousand rows at a time; False without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return False
    schema = pa.schema([(name, _kind(name, pa)) for name in columns.names])
    with whole_file(path) as partial, pq.ParquetWriter(os.fspath(partial), schema) as writer:
        while batch := list(islice(rows, _ROWS_AT_A_TIME)):
            arrays = [
                pa.array(values, field.type)
                for values, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return True


def _kind(name: str, pa: Any) -> Any:
    if name in _WHOLE_NUMBERS:
        return pa.int32()
    return pa.float64() if re.match("prob_|cal_|unlike_", name) else pa.string()
