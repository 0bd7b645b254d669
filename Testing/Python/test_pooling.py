"""Max-pooling that remembers where its maxima lay, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from LiverLesionAI.explanation.pooling import pooled

SIDES = st.tuples(*[st.integers(2, 9)] * 3)


@given(sides=SIDES, levels=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_maxima_and_their_places_are_pytorchs_also_where_cells_are_equal(
    sides: tuple[int, int, int], levels: int, seed: int
) -> None:
    cells = np.random.default_rng(seed).integers(0, levels, (2, 3, *sides)).astype(np.float32)
    found = pooled(cells)
    values, places = F.max_pool3d(torch.from_numpy(cells), 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(found.values, values.numpy())
    np.testing.assert_array_equal(found.places, places.numpy())


@given(sides=SIDES, seed=st.integers(0, 2**32 - 1))
def test_what_maxima_are_worth_is_laid_where_gradients_go(sides: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells, change = rng.random((2, 3, *sides), np.float32), rng.standard_normal((3, *sides), np.float32)
    found = pooled(cells)
    slopes = rng.standard_normal(found.values.shape, np.float32)
    asked = torch.from_numpy(cells).requires_grad_()
    F.max_pool3d(asked, 3, 2, 1).backward(torch.from_numpy(slopes))
    assert asked.grad is not None
    expected = (asked.grad.double().numpy() * change).sum(axis=(0, 1))
    np.testing.assert_allclose(found.laid_back(slopes, change), expected, rtol=0, atol=1e-5)
    assert found.laid_back(slopes, change).sum() == pytest.approx(expected.sum(), abs=1e-4)
