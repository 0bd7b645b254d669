"""What an explanation must do to be believed, measured lesion by lesion."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cases import SIGNS, Case
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr

from LiverLesionAI.explanation.coalitions import coalitions, shapley_values
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.method import without_lesion
from LiverLesionAI.explanation.weights import SequenceWeights, log_odds
from LiverLesionAI.inference import Classifier
from LiverLesionAI.networks.resnet3d import MultitaskResNet3D

import torch  # isort: skip  # after execution.py, whose setting keeps idle threads asleep

BLOCK = 8
FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
BATCH = 4
"""Of deleted copies that run at once; the fastest on a processor."""
RANDOM_ORDERS = 20
NEAR_MM = 5.0
DENSER = 1.5
"""How much denser than the rest of the lesion the sub-region of a sign shall be."""
LAYERS = ("heads", "layer4", "layer3", "layer2", "layer1", "stem")


def efficiency_error(weights: SequenceWeights) -> float:
    """How far the Shapley values' sum is from what all sequences add."""
    return abs(float(weights.shapley.sum() - (weights.worth[-1] - weights.worth[0])))


@dataclass(frozen=True)
class SequenceDeletion:
    """Mean log-odds while sequences are removed one by one: by weight, in reverse, at random (mean)."""

    ordered: float
    reverse: float
    random: float

    @property
    def passed(self) -> bool:
        """Whether removing the heaviest first lowers the log-odds fastest."""
        return self.ordered < min(self.reverse, self.random)


def delete_sequences(weights: SequenceWeights, rng: np.random.Generator) -> SequenceDeletion:
    """Remove sequences in the order of their weights."""
    order = np.argsort(-weights.shapley, kind="stable")
    random = [_area(weights, rng.permutation(len(order))) for _ in range(RANDOM_ORDERS)]
    return SequenceDeletion(_area(weights, order), _area(weights, order[::-1]), float(np.mean(random)))


def _area(weights: SequenceWeights, order: NDArray[np.int64]) -> float:
    """Mean worth of the coalitions that are left after each removal."""
    left, worths = len(weights.worth) - 1, []
    for player in order[:-1].tolist():
        left &= ~(1 << player)
        worths.append(weights.worth[left])
    return float(np.mean(worths)) if worths else 0.0


@dataclass(frozen=True)
class VoxelDeletion:
    """Area under the log-odds while blocks become liver: in the order of the map, and at random (mean)."""

    ordered: float
    random: float

    @property
    def passed(self) -> bool:
        """Whether the map's order lowers the log-odds faster."""
        return self.ordered < self.random


def delete_voxels(
    classifier: Classifier, explanation: LesionExplanation, index: int, rng: np.random.Generator
) -> VoxelDeletion:
    """Replace blocks of 8³ voxels of all sequences by the value of the parenchyma.

    The order is that of the blocks' mean in the weighted maps, which are comparable between sequences; equal
    blocks are taken in random order.
    """
    maps = np.zeros_like(explanation.maps)
    for name in explanation.sequences:
        maps[explanation.lesion.sequences.index(name)] = explanation.weighted_map(name)
    count = maps.shape[-1] // BLOCK
    means = maps.reshape(len(maps), *[count, BLOCK] * 3).mean(axis=(2, 4, 6)).ravel()
    order = np.lexsort((rng.random(len(means)), -means))
    orders = [order, *(rng.permutation(len(means)) for _ in range(RANDOM_ORDERS))]
    ordered, *random = (
        float(trapezoid(curve, FRACTIONS)) for curve in _curves(classifier, explanation, index, orders)
    )
    return VoxelDeletion(ordered, float(np.mean(random)))


def _curves(
    classifier: Classifier,
    explanation: LesionExplanation,
    index: int,
    orders: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Log-odds ``[orders, fractions]``; the first and the last point are common to all orders."""
    ranks = [np.argsort(order) for order in orders]
    total = len(ranks[0])
    deleted = [np.full(total, False), np.full(total, True)]
    deleted += [rank < round(part * total) for rank in ranks for part in FRACTIONS[1:-1]]
    logits = [
        _without(classifier, classifier.network(member), explanation, deleted)
        for member in range(classifier.bundle.member_count)
    ]
    first, last, *middle = log_odds(logits, index)
    rows = np.reshape(middle, (len(ranks), -1))
    ends = [np.full((len(ranks), 1), end) for end in (first, last)]
    return np.hstack([ends[0], rows, ends[1]])


def _without(
    classifier: Classifier,
    network: MultitaskResNet3D,
    explanation: LesionExplanation,
    deleted: Sequence[NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Logits ``[copies, classes]`` of one member; blocks are numbered over all sequences."""
    patches = torch.from_numpy(explanation.lesion.patches)
    liver = without_lesion(patches)
    count = patches.shape[-1] // BLOCK
    found = []
    for start in range(0, len(deleted), BATCH):
        chosen = torch.from_numpy(np.stack(deleted[start : start + BATCH]))
        mask = chosen.reshape(-1, len(patches), *[count] * 3)
        for axis in (2, 3, 4):
            mask = mask.repeat_interleave(BLOCK, dim=axis)
        changed = torch.where(mask[:, :, None], liver, patches)
        found.append(_logits(classifier, network, explanation, changed))
    return np.concatenate(found)


def _logits(
    classifier: Classifier, network: MultitaskResNet3D, explanation: LesionExplanation, changed: torch.Tensor
) -> NDArray[np.float64]:
    """Logits ``[copies, classes]`` of a member for changed copies ``[copies, S, 2, D, H, W]`` of a lesion."""
    changed = changed.to(classifier.execution.device)
    present = torch.tensor([explanation.lesion.present] * len(changed), device=changed.device)
    with torch.inference_mode():
        with classifier.autocast():
            features = network.features(changed, present)
        return network.logits(features)[explanation.task].double().cpu().numpy()


@dataclass(frozen=True)
class Localisation:
    """Whether maxima lie within the lesion or 5 mm of it.

    ``overall`` is the maximum of all weighted maps, ``share`` the part of the sequences whose own map's
    maximum lies there. The maximum are the voxels whose value is 1; most of them must lie there.
    """

    overall: bool
    share: float


def localise(explanation: LesionExplanation) -> Localisation:
    """Find where the maxima of the maps lie."""
    spacing = explanation.lesion.grid.spacing_mm
    near = distance_transform_edt(~explanation.outline) * spacing <= NEAR_MM
    maps = {name: explanation.feature_map(name) for name in explanation.sequences}
    hits = [_maximum_lies(near, each) for each in maps.values() if each.any()]
    strongest = maps[explanation.strongest]
    overall = bool(strongest.any()) and _maximum_lies(near, strongest)
    return Localisation(overall, float(np.mean(hits)) if hits else 0.0)


def _maximum_lies(near: NDArray[np.bool_], saliency: NDArray[np.float32]) -> bool:
    return bool(near[saliency == saliency.max()].mean() > 0.5)


def gaussian_hits(explanation: LesionExplanation) -> bool:
    """The same for a Gaussian in the middle of the patch."""
    middle = explanation.lesion.grid.size // 2
    distance = distance_transform_edt(~explanation.outline) * explanation.lesion.grid.spacing_mm
    return bool(distance[middle, middle, middle] <= NEAR_MM)


@dataclass(frozen=True)
class SignDensity:
    """Saliency per voxel in the sub-region of the class's sign over that in the rest of the lesion.

    ``own`` in the map of the sequence that shows the sign, ``parts`` in its map by the method lesion-parts,
    ``everywhere`` in the sum of all weighted maps, ``network`` what no map can better: the same of
    :func:`evidence`. None where there is no sub-region, no rest, or no saliency in either.
    """

    lesion_class: str
    own: float | None = None
    parts: float | None = None
    everywhere: float | None = None
    network: float | None = None


def sign_density(
    classifier: Classifier,
    case: Case,
    sign: NDArray[np.bool_],
    explanation: LesionExplanation,
    by_parts: LesionExplanation,
) -> SignDensity:
    """Compare the sub-region of the sign with the rest of the lesion."""
    sequence = SIGNS[case.lesion_class][1]
    weighted = np.sum([explanation.weighted_map(each) for each in explanation.sequences], axis=0)
    sign = sign & explanation.outline
    rest = explanation.outline & ~sign
    if not sign.any() or not rest.any():
        return SignDensity(case.lesion_class)
    maps = (explanation.feature_map(sequence), by_parts.feature_map(sequence), weighted)
    drawn = np.maximum(evidence(classifier, explanation, sequence, (sign, rest)), 0.0)
    return SignDensity(
        case.lesion_class,
        *(_ratio(each[sign].mean(), each[rest].mean()) for each in maps),
        _ratio(drawn[0] / sign.sum(), drawn[1] / rest.sum()),
    )


def _ratio(sign: float, rest: float) -> float | None:
    return None if sign == rest == 0 else float(sign / max(rest, 1e-9))


def evidence(
    classifier: Classifier,
    explanation: LesionExplanation,
    sequence: str,
    regions: Sequence[NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """What the network itself draws from regions of a sequence: their exact Shapley values.

    Players are the regions ``[z, y, x]``; one that does not take part has the intensity of liver, as in the
    map's starting point. All else in the sequence, and the other sequences, stay as they are. The values, in
    units of log-odds, sum to what the regions together change.
    """
    patches = torch.from_numpy(explanation.lesion.patches)
    row = explanation.lesion.sequences.index(sequence)
    liver = without_lesion(patches)[row]
    copies = patches.repeat(2 ** len(regions), 1, 1, 1, 1, 1)
    for shown, there in zip(copies, coalitions(len(regions)), strict=True):
        for region, takes_part in zip(regions, there, strict=True):
            if not takes_part:
                shown[row] = torch.where(torch.from_numpy(region), liver, shown[row])
    index = classifier.bundle.taxonomies[explanation.task].index(explanation.target)
    logits = [
        _logits(classifier, classifier.network(member), explanation, copies)
        for member in range(classifier.bundle.member_count)
    ]
    return shapley_values(log_odds(logits, index))


def rank_correlation(first: LesionExplanation, second: LesionExplanation) -> float:
    """Mean Spearman correlation of the two maps of each sequence, a value a cell; 0 where one is constant."""
    found = []
    for name in first.sequences:
        pair = [each.feature_map(name)[::4, ::4, ::4].ravel() for each in (first, second)]
        constant = any(float(np.ptp(each)) == 0 for each in pair)
        found.append(0.0 if constant else float(spearmanr(*pair).statistic))
    return float(np.mean(found))


class Randomised(Classifier):
    """A classifier whose networks lost what they learned, from the heads down to a layer.

    Kernels and matrices are drawn anew, from a normal distribution of the same spread; biases and
    normalisation stay, so that signals keep their size and the network answers at all.
    """

    def __init__(self, classifier: Classifier, down_to: str, seed: int = 0) -> None:
        super().__init__(
            classifier.bundle, device=classifier.execution.device, precision=classifier.execution.precision
        )
        layers = LAYERS[: LAYERS.index(down_to) + 1]
        self._networks = [
            _redrawn(classifier.network(member), layers, seed) for member in range(self.bundle.member_count)
        ]

    def network(self, member: int) -> MultitaskResNet3D:
        """Return the redrawn member."""
        return self._networks[member]


class Untrained(Classifier):
    """A classifier of the same architecture with freshly drawn weights."""

    def __init__(self, classifier: Classifier, seed: int = 0) -> None:
        super().__init__(
            classifier.bundle, device=classifier.execution.device, precision=classifier.execution.precision
        )
        torch.manual_seed(seed)
        self._networks = [
            self.bundle.system.network(self.bundle.spec).eval().requires_grad_(False)
            for _ in range(self.bundle.member_count)
        ]

    def network(self, member: int) -> MultitaskResNet3D:
        """Return the untrained member."""
        return self._networks[member].to(self.execution.device)


def _redrawn(network: MultitaskResNet3D, layers: Sequence[str], seed: int) -> MultitaskResNet3D:
    network = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and any(_belongs(name, layer) for layer in layers):
            drawn = torch.randn(parameter.shape, generator=generator) * parameter.std().cpu()
            parameter.copy_(drawn.to(parameter.device))
    return network


def _belongs(name: str, layer: str) -> bool:
    """Whether a parameter, such as ``branches.LAP.layer1.0.conv1.weight``, is of a layer."""
    part, _, *rest = name.split(".")
    if layer == "heads":
        return part == "heads"
    return part == "branches" and rest[0] in (("conv1", "bn1") if layer == "stem" else (layer,))
