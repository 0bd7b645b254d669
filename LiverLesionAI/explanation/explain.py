"""Explaining lesions, member by member."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.engine_gradcam import maps_by_engine
from LiverLesionAI.explanation.gradcam import GradCam
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.method import Asked, Method, Question
from LiverLesionAI.explanation.methods import TABLE
from LiverLesionAI.explanation.settings import Settings, explained_task, resolved
from LiverLesionAI.explanation.weights import MemberGame, member_game, sequence_weights
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.side_by_side import a_core_each

if TYPE_CHECKING:
    from LiverLesionAI.inference import Classifier, UnitPrediction
    from LiverLesionAI.networks.heads import Heads

BRIGHTEST_PERCENTILE = 99.5
"""This percentile of a sequence's map becomes 1: a brightest spot does not set the scale of all the rest."""


@dataclass
class _Gathered:
    """What the members said so far about one lesion."""

    maps: list[NDArray[np.float64]] = field(default_factory=list)
    games: list[MemberGame] = field(default_factory=list)


def explain(
    classifier: Classifier,
    inputs: Sequence[LesionInput],
    predictions: Sequence[UnitPrediction],
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
        What to explain; by default the predicted classes, by the model's first method.
    progress
        Told the fraction of the work that is done.

    Returns
    -------
    tuple of LesionExplanation
        In the order of the inputs.

    Raises
    ------
    ConfigError
        If the model offers no explanations, or the settings name a method, stage, task or class that there
        is not.
    BundleError
        If weights are missing or damaged.

    Examples
    --------
    >>> classifier = Classifier(bundle, keep_loaded=True)  # doctest: +SKIP
    >>> lesions = explain(classifier, inputs, classifier.predict(units))  # doctest: +SKIP
    >>> lesions[0].strongest, lesions[0].weights["type"].shapley.sum()  # doctest: +SKIP
    ('LAP', 9.82)
    """
    bundle = classifier.bundle
    settings = resolved(settings or Settings(), bundle)
    method = TABLE[settings.method or ""]
    task = explained_task(settings, bundle.taxonomies, bundle.spec.primary_task)
    targets = [_targets(settings, task, each) for each in predictions]
    indices = [
        {name: bundle.taxonomies[name].index(target) for name, target in each.items()} for each in targets
    ]
    asked = [
        Asked(lesion, _features(predicted, lesion), task, index[task], method.prepare(lesion))
        for lesion, predicted, index in zip(inputs, predictions, indices, strict=True)
    ]
    ticks = _Ticks(progress, bundle.member_count * len(inputs), method.ticks(len(bundle.spec.sequences)))
    gathered = [_Gathered() for _ in asked]
    for position, heads, maps in _by_members(classifier, method, asked, settings, ticks):
        one = asked[position]
        number = len(gathered[position].maps)
        gathered[position].maps.append(maps)
        gathered[position].games.append(member_game(heads, one.features[number], one.lesion.present))
        ticks.lesion_done()
    step = bundle.system.stages.get(settings.stage or "")
    return tuple(
        LesionExplanation(
            lesion,
            task,
            target[task],
            settings.method or "",
            unit_maps(_on_patch(method, found, lesion, step)),
            _weights(lesion, found, target, index),
        )
        for lesion, found, target, index in zip(inputs, gathered, targets, indices, strict=True)
    )


def _by_members(
    classifier: Classifier, method: Method, asked: Sequence[Asked], settings: Settings, ticks: _Ticks
) -> Iterator[tuple[int, Heads, NDArray[np.float64]]]:
    """Position of a lesion, a member's heads and its maps of the lesion; member by member."""
    engine, stage = classifier.engine, settings.stage or ""
    if engine is not None and isinstance(method, GradCam) and method.on_engine(stage):
        slopes = engine.slopes()
        if slopes is not None:
            for position, member, maps in maps_by_engine(slopes, asked, method.steps):
                yield position, member.heads, maps
            return
    yield from _by_torch(classifier, method, asked, settings, ticks)


def _by_torch(
    classifier: Classifier, method: Method, asked: Sequence[Asked], settings: Settings, ticks: _Ticks
) -> Iterator[tuple[int, Heads, NDArray[np.float64]]]:
    import torch

    device, engine = classifier.execution.device, classifier.engine
    ahead = [
        None if engine is None else method.ahead(one.lesion, one.prepared, engine.features) for one in asked
    ]
    with a_core_each(device) as each:
        for member in range(classifier.bundle.member_count if asked else 0):
            network = classifier.network(member)
            for position, one in enumerate(asked):
                found = ahead[position]
                question = Question(
                    network=network,  # type: ignore[arg-type]
                    patches=torch.from_numpy(one.lesion.patches).to(device),
                    features=torch.from_numpy(one.features[member]).to(device),
                    present=one.lesion.present,
                    task=one.task,
                    index=one.index,
                    autocast=classifier.autocast,
                    stage=settings.stage or "",
                    seed=settings.seed,
                    prepared=one.prepared,
                    ahead=None if found is None else found[member],
                    tick=ticks.step_done,
                    each=each,
                )
                yield position, question.heads, method.maps(question)


def _features(predicted: UnitPrediction, lesion: LesionInput) -> NDArray[np.float32]:
    """What the members saw of a lesion when they classified it, ``[members, S, F]``."""
    assert predicted.features is not None
    seen: NDArray[np.float32] = predicted.features.reshape(len(predicted.features), len(lesion.sequences), -1)
    return seen


def _on_patch(
    method: Method, found: _Gathered, lesion: LesionInput, voxels_per_cell: int | None
) -> NDArray[np.float64]:
    return method.on_patch(np.mean(found.maps, axis=0), lesion.grid.size, voxels_per_cell)


def _weights(
    lesion: LesionInput, found: _Gathered, target: Mapping[str, str], index: Mapping[str, int]
) -> dict[str, Any]:
    sequences = tuple(name for name, there in zip(lesion.sequences, lesion.present, strict=True) if there)
    return {
        name: sequence_weights(found.games, name, target[name], index[name], sequences) for name in target
    }


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
    return np.stack([_unit_map(each) for each in signed])


def _unit_map(signed: NDArray[np.float64]) -> NDArray[np.float32]:
    positive = np.maximum(signed, 0.0)
    scale = np.percentile(positive, BRIGHTEST_PERCENTILE) or positive.max()
    if scale > 0:
        positive = np.minimum(positive / scale, 1.0)
    return positive.astype(np.float32)


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


def _targets(settings: Settings, task: str, prediction: UnitPrediction) -> dict[str, str]:
    """Task to the class that is explained."""
    predicted = {name: answer.predicted for name, answer in prediction.tasks.items()}
    return predicted if settings.target is None else {**predicted, task: settings.target}
