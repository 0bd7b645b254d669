"""Registration of made-up and phantom studies, outlines carried through transforms, and what is written."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ball_image
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from LiverLesionAI.cli import app
from LiverLesionAI.errors import StudyError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.registration import register_study
from LiverLesionAI.registration.groups import Group, groups_of
from LiverLesionAI.registration.plausibility import implausible
from LiverLesionAI.registration.regions import CLOSE_MM, Box, body_mask, image_box, lesion_region, ranks
from LiverLesionAI.registration.similarity import BINS, normalised_mutual_information
from LiverLesionAI.registration.stages import Images, composed, refine
from LiverLesionAI.study import DicomSource, SequenceImage, Study
from LiverLesionAI.writers.registration import checkerboards, write_registration

UNIT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
CENTRE = (0.0, 5.0, 2.0)
SHIFT = (4.0, -3.0, 9.0)


def scene(points: np.ndarray) -> np.ndarray:
    """Tissues of a small abdomen at points [..., 3] (LPS mm), smooth at their edges."""

    def blob(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        distance = np.linalg.norm((points - centre) / radii, axis=-1)
        return 1 / (1 + np.exp((distance - 1) * 12))

    labels = 0.25 * blob((0, 0, 0), (100, 75, 400))
    labels += 0.35 * blob((-25, 0, 5), (50, 45, 50))
    labels += 0.3 * blob((55, 30, 0), (18, 22, 35))
    labels += 0.4 * blob(CENTRE, (11, 11, 11))
    labels -= 0.3 * blob((-50, -15, 15), (7, 25, 8))
    labels += 0.25 * blob((-35, 25, -15), (6, 7, 30))
    return labels


def picture(
    spacing: tuple[float, float, float],
    moved: Callable[[np.ndarray], np.ndarray] = lambda points: points,
    contrast: Callable[[np.ndarray], np.ndarray] = lambda labels: labels,
    seed: int = 0,
) -> sitk.Image:
    """The abdomen on a grid; `moved` maps its points to the scene, `contrast` the labels there to grey."""
    reach = np.array([110.0, 85.0, 70.0])
    size = (2 * reach / spacing).astype(int)
    z, y, x = np.meshgrid(*(np.arange(n) for n in size[::-1]), indexing="ij")
    points = np.stack([x, y, z], axis=-1) * spacing - reach
    grey = 1000 * contrast(scene(moved(points)))
    grey += np.random.default_rng(seed).normal(0, 15, grey.shape)
    image = sitk.GetImageFromArray(grey.astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin((-reach).tolist())
    return image


def inverted(labels: np.ndarray) -> np.ndarray:
    return np.where(labels < 0.1, labels, 1.2 - labels) ** 1.5


@pytest.fixture(scope="module")
def study() -> Study:
    """Four sequences of three motions: DWI with ADC, LAP, and PVP where the reference is."""
    reference = picture((2.0, 2.0, 6.0))
    diffusion = {"moved": lambda points: points - SHIFT}
    images = {
        "T2WI": reference,
        "DWI": picture((3.0, 3.0, 6.0), **diffusion, contrast=np.sqrt, seed=1),
        "ADC": picture((3.0, 3.0, 6.0), **diffusion, contrast=inverted, seed=2),
        "LAP": picture((2.0, 2.0, 3.0), lambda points: points + SHIFT, inverted, seed=3),
        "PVP": picture((2.0, 2.0, 3.0), contrast=inverted, seed=4),
    }
    lesions = lesion_mask(reference)
    return Study("made-up", "made up", {n: SequenceImage(i) for n, i in images.items()}, lesions=lesions)


def lesion_mask(grid: sitk.Image) -> sitk.Image:
    ball = ball_image(grid.GetSize(), grid.GetSpacing(), CENTRE, 11.0, origin=grid.GetOrigin())
    return sitk.Cast(ball > 50, sitk.sitkUInt8)


@pytest.fixture(scope="module")
def registered(study: Study):
    return register_study(study, workers=2)


def displacement(study: Study, name: str) -> np.ndarray:
    transform = study.images[name].transform
    assert transform is not None
    return np.subtract(transform.TransformPoint(CENTRE), CENTRE)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("DWI", SHIFT), ("ADC", SHIFT), ("LAP", np.negative(SHIFT)), ("PVP", (0.0, 0.0, 0.0))],
)
def test_lesion_is_found_in_each_sequence(registered, name: str, wanted) -> None:
    assert np.linalg.norm(displacement(registered.study, name) - wanted) < 1.5


def test_alignment_makes_images_more_alike_and_aligned_ones_are_left_alone(registered) -> None:
    for name in ("DWI", "ADC", "LAP"):
        done = registered.sequences[name]
        assert done.transform != "none" and done.metric_after > done.metric_before > 1
    assert registered.sequences["PVP"].transform == "none"
    assert registered.study.images["PVP"].transform.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
    assert registered.study.images["T2WI"].transform is None


def test_diffusion_images_share_their_transform(registered) -> None:
    images = registered.study.images
    assert images["DWI"].transform.TransformPoint((9.0, 8.0, 7.0)) == images["ADC"].transform.TransformPoint(
        (9.0, 8.0, 7.0)
    )


def test_same_study_gives_same_transforms_with_any_number_of_workers(study: Study, registered) -> None:
    again = register_study(study, workers=1)
    for name in ("DWI", "LAP"):
        assert displacement(again.study, name).tolist() == displacement(registered.study, name).tolist()
    assert again.sequences == registered.sequences


def test_volume_scope_needs_no_outline(study: Study) -> None:
    few = {name: study.images[name] for name in ("T2WI", "LAP")}
    done = register_study(replace(study, images=few, lesions=None), scope="volume", transform="rigid")
    assert np.linalg.norm(displacement(done.study, "LAP") + SHIFT) < 2
    with pytest.raises(StudyError, match="no segmented lesions"):
        register_study(replace(study, images=few, lesions=None))


def test_given_transforms_are_kept(study: Study) -> None:
    shift = sitk.TranslationTransform(3, (1.0, 0.0, 0.0))
    few = {name: study.images[name] for name in ("T2WI", "LAP")}
    done = register_study(replace(study, images=few).with_transforms({"LAP": shift}))
    assert done.sequences["LAP"].transform == "given"
    assert displacement(done.study, "LAP").tolist() == pytest.approx([1, 0, 0])
    with pytest.raises(StudyError, match="registered to T2WI already"):
        register_study(done.study, reference="LAP")


def test_another_reference_takes_the_lesions_along(study: Study) -> None:
    few = {name: study.images[name] for name in ("T2WI", "LAP")}
    done = register_study(replace(study, images=few), reference="LAP", transform="rigid")
    assert done.study.reference == "LAP" and set(done.sequences) == {"T2WI"}
    found = lesion_geometry(done.study.outlined_lesions, 1).centroid_lps_mm
    assert np.linalg.norm(np.subtract(found, CENTRE) + SHIFT) < 2
    with pytest.raises(StudyError, match="no HBP"):
        register_study(study, reference="HBP")


def test_raising_progress_cancels_promptly(study: Study) -> None:
    threads = threading.active_count()

    def progress(step: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register_study(study, progress=progress)
    assert threading.active_count() == threads


def test_progress_is_told_for_each_sequence(study: Study) -> None:
    told: dict[str, list[float]] = {}
    few = {name: study.images[name] for name in ("T2WI", "DWI", "ADC")}
    register_study(
        replace(study, images=few),
        transform="rigid",
        progress=lambda step, fraction: told.setdefault(step, []).append(fraction),
    )
    assert set(told) == {"register DWI", "register ADC"}
    assert all(steps == sorted(steps) and steps[-1] == 1 for steps in told.values())


def test_who_moves_together(study: Study) -> None:
    phases = Group(("LAP", "PVP"), anchor="PVP")
    assert groups_of(study) == (Group(("DWI", "ADC")), phases)
    assert phases.phases == ("LAP",) and phases.frames == (("LAP",), ("PVP",))
    coarse = replace(study.images["ADC"], image=sitk.Shrink(study.images["ADC"].image, [2, 2, 1]))
    apart = replace(study, images={**study.images, "ADC": coarse})
    assert groups_of(apart) == (Group(("DWI",)), Group(("ADC",)), phases)
    to_a_phase = groups_of(replace(study, reference="PVP"))
    assert to_a_phase == (Group(("T2WI",)), Group(("DWI", "ADC")), Group(("LAP",)))


def _in_frames(study: Study, **frames: str) -> Study:
    sources = {name: DicomSource(name, (), (), frame_of_reference=uid) for name, uid in frames.items()}
    images = {name: replace(study.images[name], dicom=source) for name, source in sources.items()}
    return replace(study, images=images)


def test_what_an_alignment_between_frames_of_reference_rests_on_is_said(study: Study) -> None:
    same = register_study(_in_frames(study, T2WI="1", LAP="1"), transform="rigid")
    apart = register_study(_in_frames(study, T2WI="1", LAP="2"), transform="rigid")
    unsaid = register_study(_in_frames(study, T2WI="1", LAP=""), transform="rigid")
    (said,) = set(apart.warnings) - set(same.warnings)
    assert said.startswith("LAP: it was scanned in another frame of reference than T2WI")
    assert "likeness of the images alone" in said and unsaid.warnings == same.warnings
    for other in (apart, unsaid):
        assert np.array_equal(displacement(same.study, "LAP"), displacement(other.study, "LAP"))


def test_maps_of_another_frame_of_reference_move_by_themselves(study: Study) -> None:
    together, apart = Group(("DWI", "ADC")), (Group(("DWI",)), Group(("ADC",)))
    assert groups_of(_in_frames(study, T2WI="1", DWI="2", ADC="2")) == (together,)
    assert groups_of(_in_frames(study, T2WI="1", DWI="2", ADC="")) == (together,)
    assert groups_of(_in_frames(study, T2WI="1", DWI="1", ADC="2")) == apart


def test_transforms_are_composed_in_order_and_stay_linear() -> None:
    turn = sitk.Euler3DTransform((10.0, 0.0, 0.0), 0.0, 0.0, 0.5, (1.0, 2.0, 3.0))
    shift = sitk.TranslationTransform(3, (4.0, 5.0, 6.0))
    point = (7.0, -8.0, 9.0)
    wanted = turn.TransformPoint(shift.TransformPoint(point))
    assert composed(turn, shift).TransformPoint(point) == pytest.approx(wanted)
    assert composed(turn, shift).IsLinear()
    assert composed(shift, shift).GetName() == "TranslationTransform"
    spline = sitk.BSplineTransform(3, 3)
    assert composed(shift, spline).TransformPoint(point) == pytest.approx(shift.TransformPoint(point))


def test_images_without_anything_in_common_stay_where_they_are(study: Study) -> None:
    noise = sitk.GetImageFromArray(np.random.default_rng(5).normal(size=(23, 85, 110)).astype(np.float32))
    noise.CopyInformation(study.images["T2WI"].image)
    images = {"T2WI": study.images["T2WI"], "LAP": SequenceImage(noise)}
    done = register_study(replace(study, images=images))
    assert np.linalg.norm(displacement(done.study, "LAP")) <= 40
    assert done.sequences["LAP"].metric_after >= done.sequences["LAP"].metric_before


def test_image_elsewhere_is_reported_and_left(study: Study) -> None:
    far = sitk.Image(study.images["LAP"].image)
    far.SetOrigin((2000.0, 0.0, 0.0))
    images = {"T2WI": study.images["T2WI"], "LAP": SequenceImage(far)}
    done = register_study(replace(study, images=images))
    assert done.sequences["LAP"].transform == "none"
    assert any("do not overlap" in warning for warning in done.warnings)


def test_spline_follows_a_deformation_and_fades_to_nothing() -> None:
    def bent(points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        moved[..., 1] -= 5 * np.exp(-((points - (-25.0, 0.0, 5.0)) ** 2).sum(axis=-1) / 2 / 40**2)
        return moved

    fixed, moving = picture((2.5, 2.5, 4.0)), picture((2.5, 2.5, 4.0), bent, seed=1)
    box = image_box(fixed, fixed)
    still = sitk.TranslationTransform(3)
    spline = refine(Images(box, fixed, moving, None), "bspline", still)
    edge = (-25.0, 40.0, 5.0)
    assert abs(spline.TransformPoint(edge)[1] - edge[1] - 5 * np.exp(-(40**2) / 2 / 40**2)) < 1.5
    assert implausible(spline, box) is None
    line = np.array([spline.TransformPoint((x, 0.0, 0.0)) for x in np.arange(-600.0, 600.0, 2.0)])
    steps = np.linalg.norm(np.diff(line, axis=0) - (2.0, 0.0, 0.0), axis=1)
    assert steps.max() < 1.0
    assert line[0].tolist() == pytest.approx([-600.0, 0.0, 0.0])


def test_implausible_transforms_are_named() -> None:
    box = Box((0.0, 0.0, 0.0), (100.0, 100.0, 100.0), (0.0, 0.0, 0.0), UNIT)
    assert implausible(sitk.TranslationTransform(3, (30.0, 0.0, 0.0)), box) is None
    assert "41 mm" in (implausible(sitk.TranslationTransform(3, (41.0, 0.0, 0.0)), box) or "")
    mirrored = sitk.AffineTransform([-1, 0, 0, 0, 1, 0, 0, 0, 1], (0, 0, 0), (50, 50, 50))
    assert "folds" in (implausible(mirrored, box) or "")


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_folds_are_told_however_the_axes_of_the_reference_run(flips: tuple[int, int, int]) -> None:
    direction = tuple(np.diag(np.array(flips, float)).ravel().tolist())
    box = Box((-20.0, -20.0, -20.0), (20.0, 20.0, 20.0), (0.0, 0.0, 0.0), direction)
    for axis in range(3):
        for scale, folds in ((-0.2, True), (0.5, False), (1.9, False)):
            matrix = np.eye(3)
            matrix[axis, axis] = scale
            transform = sitk.AffineTransform(matrix.ravel().tolist(), (0.0, 0.0, 0.0))
            assert ("folds" in (implausible(transform, box) or "")) is folds


def test_lesions_of_one_name_both_count(ball_study: Callable[..., Study]) -> None:
    study = ball_study(10.0, ("T2WI",))
    labels = sitk.GetArrayFromImage(study.outlined_lesions)
    labels[4:6, 15:25, 15:25] = 2
    lesions = sitk.GetImageFromArray(labels)
    lesions.CopyInformation(study.outlined_lesions)
    two = replace(study, lesions=lesions, lesion_names={1: "Tumour", 2: "Tumour"})
    plain = replace(two, lesion_names={})
    assert len(two.lesion_ids) == 2
    assert lesion_region(two, CLOSE_MM) == lesion_region(plain, CLOSE_MM)
    assert len(lesion_region(two, CLOSE_MM).focuses) == 2


def test_normalised_mutual_information_spans_one_to_two() -> None:
    rng = np.random.default_rng(0)
    bins = rng.integers(0, BINS, 200_000)
    assert normalised_mutual_information(bins, BINS - 1 - bins) == pytest.approx(2)
    assert normalised_mutual_information(bins, rng.permutation(bins)) == pytest.approx(1, abs=0.001)
    assert normalised_mutual_information(bins, np.where(np.arange(bins.size) % 3, BINS, bins)) == 0


@settings(max_examples=20)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=60))
def test_ranks_keep_the_order(values: list[float]) -> None:
    grey = np.array(values, np.float32)
    found = ranks(grey)
    order = np.argsort(grey, kind="stable")
    assert found.min() >= 0 and found.max() <= 1 and np.all(np.diff(found[order]) >= 0)


def test_body_is_found_whatever_the_contrast(study: Study) -> None:
    for name in ("T2WI", "PVP"):
        image = study.images[name].image
        body = body_mask(image, image_box(image, image))
        x, y, z = (int(n) // 2 for n in body.GetSize())
        assert body[x, y, z] == 1 and body[0, 0, z] == 0
        assert 0.5 < sitk.GetArrayViewFromImage(body).mean() < 0.9


def test_region_lies_around_each_lesion_and_within_the_reference(study: Study) -> None:
    region = lesion_region(study, CLOSE_MM)
    whole = image_box(study.images["T2WI"].image, study.images["T2WI"].image)
    assert np.all(np.array(region.box.low) >= whole.low) and np.all(np.array(region.box.high) <= whole.high)
    assert np.linalg.norm(np.subtract(region.box.centre, CENTRE)) < 15


def test_what_is_written_can_be_read_back(registered, tmp_path: Path) -> None:
    files = write_registration(registered, tmp_path)
    assert all(file.is_file() for file in files)
    report = json.loads((tmp_path / "registration.json").read_text(encoding="utf-8"))
    assert report["schema"] == "liverlesionai.registration.v1" and report["reference"] == "T2WI"
    assert set(report["registration"]["LAP"]) == {"transform", "metric_before", "metric_after", "warnings"}
    read = sitk.ReadTransform(str(tmp_path / "transforms" / "LAP.tfm"))
    assert np.subtract(read.TransformPoint(CENTRE), CENTRE) == pytest.approx(
        displacement(registered.study, "LAP"), abs=1e-4
    )
    aligned = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "registered" / "LAP.nii.gz"))
    raw = sitk.Resample(registered.study.images["LAP"].image, registered.study.images["T2WI"].image)
    truth = picture((2.0, 2.0, 6.0), contrast=inverted, seed=9)
    away = np.abs(sitk.GetArrayFromImage(raw) - sitk.GetArrayFromImage(truth))[6:-6].mean()
    assert np.abs(aligned - sitk.GetArrayFromImage(truth))[6:-6].mean() < 0.5 * away
    outline = sitk.ReadImage(tmp_path / "outlines" / "lesions_DWI.nii.gz")
    found = lesion_geometry(outline, 1).centroid_lps_mm
    assert np.linalg.norm(np.subtract(found, CENTRE) - SHIFT) < 2.5


def test_checkerboard_shows_both_states(registered, study: Study) -> None:
    (board,) = checkerboards(registered.study, ["LAP"])
    assert board.dtype == np.uint8 and board.shape == (170, 446)
    (unregistered,) = checkerboards(study, ["LAP"])
    assert np.array_equal(unregistered[:, :220], unregistered[:, 226:])
    assert np.array_equal(board[:, :220], unregistered[:, :220])
    assert not np.array_equal(board[:, :220], board[:, 226:])


def test_command_line(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "S1"
    folder.mkdir()
    for name in ("T2WI", "LAP"):
        sitk.WriteImage(study.images[name].image, folder / f"{name}.nii.gz")
    sitk.WriteImage(study.lesions, folder / "lesions.nii.gz")
    out = tmp_path / "out"
    arguments = ["register", str(folder), "--out", str(out), "--transform", "rigid"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in out.iterdir()) == [
        "SHA256SUMS",
        "figures",
        "outlines",
        "registered",
        "registration.json",
        "transforms",
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    wrong = CliRunner().invoke(app, [*arguments[:3], str(tmp_path / "other"), "--reference", "HBP"])
    assert wrong.exit_code == 3 and not (tmp_path / "other").exists()


@pytest.mark.slow
def test_phantoms_come_back_to_where_they_were() -> None:
    from LiverLesionAI.phantom import generate_study

    before, after = [], []
    for seed in (910_000, 910_002):
        phantom = generate_study(seed, misalign_mm=(15, 5))
        done = register_study(phantom.study)
        for lesion in phantom.truth.lesions:
            for name in done.sequences:
                wanted = np.asarray(lesion.displacement_mm[name])
                transform = done.study.images[name].transform
                assert transform is not None
                found = np.subtract(transform.TransformPoint(lesion.centre_lps_mm), lesion.centre_lps_mm)
                before.append(np.linalg.norm(wanted))
                after.append(np.linalg.norm(found - wanted))
    assert np.median(after) <= 2 and np.percentile(after, 95) <= 4
    assert np.all(np.array(after) <= np.maximum(np.array(before) + 1, 3))
