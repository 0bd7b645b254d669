"""Explaining models that read slices: maps of each slice, and what sequences and clinical data were worth.

A model of slices sees all sequences as channels of one image, so that its maps are those of the slice and the
same for every sequence; what a sequence was worth is told by the game over sequences. An absent player is one
that the network was trained to do without: a channel that is marked as absent, a field that is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from LiverLesionAI.explanation.coalitions import coalitions, shapley_values
from LiverLesionAI.explanation.explain import unit_maps
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.method import class_log_odds
from LiverLesionAI.explanation.weights import MemberGame, SequenceWeights, log_odds, sequence_weights
from LiverLesionAI.inference.engine import FEATURES
from LiverLesionAI.inputs.clinical import code_places
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from LiverLesionAI.inference import Classifier
    from LiverLesionAI.networks.slice_network import SliceNetwork

CLINICAL_DATA = "clinical data"
"""The player that stands for all clinical fields together."""
MAP_SMOOTHING = 0.01
"""Standard deviation of the Gaussian over an input gradient, as a share of the image's side."""
_BATCH = 16

SliceMethod = Literal["input-gradient", "grad-cam"]


@dataclass(frozen=True)
class StudyExplanation:
    """Why a study was answered for as it was, in one task.

    Attributes
    ----------
    task, target
        The task, and the class whose log-odds are shared out.
    weights
        What each sequence was worth, and where the model reads them the clinical data together.
    fields
        Clinical field to its Shapley value beside all images: what the fields that are known add to the
        log-odds, from none known on; sums to what :data:`CLINICAL_DATA` adds last.
    """

    task: str
    target: str
    weights: SequenceWeights
    fields: Mapping[str, float]


@dataclass(frozen=True)
class _Game:
    """What one member says of one slice to every coalition, for every class.

    Attributes
    ----------
    sequences
        float64 ``[2**n, classes]``: coalitions of the sequences, the clinical data as they are.
    everything
        The same with the clinical data as the last player; as `sequences` where none are read.
    fields
        ``[2**k, classes]``: coalitions of the known clinical fields beside all images.
    """

    sequences: NDArray[np.float64]
    everything: NDArray[np.float64]
    fields: NDArray[np.float64]


def slice_maps(
    classifier: Classifier,
    groups: Sequence[SliceGroup],
    task: str,
    index: int,
    method: SliceMethod,
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Map where a model looked in each slice.

    Parameters
    ----------
    classifier
        The model.
    groups
        Its slices.
    task, index
        The task and the position of the class.
    method
        ``"input-gradient"``: size of the gradient of the class's log-odds with respect to the image, summed
        over channels (L1; Simonyan et al. 2014, as Zhen et al. 2020), spread by :data:`MAP_SMOOTHING`.
        ``"grad-cam"``: the last image of features, each weighted by the mean of its gradient, where the sum
        is positive (Selvaraju et al. 2017).
    progress
        Told the fraction of the work that is done.

    Returns
    -------
    numpy.ndarray
        float64 ``[slice, y, x]``, not negative; the mean over members.
    """
    of = _input_gradient if method == "input-gradient" else _grad_cam
    members = classifier.bundle.member_count
    found = []
    for member in range(members):
        network: SliceNetwork = classifier.network(member)  # type: ignore[assignment]
        for done, group in enumerate(groups):
            found.append(of(network, _tensors(group, classifier), task, index))
            progress("explain", (member + (done + 1) / len(groups)) / members)
    size = groups[0].slices.stack.size
    return np.reshape(found, (members, len(groups), size, size)).mean(axis=0)


def _tensors(group: SliceGroup, classifier: Classifier) -> tuple[Tensor, ...]:
    import torch

    device = classifier.execution.device
    return tuple(torch.from_numpy(np.ascontiguousarray(array))[None].to(device) for array in group.arrays())


def _input_gradient(
    network: SliceNetwork, tensors: tuple[Tensor, ...], task: str, index: int
) -> NDArray[np.float64]:
    import torch

    image = tensors[0].detach().requires_grad_()
    with torch.enable_grad():
        logits = network.logits(network.features(image, *tensors[1:]))[task]
        (gradient,) = torch.autograd.grad(class_log_odds(logits, index).sum(), image)
    sizes = gradient[0].abs().sum(dim=0).cpu().double().numpy()
    return gaussian_filter(sizes, MAP_SMOOTHING * len(sizes))


def _grad_cam(
    network: SliceNetwork, tensors: tuple[Tensor, ...], task: str, index: int
) -> NDArray[np.float64]:
    import torch

    image, present, *clinical = tensors
    with torch.no_grad():
        cells = network.image.cells(network.scaled(image, present))
    cells = cells.detach().requires_grad_()
    with torch.enable_grad():
        beside = clinical[0] if clinical else None
        joined = network.joined(network.image.features_of_cells(cells), beside)
        (slope,) = torch.autograd.grad(class_log_odds(network.logits(joined)[task], index).sum(), cells)
    found = (slope.mean(dim=(2, 3), keepdim=True) * cells).sum(dim=1, keepdim=True).clamp(min=0).detach()
    wide = torch.nn.functional.interpolate(
        found.float(), image.shape[-2:], mode="bilinear", align_corners=False
    )
    return wide[0, 0].cpu().double().numpy()


def explain_slices(
    classifier: Classifier,
    groups: Sequence[SliceGroup],
    task: str,
    target: str,
    method: SliceMethod | None,
    progress: Progress = silent,
) -> tuple[StudyExplanation, tuple[LesionExplanation, ...]]:
    """Explain what a model said about a study.

    Parameters
    ----------
    classifier
        The model that answered.
    groups
        The slices of all lesions.
    task, target
        The task and the class to be explained.
    method
        How maps are made; None for none, only the weights.
    progress
        Told the fraction of the work that is done.

    Returns
    -------
    study : StudyExplanation
        The weights in the answer for the study as a whole.
    lesions : tuple of LesionExplanation
        The maps of each lesion's slices, and the weights in the answer of its own slices; without maps none.
    """
    index = classifier.bundle.taxonomies[task].index(target)
    players = _players(groups)
    games = list(_games(classifier, groups, task, players, progress))
    study = _study_explanation(games, groups, task, target, index, players)
    if method is None:
        return study, ()
    maps = slice_maps(classifier, groups, task, index, method, progress)
    lesions = []
    for label in dict.fromkeys(group.lesion_id for group in groups):
        own = [number for number, group in enumerate(groups) if group.lesion_id == label]
        slices = groups[own[0]].slices
        wide = np.broadcast_to(maps[own], (len(slices.sequences), *maps[own].shape))
        shown = unit_maps(wide * np.array(slices.present)[:, None, None, None])
        chosen = [game for game, group in games if groups[group].lesion_id == label]
        weights = _weights([game.sequences for game in chosen], task, target, index, players)
        lesions.append(LesionExplanation(slices, task, target, method, shown, {task: weights}))
    return study, tuple(lesions)


def _players(groups: Sequence[SliceGroup]) -> tuple[str, ...]:
    """Sequences that one of the slices shows."""
    sequences = groups[0].sequences
    return tuple(name for i, name in enumerate(sequences) if any(group.present[i] for group in groups))


def _study_explanation(
    games: Sequence[tuple[_Game, int]],
    groups: Sequence[SliceGroup],
    task: str,
    target: str,
    index: int,
    players: tuple[str, ...],
) -> StudyExplanation:
    reads = groups[0].reads_clinical
    names = (*players, CLINICAL_DATA) if reads else players
    known = groups[0].clinical
    fields: dict[str, float] = {}
    if known:
        worth = log_odds([game.fields for game, _ in games], index)
        fields = dict(zip(known, shapley_values(worth).tolist(), strict=True))
    weights = _weights([game.everything for game, _ in games], task, target, index, names)
    return StudyExplanation(task, target, weights, fields)


def _weights(
    logits: Sequence[NDArray[np.float64]], task: str, target: str, index: int, players: tuple[str, ...]
) -> SequenceWeights:
    """Share a class's log-odds out, the probabilities of slices and members averaged as in the answer."""
    return sequence_weights([MemberGame({task: each}, {}) for each in logits], task, target, index, players)


def _games(
    classifier: Classifier,
    groups: Sequence[SliceGroup],
    task: str,
    players: tuple[str, ...],
    progress: Progress,
) -> Iterator[tuple[_Game, int]]:
    """Play the game of each slice with each member; yields it with the slice's position."""
    members = classifier.bundle.member_count
    ahead = [_seen_ahead(group, players, classifier) for group in groups]
    for member in range(members):
        network: SliceNetwork = classifier.network(member)  # type: ignore[assignment]
        for number, (group, seen) in enumerate(zip(groups, ahead, strict=True)):
            own = None if seen is None else seen[member]
            yield _game(network, group, task, players, classifier, own), number
            progress("explain", (member + (number + 1) / len(groups)) / members)


def _there(group: SliceGroup, players: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which sequences of a slice each coalition shows, ``[2**n, C]``."""
    there = np.zeros((2 ** len(players), len(group.sequences)), bool)
    there[:, [group.sequences.index(name) for name in players]] = coalitions(len(players))
    return there & np.array(group.present)


def _seen_ahead(
    group: SliceGroup, players: tuple[str, ...], classifier: Classifier
) -> NDArray[np.float32] | None:
    """Features of a slice as each coalition shows it, ``[members, 2**n, F]``; None where torch answers."""
    if classifier.engine is None:
        return None
    there = _there(group, players)
    image = group.arrays()[0]
    return classifier.engine.features(FEATURES, np.broadcast_to(image, (len(there), *image.shape)), there)


def _game(
    network: SliceNetwork,
    group: SliceGroup,
    task: str,
    players: tuple[str, ...],
    classifier: Classifier,
    seen: NDArray[np.float32] | None,
) -> _Game:
    import torch

    image, _, *clinical = _tensors(group, classifier)
    with torch.no_grad():
        if seen is not None:
            features = torch.from_numpy(seen)
        else:
            there = torch.from_numpy(_there(group, players)).to(image.device)
            features = torch.cat(
                [
                    network.image.features(network.scaled(image.expand(len(part), -1, -1, -1), part))
                    for part in there.split(_BATCH)
                ]
            )
        if not clinical:
            plain = _logits(network, features, None, task)
            return _Game(plain, plain, plain[-1:])
        codes, unknown = clinical[0], _unknown(clinical[0])
        with_data = _logits(network, features, codes, task)
        without = _logits(network, features, unknown, task)
        fields = _logits(network, features[-1:], _field_codes(codes, unknown, group.clinical), task)
    return _Game(with_data, np.concatenate([without, with_data]), fields)


def _logits(
    network: SliceNetwork, features: Tensor, clinical: Tensor | None, task: str
) -> NDArray[np.float64]:
    if clinical is not None:
        rows = max(len(features), len(clinical))
        features, clinical = features.expand(rows, -1), clinical.expand(rows, -1)
    return network.logits(network.joined(features, clinical))[task].cpu().double().numpy()


def _unknown(codes: Tensor) -> Tensor:
    """Codes of a patient of whom nothing is known, ``[1, K]``."""
    import torch

    unknown = torch.zeros_like(codes)
    unknown[:, [place.stop - 1 for place in code_places().values()]] = 1
    return unknown


def _field_codes(codes: Tensor, unknown: Tensor, known: Sequence[str]) -> Tensor:
    """Codes of every coalition of the known fields, ``[2**k, K]``."""
    places = code_places()
    found = unknown.repeat(2 ** len(known), 1)
    for player, name in enumerate(known):
        takes_part = coalitions(len(known))[:, player]
        found[takes_part, places[name]] = codes[0, places[name]]
    return found
