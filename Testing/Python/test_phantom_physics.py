"""The phantom's ground: physics against closed forms, grids, fields and displacements."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from LiverLesionAI.phantom.acquisition import box_weights, sample, sample_positions
from LiverLesionAI.phantom.fields import Grid, Lattice, stream
from LiverLesionAI.phantom.kinetics import GADOBENATE, Kinetics, arterial_input, concentrations, portal_input
from LiverLesionAI.phantom.motion import Displacement, draw_displacements
from LiverLesionAI.phantom.signal import (
    DiffusionEcho,
    Relaxation,
    SpinEcho,
    SpoiledGradientEcho,
    apparent_diffusion,
    rician,
)
from LiverLesionAI.sequences import W_SEQUENCES

LOW, HIGH = (-60.0, -50.0, -40.0), (70.0, 60.0, 50.0)


def water(r1: float = 1.2, r2: float = 25.0, adc: float = 1.1e-3) -> Relaxation:
    one = np.ones(1)
    return Relaxation(one, r1 * one, r2 * one, r2 * one, adc * one, 0 * one, 0 * one)


# Physics


def test_spoiled_gradient_echo_is_the_steady_state_of_the_bloch_equation() -> None:
    pulse, r1, r2 = SpoiledGradientEcho(tr_ms=4.0, te_ms=1.5, flip_deg=15), 1.3, 30.0
    alpha, decay, longitudinal = np.deg2rad(15), np.exp(-4e-3 * r1), 1.0
    for _ in range(4000):
        longitudinal = 1 - (1 - longitudinal * np.cos(alpha)) * decay
    expected = longitudinal * np.sin(alpha) * np.exp(-1.5e-3 * r2)
    assert pulse.signal(water(r1, r2))[0] == pytest.approx(expected, rel=1e-9)


def test_gradient_echo_is_strongest_at_the_ernst_angle() -> None:
    ernst = np.rad2deg(np.arccos(np.exp(-4e-3 * 1.3)))
    angles = ernst + np.array([-1.0, 0.0, 1.0])
    signals = [SpoiledGradientEcho(4.0, 1.5, a).signal(water(1.3))[0] for a in angles]
    assert signals[1] == max(signals)


def test_diffusion_coefficient_is_recovered_from_its_signals() -> None:
    coefficients = np.array([0.3e-3, 1.1e-3, 2.9e-3])
    state = Relaxation(*(np.ones(3),) * 4, coefficients, np.zeros(3), np.zeros(3))
    low, high = (DiffusionEcho(3000, 65, b).signal(state) for b in (0.0, 800.0))
    np.testing.assert_allclose(apparent_diffusion(low, high, 800.0, floor=0.0), coefficients * 1e6, rtol=1e-5)
    assert not apparent_diffusion(low, high, 800.0, floor=2 * low.max()).any()


def test_spin_echo_decays_with_t2_and_fat_is_suppressed() -> None:
    state = water(r2=20.0)
    ratio = SpinEcho(6000, 85).signal(state) / SpinEcho(6000, 35).signal(state)
    assert ratio[0] == pytest.approx(np.exp(-0.05 * 20))
    fat = Relaxation(state.density, state.r1, state.r2, state.r2_star, state.adc, np.ones(1), np.zeros(1))
    assert SpinEcho(6000, 85, residual_fat=0.15).signal(fat)[0] == pytest.approx(
        0.15 * SpinEcho(6000, 85).signal(state)[0]
    )


def test_noise_is_rician() -> None:
    rng = np.random.default_rng(0)
    background = rician(np.zeros(200_000, np.float32), 3.0, rng)
    tissue = rician(np.full(200_000, 90.0, np.float32), 3.0, rng)
    assert background.mean() == pytest.approx(3 * np.sqrt(np.pi / 2), rel=0.01)
    assert tissue.std() == pytest.approx(3.0, rel=0.01)
    assert tissue.mean() == pytest.approx(np.hypot(90, 3 / np.sqrt(2)), rel=1e-3)


def test_kinetics_solve_the_two_input_model() -> None:
    arterial = Kinetics(blood=0.1, arterial=0.8, washout=2.5, delay_s=5.0)

    def exact(time_s: float) -> float:
        def inflow(u: float) -> float:
            return float(arterial_input(np.array([u]))[0]) * np.exp(-2.5 * (time_s - 5 - u) / 60) / 60

        blood = float(arterial_input(np.array([time_s - 5]))[0])
        return 0.1 * blood + 0.8 * quad(inflow, 0, time_s - 5, limit=200)[0]

    times = (15.0, 65.0, 240.0)
    np.testing.assert_allclose(
        concentrations([arterial], times, GADOBENATE)[0], [exact(t) for t in times], rtol=0.03
    )


def test_contrast_reaches_the_aorta_before_the_portal_vein() -> None:
    time_s = np.arange(0, 300, 0.5)
    artery, portal = arterial_input(time_s), portal_input(time_s)
    assert artery[0] < 0.02 * artery.max()
    assert artery.argmax() < portal.argmax()
    assert artery.max() > 2 * portal.max()
    assert portal[time_s < 6].max() == 0.0


# Grids, fields, displacement


box = st.tuples(*(st.floats(-80, 80) for _ in range(3)))
sides = st.tuples(*(st.floats(3, 90) for _ in range(3)))
spacings = st.tuples(*(st.floats(0.7, 8) for _ in range(3)))


@given(box, sides, spacings)
@settings(max_examples=60)
def test_grid_covers_its_box_and_crops_without_moving_a_voxel(low, side, spacing) -> None:
    high = np.add(low, side)
    grid = Grid.covering(low, high, spacing)
    assert np.all(grid.low <= np.add(low, 1e-6)) and np.all(grid.high >= high - 1e-6)
    window = grid.window(low, high)
    part = grid.cropped(window)
    if min(part.size) == 0:
        return
    whole = grid.image(np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape))
    image = part.image(sitk.GetArrayFromImage(whole)[window])
    for index in ((0, 0, 0), tuple(n - 1 for n in part.size)):
        point = image.TransformIndexToPhysicalPoint(index)
        assert whole.GetPixel(whole.TransformPhysicalPointToIndex(point)) == image.GetPixel(index)


@given(st.integers(0, 10_000), st.floats(0, 6), st.floats(0, 6))
@settings(max_examples=15)
def test_displacement_keeps_its_bounds_and_inverts_exactly(seed, rigid, smooth) -> None:
    moves = draw_displacements(stream(seed), W_SEQUENCES, "T2WI", (rigid, smooth), LOW, HIGH)
    points = np.random.default_rng(seed).uniform(LOW, HIGH, (20, 3))
    for move in moves.values():
        displaced = move.of(points)
        assert np.linalg.norm(displaced, axis=1).max() <= rigid + smooth + 1e-6
        seen = np.tile(move.shift, (20, 1)).astype(float)
        if move.smooth:
            seen += np.stack([f.at(points + displaced) for f in move.smooth], axis=1)
        np.testing.assert_allclose(displaced, seen, atol=1e-6)
    assert moves["T2WI"].is_zero
    np.testing.assert_array_equal(moves["DWI"].of(points), moves["ADC"].of(points))


def test_field_is_the_same_on_a_grid_and_at_points() -> None:
    lattice = Lattice.noise(stream(3), LOW, HIGH, 17.0)
    grid = Grid.covering(np.subtract(LOW, 40), np.add(HIGH, 40), (7, 9, 11))
    points = np.stack([a.ravel() for a in np.broadcast_arrays(*grid.axes())], axis=1)
    on_grid = lattice.on(grid)
    np.testing.assert_allclose(lattice.at(points), on_grid.ravel(), atol=1e-5)
    assert lattice.coefficients.min() <= on_grid.min() and on_grid.max() <= lattice.coefficients.max()


def test_rigid_displacement_by_whole_voxels_shifts_the_image_by_whole_voxels() -> None:
    fine = Grid((0, 0, 0), (1.0, 1.0, 1.0), (40, 36, 30))
    volume = Lattice.noise(stream(4), fine.low, fine.high, 5.0).on(fine)
    shift = Displacement((3.0, -2.0, 1.0))
    moved = sample(volume, sample_positions(fine, fine, shift))
    inner = np.s_[4:-4, 4:-4, 4:-4]
    np.testing.assert_allclose(moved[inner], np.roll(volume, (1, -2, 3), (0, 1, 2))[inner], atol=1e-5)


@given(st.floats(1, 12))
def test_voxel_average_has_unit_weight_and_the_right_extent(width) -> None:
    weights = box_weights(width)
    assert weights.sum() == pytest.approx(1)
    assert len(weights) - 2 <= width <= len(weights) + 1e-9
