"""The network of Wang et al. 2021: architecture, order of fusion, missing sequences, weights on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from LiverLesionAI.errors import BundleError
from LiverLesionAI.networks.resnet3d import (
    STAGE_ENDS,
    Head,
    MultitaskResNet3D,
    Stem,
    cells,
    cells_beside_even,
    resnet18_branch,
)
from LiverLesionAI.networks.weights import load_weights, save_weights
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.systems import system_named
from LiverLesionAI.training.config import TrainingConfig

SIZE = 32


def small_network(head_hidden: int = 0, seed: int = 0) -> MultitaskResNet3D:
    torch.manual_seed(seed)
    size = {"width": 1, "head_hidden": head_hidden}
    spec = TrainingConfig.model_validate(
        {"name": "small", "phantom": {"first_seed": 0, "lesions": 1}, "network": size}
    )
    return system_named("wang2021").network(spec).to(memory_format=torch.channels_last_3d)


def patches(batch: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 7, 2, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def test_branch_has_the_papers_size() -> None:
    with torch.device("meta"):
        branch = resnet18_branch(64)
    kernels = [p for p in branch.parameters() if p.ndim == 5]
    assert round(sum(p.numel() for p in branch.parameters()) / 1e6, 1) == 33.2
    assert kernels[0].shape == (64, 2, 7, 7, 7)
    assert len(kernels) == 1 + 4 * 4 + 3, "stem, four stages of two basic blocks, three projections"


def test_branch_strides_follow_resnet18() -> None:
    branch = resnet18_branch(1).eval()
    shapes = []
    for stage in (branch.conv1, branch.maxpool, branch.layer1, branch.layer2, branch.layer3, branch.layer4):
        stage.register_forward_hook(lambda _, __, output: shapes.append(output.shape[-1]))
    assert branch(torch.rand(1, 2, 64, 64, 64)).shape == (1, 8)
    assert shapes == [32, 16, 16, 8, 4, 2]


@pytest.mark.parametrize("size", [(32, 32, 32), (33, 20, 17), (7, 64, 2)])
def test_stem_is_the_strided_convolution(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    stem = Stem(2, 3)
    x = torch.rand(2, 2, *size)
    plain = F.conv3d(x, stem.weight, stride=2, padding=3)
    torch.testing.assert_close(stem(x), plain, rtol=1e-5, atol=1e-5)
    gradient = torch.autograd.grad(stem(x).square().sum(), stem.weight)[0]
    weight = stem.weight.detach().double().requires_grad_()
    exact = F.conv3d(x.double(), weight, stride=2, padding=3)
    exact_gradient = torch.autograd.grad(exact.square().sum(), weight)[0]
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [(64, 64, 64), (33, 20, 17), (9, 16, 7), (3, 1, 2)])
@pytest.mark.parametrize("folded", [False, True])
def test_a_patch_beside_its_even_twin_is_what_both_are_alone(
    size: tuple[int, int, int], folded: bool
) -> None:
    torch.manual_seed(3)
    stem = Stem(2, 5).eval()
    if folded:
        stem.bias = torch.nn.Parameter(torch.rand(5))
    patch, level = torch.rand(1, 2, *size), torch.tensor(0.7)
    even = patch.clone()
    even[:, 0] = level
    with torch.no_grad():
        both = stem.beside_even(patch, level)
        torch.testing.assert_close(both, stem(torch.cat([patch, even])), rtol=1e-5, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            rough = stem.beside_even(patch, level)
        torch.testing.assert_close(rough.float(), both, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("stage", STAGE_ENDS)
def test_cells_beside_even_are_those_of_both_patches(stage: str) -> None:
    torch.manual_seed(4)
    branch = resnet18_branch(4).eval()
    patch, level = torch.rand(1, 2, 32, 32, 32), torch.tensor(0.4)
    even = patch.clone()
    even[:, 0] = level
    with torch.no_grad():
        found = cells_beside_even(branch, patch, level, stage)
        torch.testing.assert_close(
            found, cells(branch, torch.cat([patch, even]), stage), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("batch", [1, 2])
def test_fast_way_of_inference_gives_the_same(batch: int) -> None:
    network = small_network().eval()
    x = patches(batch)
    with torch.inference_mode():
        fast = network(x)["type"]
    slow = network(x)["type"]
    assert slow.requires_grad
    torch.testing.assert_close(fast, slow.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "blocks"),
    [("malignancy", ("T2WI", "DWI", "ADC", *W_SEQUENCES)), ("type", ("LAP", "PVP", "DP", *W_SEQUENCES))],
)
def test_heads_read_the_leading_sequences_then_all(task: str, blocks: tuple[str, ...]) -> None:
    network = small_network()
    count = network.feature_count
    head = network.heads[f"{task}_head"]
    assert head.in_features == 10 * count
    features = torch.arange(1.0, 8.0).view(1, 7, 1).expand(1, 7, count)
    torch.nn.init.zeros_(head.bias)
    for position, name in enumerate(blocks):
        torch.nn.init.zeros_(head.weight)
        head.weight.data[:, position * count : (position + 1) * count] = 1 / count
        read = network.logits(features)[task]
        torch.testing.assert_close(read, torch.full_like(read, 1.0 + W_SEQUENCES.index(name)))


def test_each_branch_reads_its_own_sequence() -> None:
    network = small_network().eval()
    x = patches(1)
    before = network.features(x)
    x[:, 4] = x[:, 4].flip(-1).square()
    changed = (network.features(x) != before).any(dim=2)[0]
    assert changed.tolist() == [False] * 4 + [True] + [False] * 2


def test_absent_sequences_stand_for_the_mean_and_are_not_computed() -> None:
    network = small_network().eval()
    network.mean_features.normal_(generator=torch.Generator().manual_seed(1))
    calls: list[str] = []
    for name, branch in network.branches.items():
        branch.register_forward_hook(lambda *_, name=name: calls.append(name))
    x = patches(2)
    complete = network.features(x)
    present = torch.ones(2, 7, dtype=torch.bool)
    present[:, 1] = False
    present[1, 5] = False
    x[~present] = torch.nan
    calls.clear()
    features = network.features(x, present)
    assert "DWI" not in calls and "PVP" in calls
    torch.testing.assert_close(features[present], complete[present])
    torch.testing.assert_close(features[~present], network.mean_features[[1, 1, 5]])


def test_dropped_sequences_neither_learn_nor_count_in_training() -> None:
    network = small_network().train()
    present = torch.ones(4, 7, dtype=torch.bool)
    present[:, 3] = False
    statistics = network.branches["T1WI"].bn1.running_mean.clone()
    mean = network.mean_features.clone()
    sum(logits.sum() for logits in network(patches(4), present).values()).backward()
    assert all(p.grad is None for p in network.branches["T1WI"].parameters())
    assert all(p.grad is not None for p in network.branches["LAP"].parameters())
    assert torch.equal(network.branches["T1WI"].bn1.running_mean, statistics)
    assert torch.equal(network.mean_features[3], mean[3])
    assert not torch.equal(network.mean_features[4], mean[4])


def test_sequence_of_a_single_lesion_counts_as_absent_in_training() -> None:
    network = small_network().train()
    network.mean_features.fill_(3.0)
    present = torch.ones(4, 7, dtype=torch.bool)
    present[1:, 2] = False
    assert (network.features(patches(4), present)[:, 2] == 3.0).all()
    assert not (network.eval().features(patches(4), present)[0, 2] == 3.0).any()


def test_evaluation_looks_at_each_lesion_alone() -> None:
    network = small_network().train()
    network(patches(4))
    network.eval()
    x = patches(3, seed=2)
    together = network(x)["type"]
    alone = torch.cat([network(lesion[None])["type"] for lesion in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_mean_features_are_those_of_present_sequences() -> None:
    network = small_network()
    network.mean_features.fill_(9.0)
    features = torch.rand(3, 7, network.feature_count)
    present = torch.ones(3, 7, dtype=torch.bool)
    present[0, 2] = False
    present[:, 6] = False
    network.set_mean_features(features, present)
    torch.testing.assert_close(network.mean_features[0], features[:, 0].mean(0))
    torch.testing.assert_close(network.mean_features[2], features[1:, 2].mean(0))
    assert (network.mean_features[6] == 9.0).all()


def test_any_sequences_and_heads() -> None:
    network = MultitaskResNet3D(("HBP", "T2WI"), {"HCC": Head(2, ("HBP",))}, width=1, head_hidden=3).eval()
    logits = network(torch.rand(2, 2, 2, 24, 24, 24))
    assert {task: value.shape for task, value in logits.items()} == {"HCC": (2, 2)}
    assert network.heads["HCC_head"][0].in_features == 3 * 8


def test_half_precision_on_disk_keeps_probabilities(tmp_path: Path) -> None:
    network = small_network(head_hidden=8).train()
    for step in range(3):
        network(patches(4, seed=step))
    network.eval()
    file = tmp_path / "weights.safetensors"
    save_weights(network, file)
    with torch.device("meta"):
        empty = small_network(head_hidden=8)
    loaded = load_weights(empty, file)
    assert loaded.branches["ADC"].bn1.running_var.equal(network.branches["ADC"].bn1.running_var)
    assert loaded.mean_features.equal(network.mean_features)
    assert loaded.branches["ADC"].conv1.weight.is_contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        x = patches(4, seed=9)
        for task, logits in network(x).items():
            assert (logits.softmax(1) - loaded(x)[task].softmax(1)).abs().max() <= 0.02


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_weights(small_network(head_hidden=8), file)
    with torch.device("meta"):
        other, differently_shaped = small_network(head_hidden=0), small_network(head_hidden=9)
    for network in (other, differently_shaped):
        with pytest.raises(BundleError, match=r"weights\.safetensors"):
            load_weights(network, file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BundleError, match="damaged"):
        load_weights(other, file)


def test_networks_for_read_weights_are_built_without_torchs_compiler() -> None:
    """It takes two seconds to import, and torch imports it to draw random numbers on the meta device."""
    code = (
        "import sys\n"
        "from LiverLesionAI.bundles import load_bundle\n"
        "bundle = load_bundle('wang2021-phantom')\n"
        "network = bundle.system.network(bundle.spec, device='meta')\n"
        "assert all(parameter.is_meta for parameter in network.parameters())\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
