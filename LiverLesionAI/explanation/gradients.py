"""Where the network looked, voxel by voxel: integrated and smoothed gradients of the input.

Finer than the maps of :mod:`LiverLesionAI.explanation.gradcam`, noisier, and some hundred times as costly.
Own routines, since the network answers for all branches together: a general library would keep the
intermediate results of every branch and every step at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.gradcam import class_log_odds, without_lesion

if TYPE_CHECKING:
    from torch import Tensor

    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D

INTEGRATION_STEPS = 24
NOISY_COPIES = 16
NOISE = 0.1
"""Standard deviation of the noise of smoothed gradients, relative to the range of a patch's intensities."""

Tick = Callable[[], None]


def integrated_gradients(
    network: MultitaskResNet3D,
    patches: Tensor,
    present: Sequence[bool],
    task: str,
    index: int,
    tick: Tick,
    steps: int = INTEGRATION_STEPS,
) -> NDArray[np.float64]:
    """Integrate the gradient of a class's log-odds from liver without a lesion to the patch.

    The path starts at patches filled with the value of the parenchyma around the lesion
    (:func:`~LiverLesionAI.explanation.gradcam.without_lesion`). The attributions sum to the log-odds of the
    patch less those of the start, up to the error of `steps` mid-points. Sundararajan et al. 2017.

    Parameters
    ----------
    network, patches, present, task, index
        As for :func:`LiverLesionAI.explanation.gradcam.activation_maps`.
    tick
        Called after each step.
    steps
        Points on the path.

    Returns
    -------
    numpy.ndarray
        ``[S, D, H, W]``, signed, in units of log-odds.
    """
    start = without_lesion(patches)
    total = None
    for step in range(steps):
        point = start + (step + 0.5) / steps * (patches - start)
        gradient = image_gradient(network, point, present, task, index)
        total = gradient if total is None else total + gradient
        tick()
    assert total is not None
    return ((patches - start)[:, 0] * total / steps).cpu().double().numpy()


def smoothed_gradients(
    network: MultitaskResNet3D,
    patches: Tensor,
    present: Sequence[bool],
    task: str,
    index: int,
    tick: Tick,
    seed: int,
    copies: int = NOISY_COPIES,
) -> NDArray[np.float64]:
    """Mean magnitude of the gradient over noisy copies of the patches. Smilkov et al. 2017, SmoothGrad.

    Parameters
    ----------
    network, patches, present, task, index, tick
        As for :func:`integrated_gradients`.
    seed
        Of the noise.
    copies
        Noisy copies.

    Returns
    -------
    numpy.ndarray
        ``[S, D, H, W]``, not negative: how much the class's log-odds change with a voxel, either way.
    """
    import torch

    rng = np.random.default_rng(seed)
    image = patches[:, 0]
    sigma = NOISE * (image.amax(dim=(1, 2, 3), keepdim=True) - image.amin(dim=(1, 2, 3), keepdim=True))
    total = None
    for _ in range(copies):
        noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32)).to(patches.device)
        noisy = torch.stack([image + sigma * noise, patches[:, 1]], dim=1)
        gradient = image_gradient(network, noisy, present, task, index).abs()
        total = gradient if total is None else total + gradient
        tick()
    assert total is not None
    return (total / copies).cpu().double().numpy()


def image_gradient(
    network: MultitaskResNet3D, patches: Tensor, present: Sequence[bool], task: str, index: int
) -> Tensor:
    """Gradient of a class's log-odds with respect to the images ``[S, D, H, W]``, not to the annotations."""
    import torch

    image = patches[:, 0].detach().requires_grad_()
    with torch.enable_grad():
        inputs = torch.stack([image, patches[:, 1]], dim=1)[None]
        there = torch.tensor([list(present)], device=patches.device)
        score = class_log_odds(network, network.features(inputs, there), task, index)
        (gradient,) = torch.autograd.grad(score.sum(), image)
    return gradient
