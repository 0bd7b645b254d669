"""The phantom: physics against closed forms, geometry and truth, signs of the classes, what is written."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.phantom import (
    CLASSES,
    PhantomStudy,
    generate_lesion,
    generate_study,
    write_cohort,
    write_phantom,
)
from LiverLesionAI.phantom.acquisition import box_weights, sample, sample_positions
from LiverLesionAI.phantom.fields import Grid, Lattice, stream
from LiverLesionAI.phantom.kinetics import GADOBENATE, Kinetics, arterial_input, concentrations, portal_input
from LiverLesionAI.phantom.lesions import draw_diameter
from LiverLesionAI.phantom.motion import Displacement, draw_displacements
from LiverLesionAI.phantom.signal import (
    DiffusionEcho,
    Relaxation,
    SpinEcho,
    SpoiledGradientEcho,
    apparent_diffusion,
    rician,
)
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.taxonomy import TAXONOMIES

LAP_S, DP_S = 18.0, 240.0
LOW, HIGH = (-60.0, -50.0, -40.0), (70.0, 60.0, 50.0)


def water(r1: float = 1.2, r2: float = 25.0, adc: float = 1.1e-3) -> Relaxation:
    one = np.ones(1)
    return Relaxation(one, r1 * one, r2 * one, r2 * one, adc * one, 0 * one, 0 * one)


@pytest.fixture(scope="module")
def full() -> PhantomStudy:
    return generate_study(21, classes=("HCC",), n_lesions=1, atypical=False, misalign_mm=(3.0, 2.0))


@pytest.fixture(scope="module")
def centred() -> PhantomStudy:
    return generate_lesion(21, "HCC", atypical=False, misalign_mm=(3.0, 2.0))


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
@settings(max_examples=60, deadline=None)
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
@settings(max_examples=15, deadline=None)
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


# Studies


def test_lesion_is_reproducible_whatever_the_order_of_arguments() -> None:
    first = generate_lesion(5, "ICC", misalign_mm=(2.0, 1.0), field_tesla=3.0)
    second = generate_lesion(5, "ICC", field_tesla=3.0, misalign_mm=(2.0, 1.0))
    other = generate_lesion(6, "ICC", misalign_mm=(2.0, 1.0), field_tesla=3.0)
    for name, image in first.study.images.items():
        again = second.study.images[name]
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(image.image), sitk.GetArrayFromImage(again.image)
        )
        assert image.intensity_limits == again.intensity_limits
    assert first.truth.lesions == second.truth.lesions
    assert first.truth.lesions != other.truth.lesions


def test_sequences_have_their_own_grids_and_dwi_shares_that_of_adc(centred) -> None:
    images = {name: image.image for name, image in centred.study.images.items()}
    assert tuple(images) == W_SEQUENCES
    assert len({image.GetSpacing() for image in images.values()}) == 3
    assert images["DWI"].GetOrigin() == images["ADC"].GetOrigin()
    assert 6 <= images["T2WI"].GetSpacing()[2] <= 8 and 3 <= images["LAP"].GetSpacing()[2] <= 4
    for image in images.values():
        assert image.GetPixelID() == sitk.sitkInt16
        assert image.GetSpacing()[0] == image.GetSpacing()[1]


def test_box_holds_the_crop_of_the_training(centred) -> None:
    lesion = centred.truth.lesions[0]
    longest = max(lesion.diameter_mm + 32, 64.0)
    for image in centred.study.images.values():
        extent = np.multiply(image.image.GetSize(), image.image.GetSpacing())
        assert np.all(extent[:2] > 1.6 * longest)


def test_whole_volume_limits_are_those_of_the_full_study(full, centred) -> None:
    for name, image in full.study.images.items():
        array = sitk.GetArrayViewFromImage(image.image)
        low, high = np.percentile(array, (0.5, 99.5))
        estimate = centred.study.images[name].intensity_limits
        assert estimate[1] == pytest.approx(high, rel=0.12), name
        assert abs(estimate[0] - low) < 0.03 * high, name


def test_outline_is_the_lesion_on_the_reference_grid(centred) -> None:
    study, lesion = centred.study, centred.truth.lesions[0]
    assert study.lesions.GetSize() == study.images["T2WI"].image.GetSize()
    measured = lesion_geometry(study.lesions, 1)
    assert measured.diameter_mm == pytest.approx(lesion.diameter_mm, abs=3.5)
    assert (
        np.linalg.norm(np.subtract(measured.centroid_lps_mm, lesion.centre_lps_mm))
        < 0.25 * lesion.diameter_mm
    )


@pytest.mark.parametrize("seed", range(300, 312))
def test_smallest_lesions_are_never_lost(seed, monkeypatch) -> None:
    from LiverLesionAI.phantom import generate

    monkeypatch.setattr(generate, "draw_diameter", lambda rng, name: 6.0)
    patient = generate._draw_patient(seed, ("cyst",), None, (0.0, 0.0), ("T2WI",), None, None)
    centre = np.asarray(patient.lesions[0].shape.centre)
    scene, painted = patient.scene(Grid.covering(centre - 20, centre + 20, 1.0))
    grid = patient.scanner.protocol.acquisitions["T2WI"].grid
    outline = generate.outline(
        painted, scene.grid, grid.cropped(grid.window(centre - 16, centre + 16)), Displacement()
    )
    assert 1 <= sitk.GetArrayViewFromImage(outline).sum() <= 60


def test_masks_move_by_exactly_the_displacement_that_the_truth_tells() -> None:
    phantom = generate_lesion(
        33, "haemangioma", atypical=False, misalign_mm=(6.0, 0.0), sequences=("T2WI", "LAP")
    )
    truth = phantom.truth
    still = generate_lesion(33, "haemangioma", atypical=False, sequences=("T2WI", "LAP")).truth
    moved, rest = (lesion_geometry(t.mask("LAP"), 1).centroid_lps_mm for t in (truth, still))
    told = truth.lesions[0].displacement_mm["LAP"]
    assert np.linalg.norm(told) > 0.5
    np.testing.assert_allclose(np.subtract(moved, rest), told, atol=0.5)


def test_displacement_field_agrees_with_the_lesion_truth(centred) -> None:
    truth, lesion = centred.truth, centred.truth.lesions[0]
    for name in W_SEQUENCES:
        field = sitk.DisplacementFieldTransform(
            sitk.Cast(truth.displacement_field(name), sitk.sitkVectorFloat64)
        )
        told = np.add(lesion.centre_lps_mm, lesion.displacement_mm[name])
        np.testing.assert_allclose(field.TransformPoint(lesion.centre_lps_mm), told, atol=0.05)


def test_full_study_lies_in_the_same_body_as_its_lesion(full, centred) -> None:
    assert full.truth.lesions[0].centre_lps_mm == centred.truth.lesions[0].centre_lps_mm
    assert full.truth.background == centred.truth.background
    assert all(image.intensity_limits is None for image in full.study.images.values())


def test_lesion_centred_mode_is_much_faster_than_a_full_study() -> None:
    start = time.perf_counter()
    generate_lesion(8, "metastasis")
    one = time.perf_counter() - start
    start = time.perf_counter()
    generate_study(8, classes=("metastasis",), n_lesions=1)
    assert time.perf_counter() - start > 2 * one


def test_classes_are_those_of_the_paper() -> None:
    assert set(CLASSES) == set(TAXONOMIES["W7"].names)


@pytest.mark.parametrize(
    ("name", "lower", "median", "upper"),
    [("cyst", 8.65, 12.8, 22.5), ("HCC", 23.2, 28.9, 45.9), ("ICC", 30.72, 52.45, 69.45)],
)
def test_sizes_follow_table_2(name, lower, median, upper) -> None:
    rng = np.random.default_rng(0)
    sizes = [draw_diameter(rng, name) for _ in range(4000)]
    np.testing.assert_allclose(np.percentile(sizes, (25, 50, 75)), (lower, median, upper), rtol=0.06)
    assert min(sizes) >= 6 and max(sizes) <= 120


# Signs of the classes


@pytest.fixture(scope="module")
def typical() -> dict[str, PhantomStudy]:
    return {name: generate_lesion(1001, name, atypical=False, field_tesla=3.0) for name in CLASSES}


def enhancement(phantom: PhantomStudy) -> tuple[dict[str, np.ndarray], np.ndarray]:
    scene = phantom.truth.scene
    liver = concentrations([scene.tissues[scene.liver].kinetics], (LAP_S, DP_S), GADOBENATE)[0]
    return dict(phantom.truth.concentrations((LAP_S, DP_S))), liver


def test_hcc_enhances_in_the_arterial_phase_and_washes_out_within_a_capsule(typical) -> None:
    regions, liver = enhancement(typical["HCC"])
    assert regions["core"][0] > 1.3 * liver[0]
    assert regions["core"][1] < 0.95 * liver[1]
    assert regions["capsule"][1] > 1.1 * regions["core"][1]


def test_haemangioma_fills_from_peripheral_nodules(typical) -> None:
    regions, liver = enhancement(typical["haemangioma"])
    assert regions["nodules"][0] > 2 * regions["core"][0]
    assert regions["core"][1] > 1.5 * regions["core"][0]
    assert regions["nodules"][1] > liver[1]


def test_scar_of_fnh_is_spared_first_and_enhances_late(typical) -> None:
    regions, liver = enhancement(typical["FNH"])
    assert regions["core"][0] > 1.5 * liver[0]
    assert regions["scar"][0] < 0.8 * regions["core"][0]
    assert regions["scar"][1] > regions["core"][1]


def test_icc_gives_way_from_the_rim_to_the_centre(typical) -> None:
    regions, _ = enhancement(typical["ICC"])
    assert regions["rim"][0] > regions["core"][0]
    assert regions["core"][1] > regions["core"][0]
    assert regions["core"][1] / regions["core"][0] > regions["rim"][1] / regions["rim"][0]


def test_rim_of_metastasis_fades_and_that_of_abscess_persists(typical) -> None:
    metastasis, liver = enhancement(typical["metastasis"])
    abscess, abscess_liver = enhancement(typical["abscess"])
    assert metastasis["rim"][0] > metastasis["core"][0] and metastasis["rim"][0] > liver[0]
    assert abscess["rim"][0] > abscess["core"][0]
    assert abscess["rim"][1] / abscess_liver[1] > metastasis["rim"][1] / liver[1]


def test_cyst_does_not_enhance(typical) -> None:
    regions, _ = enhancement(typical["cyst"])
    assert np.all(regions["core"] == 0)


def inside_and_around(phantom: PhantomStudy, sequence: str) -> tuple[float, float]:
    """Median grey value of the lesion and of the liver around it in a sequence."""
    truth, image = phantom.truth, sitk.GetArrayViewFromImage(phantom.study.images[sequence].image)
    inside = sitk.GetArrayFromImage(truth.mask(sequence)) > 0
    points = sample_positions(truth.scene.grid, truth.grids[sequence], truth.displacements[sequence])
    liver = sample((truth.scene.labels == truth.scene.liver).astype(np.float32), points) > 0.99
    return float(np.median(image[inside])), float(np.median(image[liver]))


def test_images_show_the_signs(typical) -> None:
    lesion, liver = inside_and_around(typical["cyst"], "T2WI")
    assert lesion > 2.5 * liver
    lesion, liver = inside_and_around(typical["cyst"], "PVP")
    assert lesion < 0.6 * liver
    lesion, liver = inside_and_around(typical["cyst"], "ADC")
    assert lesion > 1.3 * liver
    lesion, liver = inside_and_around(typical["FNH"], "LAP")
    assert lesion > 1.1 * liver


def test_hcc_is_bright_then_dark_beside_a_liver_without_fat() -> None:
    ratios = []
    for seed in (1002, 1004, 1005):
        phantom = generate_lesion(
            seed, "HCC", atypical=False, field_tesla=3.0, sequences=("T2WI", "LAP", "DP")
        )
        assert phantom.truth.background != "fatty"
        ratios.append([np.divide(*inside_and_around(phantom, name)) for name in ("LAP", "DP")])
    arterial, delayed = np.median(ratios, axis=0)
    assert arterial > 1.05 and delayed < 1
    assert all(late < early for early, late in ratios)


# Files


def test_study_folder_reads_back_and_truth_lies_apart(tmp_path: Path, centred) -> None:
    folder = write_phantom(centred, tmp_path)
    study = read_study_folder(folder)
    assert folder == tmp_path / "phantom-000021"
    assert study.sequences == W_SEQUENCES and study.lesion_ids == (1,)
    for name, image in study.images.items():
        np.testing.assert_allclose(image.intensity_limits, centred.study.images[name].intensity_limits)
        assert image.image.GetSpacing() == pytest.approx(
            centred.study.images[name].image.GetSpacing(), abs=1e-4
        )
    truth = tmp_path / "truth" / "phantom-000021"
    lesion = json.loads((truth / "truth.json").read_text())["lesions"][0]
    assert {"id", "class", "atypical", "centre_lps_mm", "diameter_mm", "displacement_mm"} <= lesion.keys()
    assert lesion["class"] == "HCC" and set(lesion["displacement_mm"]) == set(W_SEQUENCES)
    assert {p.name for p in (truth / "masks").iterdir()} == {f"{name}.nii.gz" for name in W_SEQUENCES}
    assert not list(folder.glob("*truth*"))


def test_written_phantom_is_never_overwritten(tmp_path: Path, centred) -> None:
    write_phantom(centred, tmp_path, with_truth=False)
    with pytest.raises(OutputError):
        write_phantom(centred, tmp_path, with_truth=False)


def test_cohort_table_has_a_row_for_each_lesion(tmp_path: Path) -> None:
    table = write_cohort(
        tmp_path / "cohort", 2, 50, classes=("cyst", "ICC"), omit=("DP",), lesion_centred=True
    )
    rows = list(csv.DictReader(table.open()))
    assert [row["study_id"] for row in rows] == ["phantom-000050", "phantom-000051"]
    assert all(row["truth"] in ("cyst", "ICC") and (table.parent / row["path"]).is_dir() for row in rows)
    assert not (table.parent / rows[0]["path"] / "DP.nii.gz").exists()
    with pytest.raises(OutputError):
        write_cohort(tmp_path / "cohort", 1, 50, lesion_centred=True)


def test_nothing_half_written_stays_after_an_interruption(tmp_path: Path) -> None:
    def interrupt(step: str, fraction: float) -> None:
        if fraction > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path / "cohort", 2, 60, lesion_centred=True, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_several_lesions_of_given_classes_do_not_touch() -> None:
    from LiverLesionAI.phantom import generate

    classes = ("haemangioma", "HCC", "metastasis")
    patient = generate._draw_patient(70, classes, None, (0.0, 0.0), W_SEQUENCES, None, None)
    shapes = [lesion.shape for lesion in patient.lesions]
    for k, a in enumerate(shapes):
        for b in shapes[k + 1 :]:
            assert np.linalg.norm(np.subtract(a.centre, b.centre)) > a.radius + b.radius


@pytest.mark.parametrize(
    "arguments",
    [
        {"lesion_class": "adenoma"},
        {"lesion_class": "cyst", "sequences": ("T2WI", "FLAIR")},
        {"lesion_class": "cyst", "sequences": ("LAP",)},
        {"lesion_class": "cyst", "misalign_mm": (-1.0, 0.0)},
        {"lesion_class": "cyst", "field_tesla": 7.0},
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(arguments) -> None:
    with pytest.raises(ConfigError) as error:
        generate_lesion(1, **arguments)
    assert "\n" not in str(error.value)
