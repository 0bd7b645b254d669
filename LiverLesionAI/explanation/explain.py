"""Explaining lesions, fold by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.branches import STAGES, on_voxels
from LiverLesionAI.explanation.gradcam import INTEGRATION_STEPS as CAM_STEPS
from LiverLesionAI.explanation.gradcam import activation_maps, spread
from LiverLesionAI.explanation.gradients import (
    INTEGRATION_STEPS,
    NOISY_COPIES,
    integrated_gradients,
    smoothed_gradients,
)
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.parts import lesion_parts, part_maps
from LiverLesionAI.explanation.settings import CELL_METHODS, Method, Settings, explained_task
from LiverLesionAI.explanation.weights import FoldGame, play, sequence_weights
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.progress import Progress, silent

if TYPE_CHECKING:
    from LiverLesionAI.inference import Classifier, LesionPrediction
    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D


BRIGHTEST_PERCENTILE = 99.9
"""This percentile of a sequence's map becomes 1: single voxels do not set the scale."""


@dataclass
class _Gathered:
    """What the folds said so far about one lesion."""

    parts: NDArray[np.int64] | None = None
    maps: list[NDArray[np.float64]] = field(default_factory=list)
    games: list[FoldGame] = field(default_factory=list)


def explain(
    classifier: Classifier,
    inputs: Sequence[LesionInput],
    predictions: Sequence[LesionPrediction],
    settings: Settings | None = None,
    progress: Progress = silent,
) -> tuple[LesionExplanation, ...]:
    """Explain what a model said about lesions.

    Parameters
    ----------
    classifier
        The classifier that made the predictions; with ``keep_loaded`` its weights are not read again.
    inputs, predictions
        The lesions and what was predicted for them, in the same order.
    settings
        What to explain; by default the predicted classes, by integrated Grad-CAM.
    progress
        Told the fraction of the work that is done.

    Returns
    -------
    tuple of LesionExplanation
        In the order of the inputs.

    Raises
    ------
    ConfigError
        If the settings name a method, stage, task or class that there is not.
    BundleError
        If weights are missing or damaged.

    Examples
    --------
    >>> classifier = Classifier(bundle, keep_loaded=True)  # doctest: +SKIP
    >>> lesions = explain(classifier, inputs, classifier.predict(inputs))  # doctest: +SKIP
    >>> lesions[0].strongest, lesions[0].weights["type"].shapley.sum()  # doctest: +SKIP
    ('LAP', 9.82)
    """
    settings = settings or Settings()
    taxonomies = classifier.bundle.taxonomies
    task = explained_task(settings, taxonomies)
    targets = [_targets(settings, task, each) for each in predictions]
    indices = [{name: taxonomies[name].index(target) for name, target in each.items()} for each in targets]
    gathered = [_Gathered(_parts(each, settings)) for each in inputs]
    folds = classifier.bundle.fold_count
    ticks = _Ticks(
        progress, folds * len(inputs), _steps(settings.method, len(classifier.bundle.spec.sequences))
    )
    for fold in range(folds if inputs else 0):
        network = classifier.network(fold)
        for lesion, index, found in zip(inputs, indices, gathered, strict=True):
            maps, game = _one_fold(
                network, lesion, task, index[task], settings, classifier, ticks, found.parts
            )
            found.maps.append(maps)
            found.games.append(game)
            ticks.lesion_done()
    return tuple(
        _explanation(lesion, found, task, target, index, settings)
        for lesion, found, target, index in zip(inputs, gathered, targets, indices, strict=True)
    )


def _one_fold(
    network: MultitaskResNet3D,
    lesion: LesionInput,
    task: str,
    index: int,
    settings: Settings,
    classifier: Classifier,
    ticks: _Ticks,
    parts: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], FoldGame]:
    import torch

    patches = torch.from_numpy(lesion.patches).to(classifier.execution.device)
    arguments = network, patches, lesion.present, task, index
    if settings.method in CELL_METHODS:
        steps = 0 if settings.method == "grad-cam" else CAM_STEPS
        maps, features = activation_maps(
            *arguments, stage=settings.stage, autocast=classifier.autocast(), steps=steps
        )
        return maps, play(network, features, lesion.present)
    with torch.no_grad(), classifier.autocast():
        (features,) = network.features(patches[None], torch.tensor([lesion.present], device=patches.device))
    if parts is not None:
        maps = part_maps(*arguments, features, parts, ticks.step_done, autocast=classifier.autocast())
    elif settings.method == "integrated-gradients":
        maps = integrated_gradients(*arguments, ticks.step_done)
    else:
        maps = smoothed_gradients(*arguments, ticks.step_done, settings.seed)
    return maps, play(network, features, lesion.present)


def _parts(lesion: LesionInput, settings: Settings) -> NDArray[np.int64] | None:
    if settings.method != "lesion-parts":
        return None
    return lesion_parts(lesion.patches, lesion.grid.spacing_mm)


def _explanation(
    lesion: LesionInput,
    found: _Gathered,
    task: str,
    target: Mapping[str, str],
    index: Mapping[str, int],
    settings: Settings,
) -> LesionExplanation:
    sequences = tuple(name for name, there in zip(lesion.sequences, lesion.present, strict=True) if there)
    weights = {
        name: sequence_weights(found.games, name, target[name], index[name], sequences) for name in target
    }
    signed = np.mean(found.maps, axis=0)
    if settings.method in CELL_METHODS:
        smooth = signed if settings.method == "grad-cam" else spread(signed)
        signed = on_voxels(smooth, lesion.grid.size, STAGES[settings.stage])
    return LesionExplanation(lesion, task, target[task], settings.method, unit_maps(signed), weights)


def unit_maps(signed: NDArray[np.float64]) -> NDArray[np.float32]:
    """Keep what speaks for the class and bring each sequence to [0, 1].

    Parameters
    ----------
    signed
        ``[sequence, z, y, x]``.

    Returns
    -------
    numpy.ndarray
        The positive part over its percentile :data:`BRIGHTEST_PERCENTILE`, clipped at 1; where so little is
        positive that this is 0, over its maximum.
    """
    positive = np.maximum(signed, 0.0)
    largest = positive.max(axis=(1, 2, 3), keepdims=True)
    bright = np.percentile(positive, BRIGHTEST_PERCENTILE, axis=(1, 2, 3), keepdims=True)
    scale = np.where(bright > 0, bright, largest)
    scaled = np.divide(positive, scale, out=np.zeros_like(positive), where=scale > 0)
    return np.minimum(scaled, 1.0).astype(np.float32)


class _Ticks:
    """Tells progress as lesions, and steps within them, are done."""

    def __init__(self, progress: Progress, lesions: int, steps: int) -> None:
        self._progress, self._lesions, self._steps = progress, lesions, steps
        self._done, self._step = 0, 0

    def step_done(self) -> None:
        self._step += 1
        self._progress("explain", (self._done + self._step / (self._steps + 1)) / self._lesions)

    def lesion_done(self) -> None:
        self._done, self._step = self._done + 1, 0
        self._progress("explain", self._done / self._lesions)


def _steps(method: Method, sequences: int) -> int:
    """Steps of a fold that tell their progress."""
    steps = {
        "lesion-parts": sequences,
        "integrated-gradients": INTEGRATION_STEPS,
        "smoothed-gradients": NOISY_COPIES,
    }
    return steps.get(method, 0)


def _targets(settings: Settings, task: str, prediction: LesionPrediction) -> dict[str, str]:
    """Task to the class that is explained."""
    predicted = {name: answer.predicted for name, answer in prediction.tasks.items()}
    return predicted if settings.target is None else {**predicted, task: settings.target}
