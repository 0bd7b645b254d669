"""A study's process whose answers are made instead of computed; all around it is real.

    python -m made_batch THREADS

What it does with a study follows from the words in its folder's name: ``hang``, ``crash``, ``once`` (crashes
once), ``memory``, ``fault``, ``full`` (the disk), ``slow``.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from LiverLesionAI.answers import TaskResult
from LiverLesionAI.batch.engines import engine_for, limits_of
from LiverLesionAI.batch.run import BatchRun
from LiverLesionAI.batch.settings import BatchOptions
from LiverLesionAI.batch.task import ModelAnswer, StudyAnswer, StudyTask, failed, pack
from LiverLesionAI.batch.work import _content, _why
from LiverLesionAI.cohort import CohortRow, write_rows
from LiverLesionAI.errors import OutputError
from LiverLesionAI.files import output_folder
from LiverLesionAI.results import LesionResult, ModelSummary, Provenance, StudyResult, StudySummary
from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.taxonomy import TAXONOMIES

ROOT = Path(__file__).resolve().parents[2]


def made_result(task: StudyTask, label: str, seed: str) -> StudyResult:
    """A result of one lesion that follows from a seed alone."""
    draw = random.Random(f"{seed} {label}")
    sequences = list(SEQUENCES)[:7]
    kinds = {name: draw.random() ** 3 for name in TAXONOMIES["W7"].names}
    probabilities = {name: value / sum(kinds.values()) for name, value in kinds.items()}
    predicted = max(probabilities, key=lambda name: probabilities[name])
    spread = {name: 0.1 * value for name, value in probabilities.items()}
    answer = TaskResult("W7", probabilities, predicted, spread, primary=True)
    weights = {name: {"share": None, "shapley": draw.gauss(0.2, 0.3)} for name in sequences}
    lesion = LesionResult(
        1, "lesion 1", draw.uniform(5, 80), draw.uniform(1, 90), (0.0, 0.0, 0.0), 64.0,
        tasks={"type": answer}, explained={"type": predicted}, sequence_weights={"type": weights},
    )  # fmt: skip
    return StudyResult(
        study=StudySummary(task.study_id, "made", "T2WI", tuple(sequences)),
        models=(ModelSummary(label, "1", "0" * 64, "phantom", 1),),
        lesions=(lesion,),
        provenance=Provenance("made", time.strftime("%FT%TZ"), {}, "cpu", "fp32"),
    )


def do_study(state: dict[str, int], progress: Any, *, task: dict[str, Any]) -> dict[str, Any]:
    """Answer, or misbehave."""
    given = StudyTask.from_dict(task)
    begun = time.perf_counter()
    try:
        content = _content(given)
        if all(each.known == content for each in given.models):
            same = tuple(ModelAnswer(each.label, "same") for each in given.models)
            return StudyAnswer(given.study_id, same, content).to_dict()
        _misbehave(given)
        answers = tuple(_answered(given, each.label, content) for each in given.models)
    except Exception as error:
        return failed(given, *_why(error, given)).to_dict()
    return StudyAnswer(given.study_id, answers, content, round(time.perf_counter() - begun, 3)).to_dict()


def _misbehave(task: StudyTask) -> None:
    name = Path(task.path).name
    once = Path(task.path) / ".crashed"
    if "hang" in name:
        time.sleep(1000)
    if "crash" in name or ("once" in name and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    if "memory" in name:
        _ = bytearray(b"x") * (1 << 29)
        time.sleep(1000)
    if "fault" in name:
        raise RuntimeError(f"nothing works in {task.path}")
    if "full" in name and not (Path(task.folder).parents[1] / "room").exists():
        raise OutputError(f"{task.folder} cannot be written: No space left on device.") from OSError(
            errno.ENOSPC, "No space left on device"
        )
    if "slow" in name:
        time.sleep(0.15)


def _answered(task: StudyTask, label: str, seed: str) -> ModelAnswer:
    result = made_result(task, label, f"{seed} {task.study_id}")
    if task.folder:
        with output_folder(Path(task.folder) / label) as folder:
            (folder / "results.json").write_text(json.dumps(result.to_dict()))
    return ModelAnswer(label, "done", packed=pack(result), seconds={"read": 0.1, "classify": 0.2})


def made_studies(folder: Path, names: list[str]) -> Path:
    """The table of folders that pass for studies; their content is their name."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "T2WI.nii.gz").write_text(name)
    rows = [
        CohortRow(name, name, f"P{number // 2}", lesion=1, truth="HCC" if number % 2 else "cyst",
                  free={"group_site": "north"})
        for number, name in enumerate(names)
    ]  # fmt: skip
    write_rows(folder / "cohort.csv", rows)
    return folder / "cohort.csv"


def made_run(cohort: Path, out: Path, **options: Any) -> BatchRun:
    """A run whose studies are done by this module; ``memory_limit_bytes`` and so on as in BatchOptions."""
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(Path(__file__).parent)))
    asked = BatchOptions(**options)
    engine = partial(engine_for, limits=replace(limits_of(asked), child="made_batch"))
    return BatchRun(cohort, out, asked, engine=engine)


def _serve() -> None:
    from LiverLesionAI.worker.server import run_worker

    run_worker({"study": do_study}, {})


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _serve()
    else:
        cohort, out, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
        with made_run(cohort, out, workers=workers, outputs="volumes") as run:
            for answer in run:
                print(answer.study_id, answer.status, flush=True)
