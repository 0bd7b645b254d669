"""Training, up to its batches: configuration, cohort, folds, cached cases, augmentation, weights, scores."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_training import CLASSES, SEQUENCES, write_config, write_image, write_study

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.intervals import wilson_interval
from LiverLesionAI.evaluation.roc import delong_auc
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.systems.wang2021 import Augmentation
from LiverLesionAI.training.batches import Batch, Epoch, training_batches, validation_batches
from LiverLesionAI.training.cache import CaseCache, build_cache, cache_name, random_poses
from LiverLesionAI.training.cases import TrainingCase, by_study, open_study, training_cases, validation_fold
from LiverLesionAI.training.config import Optimisation, TrainingConfig, read_config
from LiverLesionAI.training.module import balanced_weights, learning_rate_factor, validation_score

PHANTOM: dict[str, Any] = {"name": "made", "phantom": {"first_seed": 1, "lesions": 7}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phantom": {"first_seed": 899_990, "lesions": 20}}, "reserved"),
        ({"phantom": {"first_seed": 900_699, "lesions": 1}}, "reserved"),
        ({"phantom": {"first_seed": 0, "lesions": 2_000_000}}, "reserved"),
        ({"phantom": {"first_seed": 1, "lesions": 7, "classes": ["wart"]}}, "classes"),
        ({"cohort": "cohort.csv"}, "either phantom or cohort"),
        ({"phantom": None}, "either phantom or cohort"),
        ({"sequences": ["T2WI", "FLAIR"]}, "sequences"),
        ({"required_sequences": ["HBP"]}, "required_sequences"),
        ({"patches": {"sise": 64}}, "patch parameter sise"),
        ({"patches": {"spacing_mm": 0}}, "spacing_mm is outside"),
        ({"patches": {"training_margin_mm": [9, 3]}}, "training_margin_mm is outside"),
        ({"network": {"width": 10**9}}, "width"),
        ({"fold_count": 10**30, "folds": [3]}, "fold_count"),
        ({"seed": 10**30}, "seed"),
        ({"phantom": {"first_seed": 0, "lesions": 10**30}}, "lesions"),
        ({"optimisation": {"epochs": 3, "central_epochs": 3}}, "central_epochs"),
        ({"optimisation": {"epoch": 3}}, "optimisation.epoch"),
        ({"folds": [5]}, "folds"),
        ({"name": "../escape"}, "name"),
        ({"system": "nobody2031"}, "no system 'nobody2031'"),
    ],
)
def test_configuration_is_checked(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = write_config(tmp_path / "config.yaml", {**PHANTOM, **change})
    with pytest.raises(ConfigError, match=said) as refusal:
        read_config(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "content",
    ["", "- a\n- b", "name: [", "\x00", "version: 2026-13-45", "version: 2026-01-02", "a: " + "[" * 5000],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    for path in (tmp_path / "config.yaml", tmp_path / "absent.yaml"):
        with pytest.raises(ConfigError, match=path.name):
            read_config(path)


def test_demo_configuration_leaves_the_reserved_seeds() -> None:
    demo = read_config(Path(__file__).parents[2] / "Resources" / "Bundles" / "wang2021-phantom.yaml")
    assert demo.network.width == 8 and demo.fold_count == 5 and demo.patches.intensity == "percentile"
    assert demo.phantom is not None and demo.phantom.first_seed + demo.phantom.lesions <= 900_000


def test_configuration_survives_its_own_writing(config: TrainingConfig, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert read_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("S0,S0,P0,1,wart", "truth 'wart'"),
        ("S0,S0,P0,one,HCC", "lesion 'one'"),
        ("S0,S0,P0,0,HCC", "lesion '0'"),
        ("S0,nowhere,P0,1,HCC", "no study"),
        ("S0,S0,P0,,HCC", "lesion ''"),
        ("S0,S0,P0,1,HCC,nowhere", "no mask"),
    ],
)
def test_cohort_rows_are_checked(
    config: TrainingConfig, cohort: Path, tmp_path: Path, row: str, said: str
) -> None:
    bad = cohort.parent / "bad.csv"
    bad.write_text(f"study_id,path,patient_id,lesion,truth,mask\n{row}\n")
    with pytest.raises(ConfigError, match=f"line 2.*{said}"):
        training_cases(config.model_copy(update={"cohort": bad}))


def clinical_cases(
    config: TrainingConfig, cohort: Path, columns: str, *rows: str
) -> tuple[TrainingCase, ...]:
    table = cohort.parent / "clinical.csv"
    table.write_text("\n".join((f"study_id,path,lesion,truth,{columns}", *rows)), encoding="utf-8")
    return training_cases(config.model_copy(update={"cohort": table}))


@pytest.mark.parametrize(
    ("text", "value"),
    [("63", 63.0), ("1e3", 1000.0), ("F", "F"), ("1_000", "1_000"), ("true", True), ("false", False)],
)
def test_clinical_columns_are_read_as_in_json(
    config: TrainingConfig, cohort: Path, text: str, value: object
) -> None:
    (case,) = clinical_cases(config, cohort, "clinical_field", f"S0,S0,1,HCC,{text}")
    assert case.clinical == (("field", value),) and type(case.clinical[0][1]) is type(value)
    assert "clinical" not in repr(case)
    assert open_study(case, config).clinical == {"field": value}


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity", "1e999", "9" * 400])
def test_clinical_numbers_of_a_table_are_finite(config: TrainingConfig, cohort: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="line 3: clinical_age is no finite number"):
        clinical_cases(config, cohort, "clinical_age", "S0,S0,1,HCC,63", f"S1,S1,1,HCC,{text}")


@pytest.mark.parametrize("unit", ["lesion", "study"])
def test_clinical_data_belong_to_the_study(
    config: TrainingConfig, cohort: Path, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(config.answers), "unit", unit)
    columns = "clinical_age,clinical_sex"
    rows = ("S0,S0,1,HCC,,", "S0,S0,2,HCC,63,", "S0,./S0,3,HCC,63.0,F", "S1,S1,1,HCC,,")
    cases = clinical_cases(config, cohort, columns, *rows)
    known = {case.source: dict(case.clinical) for case in cases}
    assert known == {cohort.parent / "S0": {"age": 63, "sex": "F"}, cohort.parent / "S1": {}}
    assert all(case.clinical for case in cases if case.source == cohort.parent / "S0")
    with pytest.raises(ConfigError, match="line 6: clinical_age differs from that of the same study"):
        clinical_cases(config, cohort, columns, *rows, "S0,S0,4,HCC,64,")


def test_an_edited_table_is_not_answered_from_the_cache(config: TrainingConfig, cohort: Path) -> None:
    table = cohort.parent / "edited.csv"
    edited = config.model_copy(update={"cohort": table})
    names = set()
    for age in (63, 64):
        table.write_text(f"study_id,path,lesion,truth,clinical_age\nS0,S0,1,HCC,{age}\n")
        names.add(cache_name(edited))
        assert cache_name(edited) in names
    assert len(names) == 2
    table.unlink()
    with pytest.raises(ConfigError, match=r"edited\.csv cannot be read as a cohort"):
        cache_name(edited)


@pytest.mark.parametrize("rows", ["", "\n\n"])
def test_a_table_without_rows_is_refused(config: TrainingConfig, tmp_path: Path, rows: str) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text(f"study_id,path,lesion,truth\n{rows}")
    with pytest.raises(ConfigError, match=r"cohort\.csv has no row"):
        build_cache(config.model_copy(update={"cohort": table}), tmp_path / "patches")


def test_a_larger_run_finds_the_phantoms_of_a_smaller_one() -> None:
    few = TrainingConfig.model_validate(PHANTOM)
    more = TrainingConfig.model_validate({**PHANTOM, "phantom": {"first_seed": 1, "lesions": 14}})
    assert cache_name(few) == cache_name(more)


def test_models_that_are_asked_different_questions_share_what_was_cut(tmp_path: Path) -> None:
    asked = {
        name: TrainingConfig.model_validate(
            {
                "name": name,
                "system": "zhen2020",
                "sequences": ["T2WI", "DWI"],
                "network": {"asks": name},
                "patches": {"size": 75},
                "phantom": {"first_seed": 700, "lesions": 6},
                "variants": {"count": 1},
            }
        )
        for name in ("type", "malignancy")
    }
    assert len({cache_name(config) for config in asked.values()}) == 1
    folder, made = tmp_path / cache_name(asked["type"]), []
    for name, classes in (("type", 7), ("malignancy", 2), ("type", 7)):
        cache = build_cache(asked[name], folder, workers=1)
        assert [each.labels for each in cache.cases] == [each.case.labels for each in cache.cases]
        assert len({each.labels for each in cache.cases}) == min(classes, 6)
        made.append({file.name: file.stat().st_mtime_ns for file in folder.iterdir()})
    assert made[0] == made[1] == made[2], "nothing is cut again"


def test_phantoms_are_studies_where_the_system_answers_for_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig.model_validate(PHANTOM)
    assert {case.lesion for case in training_cases(config)} == {1}
    monkeypatch.setattr(type(config.answers), "unit", "study")
    assert {case.lesion for case in training_cases(config)} == {None}


def test_folds_keep_patients_together_and_classes_apart(config: TrainingConfig) -> None:
    lesions = [
        replace(case, key=f"{case.key}_{copy}") for case in training_cases(config) for copy in range(2)
    ]
    folds = validation_fold(lesions, 3, seed=1)
    assert (folds[::2] == folds[1::2]).all()
    for fold in range(3):
        found = Counter(lesions[i].truth for i in np.flatnonzero(folds == fold))
        assert set(found.values()) == {2}
    assert not np.array_equal(folds, validation_fold(lesions, 3, seed=2))
    with pytest.raises(ConfigError, match="cannot be divided"):
        validation_fold(lesions[:6], 3, seed=1)


def test_phantom_lesions_come_from_their_seeds() -> None:
    config = TrainingConfig.model_validate({**PHANTOM, "sequences": ["DWI", "LAP"]})
    lesions = training_cases(config)
    assert [(lesion.source, lesion.truth) for lesion in lesions] == list(
        zip(range(1, 8), CLASSES, strict=True)
    )
    assert [lesion.labels for lesion in lesions] == [(int(i >= 4), i) for i in range(7)]
    study = open_study(lesions[4], config)
    assert set(study.sequences) == {"T2WI", "DWI", "LAP"} and study.lesion_ids == (1,)


def test_cache_holds_what_inference_sees(config: TrainingConfig, cache: CaseCache) -> None:
    cached = cache.cases[0]
    study = read_study_folder(cached.case.source)
    seen = extract_patches(study, 1, SEQUENCES, config.patches)
    assert cached.packed.dtype == np.uint8 and cached.packed.shape == (3, 4, 32, 32, 32)
    np.testing.assert_allclose(cached.packed[0, :3] / 255, seen.patches[:, 0], atol=0.002)
    np.testing.assert_allclose(cached.packed[0, 3] / 255, seen.patches[0, 1], atol=0.002)
    posed = extract_patches(study, 1, SEQUENCES, config.patches, random_poses(cached.case.key, config)[1])
    np.testing.assert_allclose(cached.packed[2, :3] / 255, posed.patches[:, 0], atol=0.002)
    assert cache.cases[3].present == (True, False, True)


def test_cache_goes_on_where_it_stopped(config: TrainingConfig, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(step: str, fraction: float) -> None:
        if fraction > 0.3:
            raise StopError

    with pytest.raises(StopError):
        build_cache(config, tmp_path, workers=1, progress=stop)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")}
    assert 0 < len(kept) < 21
    abandoned, in_work = (tmp_path / f".{digit * 16}.lesion_00009-0.npy" for digit in "ab")
    for partial, age_s in ((abandoned, 3600), (in_work, 0)):
        partial.touch()
        os.utime(partial, (time.time() - age_s,) * 2)
    assert len(build_cache(config, tmp_path, workers=1).cases) == 21
    assert kept == {file: file.stat().st_mtime_ns for file in kept}
    assert in_work.exists() and not abandoned.exists()


def test_outlines_of_single_sequences_get_their_own_channels(config: TrainingConfig, tmp_path: Path) -> None:
    write_study(tmp_path / "S0", 0, 0)
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[4:8, 8:14, 7:13] = 1
    write_image(tmp_path / "S0" / "lesions_LAP.nii.gz", mask)
    (tmp_path / "cohort.csv").write_text("study_id,path,lesion,truth\nS0,S0,1,cyst\n")
    own = config.model_copy(update={"cohort": tmp_path / "cohort.csv"})
    (cached,) = build_cache(own, tmp_path / "patches", workers=1).cases
    assert cached.packed.shape[1] == 6
    batch = next(iter(validation_batches(Epoch([cached], config.recipe), 1)))
    annotations = batch.inputs[0][0, :, 1]
    assert torch.equal(annotations[0], annotations[1]) and not torch.equal(annotations[0], annotations[2])


def test_a_mask_of_the_table_replaces_the_study_s_own(config: TrainingConfig, tmp_path: Path) -> None:
    write_study(tmp_path / "S0", 0, 0)
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[4:8, 7:13, 7:13] = 5
    write_image(tmp_path / "other.nrrd", mask)
    rows = "S0,S0,5,cyst,other.nrrd\nS0,S0,1,cyst,\n"
    (tmp_path / "cohort.csv").write_text(f"study_id,path,lesion,truth,mask\n{rows}")
    own = config.model_copy(update={"cohort": tmp_path / "cohort.csv"})
    assert len(by_study(training_cases(own))) == 2
    first, second = (open_study(lesion, own) for lesion in training_cases(own))
    assert first.lesion_ids == (5,) and second.lesion_ids == (1,)


def test_lesion_that_cannot_be_cropped_is_left_out(config: TrainingConfig, tmp_path: Path) -> None:
    write_study(tmp_path / "S0", 0, 0)
    (tmp_path / "cohort.csv").write_text("study_id,path,lesion,truth\nS0,S0,1,cyst\nS0,S0,2,cyst\n")
    own = config.model_copy(update={"cohort": tmp_path / "cohort.csv"})
    made = build_cache(own, tmp_path / "patches", workers=1)
    assert len(made.cases) == 1
    assert "label 2" in made.warnings[0]


def test_a_study_that_cannot_be_read_is_tried_again_by_a_new_run_only(
    config: TrainingConfig, tmp_path: Path
) -> None:
    for number in range(2):
        write_study(tmp_path / f"S{number}", number, number)
    (tmp_path / "cohort.csv").write_text("study_id,path,lesion,truth\nS0,S0,1,cyst\nS1,S1,1,FNH\n")
    own = config.model_copy(update={"cohort": tmp_path / "cohort.csv"})
    file = tmp_path / "S1" / "T2WI.nii.gz"
    whole = file.read_bytes()
    file.write_bytes(b"damaged")
    made = build_cache(own, tmp_path / "patches", workers=1)
    assert [each.case.truth for each in made.cases] == ["cyst"] and "T2WI.nii.gz" in made.warnings[0]
    file.write_bytes(whole)
    goes_on = build_cache(own, tmp_path / "patches", workers=1)
    assert goes_on.warnings == made.warnings
    new = build_cache(own, tmp_path / "patches", workers=1, try_again=True)
    assert len(new.cases) == 2 and not new.warnings


def epoch_batches(
    cache: CaseCache, config: TrainingConfig, number: int, seed: int, augmentation: Augmentation
) -> list[Batch]:
    """The batches of eight of a training epoch."""
    return list(training_batches(Epoch(cache.cases, config.recipe, augmentation, number, seed), 8))


def test_batches_hold_every_lesion_once(config: TrainingConfig, cache: CaseCache) -> None:
    batches = epoch_batches(cache, config, 0, 1, Augmentation())
    assert [len(batch.labels) for batch in batches] == [7, 7, 7]
    assert batches[0].inputs[0].shape == (7, 3, 2, 32, 32, 32)
    counts = Counter(batch.labels[i, 1].item() for batch in batches for i in range(len(batch.labels)))
    assert counts == dict.fromkeys(range(7), 3)
    seen = Epoch(cache.cases, config.recipe)
    plain = torch.cat([batch.inputs[0] for batch in validation_batches(seen, 8)])
    np.testing.assert_allclose(plain[0, :, 0], cache.cases[0].packed[0, :3] / 255, atol=1e-6)
    seen = replace(seen, central=True)
    centre = torch.cat([batch.inputs[0] for batch in validation_batches(seen, 8)])
    assert torch.equal(centre, plain[..., 4:28, 4:28, 4:28])


def test_augmentation_follows_seed_and_epoch(config: TrainingConfig, cache: CaseCache) -> None:
    def patches(epoch: int, seed: int, augmentation: Augmentation) -> torch.Tensor:
        return torch.cat([b.inputs[0] for b in epoch_batches(cache, config, epoch, seed, augmentation)])

    strong = Augmentation(noise=0.1)
    first = patches(0, 1, strong)
    assert torch.equal(first, patches(0, 1, strong))
    assert not torch.equal(first, patches(1, 1, strong)) and not torch.equal(first, patches(0, 2, strong))
    assert first.min() >= 0 and first.max() <= 1
    none = Augmentation(flip=0, gain=1, gamma=1, offset=0, noise=0, sequence_dropout=0)
    order = np.random.default_rng([1, 1]).permutation(21)
    expected = cache.cases[order[0]].packed[2, :3] / 255
    np.testing.assert_allclose(patches(1, 1, none)[0, :, 0], expected, atol=1e-6)
    flipped = patches(1, 1, none.model_copy(update={"flip": 1.0}))[0, :, 0]
    np.testing.assert_allclose(flipped, expected[:, ::-1, ::-1, ::-1], atol=1e-6)


def test_sequence_dropout_keeps_all_rather_than_none(config: TrainingConfig, cache: CaseCache) -> None:
    augmentation = Augmentation(sequence_dropout=0.7)
    batches = [b for epoch in range(20) for b in epoch_batches(cache, config, epoch, 0, augmentation)]
    present = torch.cat([batch.inputs[1] for batch in batches])
    assert present.any(dim=1).all()
    assert present.float().mean().item() == pytest.approx(0.3 + 0.7**3, abs=0.06)


def test_schedules_end_at_nothing() -> None:
    rising, falling = Optimisation(schedule="one_cycle"), Optimisation(schedule="cosine")
    one_cycle = [learning_rate_factor(step, 40, rising) for step in range(41)]
    cosine = [learning_rate_factor(step, 40, falling) for step in range(41)]
    assert max(one_cycle) == one_cycle[10] == cosine[0] == 1
    assert one_cycle[:11] == sorted(one_cycle[:11]) and cosine == sorted(cosine, reverse=True)
    assert one_cycle[40] == cosine[40] == 0
    assert all(0 <= learning_rate_factor(step, 3, rising) <= 1 for step in range(4))


def test_a_learning_rate_is_halved_every_few_epochs() -> None:
    halved = Optimisation(schedule="step", epochs=60, step_epochs=20)
    assert [learning_rate_factor(step, 600, halved) for step in (0, 199, 200, 399, 400)] == [
        1,
        1,
        0.5,
        0.5,
        0.25,
    ]


def test_score_prefers_accuracy_then_loss_then_whole_patches() -> None:
    plan = Optimisation(epochs=10, central_epochs=2)
    central = [validation_score(1.0, 0.0, epoch, plan) for epoch in (0, 1)]
    whole = [
        validation_score(*values, 5, plan) for values in ((0.0, 99.0), (0.5, 2.0), (0.5, 1.0), (0.51, 3.0))
    ]
    assert [*central, *whole] == sorted([*central, *whole])


def test_balanced_weights_are_inverse_to_frequency(config: TrainingConfig, cache: CaseCache) -> None:
    lopsided = [cached for cached in cache.cases if cached.case.truth != "cyst"] + list(cache.cases[:1])
    malignancy, kind = balanced_weights(lopsided, config.tasks)
    counts = np.bincount([cached.labels[1] for cached in lopsided], minlength=7)
    np.testing.assert_allclose(kind.numpy() * counts, len(lopsided) / 7, rtol=1e-6)
    assert malignancy[0] == pytest.approx(len(lopsided) / (2 * 10))


def test_intervals_agree_with_the_paper_and_with_resampling() -> None:
    from sklearn.metrics import roc_auc_score

    assert wilson_interval(0, 7)[0] == 0 and wilson_interval(7, 7)[1] == 1
    assert wilson_interval(90, 113) == pytest.approx((0.713, 0.8605), abs=5e-4)
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 60).round(1), rng.normal(0, 1, 50).round(1)
    area, lower, upper = delong_auc(positive, negative)
    labels = [1] * 60 + [0] * 50
    assert area == pytest.approx(roc_auc_score(labels, np.concatenate([positive, negative])))
    draws = [
        roc_auc_score(labels, np.concatenate([rng.choice(positive, 60), rng.choice(negative, 50)]))
        for _ in range(500)
    ]
    assert (upper - lower) / 2 == pytest.approx(1.96 * np.std(draws), rel=0.2)


def test_a_cohort_may_name_its_folds(config: TrainingConfig) -> None:
    cases = [replace(case, fold=number % 3) for number, case in enumerate(training_cases(config))]
    assert validation_fold(cases, 3, seed=1).tolist() == [number % 3 for number in range(len(cases))]
    with pytest.raises(ConfigError, match="folds 0, 1, 2, not 0 to 3"):
        validation_fold(cases, 4, seed=1)
    with pytest.raises(ConfigError, match="for some rows only"):
        validation_fold([replace(cases[0], fold=None), *cases[1:]], 3, seed=1)
    with pytest.raises(ConfigError, match="is in two folds"):
        validation_fold([replace(case, patient="P") for case in cases], 3, seed=1)
