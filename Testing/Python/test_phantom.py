"""The phantom: geometry and truth of its studies, signs of the classes, what is written."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

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
from LiverLesionAI.phantom.acquisition import sample, sample_positions
from LiverLesionAI.phantom.fields import Grid
from LiverLesionAI.phantom.kinetics import GADOBENATE, concentrations
from LiverLesionAI.phantom.lesions import draw_diameter
from LiverLesionAI.phantom.motion import Displacement, draw_displacements
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.taxonomy import TAXONOMIES

LAP_S, DP_S = 18.0, 240.0


@pytest.fixture(scope="module")
def full() -> PhantomStudy:
    return generate_study(21, classes=("HCC",), n_lesions=1, atypical=False, misalign_mm=(3.0, 2.0))


@pytest.fixture(scope="module")
def centred() -> PhantomStudy:
    return generate_lesion(21, "HCC", atypical=False, misalign_mm=(3.0, 2.0))


# Studies


@pytest.mark.parametrize("reference", ["DWI", "ADC"])
def test_dwi_and_adc_move_together_whichever_is_the_reference(reference: str) -> None:
    rng = np.random.default_rng(1)
    found = draw_displacements(rng, ("T2WI", "DWI", "ADC"), reference, (10.0, 0.0), (-50.0,) * 3, (50.0,) * 3)
    assert found["DWI"].shift == found["ADC"].shift == (0.0, 0.0, 0.0)
    assert found["T2WI"].shift != (0.0, 0.0, 0.0)


@pytest.mark.parametrize("vendor", ["siemens", "ge", "philips"])
def test_a_vendor_is_that_of_lesion_centred_phantoms_too(vendor: str) -> None:
    made = generate_lesion(3, "cyst", sequences=("T2WI",), vendor=vendor)
    assert made.truth.protocol.vendor == vendor


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
    patient = generate.draw_patient(seed, ("cyst",), None, (0.0, 0.0), ("T2WI",), None, None)
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
    lesion = json.loads((truth / "truth.json").read_text(encoding="utf-8"))["lesions"][0]
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
    patient = generate.draw_patient(70, classes, None, (0.0, 0.0), W_SEQUENCES, None, None)
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
        {"lesion_class": "cyst", "misalign_mm": (float("nan"), 0.0)},
        {"lesion_class": "cyst", "field_tesla": 7.0},
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(arguments) -> None:
    with pytest.raises(ConfigError) as error:
        generate_lesion(1, **arguments)
    assert "\n" not in str(error.value)
