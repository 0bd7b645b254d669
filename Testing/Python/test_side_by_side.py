"""Branches side by side."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from LiverLesionAI.side_by_side import a_core_each, in_threads, one_after_the_other


@pytest.fixture
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_run_at_a_time_with_a_core_each(two_cores) -> None:
    meet = threading.Barrier(2, timeout=30)

    def wait_for_the_other(thing: int) -> tuple[int, int]:
        meet.wait()
        return thing, torch.get_num_threads()

    with a_core_each("cpu") as each:
        assert each(wait_for_the_other, range(4)) == [(0, 1), (1, 1), (2, 1), (3, 1)]


def test_the_number_of_threads_is_put_back(two_cores) -> None:
    def fails(thing: int) -> None:
        raise ValueError(thing)

    with pytest.raises(ValueError, match="7"), a_core_each("cpu") as each:
        each(fails, [7])
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [torch.get_num_threads(), *found] == [2, 2]


def test_gradients_are_the_same_as_in_turn(two_cores) -> None:
    layer = torch.nn.Conv3d(2, 4, 3)
    inputs = [torch.rand(1, 2, 8, 8, 8) for _ in range(5)]

    def gradient(given: torch.Tensor) -> np.ndarray:
        given = given.requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(layer(given).relu().sum(), given)
        return found.numpy()

    with a_core_each("cpu") as each:
        np.testing.assert_allclose(each(gradient, inputs), one_after_the_other(gradient, inputs), rtol=1e-5)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_other_devices_take_one_after_the_other(device: str) -> None:
    with a_core_each(device) as each:
        assert each is one_after_the_other


@pytest.mark.parametrize("count", [0, 1, 5])
def test_outcomes_come_in_the_order_of_the_things(count: int) -> None:
    assert in_threads(lambda thing: thing * thing, range(count)) == [each * each for each in range(count)]
