"""Inference: mean and spread of members, missing sequences, determinism, devices and precision, failures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny_bundles import tiny_bundle
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.errors import BundleError, ConfigError, StudyError
from LiverLesionAI.geometry import LesionGeometry
from LiverLesionAI.inference import (
    CPU_BATCH,
    Classifier,
    Predictions,
    UnitInputs,
    classify_folder,
    execution,
    load_fold,
    predict,
)
from LiverLesionAI.inference import classifier as inference
from LiverLesionAI.inference.engine import run_batches
from LiverLesionAI.inference.execution import Execution, resolve_execution
from LiverLesionAI.inputs.patch_grid import PatchGrid
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.networks.weights import load_weights
from LiverLesionAI.phantom import generate_lesion
from LiverLesionAI.systems.base import outputs

SEQUENCES = ("T2WI", "DWI", "LAP")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("made") / "tiny"))


def lesion(seed: int, present: tuple[bool, ...] = (True, True, True), **changes: Any) -> LesionInput:
    rng = np.random.default_rng(seed)
    patches = rng.random((3, 2, 32, 32, 32), dtype=np.float32)
    patches[~np.array(present)] = 0
    corners = ((0.0, 0.0, 0.0), (9.0, 9.0, 9.0))
    geometry = LesionGeometry(10.0, 0.5, (0.0, 0.0, 0.0), corners)
    grid = PatchGrid(32, 1.0, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    return replace(LesionInput(seed, SEQUENCES, patches, present, geometry, grid), **changes)


def unit(seed: int, present: tuple[bool, ...] = (True, True, True), **changes: Any) -> UnitInputs:
    return UnitInputs(seed, (lesion(seed, present, **changes),))


def all_probabilities(predictions: Predictions) -> np.ndarray:
    return np.stack([np.hstack([t.member_probabilities for t in p.tasks.values()]) for p in predictions])


def test_members_are_averaged_and_their_spread_told(bundle: Bundle) -> None:
    (prediction,) = predict(bundle, [unit(1)], precision="fp32")
    patches = torch.from_numpy(lesion(1).patches)[None]
    with torch.inference_mode():
        by_hand = [load_fold(bundle, fold)(patches)["type"].double().softmax(1)[0] for fold in (0, 1)]
    kind = prediction.tasks["type"]
    np.testing.assert_allclose(kind.member_probabilities, torch.stack(by_hand), rtol=1e-6)
    result = kind.result()
    assert list(result.probabilities) == list(kind.taxonomy.names)
    assert sum(result.probabilities.values()) == pytest.approx(1)
    expected = (by_hand[0][4] - by_hand[1][4]).abs().item() / 2
    assert result.std["HCC"] == pytest.approx(expected, rel=1e-5)
    assert result.predicted == max(result.probabilities, key=result.probabilities.__getitem__)


def test_what_each_member_saw_is_kept(bundle: Bundle) -> None:
    (prediction,) = predict(bundle, [unit(1)], engine="torch", precision="fp32")
    patches = torch.from_numpy(lesion(1).patches)[None]
    with torch.inference_mode():
        by_hand = [load_fold(bundle, fold).features(patches).flatten(1) for fold in (0, 1)]
    assert prediction.features is not None and prediction.features.shape[:2] == (2, 1)
    np.testing.assert_allclose(prediction.features, torch.stack(by_hand), rtol=1e-5, atol=1e-6)


def test_several_lesions_keep_their_order_and_their_numbers(bundle: Bundle) -> None:
    lesions = [unit(seed) for seed in (5, 3, 4)]
    together = predict(bundle, lesions)
    assert [p.lesion_id for p in together] == [5, 3, 4]
    alone = np.concatenate([all_probabilities(predict(bundle, [one])) for one in lesions])
    np.testing.assert_array_equal(all_probabilities(together), alone)
    assert len(predict(bundle, [])) == 0


def test_same_input_gives_the_same_bits(bundle: Bundle) -> None:
    warm = Classifier(bundle, keep_loaded=True)
    lesions = [unit(1), unit(2)]
    first, second, cold = warm.predict(lesions), warm.predict(lesions), predict(bundle, lesions)
    np.testing.assert_array_equal(all_probabilities(first), all_probabilities(second))
    np.testing.assert_array_equal(all_probabilities(first), all_probabilities(cold))


def test_missing_sequence_is_told_and_its_patch_never_read(bundle: Bundle) -> None:
    without = lesion(1, present=(True, False, True))
    rubbish = without.patches.copy()
    rubbish[1] = np.nan
    seen = [lesion(1), without, replace(without, patches=rubbish)]
    predictions = predict(bundle, [UnitInputs(1, (each,)) for each in seen])
    probabilities = all_probabilities(predictions)
    np.testing.assert_array_equal(probabilities[1], probabilities[2])
    assert not np.array_equal(probabilities[0], probabilities[1])
    assert predictions[0].warnings == ()
    assert predictions[1].warnings == ("classified without DWI",)


def test_no_class_is_made_of_what_is_no_number(bundle: Bundle) -> None:
    broken = unit(1, patches=np.full_like(lesion(1).patches, np.nan))
    with pytest.raises(StudyError, match="came to no probabilities for lesion 1"):
        predict(bundle, [broken])


def test_required_sequence_is_demanded(tmp_path: Path) -> None:
    needy = load_bundle(tiny_bundle(tmp_path / "needy", required_sequences=["DWI"]))
    assert len(predict(needy, [unit(1, present=(True, True, False))])) == 1
    with pytest.raises(BundleError, match="without DWI"):
        predict(needy, [unit(1, present=(True, False, True))])


@pytest.mark.parametrize(
    "changes", [{"sequences": ("T2WI", "LAP", "DWI")}, {"patches": np.zeros((3, 2, 8, 8, 8))}]
)
def test_patches_for_another_model_are_refused(bundle: Bundle, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="another model"):
        predict(bundle, [unit(1, **changes)])


def test_damaged_weights_are_not_used(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "tiny")
    fold = path / "models/fold_1.safetensors"
    fold.write_bytes(fold.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(BundleError, match=r"fold_1\.safetensors"):
        predict(load_bundle(path), [unit(1)])


def test_progress_is_told_member_by_member(bundle: Bundle) -> None:
    told: list[tuple[str, float]] = []
    predict(bundle, [unit(1)], engine="torch", progress=lambda step, done: told.append((step, done)))
    assert told == [("classify", 0.5), ("classify", 1.0)]


def test_bfloat16_stays_close_to_float32(bundle: Bundle) -> None:
    exact = predict(bundle, [unit(1)], device="cpu", precision="fp32", engine="torch")
    coarse = predict(bundle, [unit(1)], device="cpu", precision="bf16", engine="torch")
    assert exact.execution == Execution("cpu", "fp32")
    assert coarse.execution.precision == "bf16"
    assert np.abs(all_probabilities(exact) - all_probabilities(coarse)).max() <= 0.02


@pytest.mark.parametrize(
    ("build", "driver", "asked"),
    [("+cpu", True, False), ("", True, True), ("+cu130", False, False), ("+rocm7.0", False, True)],
)
def test_torch_is_asked_for_a_gpu_only_where_there_may_be_one(
    build: str, driver: bool, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        if not driver:
            raise OSError(name)

    monkeypatch.setattr(execution, "version", lambda _: f"2.13.0{build}")
    monkeypatch.setattr(execution.ctypes, "CDLL", load)
    monkeypatch.setattr(execution.sys, "platform", "linux")
    assert execution._may_have_cuda() is asked


@pytest.mark.parametrize(("has_tiles", "has_products"), [(True, True), (False, True), (False, False)])
def test_auto_takes_bfloat16_only_where_it_is_faster(
    has_tiles: bool, has_products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "_has_amx", lambda: has_tiles)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_products)
    assert resolve_execution("cpu").precision == ("bf16" if has_tiles else "fp32")
    assert bool(resolve_execution("cpu", "bf16").warnings) is not has_products


@dataclass(frozen=True)
class Shown:
    """A shipped bundle and what its network reads of a phantom."""

    bundle: Bundle
    tensors: tuple[torch.Tensor, ...]

    def logits(self, network: nn.Module, *changed: torch.Tensor) -> dict[str, torch.Tensor]:
        return outputs(network, (*changed, *self.tensors[len(changed) :]))


@pytest.fixture(scope="module", params=["wang2021-phantom", "zhen2020-a-phantom"])
def shown(request: pytest.FixtureRequest) -> Shown:
    bundle = load_bundle(request.param)
    study = generate_lesion(860_001, "HCC", sequences=bundle.spec.sequences).study
    lesion_id = 1 if bundle.system.unit == "lesion" else None
    given = bundle.system.inputs(bundle.system.prepared(study, bundle.spec), lesion_id, bundle.spec)
    arrays = zip(*(each.arrays() for each in given), strict=True)
    return Shown(bundle, tuple(torch.from_numpy(np.stack(each)) for each in arrays))


def test_folded_normalisation_changes_no_answer_and_no_gradient(shown: Shown) -> None:
    blank = shown.bundle.system.network(shown.bundle.spec, device="meta")
    plain, folded = load_weights(blank, shown.bundle.member_paths[0]), load_fold(shown.bundle, 0)
    assert any(isinstance(module, _BatchNorm) for module in plain.modules())
    assert not any(isinstance(module, _BatchNorm) for module in folded.modules())
    slopes = []
    for network in (plain, folded):
        images = shown.tensors[0].clone().requires_grad_()
        score = sum(logits[:, 0].sum() for logits in shown.logits(network, images).values())
        slopes.append(torch.autograd.grad(score, images)[0])
    assert (slopes[0] - slopes[1]).norm() <= 0.01 * slopes[0].norm()
    with torch.inference_mode():
        answers = [
            torch.cat([each.double().softmax(1) for each in shown.logits(network).values()], dim=1)
            for network in (plain, folded)
        ]
        with torch.autocast("cpu", torch.bfloat16):
            coarse = torch.cat([e.double().softmax(1) for e in shown.logits(folded).values()], dim=1)
    assert (answers[0] - answers[1]).abs().max() <= 1e-5
    assert (answers[0] - coarse).abs().max() <= 0.02


@pytest.mark.parametrize(
    ("device", "precision"), [("toaster", "auto"), ("auto", "fp8"), ("cpu", "fp16"), ("cuda", "auto")]
)
def test_impossible_choices_are_refused(device: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="choose auto"):
        resolve_execution(device, precision)


def test_without_memory_on_the_gpu_batches_shrink_then_the_processor_takes_over(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesions = [unit(seed) for seed in range(5)]
    on_cpu = predict(bundle, lesions, device="cpu", precision="fp32", engine="torch")
    expected = all_probabilities(on_cpu)
    sizes = []

    def run_out_of_memory(network: Any, inputs: Any, chosen: Execution, batch_size: int) -> Any:
        sizes.append(batch_size)
        if chosen.device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run_batches(network, inputs, chosen, batch_size)

    def pretend_gpu(device: str = "auto", precision: str = "auto") -> Execution:
        return Execution("cuda" if device == "auto" else device, "fp32")

    monkeypatch.setattr(inference, "resolve_execution", pretend_gpu)
    monkeypatch.setattr(
        inference, "load_fold", lambda b, fold, device, blank: load_fold(b, fold, "cpu", blank)
    )
    found = Classifier(bundle, run=run_out_of_memory).predict(lesions)
    np.testing.assert_array_equal(all_probabilities(found), expected)
    assert sizes[:4] == [5, 2, 1, CPU_BATCH]
    assert found.execution.device == "cpu"
    assert "ran out of memory" in found.execution.warnings[0]


def test_idle_threads_sleep() -> None:
    code = "import os; import LiverLesionAI.inference.execution; print(os.environ['OMP_WAIT_POLICY'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == execution.os.environ["OMP_WAIT_POLICY"]


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in SEQUENCES:
        image = sitk.GetImageFromArray(rng.random((16, 30, 30)).astype(np.float32))
        image.SetSpacing((2.0, 2.0, 3.0))
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    mask = np.zeros((16, 30, 30), np.uint8)
    mask[6:9, 10:16, 10:16] = 1
    mask[10:12, 20:24, 20:24] = 2
    outline = sitk.GetImageFromArray(mask)
    outline.SetSpacing((2.0, 2.0, 3.0))
    sitk.WriteImage(outline, str(folder / "lesions.nii.gz"))
    return folder


def test_monais_bundle_runner_classifies_a_study(bundle: Bundle, study_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fire", reason="MONAI's bundle runner needs the package fire")
    output = tmp_path / "probabilities.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"),
            *("--study", str(study_folder), "--output", str(output)),
        ],
        cwd=bundle.path,
        check=True,
        capture_output=True,
    )
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["model"] == "tiny" and content["intended_use"] == "phantom"
    assert content["lesions"] == classify_folder(bundle, study_folder, tmp_path / "own.json")["lesions"]
    assert sum(content["lesions"]["2"]["type"].values()) == pytest.approx(1)


def test_a_folder_s_lesions_that_cannot_be_classified_are_told(
    bundle: Bundle, study_folder: Path, tmp_path: Path
) -> None:
    """A third lesion lies where no sequence is."""
    mask = sitk.ReadImage(str(study_folder / "lesions.nii.gz"))
    wide = sitk.ConstantPad(mask, (400, 0, 0), (0, 0, 0), 0)
    wide[5:15, 10:20, 10:14] = 3
    sitk.WriteImage(wide, str(study_folder / "lesions.nii.gz"))
    content = classify_folder(bundle, study_folder, tmp_path / "own.json")
    assert "3" not in content["lesions"] and "2" in content["lesions"]
    assert any(warning.startswith("lesion 3: ") for warning in content["warnings"])
    assert json.loads((tmp_path / "own.json").read_text(encoding="utf-8")) == content
