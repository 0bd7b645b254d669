"""Kim's system: whole slices to a fixed size and back to the patient, the network's maps, what is learned."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LiverLesionAI.errors import StudyError
from LiverLesionAI.inference.engine import last_layer
from LiverLesionAI.inputs.resizing import resizing
from LiverLesionAI.inputs.series import SeriesParameters, lesion_areas, whole_slices
from LiverLesionAI.networks.hbp_cnn import PlainBackbone, SliceDetector
from LiverLesionAI.networks.slice_backbones import backbone
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.systems.kim2020 import SYSTEM, Augmentation, Network
from LiverLesionAI.systems.recipe import Draw
from LiverLesionAI.training.config import TrainingConfig

CONFIG = {
    "name": "k",
    "system": "kim2020",
    "phantom": {"first_seed": 1, "lesions": 2},
    "patches": {"size": 48},
}


def study_of(image: sitk.Image, **more: Any) -> Study:
    return Study("S", "made", {"HBP": SequenceImage(image)}, reference="HBP", **more)


def spot_image(
    direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
    size: tuple[int, int, int] = (60, 60, 8),
    spacing: tuple[float, float, float] = (2.0, 2.0, 4.0),
    at: tuple[int, int, int] = (41, 18, 5),
) -> tuple[sitk.Image, tuple[float, float, float]]:
    """An image that is dark but for one spot, and where that is in the patient."""
    image = sitk.Image(size, sitk.sitkInt16)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin((-50.0, 30.0, 12.0))
    x, y, z = at
    image[x - 1 : x + 2, y - 1 : y + 2, z] = 1000
    return image, image.TransformIndexToPhysicalPoint(at)


TILTED = tuple(
    np.round([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]], 9).ravel()
)


@pytest.mark.parametrize(
    "direction",
    [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, 1, 0, 0, 0, -1), (0, -1, 0, 1, 0, 0, 0, 0, 1), TILTED],
)
@pytest.mark.parametrize("size", [(60, 60, 8), (60, 44, 8)])
def test_what_the_network_sees_lies_where_it_is_in_the_patient(direction: Any, size: Any) -> None:
    image, place = spot_image(direction, size)
    slices = whole_slices(study_of(image), "HBP", SeriesParameters(size=48, intensity="minmax"))
    seen = np.stack([each.arrays()[0][0] for each in slices])
    grid = slices[0].series.placed(seen)
    z, y, x = np.unravel_index(int(seen.argmax()), seen.shape)
    found = grid.TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
    assert seen.max() > 0.5
    assert np.linalg.norm(np.subtract(found, place)) < 2.5
    assert np.reshape(grid.GetDirection(), (3, 3))[2, 2] > 0.9, "slices are counted from the feet"


def test_slices_of_one_and_of_many() -> None:
    image, _ = spot_image(size=(40, 40, 1), at=(20, 20, 0))
    (only,) = whole_slices(study_of(image), "HBP", SeriesParameters(size=64))
    assert only.arrays()[0].shape == (1, 64, 64)
    assert only.name == "slice 1 of 1"
    many, _ = spot_image(size=(40, 40, 500), spacing=(2.0, 2.0, 0.5))
    assert len(whole_slices(study_of(many), "HBP", SeriesParameters(size=64))) == 500


@pytest.mark.parametrize(
    "direction, spacing, words",
    [
        ((1, 0, 0, 0, 0, 1, 0, -1, 0), (1.5, 1.5, 5.0), "coronal"),
        (tuple(np.round([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]], 9).ravel()), (1.5, 1.5, 3.0), "tilted"),
    ],
)
def test_what_is_no_axial_series_is_refused(direction: Any, spacing: Any, words: str) -> None:
    image, _ = spot_image(direction, spacing=spacing)
    with pytest.raises(StudyError, match=words):
        whole_slices(study_of(image), "HBP", SeriesParameters(size=64))


def test_thin_coronal_slices_are_cut_axially() -> None:
    image, place = spot_image((1, 0, 0, 0, 0, 1, 0, -1, 0), (50, 50, 60), (2.0, 2.0, 2.0), (20, 30, 40))
    slices = whole_slices(study_of(image), "HBP", SeriesParameters(size=60, intensity="minmax"))
    seen = np.stack([each.arrays()[0][0] for each in slices])
    z, y, x = np.unravel_index(int(seen.argmax()), seen.shape)
    found = slices[0].series.placed(seen).TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
    assert np.linalg.norm(np.subtract(found, place)) < 4


def test_resizing_is_bicubic_up_and_the_mean_over_areas_down() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((20, 30)).astype(np.float32)
    ours = resizing(20, 50) @ image @ resizing(30, 75).T
    theirs = torch.nn.functional.interpolate(torch.from_numpy(image)[None, None], (50, 75), mode="bicubic")
    np.testing.assert_allclose(ours, theirs[0, 0], atol=1e-5)
    down = resizing(20, 8)
    np.testing.assert_allclose(down.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(down[0, :3], [0.4, 0.4, 0.2], atol=1e-6)
    beside = resizing(20, 10, share=0.5)
    assert (beside.sum(axis=1) > 0).tolist() == [False] * 2 + [True] * 6 + [False] * 2


def test_a_slices_log_odds_are_the_mean_of_its_map() -> None:
    torch.manual_seed(0)
    net = PlainBackbone(((4,), (6, 6)))
    network = SliceDetector(net, net.channels, 2, "presence").eval()
    with torch.inference_mode():
        features = network.features(torch.rand(3, 1, 32, 32))
        logits = network.logits(features)["presence"]
        means = network.evidence(features, 1).mean(dim=(1, 2))
    torch.testing.assert_close(means, logits[:, 1] - logits[:, 0], atol=1e-5, rtol=1e-5)


def test_what_the_last_layer_reads_is_the_mean_of_each_image_of_features() -> None:
    features = torch.rand(3, 5, 4, 4)
    np.testing.assert_allclose(last_layer(features), features.flatten(2).mean(dim=2), rtol=1e-6)
    branches = torch.rand(3, 7, 4)
    np.testing.assert_array_equal(last_layer(branches), branches.reshape(3, 28))


@pytest.mark.parametrize("kernel", [2, 3, 4, 7])
def test_features_stay_over_what_they_show(kernel: int) -> None:
    net = PlainBackbone(((1, 1, 1, 1), (1, 1)), kernel=kernel, batch_norm=False).eval()
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, 0.0 if parameter.ndim == 1 else 1.0)
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 30:32, 40:42] = 1.0
    with torch.inference_mode():
        found = net(image)[0, 0].double()
    rows, columns = found.sum(dim=1), found.sum(dim=0)
    place = [float((line * torch.arange(32)).sum() / line.sum()) for line in (rows, columns)]
    assert place == pytest.approx([15.0, 20.0], abs=0.35)


@pytest.mark.parametrize("architecture", ["resnet50", "alexnet", "vgg16", "inception_resnet_v2"])
def test_the_networks_compared_end_in_images_of_features(architecture: Any) -> None:
    with torch.device("meta"):
        net, channels = backbone(Network(architecture=architecture))
        found = net.eval()(torch.empty(2, 1, 128, 128))
    assert found.shape[:2] == (2, channels)
    assert min(found.shape[2:]) >= 2


def test_slices_with_hcc_alone_are_varied() -> None:
    rng = np.random.default_rng(0)
    cases = [rng.integers(0, 255, (1, 32, 32), dtype=np.uint8) for _ in range(2)]
    draws = [Draw(0, np.random.default_rng(1), False, labels) for labels in ((0,), (1,))]
    (images,) = SYSTEM.recipe.batch(cases, [(True,)] * 2, draws, Augmentation(share=1.0))
    as_they_are = torch.from_numpy(np.stack(cases)).float() / 255
    assert torch.equal(images[0], as_they_are[0])
    assert not torch.allclose(images[1], as_they_are[1], atol=0.05)
    (shown,) = SYSTEM.recipe.batch(cases, [(True,)] * 2, [Draw(), Draw()], Augmentation())
    assert torch.equal(shown, as_they_are)


def test_what_is_learned_of_each_slice() -> None:
    image, _ = spot_image()
    mask = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(image)
    mask[10:20, 10:20, 2], mask[10, 10, 3] = 1, 1
    study = study_of(image, lesions=mask)
    config = TrainingConfig.model_validate(
        {**CONFIG, "patches": {"size": 48, "training_step": 3, "training_least_mm2": 10.0}}
    )
    groups = SYSTEM.inputs(study, None, config)
    assert lesion_areas(study, groups[0].series).tolist() == [0, 0, 400, 4, 0, 0, 0, 0]  # type: ignore[attr-defined]
    truths = SYSTEM.recipe.truths_of(study, groups, "HCC", config)
    assert truths == ["no_HCC", None, "HCC", None, None, None, "no_HCC", None]
    assert SYSTEM.recipe.truths_of(study, groups, "no_HCC", config) == [
        "no_HCC" if index % 3 == 0 else None for index in range(8)
    ]


def test_hcc_without_an_outline_is_not_learned_as_no_hcc() -> None:
    image, _ = spot_image()
    config = TrainingConfig.model_validate({**CONFIG, "patches": {"size": 48}})
    study = study_of(image, lesions=None)
    groups = SYSTEM.inputs(study, None, config)
    with pytest.raises(StudyError, match="has HCC, but none is outlined on"):
        SYSTEM.recipe.truths_of(study, groups, "HCC", config)
    assert set(SYSTEM.recipe.truths_of(study, groups, "no_HCC", config)) <= {"no_HCC", None}


def test_outlines_of_another_frame_are_carried_to_the_series() -> None:
    image, _ = spot_image()
    mask = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(image)
    mask[10:20, 10:20, 2] = 1
    moved = SequenceImage(image, sitk.TranslationTransform(3, (0.0, 0.0, 8.0)))
    study = Study("S", "made", {"HBP": moved}, lesions=mask, reference="T2WI")
    (first, *_) = whole_slices(study, "HBP", SeriesParameters(size=48))
    assert np.flatnonzero(lesion_areas(study, first.series)).tolist() == [4]


def test_a_study_is_as_suspicious_as_its_worst_slice() -> None:
    probabilities = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.6, 0.4]]])
    assert SYSTEM.joined(probabilities).tolist() == [[0.3, 0.7], [0.2, 0.8]]


@pytest.fixture(scope="module")
def phantoms() -> Any:
    from LiverLesionAI.phantom import generate_study

    asked = {"sequences": ("HBP",), "reference": "HBP"}
    return [generate_study(850_500, classes=classes, **asked) for classes in (("HCC",), ())]


def test_phantoms_have_livers_with_and_without_lesions(phantoms: Any) -> None:
    with_hcc, without = phantoms
    assert with_hcc.study.sequences == without.study.sequences == ("HBP",)
    assert with_hcc.study.reference == "HBP"
    assert with_hcc.study.lesions.GetSize() == with_hcc.study.images["HBP"].image.GetSize()
    assert with_hcc.truth.tissue_at(with_hcc.truth.lesions[0].centre_lps_mm) == "lesion"
    assert without.study.lesions is None
    assert without.truth.lesions == ()
    assert without.truth.tissue_at((-50.0, -46.0, -34.0)) in ("bile", "bowel wall", "liver", "fat")


def test_organs_that_are_taken_for_hcc_are_there(phantoms: Any) -> None:
    from LiverLesionAI.phantom.anatomy import LABELS

    _, without = phantoms
    labels = without.truth.scene.labels
    counts = {name: int((labels == LABELS.index(name)).sum()) for name in ("bile", "bowel content", "artery")}
    assert min(counts.values()) > 500
    heart = np.moveaxis(np.indices(labels.shape), 0, -1)[labels == LABELS.index("artery")]
    z = heart[:, 0] * without.truth.scene.grid.spacing[2] + without.truth.scene.grid.origin[2]
    assert (z > 80).sum() > 500, "the chambers of the heart show in the highest slices"


@pytest.mark.slow
def test_a_detector_is_trained_by_its_configuration(tmp_path: Any) -> None:
    from LiverLesionAI.bundles import load_bundle, verify_bundle
    from LiverLesionAI.training.train import train

    config = tmp_path / "k.yaml"
    config.write_text(
        "name: k\nsystem: kim2020\npatches: {size: 64, training_step: 6}\n"
        "network: {stages: [[4], [8]]}\nphantom: {first_seed: 850600, lesions: 4}\n"
        "optimisation: {epochs: 1, optimiser: adam, class_weights: balanced}\nfold_count: 2\nfolds: [0]\n"
        "calibration: {phantom: {first_seed: 850610, lesions: 10}}\n"
    )
    bundle = train(config, tmp_path / "run")
    verify_bundle(bundle)
    spec, calibration = load_bundle(bundle).spec, load_bundle(bundle).calibration
    assert spec.answers.unit == "slice"
    assert calibration is not None and calibration.tasks["presence"].cases == 10
    rows = (tmp_path / "run" / "folds" / "fold_0" / "epochs.csv").read_text().splitlines()
    assert len(list(itertools.islice(rows, 3))) == 2


@pytest.mark.parametrize("name", ["kim2020-paper.yaml", "kim2020-phantom.yaml"])
def test_the_configurations_can_be_trained(name: str) -> None:
    from LiverLesionAI.resources import BUNDLES
    from LiverLesionAI.training.config import read_config

    config = read_config(BUNDLES / name)
    assert config.answers is SYSTEM and config.optimisation.optimiser == "adam"
    assert config.phantom is not None and config.phantom.first_seed + config.phantom.lesions < 850_000
