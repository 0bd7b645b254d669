"""Running a network on lesions: one fold's weights loaded, patches through it in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from LiverLesionAI.bundles import Bundle, check_file
from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.inputs.patches import LesionInput

if TYPE_CHECKING:
    import torch

    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D


def load_fold(
    bundle: Bundle, fold: int, device: str = "cpu", shell: MultitaskResNet3D | None = None
) -> MultitaskResNet3D:
    """Load one fold's network, in evaluation mode; its file is compared with the bundle's hash.

    Parameters
    ----------
    bundle
        The model.
    fold
        Position of the fold.
    device
        Where to.
    shell
        A network of this bundle on device ``"meta"`` that takes the weights; a new one by default.

    Raises
    ------
    BundleError
        If the file is missing, damaged or not of this network.
    """
    from LiverLesionAI.networks.build import build_network
    from LiverLesionAI.networks.weights import load_weights

    spec = bundle.spec
    with ThreadPoolExecutor(max_workers=1) as beside:
        check = beside.submit(check_file, bundle, spec.folds[fold])
        network = shell or build_network(spec.sequences, spec.tasks, spec.network, device="meta")
        load_weights(network, bundle.fold_paths[fold], device)
        check.result()
    return network


def run_batches(
    network: MultitaskResNet3D, inputs: Sequence[LesionInput], execution: Execution, batch_size: int
) -> Mapping[str, np.ndarray]:
    import torch

    autocast = autocast_of(execution)
    found: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for patches, present in _batches(inputs, batch_size, execution.device):
            with autocast:
                features = network.features(patches, present)
            for task, logits in network.logits(features).items():
                found.setdefault(task, []).append(logits.cpu().double().softmax(dim=1).numpy())
    return {task: np.concatenate(parts) for task, parts in found.items()}


def autocast_of(execution: Execution) -> torch.autocast:
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[execution.precision]
    return torch.autocast(execution.device, dtype, enabled=dtype is not torch.float32)


def _batches(
    inputs: Sequence[LesionInput], batch_size: int, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    import torch

    for start in range(0, len(inputs), batch_size):
        chosen = inputs[start : start + batch_size]
        patches = torch.from_numpy(np.stack([lesion.patches for lesion in chosen]))
        present = torch.tensor([lesion.present for lesion in chosen])
        yield patches.to(device), present.to(device)
