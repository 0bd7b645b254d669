"""What is to be done of a study: what the ledger has not, or has of other input, model or parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from LiverLesionAI.batch.ledger import Ledger
from LiverLesionAI.batch.records import Answer
from LiverLesionAI.batch.settings import LEVELS, STUDIES_FOLDER, BatchOptions, key_of
from LiverLesionAI.batch.studies import CohortStudy
from LiverLesionAI.batch.task import AskedModel, StudyTask
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.results import PHANTOM_NOTICE


@dataclass(frozen=True)
class OpenedModels:
    """The models of a run.

    Attributes
    ----------
    asked
        As workers are told.
    truths
        Name to the taxonomy of the diagnoses that it is trained with.
    notice
        What is to be said of their results; empty for nothing.
    """

    asked: tuple[AskedModel, ...]
    truths: dict[str, str]
    notice: str


def opened_models(options: BatchOptions) -> OpenedModels:
    """Open the models that a run asks.

    Raises
    ------
    BundleError
        If one is not at hand.
    ConfigError
        If one is named twice, or the explanation that is asked for does not fit.
    """
    from LiverLesionAI.bundles.suite import open_model
    from LiverLesionAI.pipeline import check_explanation

    found: dict[str, AskedModel] = {}
    truths, notice = {}, ""
    for name in options.models:
        opened = open_model(name)
        check_explanation(opened, options.study)
        if opened.name in found:
            raise ConfigError(f"Model {opened.name} is named twice; name it once.")
        given = str(Path(name).resolve()) if Path(name).exists() else str(name)
        found[opened.name] = AskedModel(given, opened.name, opened.hashes)
        truths[opened.name] = opened.system.recipe.truths
        notice = PHANTOM_NOTICE if opened.intended_use == "phantom" else notice
    return OpenedModels(tuple(found.values()), truths, notice)


def keys_of(models: Sequence[AskedModel], options: BatchOptions) -> dict[str, str]:
    """Model to the hash of what its answers rest on beside the studies."""
    return {each.label: key_of(each.hashes, options.parameters) for each in models}


class Plan:
    """Says what is to be done of each study.

    Parameters
    ----------
    ledger
        What has been done.
    out
        Folder of the run.
    options, models
        What is asked for, and whom.
    """

    def __init__(
        self, ledger: Ledger, out: Path, options: BatchOptions, models: Sequence[AskedModel]
    ) -> None:
        self._ledger, self._out, self._options, self._models = ledger, out, options, models
        self.keys = keys_of(models, options)

    def wanted(self, study: CohortStudy, seen: str) -> tuple[AskedModel, ...]:
        """Whom to ask about a study whose files look as `seen`; nobody where every answer stands."""
        found = (self._wanted(study, each, seen) for each in self._models)
        return tuple(each for each in found if each is not None)

    def _wanted(self, study: CohortStudy, model: AskedModel, seen: str) -> AskedModel | None:
        answer = self._ledger.answer(study.id, model.label)
        if answer is None or answer.key != self.keys[model.label]:
            return model
        if answer.status == "failed":
            stands = answer.glance == seen and not self._options.retry_failed
            return None if stands else model
        if not self._has_outputs(study, answer):
            return model
        return None if answer.glance == seen else replace(model, known=answer.input_sha256)

    def _has_outputs(self, study: CohortStudy, answer: Answer) -> bool:
        wanted = self._options.outputs
        if LEVELS.index(answer.outputs) < LEVELS.index(wanted):
            return False
        folder = self._out / STUDIES_FOLDER / study.folder / answer.model
        return wanted == "table" or (folder / "results.json").is_file()

    def task(self, study: CohortStudy, models: Sequence[AskedModel]) -> StudyTask:
        """What a worker is given of a study."""
        is_written = self._options.outputs != "table"
        return StudyTask(
            study_id=study.id,
            path=str(study.path),
            mask=str(study.mask or ""),
            folder=str(self._out / STUDIES_FOLDER / study.folder) if is_written else "",
            models=tuple(models),
            outputs=self._options.outputs,
            parameters=self._options.parameters,
            patient=study.patient,
            clinical=dict(study.clinical),
        )
