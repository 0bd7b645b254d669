"""A study through the whole road in a worker's process, all models after one reading and registering."""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.batch import task as kinds
from LiverLesionAI.batch.inputs import content_sha256
from LiverLesionAI.batch.task import AskedModel, ModelAnswer, StudyAnswer, StudyTask, failed, pack
from LiverLesionAI.errors import BundleError, InUseError, LiverLesionError, OutputError, told_by_system
from LiverLesionAI.limits import NO_MEMORY, is_memory_short
from LiverLesionAI.progress import Progress
from LiverLesionAI.stopwatch import Stopwatch

if TYPE_CHECKING:
    from LiverLesionAI.inference.suite import AnyClassifier
    from LiverLesionAI.options import Options
    from LiverLesionAI.results import SequenceRegistration, StudyResult
    from LiverLesionAI.study import Study

IN_USE_WAIT_S = 60.0
"""How long a folder may still be held by a worker whose run was killed."""

LITTLE_SPACE_BYTES = 64 << 20
"""With less than this left, what ITK or VTK could not write is taken for a sign of a full disk."""


@dataclass
class Workshop:
    """What a worker's process keeps between studies: the models, ready to classify."""

    threads: int = 1
    _classifiers: dict[tuple[Any, ...], AnyClassifier] = field(default_factory=dict)

    def classifier(self, asked: AskedModel, options: Options) -> AnyClassifier:
        """Return a model, loaded already if it was asked before and has not changed on disk.

        Raises
        ------
        BundleError
            If the model is not at hand, or is another one than the run's.
        """
        from LiverLesionAI.bundles.suite import open_model
        from LiverLesionAI.inference.suite import classifier_of

        opened = open_model(asked.model)
        if opened.hashes != asked.hashes:
            raise BundleError(
                f"Model {asked.label} is another one here than the run began with; give every worker the "
                "same bundles, and start the run again where one was changed."
            )
        key = (asked.label, opened.hashes, options.device, options.precision, options.engine)
        if key not in self._classifiers:
            self._classifiers[key] = classifier_of(
                opened,
                device=options.device,
                precision=options.precision,
                engine=options.engine,
                keep_loaded=True,
            )
        return self._classifiers[key]


def do_study(workshop: Workshop, progress: Progress, *, task: dict[str, Any]) -> dict[str, Any]:
    """Do a study; see :class:`LiverLesionAI.batch.task.StudyTask` and ``StudyAnswer``."""
    return done(StudyTask.from_dict(task), workshop, progress).to_dict()


def done(task: StudyTask, workshop: Workshop, progress: Progress) -> StudyAnswer:
    """Read, register, ask each model, write; whatever goes wrong is said in the answer."""
    start = time.perf_counter()
    try:
        found = _content(task)
        same = [each for each in task.models if each.known == found]
        asked = [each for each in task.models if each.known != found]
        answers = [ModelAnswer(each.label, "same") for each in same]
        if asked:
            road = _Road(task, workshop, progress)
            answers += [road.answer(each) for each in asked]
    except Exception as error:
        return failed(task, *_why(error, task), time.perf_counter() - start)
    return StudyAnswer(task.study_id, tuple(answers), found, round(time.perf_counter() - start, 3))


def _content(task: StudyTask) -> str:
    from LiverLesionAI.errors import StudyError

    path = Path(task.path)
    if not path.exists():
        raise StudyError(f"{path} is not there; bring it back or take the study out of the cohort.")
    return content_sha256(path, Path(task.mask) if task.mask else None, task.clinical)


class _Road:
    """A study that was read, and registered as each model needs it."""

    def __init__(self, task: StudyTask, workshop: Workshop, progress: Progress) -> None:
        from LiverLesionAI.explanation.settings import Settings
        from LiverLesionAI.options import Options
        from LiverLesionAI.pipeline import read_study

        self._task, self._workshop, self._progress = task, workshop, progress
        given = {**task.parameters, "explanation": Settings(**task.parameters["explanation"])}
        self._options = Options(**given)
        self._shared = Stopwatch()
        with self._shared.time("read"):
            study = read_study(task.path, task.mask or None, progress)
        clinical = {**study.clinical, **task.clinical}
        self._study = replace(study, id=task.study_id, clinical=clinical)
        self._registered: dict[str, tuple[Study, Mapping[str, SequenceRegistration]]] = {}

    def answer(self, asked: AskedModel) -> ModelAnswer:
        """Ask a model and write what it says."""
        try:
            stopwatch, result = self._result(asked)
        except Exception as error:
            return ModelAnswer(asked.label, "failed", *_why(error, self._task))
        return ModelAnswer(asked.label, "done", packed=pack(result), seconds=stopwatch.seconds)

    def _result(self, asked: AskedModel) -> tuple[Stopwatch, StudyResult]:
        from LiverLesionAI.analysis import analyse_with
        from LiverLesionAI.results import with_registration

        classifier = self._workshop.classifier(asked, self._options)
        study, registration = self._registered_for(classifier)
        stopwatch = Stopwatch(dict(self._shared.seconds))
        analysis = analyse_with(
            classifier,
            study,
            self._options.explanation,
            explain=self._options.explain,
            progress=self._progress,
            stopwatch=stopwatch,
        )
        analysis = replace(analysis, result=with_registration(analysis.result, registration))
        if self._task.outputs == "table":
            return stopwatch, analysis.result
        from LiverLesionAI.outputs import write_result, write_volumes_alone

        with _output_folder(Path(self._task.folder) / asked.label) as folder:
            if self._task.outputs == "volumes":
                return stopwatch, write_volumes_alone(study, analysis, folder, stopwatch)
            maps = self._options.parametric_maps
            return stopwatch, write_result(
                study, analysis, folder, stopwatch, self._progress, parametric_maps=maps
            )

    def _registered_for(self, classifier: AnyClassifier) -> tuple[Study, Mapping[str, SequenceRegistration]]:
        from LiverLesionAI.pipeline import registered, scope_of

        if not self._options.register:
            return self._study, {}
        scope = scope_of(self._study, classifier.system.unit)
        if scope not in self._registered:
            self._registered[scope] = registered(
                self._study, scope, self._shared, self._progress, self._workshop.threads
            )
        return self._registered[scope]


@contextmanager
def _output_folder(target: Path) -> Iterator[Path]:
    """The output folder, once a worker of a run that was killed has let go of it."""
    from LiverLesionAI.files import output_folder

    deadline = time.monotonic() + IN_USE_WAIT_S
    with ExitStack() as stack:
        folder = None
        while folder is None:
            try:
                folder = stack.enter_context(output_folder(target))
            except InUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield folder


def _why(error: Exception, task: StudyTask) -> tuple[str, str]:
    """Kind and reason of a failure; where the study lies is said by its id, for paths can name a patient."""
    if is_memory_short(error):
        return kinds.MEMORY, NO_MEMORY
    told = told_by_system(error)
    if _is_of_disk(error, task):
        return kinds.DISK, str(error) if told is None else told
    if isinstance(error, LiverLesionError):
        return kinds.INPUT, _without_path(str(error), task)
    if told is not None:
        return kinds.INPUT, _without_path(told, task)
    traceback.print_exc()
    said = _without_path(f"{type(error).__name__}: {error}", task)
    return kinds.FAULT, f"This is a fault of LiverLesionAI ({said}); please report it."


def _is_of_disk(error: Exception, task: StudyTask) -> bool:
    """Whether a disk is full or the place of the outputs fails, which every study would meet."""
    from LiverLesionAI.files import is_disk_refusal

    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not isinstance(error, OutputError) or not task.folder:
        return False
    return is_disk_refusal(error) or _free_bytes(Path(task.folder)) < LITTLE_SPACE_BYTES


def _free_bytes(folder: Path) -> int:
    import shutil

    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _without_path(text: str, task: StudyTask) -> str:
    for path in (task.mask, task.path):
        if path:
            text = text.replace(path, task.study_id).replace(os.path.realpath(path), task.study_id)
    return text
