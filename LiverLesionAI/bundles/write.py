"""Assembling a bundle: metadata, model card, licence, weights, hashes; whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from LiverLesionAI import resources
from LiverLesionAI.bundles.calibration import CALIBRATION, FAMILIAR, calibration_text, write_familiar
from LiverLesionAI.bundles.card import model_card
from LiverLesionAI.bundles.metadata import BundleMetadata, Metric
from LiverLesionAI.bundles.store import (
    CARD,
    INFERENCE,
    LICENCE,
    METADATA,
    Bundle,
    bundle_files,
    check_file,
    inference_config,
    load_bundle,
    sha256_of,
    verify_bundle,
)
from LiverLesionAI.errors import BundleError
from LiverLesionAI.files import folder_aside, put_in_place
from LiverLesionAI.uncertainty.calibrated import Calibration

TRAINING_CONFIG = "configs/training.yaml"


def write_bundle(
    metadata: BundleMetadata,
    weights: Mapping[str, Path],
    target: Path,
    texts: Mapping[str, str] | None = None,
    calibration: Calibration | None = None,
) -> Path:
    """Assemble a bundle's folder and verify it.

    Parameters
    ----------
    metadata
        Its metadata; the hashes of its files are filled in.
    weights
        Name in the bundle to file of weights.
    target
        The bundle's folder; an existing one is replaced, but for files in it that are not the bundle's.
    texts
        Further files.
    calibration
        What its probabilities are worth, where that was measured.
    """
    with folder_aside(target.parent) as staging:
        for name, file in weights.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, staging / name)
        inference = json.dumps(inference_config(), indent=2) + "\n"
        written = {
            str(INFERENCE): inference,
            str(CARD): model_card(metadata, calibration),
            str(LICENCE): resources.LICENCE.read_text(encoding="utf-8"),
            **(texts or {}),
            **({CALIBRATION: calibration_text(calibration)} if calibration else {}),
        }
        for name, text in written.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_text(text, encoding="utf-8")
        if calibration is not None and calibration.familiarity is not None:
            write_familiar(calibration.familiarity, staging / FAMILIAR)
        hashes = {str(name): sha256_of(staging / name) for name in bundle_files(staging)}
        spec = metadata.liver_lesion.model_copy(update={"files": hashes})
        complete = metadata.model_copy(update={"liver_lesion": spec})
        (staging / METADATA).write_text(complete.to_json(), encoding="utf-8")
        verify_bundle(staging)
        put_in_place(staging, target, _as_written)
    return target


def _as_written(folder: Path) -> set[PurePosixPath]:
    """Files of an earlier bundle that are as its metadata lists them."""
    try:
        bundle = load_bundle(folder)
    except BundleError:
        return set()
    return {METADATA, *(PurePosixPath(name) for name in bundle.spec.files if _is_unchanged(bundle, name))}


def _is_unchanged(bundle: Bundle, name: str) -> bool:
    try:
        check_file(bundle, name)
    except BundleError:
        return False
    return True


def record_metrics(bundle: Bundle, metrics: Sequence[Metric]) -> Path:
    """Write measured figures into a bundle's metadata and model card.

    Parameters
    ----------
    bundle
        The bundle; it is replaced as a whole.
    metrics
        New figures; earlier ones of the same cohorts are dropped.

    Returns
    -------
    Path
        The bundle's folder.
    """
    cohorts = {metric.cohort for metric in metrics}
    kept = (metric for metric in bundle.spec.metrics if metric.cohort not in cohorts)
    spec = bundle.spec.model_copy(update={"metrics": (*kept, *metrics)})
    metadata = bundle.metadata.model_copy(update={"liver_lesion": spec})
    return _rewritten(bundle, metadata, bundle.calibration)


def record_calibration(bundle: Bundle, calibration: Calibration) -> Path:
    """Write what a bundle's probabilities are worth into it and its model card.

    Parameters
    ----------
    bundle
        The bundle; it is replaced as a whole, its weights stay what they are.
    calibration
        Replaces an earlier one.

    Returns
    -------
    Path
        The bundle's folder.
    """
    return _rewritten(bundle, bundle.metadata, calibration)


def _rewritten(bundle: Bundle, metadata: BundleMetadata, calibration: Calibration | None) -> Path:
    weights = {member: bundle.path / member for member in bundle.spec.members}
    kept_files = [name for name in (TRAINING_CONFIG, str(LICENCE)) if (bundle.path / name).exists()]
    texts = {name: (bundle.path / name).read_text(encoding="utf-8") for name in kept_files}
    return write_bundle(metadata, weights, bundle.path, texts, calibration)
