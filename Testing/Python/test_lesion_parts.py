"""Maps of the parts of a lesion: how it is divided, what they sum to, that only what is read counts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from test_saliency import classifier, question, tensor  # noqa: F401

from LiverLesionAI.explanation.method import Question, without_lesion
from LiverLesionAI.explanation.parts import LEVELS, MARGIN_MM, NOISE_VOXELS, LesionParts, lesion_parts

SIDE = 16


def _ball(radius: float) -> NDArray[np.bool_]:
    return np.sum((np.indices((SIDE,) * 3) - (SIDE - 1) / 2) ** 2, axis=0) <= radius**2


def _rim_and_core() -> NDArray[np.float32]:
    """``[1, 2, D, H, W]``: a dark core of radius 3 in a bright rim up to radius 6, in middling liver."""
    image = np.where(_ball(3), 0.1, np.where(_ball(6), 0.9, 0.4))
    return np.stack([image, _ball(6)])[None].astype(np.float32)


@given(
    image=arrays.arrays(np.float32, (SIDE,) * 3, elements=st.floats(0, 1, width=32)),
    radius=st.floats(0.9, 7),
    spacing_mm=st.floats(0.4, 2.5),
)
def test_every_voxel_of_a_lesion_has_a_level_and_levels_rise(
    image: NDArray[np.float32], radius: float, spacing_mm: float
) -> None:
    lesion = _ball(radius)
    (parts,) = lesion_parts(np.stack([image, lesion.astype(np.float32)])[None], spacing_mm)
    assert ((parts[lesion] >= 1) & (parts[lesion] <= LEVELS)).all()
    near = distance_transform_edt(~lesion) * spacing_mm <= MARGIN_MM
    np.testing.assert_array_equal(parts == LEVELS + 1, near & ~lesion)
    smooth = gaussian_filter(image, NOISE_VOXELS)
    seen = [smooth[lesion & (parts == level)] for level in range(1, LEVELS + 1)]
    seen = [values for values in seen if len(values)]
    assert all(darker.max() <= brighter.min() for darker, brighter in pairwise(seen))


def test_a_lesion_of_one_intensity_is_one_part_and_no_lesion_is_none() -> None:
    patches = np.zeros((2, 2, SIDE, SIDE, SIDE), np.float32)
    patches[0, 1] = _ball(4)
    parts = lesion_parts(patches, 1.0)
    assert set(parts[0][_ball(4)]) == {1} and not parts[1].any()


def test_parts_sum_to_what_lesion_and_margin_change_in_their_sequence(classifier: Any) -> None:  # noqa: F811
    patches, ticks = tensor(3), []
    patches[0, 0, 14:18] *= 0.2
    parts = lesion_parts(patches.numpy(), 1.0)
    asked = question(classifier, patches, 2, prepared=parts, tick=lambda: ticks.append(1))
    maps = LesionParts().maps(asked)
    assert len(ticks) == LesionParts().ticks(3) == 3
    for i, part in enumerate(parts):
        away = patches.clone()
        away[i, 0] = torch.where(torch.from_numpy(part > 0), without_lesion(patches)[i, 0], patches[i, 0])
        with torch.no_grad():
            here, gone = asked.log_odds(asked.network.features(torch.stack([patches, away])))
        assert maps[i].sum() == pytest.approx(float(here - gone), abs=1e-4)
        assert abs(float(here - gone)) > 1e-3 and not maps[i][part == 0].any()


class _ReadsOnly(torch.nn.Module):
    """A network of one sequence whose log-odds are a hundred times the mean intensity of a region."""

    sequences = ("LAP",)

    def __init__(self, region: NDArray[np.bool_]) -> None:
        super().__init__()
        self._region = torch.from_numpy(region)

    def branch_features(self, _: int, x: torch.Tensor) -> torch.Tensor:
        """The only sequence's feature, ``[B, 1]``."""
        return 100 * x[:, 0][:, self._region].mean(dim=1, keepdim=True)

    def features(self, x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """The same for a batch of lesions, ``[B, 1, 1]``."""
        return self.branch_features(0, x[:, 0])[:, None]

    def logits(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The feature as the first of two logits."""
        score = features[:, 0]
        return {"type": torch.cat([score, torch.zeros_like(score)], dim=1)}


@pytest.mark.parametrize("read", ["rim", "core"])
def test_only_the_part_that_the_network_reads_gets_anything(read: str) -> None:
    patches = _rim_and_core()
    regions = {"core": _ball(3), "rim": _ball(6) & ~_ball(3)}
    network: Any = _ReadsOnly(regions[read])
    parts = np.select([regions["core"][None], regions["rim"][None]], [1, LEVELS], 0)
    asked = Question(
        network, torch.from_numpy(patches), network.features(torch.from_numpy(patches[None]), None)[0],
        (True,), "type", 0, lambda: torch.autocast("cpu", enabled=False), prepared=parts,
    )  # fmt: skip
    (found,) = LesionParts().maps(asked)
    other = regions["core" if read == "rim" else "rim"]
    assert found[other] == pytest.approx(0, abs=1e-6)
    expected = 100 * (patches[0, 0][regions[read]].mean() - 0.4)
    assert found[regions[read]].sum() == pytest.approx(expected, rel=1e-4)
    assert (expected > 0) == (read == "rim")
