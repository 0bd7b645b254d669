"""What a model's probabilities are worth: measured with cases that none of its networks was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.errors import ConfigError, PatchError, StudyError
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.inference.engine import last_layer
from LiverLesionAI.inference.familiar import compared, compared_unit, stacked
from LiverLesionAI.systems.base import can_label, label_of
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.batches import Epoch, validation_batches
from LiverLesionAI.training.cache import CachedCase
from LiverLesionAI.training.cases import TrainingCase, by_study, open_study, training_cases
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.uncertainty.calibrated import Calibration, TaskCalibration, calibrated_task
from LiverLesionAI.uncertainty.out_of_distribution import FEWEST, Familiarity, fit_familiarity

if TYPE_CHECKING:
    from torch import nn

Parts = Mapping[str, np.ndarray]
"""What of a case is compared with the training (:func:`LiverLesionAI.inference.familiar.compared`)."""


@dataclass(frozen=True)
class Seen:
    """What a model said of a case whose diagnosis is known.

    Attributes
    ----------
    truth
        Class of the taxonomy of the system's cohorts.
    members
        Task to the members' probabilities ``[members, classes]``.
    parts
        What is compared with the training.
    """

    truth: str
    members: Mapping[str, np.ndarray]
    parts: Parts


def see(classifier: Classifier, unit: UnitInputs, truth: str) -> Seen:
    """Ask a model about a case."""
    (prediction,) = classifier.predict([unit])
    members = {name: task.member_probabilities for name, task in prediction.tasks.items()}
    assert prediction.features is not None
    return Seen(truth, members, compared_unit(classifier.system, unit, prediction.features[0]))


def kept_cases(config: TrainingConfig) -> tuple[TrainingConfig, tuple[TrainingCase, ...]]:
    """The cases that calibrate a run's bundle, and a configuration that reads them.

    Raises
    ------
    ConfigError
        If they cannot be read, or one is of a patient whom the networks learn from.
    """
    assert config.calibration is not None
    given = {"phantom": config.calibration.phantom, "cohort": config.calibration.cohort}
    source = config.model_copy(update={**given, "calibration": None})
    cases = training_cases(source)
    if common := {case.patient for case in cases} & {case.patient for case in training_cases(config)}:
        raise ConfigError(
            f"{len(common)} patients of calibration are in the training too; use each for one of both."
        )
    return source, cases


def see_cases(
    classifier: Classifier,
    cases: Sequence[TrainingCase],
    config: TrainingConfig,
    left_out: list[str] | None = None,
) -> Iterator[Seen]:
    """Ask a model about the cases of a configuration, each as inference would be.

    Parameters
    ----------
    classifier
        The model.
    cases, config
        What is asked about.
    left_out
        Receives why cases could not be used; without it the first that cannot ends the work.

    Raises
    ------
    StudyError, PatchError
        If a case cannot be used and `left_out` is not given.
    """
    system, spec = classifier.system, classifier.bundle.spec
    for together in by_study(cases):
        try:
            study = system.prepared(open_study(together[0], config), spec)
        except StudyError as error:
            _note(error, left_out)
            continue
        for case in together:
            try:
                groups = system.inputs(study, case.lesion, spec)
            except (PatchError, StudyError) as error:
                _note(error, left_out)
                continue
            yield see(classifier, UnitInputs(case.lesion, groups), case.truth)


def _note(error: PatchError | StudyError, left_out: list[str] | None) -> None:
    if left_out is None:
        raise error
    left_out.append(str(error))


def calibration(
    bundle: Bundle, held_out: Sequence[Seen], training: Sequence[Parts], cohort: str
) -> Calibration:
    """Calibrate a model with cases that none of its networks was trained on.

    Parameters
    ----------
    bundle
        The model.
    held_out
        Those cases.
    training
        What of cases of the training is compared; they may be few of many.
    cohort
        What `held_out` are, in words.

    Raises
    ------
    ConfigError
        If a task has no case that it is asked about.
    """
    tasks = {name: _task(bundle, name, held_out) for name in bundle.spec.tasks}
    return Calibration(cohort, tasks, familiarity(training, [seen.parts for seen in held_out]))


def _task(bundle: Bundle, name: str, held_out: Sequence[Seen]) -> TaskCalibration:
    truths, taxonomy = TAXONOMIES[bundle.system.recipe.truths], bundle.taxonomies[name]
    asked = [seen for seen in held_out if can_label(truths, seen.truth, taxonomy)]
    if not asked:
        raise ConfigError(f"No case to calibrate {bundle.name} with has a class of its task {name}.")
    probabilities = np.stack([seen.members[name].mean(axis=0) for seen in asked])
    return calibrated_task(probabilities, np.array([label_of(truths, s.truth, taxonomy) for s in asked]))


def familiarity(training: Sequence[Parts], held_out: Sequence[Parts]) -> Familiarity | None:
    """Learn what a training looked like; None where there are too few cases to say it of anything."""
    if not training or not held_out:
        return None
    seen, unseen = stacked(training), stacked(held_out)
    known = [name for name in seen if min(_varied(seen[name]), _varied(unseen[name])) >= FEWEST]
    if not known:
        return None
    return fit_familiarity({name: seen[name] for name in known}, {name: unseen[name] for name in known})


def _varied(rows: np.ndarray) -> int:
    """How many complete rows there are; 0 where all are the same."""
    complete = rows[np.isfinite(rows).all(axis=1)]
    return len(complete) if len(complete) and np.ptp(complete, axis=0).any() else 0


def parts_of_cases(
    network: nn.Module, cases: Sequence[CachedCase], config: TrainingConfig, device: str
) -> list[Parts]:
    """What of cached cases is compared with the training, by one network.

    Parameters
    ----------
    network
        The first member, on `device`.
    cases
        Their groups, those of a case behind each other.
    config
        The training run.
    device
        Where the network is.
    """
    import torch

    batches = validation_batches(Epoch(cases, config.recipe), config.optimisation.batch_size)
    place = torch.device(device)
    with torch.inference_mode():
        rows = [last_layer(network.features(*batch.to(place).inputs)) for batch in batches]  # type: ignore[operator]
    features = np.concatenate(rows)
    groups: dict[str, list[int]] = {}
    for position, cached in enumerate(cases):
        groups.setdefault(cached.case.key, []).append(position)
    return [
        compared(
            config.sequences,
            [look for look in (cases[position].appearance for position in own) if look is not None],
            features[own],
        )
        for own in groups.values()
    ]
