"""Where the network looked, part by part of the lesion: what it draws from dark, middling and bright parts.

A rim speaks together with the dark centre that it surrounds, and maps made of gradients share that out along
the border of both. Here the parts are players of a game: what each adds is measured by taking it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from LiverLesionAI.explanation.coalitions import coalitions, shapley_values
from LiverLesionAI.explanation.method import Branches, Method, Question, without_lesion

if TYPE_CHECKING:
    from torch import Tensor

    from LiverLesionAI.inputs.patches import LesionInput

LEVELS = 3
"""Dark, middling and bright parts of a lesion."""
MARGIN_MM = 6.0
"""Width of the part that surrounds the lesion, where oedema, corona and early enhancement around it are."""
NOISE_VOXELS = 0.7
"""Standard deviation of the Gaussian that keeps noise from tearing the parts."""
_BATCH = 8


def lesion_parts(patches: NDArray[np.float32], spacing_mm: float) -> NDArray[np.int64]:
    """Divide what each sequence shows of a lesion into parts.

    Parameters
    ----------
    patches
        ``[S, 2, D, H, W]``: image and annotation of each sequence.
    spacing_mm
        Side of a voxel.

    Returns
    -------
    numpy.ndarray
        ``[S, D, H, W]``: 1 … :data:`LEVELS` in the lesion from dark to bright (Otsu's thresholds; fewer where
        intensities are few), ``LEVELS + 1`` within :data:`MARGIN_MM` around it, 0 elsewhere. Otsu 1979,
        doi:10.1109/TSMC.1979.4310076.
    """
    return np.stack([_parts(image, annotation, spacing_mm) for image, annotation in patches])


def _parts(
    image: NDArray[np.float32], annotation: NDArray[np.float32], spacing_mm: float
) -> NDArray[np.int64]:
    lesion = (annotation >= annotation.max() / 2) & (annotation > 0)
    parts = np.zeros(image.shape, np.int64)
    if not lesion.any():
        return parts
    parts[distance_transform_edt(~lesion) * spacing_mm <= MARGIN_MM] = LEVELS + 1
    parts[lesion] = 1 + _levels(gaussian_filter(image, NOISE_VOXELS)[lesion])
    return parts


def _levels(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Level of each intensity, from 0, dark."""
    if len(np.unique(values)) < LEVELS:
        return np.zeros(len(values), np.int64)
    otsu = sitk.OtsuMultipleThresholdsImageFilter()
    otsu.SetNumberOfThresholds(LEVELS - 1)
    return sitk.GetArrayFromImage(otsu.Execute(sitk.GetImageFromArray(values[None])))[0].astype(np.int64)


def _shown(patch: Tensor, empty: Tensor, parts: NDArray[np.int64]) -> Tensor:
    """A patch ``[2, D, H, W]`` as each coalition of its parts shows it, ``[coalitions, 2, D, H, W]``."""
    import torch

    there = coalitions(LEVELS + 1)
    shown = np.concatenate([np.ones((len(there), 1), bool), there], axis=1)[:, parts]
    copies = patch.expand(len(there), -1, -1, -1, -1).clone()
    copies[:, 0] = torch.where(torch.from_numpy(shown).to(patch.device), copies[:, 0], empty[0])
    return copies


def _seen(question: Question, index: int, empty: Tensor) -> Tensor:
    """Features of a sequence's coalitions, ``[coalitions, F]``."""
    import torch

    if question.ahead is not None:
        return torch.from_numpy(question.ahead[index])
    copies = _shown(question.patches[index], empty, question.prepared[index])
    with question.autocast():
        return torch.cat([question.network.branch_features(index, each) for each in copies.split(_BATCH)])


@dataclass(frozen=True)
class LesionParts(Method):
    """Map what the network draws from each part of a lesion.

    In each sequence the parts are the players of a game; the other sequences and all around stay as they are.
    A part that is away has the intensity of liver
    (:func:`~LiverLesionAI.explanation.method.without_lesion`), and a coalition is worth the log-odds of the
    class. The branch runs for each of the 16 coalitions. A map is a part's exact Shapley value, spread evenly
    over its voxels; a sequence sums to what lesion and margin change in it. Regions as players: Kapishnikov
    et al. 2019 (XRAI); Shapley 1953.
    """

    def prepare(self, lesion: LesionInput) -> NDArray[np.int64]:
        """Divide the lesion into its parts."""
        return lesion_parts(lesion.patches, lesion.grid.spacing_mm)

    def ahead(
        self, lesion: LesionInput, prepared: NDArray[np.int64], branches: Branches
    ) -> NDArray[np.float32]:
        """Run every branch for each of the coalitions: ``[members, S, coalitions, F]``, 0 where absent."""
        import torch

        patches = torch.from_numpy(lesion.patches)
        empty = without_lesion(patches)
        rows = {
            i: branches(lesion.sequences[i], _shown(patches[i], empty[i], prepared[i]).numpy())
            for i in np.flatnonzero(lesion.present).tolist()
        }
        none = np.zeros_like(next(iter(rows.values())))
        return np.stack([rows.get(i, none) for i in range(len(lesion.present))], axis=1)

    def ticks(self, sequences: int) -> int:
        """One for each sequence."""
        return sequences

    def maps(self, question: Question) -> NDArray[np.float64]:
        """Make one member's maps, voxel by voxel."""
        import torch

        features, patches = question.features, question.patches
        parts: NDArray[np.int64] = question.prepared
        empty = without_lesion(patches)
        maps = np.zeros(parts.shape)
        with torch.no_grad():
            for i in np.flatnonzero(question.present).tolist():
                rows = features.expand(2 ** (LEVELS + 1), -1, -1).clone()
                rows[:, i] = _seen(question, i, empty[i])
                worth = question.log_odds(rows).cpu().double().numpy()
                sizes = np.bincount(parts[i].ravel(), minlength=LEVELS + 2)
                density = np.r_[0.0, shapley_values(worth)] / np.maximum(sizes, 1)
                maps[i] = density[parts[i]]
                question.tick()
        return maps
