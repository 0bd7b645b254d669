"""From trained folds to a bundle: metadata, model card, licence, weights."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from LiverLesionAI import resources
from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.metadata import (
    BundleMetadata,
    Cohort,
    LiverLesion,
    Metric,
    network_data_format,
)
from LiverLesionAI.bundles.store import LICENCE
from LiverLesionAI.bundles.write import TRAINING_CONFIG, write_bundle
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.evaluation.metrics import absence_metrics, validation_metrics
from LiverLesionAI.files import write_text_whole
from LiverLesionAI.inference import Classifier, load_fold
from LiverLesionAI.inference.execution import resolve_execution
from LiverLesionAI.networks.weights import save_weights
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.cache import CachedCase, CaseCache, case_folds
from LiverLesionAI.training.calibrate import calibration, familiarity, kept_cases, parts_of_cases, see_cases
from LiverLesionAI.training.config import CalibrationCases, Optimisation, TrainingConfig
from LiverLesionAI.training.finish import FINAL, PREDICTIONS, WEIGHTS, fold_is_finished
from LiverLesionAI.training.start import described_start
from LiverLesionAI.uncertainty.calibrated import Calibration, calibrated_task

LEFT_OUT = "left_out.txt"
_PACKAGES = ("numpy", "torch", "monai", "SimpleITK", "scipy", "safetensors", "pydantic")


def export_bundle(config: TrainingConfig, cache: CaseCache, out_dir: Path) -> Path:
    """Write the bundle of the folds that are finished, whole or not at all.

    A bundle that an earlier export left in `out_dir` is replaced.

    Parameters
    ----------
    config
        The training run.
    cache
        Its lesions.
    out_dir
        Folder of the run, with ``folds/``; the bundle becomes ``out_dir/<name>``. ``left_out.txt`` receives a
        line for each case that could not be used; none where all could.

    Returns
    -------
    pathlib.Path
        The bundle.

    Raises
    ------
    OutputError
        If no fold is finished.
    """
    every_fold = {f"fold_{fold}": out_dir / "folds" / f"fold_{fold}" for fold in range(config.fold_count)}
    finished = {name: folder for name, folder in every_fold.items() if fold_is_finished(folder)}
    final = out_dir / "folds" / FINAL
    members = {FINAL: final} if config.final and fold_is_finished(final) else finished
    if not members:
        raise OutputError(f"{out_dir} holds no finished fold; train on with --resume.")
    weights = {f"models/{name}.safetensors": folder / WEIGHTS for name, folder in members.items()}
    metrics = _out_of_fold_metrics(config, list(finished.values())) if finished else ()
    metadata = bundle_metadata(config, tuple(weights), trained_on(config, cache), metrics)
    texts = {TRAINING_CONFIG: _without_paths(config).to_yaml(), **_licence(config)}
    left_out = list(cache.warnings)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".") as aside:
        uncalibrated = load_bundle(write_bundle(metadata, weights, Path(aside) / config.name, texts))
        measured = run_calibration(config, cache, uncalibrated, list(members.values()), left_out)
    write_text_whole(out_dir / LEFT_OUT, "".join(f"{reason}\n" for reason in left_out))
    return write_bundle(metadata, weights, out_dir / config.name, texts, measured)


def run_calibration(
    config: TrainingConfig, cache: CaseCache, bundle: Bundle, folders: Sequence[Path], left_out: list[str]
) -> Calibration | None:
    """Measure what a trained bundle's probabilities are worth.

    With the cases of the configuration's ``calibration``; without it with those that each fold held out. Of
    these only single slices were asked about where a study's answer is joined from answers of its slices:
    what holds for them does not hold for it.

    Parameters
    ----------
    config
        The training run.
    cache
        Its cases.
    bundle
        The bundle as it is going to be.
    folders
        Of its members.
    left_out
        Receives why cases that were kept for it could not be used.

    Returns
    -------
    Calibration or None
        None where every case was learnt from, and where slices have answers and no cases were kept.

    Raises
    ------
    ConfigError
        If no case that was kept can be used.
    """
    if config.calibration is None and (folders[0].name == FINAL or config.answers.unit == "slice"):
        return None
    device = resolve_execution().device
    network = load_fold(bundle, 0, device)
    learnt, unseen = _cases_of(config, cache, folders[0].name)
    training = parts_of_cases(network, learnt, config, device)
    if config.calibration is not None:
        source, cases = kept_cases(config)
        seen = list(see_cases(Classifier(bundle, keep_loaded=True), cases, source, left_out))
        if not seen:
            raise ConfigError(f"None of the cases of calibration can be used; for one, {left_out[-1]}")
        return calibration(bundle, seen, training, f"{len(seen)} cases kept for it")
    parts = _out_of_fold(folders)
    numbers = np.repeat(np.arange(len(parts)), [len(part["keys"]) for part in parts])
    tasks = {}
    for name in config.tasks:
        labels = np.concatenate([part["labels"][name] for part in parts])
        probabilities = np.concatenate([part["probabilities"][name] for part in parts])
        tasks[name] = calibrated_task(probabilities, labels, numbers)
    words = f"{len(numbers)} cases, each by the network whose fold held it out"
    held_out = parts_of_cases(network, unseen, config, device)
    return Calibration(words, tasks, familiarity(training, held_out))


def _cases_of(
    config: TrainingConfig, cache: CaseCache, member: str
) -> tuple[list[CachedCase], list[CachedCase]]:
    """Cases that a member learnt from, and those that it held out."""
    if member == FINAL:
        return list(cache.cases), []
    folds = case_folds(config, cache)
    own = folds == int(member.removeprefix("fold_"))
    pairs = list(zip(cache.cases, own, strict=True))
    return [case for case, is_out in pairs if not is_out], [case for case, is_out in pairs if is_out]


def _licence(config: TrainingConfig) -> dict[str, str]:
    """The program's licence and that of the data, where a file ``LICENSE`` lies beside the cohort's table."""
    beside = config.cohort.with_name(str(LICENCE)) if config.cohort is not None else None
    if beside is None or not beside.is_file():
        return {}
    own = resources.LICENCE.read_text(encoding="utf-8")
    of_data = beside.read_text(encoding="utf-8", errors="replace")
    return {str(LICENCE): f"{own}\n----\n\n{of_data}"}


def untrained_bundle(config: TrainingConfig, target: Path) -> Path:
    """Write a bundle of random weights, to test and to measure software with.

    Parameters
    ----------
    config
        Name, sequences, network, patches, folds and seed; the lesions are not read.
    target
        The bundle's folder.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        weights = {f"models/fold_{k}.safetensors": Path(folder) / f"{k}" for k in config.selected_folds}
        for fold, file in zip(config.selected_folds, weights.values(), strict=True):
            with torch.random.fork_rng():
                torch.manual_seed(config.seed + fold)
                save_weights(config.answers.network(config), file)
        nothing = Cohort(
            kind="phantom", description="nothing: random weights", lesions=0, patients=0, classes={}
        )
        return write_bundle(bundle_metadata(config, tuple(weights), nothing, ()), weights, target)


def _without_paths(config: TrainingConfig) -> TrainingConfig:
    cohort = config.cohort and Path(config.cohort.name)
    start = config.start_from and Path(config.start_from).name
    apart = config.calibration
    if apart is not None and apart.cohort is not None:
        apart = CalibrationCases(cohort=Path(apart.cohort.name))
    return config.model_copy(update={"cohort": cohort, "start_from": start, "calibration": apart})


def bundle_metadata(
    config: TrainingConfig, members: tuple[str, ...], cohort: Cohort, metrics: tuple[Metric, ...]
) -> BundleMetadata:
    """Describe a trained bundle; the hashes of its files are still missing."""
    system = config.answers
    phantom = config.phantom is not None
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return BundleMetadata(
        name=config.name,
        version=config.version,
        changelog={config.version: "trained"},
        monai_version=versions.pop("monai"),
        pytorch_version=versions.pop("torch").partition("+")[0],
        numpy_version=versions.pop("numpy"),
        required_packages_version=versions,
        task=system.words.task,
        description=system.words.description,
        authors="LiverLesionAI contributors",
        copyright="Copyright (c) LiverLesionAI contributors",
        intended_use=(
            "Trained on phantoms: not for clinical use. For demonstration, teaching and testing of software."
            if phantom
            else "For research only; not for clinical use."
        ),
        references=system.words.references,
        network_data_format=network_data_format(system.input_format(config), config.tasks),
        liver_lesion=LiverLesion(
            system=config.system,
            tasks=config.tasks,
            primary_task=config.primary_task,
            sequences=config.sequences,
            required_sequences=config.required_sequences,
            patches=config.patches,
            network=config.network,
            members=members,
            intended_use="phantom" if phantom else "research",
            not_intended_for=system.words.not_intended_for,
            training_cohort=cohort,
            metrics=metrics,
            choices=_choices(config),
            seed=config.seed,
        ),
    )


def trained_on(config: TrainingConfig, cache: CaseCache) -> Cohort:
    """Describe the lesions of a training run."""
    cases = list(dict.fromkeys(cached.case for cached in cache.cases))
    counts = Counter(case.truth for case in cases)
    if config.phantom is not None:
        source = config.phantom
        rigid, smooth = source.misalign_mm
        moved = f", sequences misaligned by up to {rigid:g} mm rigidly and {smooth:g} mm smoothly"
        description = (
            f"digital phantoms, seeds {source.first_seed}–{source.first_seed + source.lesions - 1}, "
            f"{source.atypical_fraction:.0%} atypical{moved if len(config.sequences) > 1 else ''}"
        )
    else:
        description = "patients of the trainer's own cohort"
    if cache.warnings:
        description += f"; {len(cache.warnings)} more could not be used"
    return Cohort(
        kind="patients" if config.phantom is None else "phantom",
        description=description,
        lesions=len(cases),
        patients=len({case.patient for case in cases}),
        classes=dict(sorted(counts.items())),
    )


def _out_of_fold_metrics(config: TrainingConfig, folders: Sequence[Path]) -> tuple[Metric, ...]:
    parts = _out_of_fold(folders)
    tasks = {name: TAXONOMIES[task.taxonomy] for name, task in config.tasks.items()}
    labels = {task: np.concatenate([part["labels"][task] for part in parts]) for task in tasks}
    probabilities = {task: np.concatenate([part["probabilities"][task] for part in parts]) for task in tasks}
    cohort = f"cross-validation, each {config.answers.unit} by the fold that held it out"
    without = [part.get("without", {}) for part in parts]
    names = [name for name in without[0] if all(name in each for each in without)]
    predicted = {
        name: {task: np.concatenate([each[name]["predicted"][task] for each in without]) for task in tasks}
        for name in names
    }
    had = {name: np.concatenate([each[name]["had"] for each in without]).astype(bool) for name in names}
    return (
        *validation_metrics(tasks, labels, probabilities, cohort),
        *absence_metrics(labels, predicted, had, cohort),
    )


def _out_of_fold(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What each fold said of the cases that it held out."""
    return [json.loads((folder / PREDICTIONS).read_text(encoding="utf-8")) for folder in folders]


def _choices(config: TrainingConfig) -> dict[str, str]:
    """What the paper leaves open and what was chosen here, for the model card."""
    settings = config.optimisation
    return {
        **config.recipe.choices(config, config),
        "first weights": described_start(config),
        "optimiser": (
            f"{_optimiser_words(settings)}, learning rate {settings.learning_rate:g}, weight decay "
            f"{settings.weight_decay:g}, {settings.epochs} epochs of batches of {settings.batch_size}"
        ),
    }


_OPTIMISERS = {"adamw": "AdamW", "adam": "Adam", "adagrad": "AdaGrad", "rmsprop": "RMSprop"}


def _optimiser_words(settings: Optimisation) -> str:
    """Optimiser and schedule."""
    name = _OPTIMISERS.get(settings.optimiser, f"SGD with momentum {settings.momentum:g}")
    if settings.schedule == "step":
        return f"{name}, learning rate times {settings.step_factor:g} every {settings.step_epochs} epochs"
    return f"{name}, {settings.schedule.replace('_', '-')} schedule"
