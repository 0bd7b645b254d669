"""LLD-MMRI: every layout, every trap planted in small made copies, found, mended and shown."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_lld
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from LiverLesionAI.cli import app
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.inputs.patch_grid import PatchParameters
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.readers.lld_mmri import LldPatient, find_layout, read_patient
from LiverLesionAI.readers.lld_mmri.annotation import CLASSES, Box
from LiverLesionAI.readers.lld_mmri.traps import (
    UpsideDown,
    ellipsoid,
    mirrored_box,
    rolled_back,
    shifted_slices,
    turned_phases,
    without_repeats,
)
from LiverLesionAI.training.cases import training_cases
from LiverLesionAI.training.config import TrainingConfig, read_config
from LiverLesionAI.training.lld import prepare_lld


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> LldPatient:
    """The patient of a copy without traps."""
    return read_patient(find_layout(made_lld.raw_copy(tmp_path_factory.mktemp("clean"))), "MR-1")


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> LldPatient:
    """The same patient with every trap of raw copies."""
    folder = made_lld.raw_copy(tmp_path_factory.mktemp("trapped"), made_lld.TRAPS)
    return read_patient(find_layout(folder), "MR-1")


def test_a_clean_copy_has_nothing_to_mend(clean: LldPatient) -> None:
    assert clean.findings == () and clean.truth == "HCC" and not clean.is_test
    assert set(clean.study.images) == {"T2WI", "DWI", "T1WI", "LAP", "PVP", "DP", "INPHASE", "OUTPHASE"}
    assert clean.study.reference == "T2WI" and set(clean.study.outlines) == set(clean.study.images) - {"T2WI"}


def test_every_trap_is_named(trapped: LldPatient) -> None:
    found = {(each.sequence, each.trap, each.verdict) for each in trapped.findings}
    spacing = {(name, "spacing", "mended") for name in trapped.study.images}
    assert found == spacing | {
        ("INPHASE", "repeats", "mended"),
        ("OUTPHASE", "repeats", "mended"),
        ("PVP", "shift", "mended"),
        ("DWI", "direction", "mended"),
    }


def test_mended_copies_give_the_patches_of_clean_ones_bit_for_bit(
    clean: LldPatient, trapped: LldPatient
) -> None:
    names = tuple(clean.study.images)
    first, second = (extract_patches(each.study, 1, names, PatchParameters()) for each in (clean, trapped))
    assert np.array_equal(first.patches, second.patches) and first.patches.std() > 0.01


def test_boxes_tell_how_the_patient_breathed(clean: LldPatient) -> None:
    """A shift from box to box brings the lesion's middle in every phase to that of the reference."""
    made = made_lld.phases()
    middles = {}
    for phase, name in made_lld.PHASES.items():
        middle = (made[phase].low + made[phase].high) / 2 * made[phase].spacing + made[phase].origin
        middles[name] = middle
        transform = clean.study.images[name].transform
        if transform is not None:
            moved = np.array(transform.TransformPoint(middles["T2WI"].tolist()))
            assert np.abs(moved - middle).max() < 0.75 * made[phase].spacing.max()
    spread = np.ptp(np.stack(list(middles.values())), axis=0)
    assert spread.max() > 2, "the phantom's sequences are displaced"


def test_masks_turn_with_their_images(tmp_path: Path, clean: LldPatient) -> None:
    folder = find_layout(made_lld.masked_copy(tmp_path, turned="DWI"))
    patient = read_patient(folder, "MR-1")
    assert folder.layout == "masks" and patient.truth == "HCC"
    assert [(each.sequence, each.trap) for each in patient.findings] == [("DWI", "direction")]
    turned = sitk.GetArrayFromImage(patient.study.outlines["DWI"])
    assert np.array_equal(turned > 0, made_lld.phases()["DWI"].mask)


def test_a_crop_that_was_clamped_to_the_wrong_side_is_named(tmp_path: Path) -> None:
    good = find_layout(made_lld.cropped_copy(tmp_path / "good", swapped=False))
    assert good.layout == "cropped" and good.folds == {"MR-1": 3}
    verdicts = {each.trap: each.words for each in read_patient(good, "MR-1").findings}
    assert "border" in verdicts["crop"]
    bad = read_patient(find_layout(made_lld.cropped_copy(tmp_path / "bad", swapped=True)), "MR-1")
    cut = [each for each in bad.findings if "columns" in each.words and "were cut off" in each.words]
    assert len(cut) == 8 and {each.verdict for each in cut} == {"doubted"}
    assert bad.truth == "HCC" and bad.fold == 3


def test_a_crop_without_boxes_says_what_it_takes_for_granted(tmp_path: Path) -> None:
    folder = find_layout(made_lld.cropped_copy(tmp_path, swapped=False, annotated=False))
    patient = read_patient(folder, "MR-1")
    assert {each.trap for each in patient.findings} == {"box"} and patient.truth == "HCC"


@given(arrays(np.int16, (6, 5, 4), elements=st.integers(0, 9)), st.integers(1, 3))
def test_repeats_go_and_nothing_else(voxels: np.ndarray, times: int) -> None:
    stored = np.repeat(voxels, times, axis=0)
    found = without_repeats(stored)
    assert len(found.voxels) == 6 * times - found.dropped
    assert np.array_equal(found.voxels[found.place], stored)


def test_doubled_slices_and_doubled_stacks_become_the_volume() -> None:
    voxels = made_lld.phases()["DWI"].voxels
    for stored in (np.repeat(voxels, 2, axis=0), np.concatenate([voxels, voxels])):
        assert np.array_equal(without_repeats(stored).voxels, voxels)
    assert without_repeats(voxels).dropped == 0


@pytest.mark.parametrize("index", [1, 10, 28])
def test_a_rolled_slice_is_rolled_back_and_a_cut_one_is_doubted(index: int) -> None:
    voxels = made_lld.phases()["C+A"].voxels
    assert shifted_slices(voxels) == ()
    rolled = voxels.copy()
    rolled[index] = np.roll(rolled[index], (-9, 5), axis=(0, 1))
    (found,) = shifted_slices(rolled)
    assert (found.index, found.shift) == (index, (-9, 5))
    assert not found.is_proven or np.array_equal(rolled_back(rolled, (found,)), voxels)
    rolled[index][-9:] = 0
    assert all(not each.is_proven for each in shifted_slices(rolled))


def test_the_odd_one_out_is_turned() -> None:
    straight, turned, unclear = UpsideDown(0.6, 0.1), UpsideDown(0.1, 0.6), UpsideDown(0.4, 0.35)
    assert [each.is_turned for each in (straight, turned, unclear)] == [False, True, None]
    assert turned_phases({"A": straight, "B": turned, "C": unclear}) == ({"B"}, False)
    assert turned_phases({"A": turned, "B": turned, "C": straight})[1]


@given(st.integers(5, 40), st.integers(0, 30), st.integers(0, 9))
def test_a_mirrored_box_comes_back(slices: int, low: int, size: int) -> None:
    box = Box((1.0, 2.0, float(low)), (3.0, 4.0, float(low + size)))
    assert mirrored_box(mirrored_box(box, slices), slices) == box


def test_the_ellipsoid_fills_its_box() -> None:
    inside = ellipsoid((20, 30, 40), Box((10.0, 8.0, 5.0), (21.0, 15.0, 9.0)))
    voxels = np.argwhere(inside)
    assert voxels.min(axis=0).tolist() == [5, 8, 10] and voxels.max(axis=0).tolist() == [9, 15, 21]
    assert inside.sum() == pytest.approx(np.pi / 6 * 5 * 8 * 12, rel=0.1)
    assert ellipsoid((4, 4, 4), Box((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))).sum() == 1


def test_a_copy_becomes_a_cohort_with_an_audit_page(tmp_path: Path) -> None:
    folder = made_lld.raw_copy(tmp_path / "copy", made_lld.TRAPS, ("MR-1", "MR2", "MR3"))
    info = json.loads((folder / "labels" / "Annotation.json").read_text())
    hidden = {"MR2": info["Annotation_info"].pop("MR2")}
    for record in hidden["MR2"]:
        record["annotation"]["lesion"]["0"]["category"] = -1
    (folder / "labels" / "Annotation.json").write_text(json.dumps(info))
    test_part = {"Annotation_info": hidden, "Category_info": {}}
    (folder / "labels" / "Annotation_test.json").write_text(json.dumps(test_part))
    (folder / "labels" / "val_fold2.txt").write_text("MR-1 6\n")
    for file in (folder / "images" / "MR3").rglob("*.nii.gz"):
        file.write_bytes(b"damaged")
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["train", "--lld", str(folder), "--out", str(out), "--audit-only"])
    assert done.exit_code == 0, done.output
    assert "Read: 2 cases; 24 things mended, 0 doubted" in done.stdout and "MR3 was left out" in done.stderr
    made = out / "lld"
    rows = list(csv.DictReader((made / "cohort.csv").open(newline="", encoding="utf-8")))
    assert [(r["study_id"], r["truth"], r["split"], r["official_fold"]) for r in rows] == [
        ("MR-1", "HCC", "train", "2"),
        ("MR2", "", "test", ""),
    ]
    page = (made / "audit.html").read_text(encoding="utf-8")
    for words in ("repeat others to the voxel", "run against those", "beside its neighbours", "1 × 1 × 1 mm"):
        assert words in page
    assert "MR3" in page and "CC BY-NC" in page and (made / "audit" / "MR-1.png").stat().st_size > 10_000
    with (made / "audit.csv").open(newline="", encoding="utf-8") as stream:
        assert {row["trap"] for row in csv.DictReader(stream)} == made_lld.TRAPS | {"unreadable"}
    config = read_config(made / "config.yaml")
    assert config.network.width == 64 and "ADC" not in config.sequences
    (case,) = training_cases(config)
    study = read_study_folder(case.source)
    assert case.truth == "HCC" and set(config.sequences) <= set(study.sequences)
    assert "NonCommercial" in (made / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.slow
def test_written_studies_give_the_same_patches_with_and_without_traps(tmp_path: Path) -> None:
    found = []
    for name, planted in (("clean", ()), ("trapped", made_lld.TRAPS)):
        prepare_lld(made_lld.raw_copy(tmp_path / name, planted), tmp_path / f"{name}-out")
        study = read_study_folder(tmp_path / f"{name}-out" / "studies" / "MR-1")
        patch = extract_patches(study, 1, ("T2WI", "DWI", "PVP", "INPHASE"), PatchParameters())
        found.append(patch.patches)
    assert np.array_equal(*found)


def _without_info(content: dict[str, Any]) -> None:
    del content["Annotation_info"]


def _other_numbers(content: dict[str, Any]) -> None:
    content["Category_info"]["Hepatic_cyst"] = 2


def _two_lesions(content: dict[str, Any]) -> None:
    lesions = content["Annotation_info"]["MR-1"][0]["annotation"]["lesion"]
    lesions["1"] = lesions["0"]


def _no_spacing(content: dict[str, Any]) -> None:
    content["Annotation_info"]["MR-1"][3]["slice_spacing"] = 0


def _unknown_phase(content: dict[str, Any]) -> None:
    content["Annotation_info"]["MR-1"][3]["phase"] = "ADC"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without_info, "no Annotation_info"),
        (_other_numbers, "Hepatic_cyst the number 2, not 4"),
        (_two_lesions, "MR-1 has a phase that cannot be used .2 lesions"),
        (_no_spacing, "MR-1 .*a number that is none"),
        (_unknown_phase, "MR-1 .*ADC"),
    ],
)
def test_boxes_that_cannot_be_used_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    folder = made_lld.raw_copy(tmp_path)
    content = json.loads((folder / "labels" / "Annotation.json").read_text())
    change(content)
    (folder / "labels" / "Annotation.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=words):
        find_layout(folder)


def test_a_folder_of_none_of_the_layouts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder images"):
        find_layout(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ConfigError, match="none of the layouts"):
        find_layout(tmp_path)


def test_the_test_part_is_answered_as_the_challenge_takes_it(tmp_path: Path) -> None:
    from LiverLesionAI.bundles import load_bundle
    from LiverLesionAI.training.export import untrained_bundle
    from LiverLesionAI.training.lld_submission import answer_test_part

    copy = made_lld.raw_copy(tmp_path / "copy", (), ("MR-1", "MR2"))
    (copy / "labels" / "labels_val_inaccessible.txt").write_text("MR2 -1\n")
    made = prepare_lld(copy, tmp_path / "cohort")
    small = {"network": {"width": 2, "head_hidden": 4}, "patches": {"size": 32}, "fold_count": 2}
    config = TrainingConfig.model_validate(
        {**read_config(made.config).model_dump(exclude_none=True), **small, "optimisation": {}}
    )
    bundle = untrained_bundle(config, tmp_path / "bundle")
    submission, table = answer_test_part(made.folder, bundle, tmp_path, "Team") or (None, None)
    assert submission == tmp_path / "Team.json" and table is not None
    (entry,) = json.loads(submission.read_text())
    assert entry["image_id"] == "MR2" and len(entry["score"]) == 7
    assert entry["prediction"] == int(np.argmax(entry["score"])) and sum(entry["score"]) == pytest.approx(1)
    with table.open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert row["pred"] == CLASSES[entry["prediction"]] and row["truth"] == "HCC"
    assert load_bundle(bundle).spec.sequences == ("T2WI", "DWI", "T1WI", "LAP", "PVP", "DP")


def test_the_licence_of_the_data_goes_into_the_bundle(tmp_path: Path) -> None:
    from LiverLesionAI.training.export import _licence

    (tmp_path / "LICENSE").write_text("Data: CC BY-NC 4.0")
    config = TrainingConfig(name="own", cohort=tmp_path / "training.csv")
    assert _licence(config)["LICENSE"].endswith("Data: CC BY-NC 4.0")
    (tmp_path / "LICENSE").write_bytes("Données: CC BY-NC 4.0".encode("latin-1"))
    assert _licence(config)["LICENSE"].endswith("CC BY-NC 4.0")
    (tmp_path / "LICENSE").unlink()
    assert _licence(config) == {}


@pytest.mark.slow
def test_a_model_is_trained_on_a_copy_in_its_official_folds(tmp_path: Path) -> None:
    """One command: copy, cohort, folds, bundle with the data's licence, submission."""
    from LiverLesionAI.bundles import load_bundle

    patients = [f"MR{number}" for number in range(5)]
    copy = made_lld.raw_copy(tmp_path / "copy", made_lld.TRAPS, patients)
    for fold in (1, 2):
        lines = [f"{name} 6\n" for name in patients[:4] if int(name[2:]) % 2 == fold - 1]
        (copy / "labels" / f"val_fold{fold}.txt").write_text("".join(lines))
    (copy / "labels" / "labels_val_inaccessible.txt").write_text("MR4 -1\n")
    config = tmp_path / "small.yaml"
    config.write_text(
        "name: small\nsequences: [T2WI, LAP]\nnetwork: {width: 2, head_hidden: 4}\npatches: {size: 32}\n"
        "variants: {count: 1}\noptimisation: {epochs: 1, batch_size: 2}\nparallel_folds: 1\n"
    )
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["train", str(config), "--lld", str(copy), "--out", str(out)])
    assert done.exit_code == 0, done.output
    bundle = load_bundle(out / "run" / "small")
    assert len(bundle.spec.members) == 2
    assert "NonCommercial" in (bundle.path / "LICENSE").read_text(encoding="utf-8")
    (entry,) = json.loads((out / "LiverLesionAI.json").read_text())
    assert entry["image_id"] == "MR4"
    predicted = [json.loads(f.read_text()) for f in sorted((out / "run" / "folds").rglob("out_of_fold.json"))]
    assert [len(next(iter(each["labels"].values()))) for each in predicted] == [2, 2]
