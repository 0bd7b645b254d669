"""The multitask 3D ResNet-18 of Wang et al. 2021: one branch per MRI sequence, two fused heads.

The residual stages are MONAI's (:class:`monai.networks.nets.resnet.ResNet`). Each branch reads one sequence's
patch with its annotation channel; a head reads the features of the sequences that matter most to its task,
followed by the features of all of them (doi:10.1186/s13244-021-01117-z, Fig. 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from monai.networks.nets.resnet import ResNet, ResNetBlock
from torch import Tensor, nn
from torch.nn import functional as F

from LiverLesionAI.networks.convolutions import Convolution3d, can_go_straight, straight
from LiverLesionAI.networks.heads import Heads, heads_of


@dataclass(frozen=True)
class Head:
    """One classification task of the network.

    Attributes
    ----------
    classes
        Number of classes.
    fused
        Sequences whose features come first, in this order, before those of all sequences.
    """

    classes: int
    fused: tuple[str, ...] = ()


W_HEADS: Mapping[str, Head] = {
    "malignancy": Head(2, ("T2WI", "DWI", "ADC")),
    "type": Head(7, ("LAP", "PVP", "DP")),
}
"""The two heads of the paper: ``fused2`` and ``fused7``."""


NARROW = 16
"""Up to so many output channels oneDNN multiplies two input channels faster plane after plane."""


class Stem(Convolution3d):
    """The 7×7×7 stride-2 convolution, trained as a 4×4×4 convolution over 2×2×2 blocks of voxels.

    The result is the same sum of the same products. With 16 contiguous channels instead of two strided ones,
    processors compute the gradient of the kernel twice as fast (``benchmarks/training.py``); the stem is more
    than half of a narrow network's work. For an answer a narrow stem takes image and annotation one after the
    other, which takes 0.6 times as long as voxel by voxel, and hands on what the stages like: all channels of
    a voxel together.

    Parameters
    ----------
    in_channels, out_channels
        Channels in and out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=7, stride=2, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[B, C, D, H, W]`` to ``[B, out, D/2, H/2, W/2]``, odd sides padded by one zero."""
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return self._narrow(x) if self._is_narrow(x) else super().forward(x)
        odd = [side % 2 for side in reversed(x.shape[2:])]
        if any(odd):
            x = F.pad(x, [pad for side in odd for pad in (0, side)])
        return F.conv3d(_blocks(x), _block_kernel(self.weight))

    def beside_even(self, x: Tensor, level: Tensor) -> Tensor:
        """Convolve a patch, and the same patch with an image of one value in its place; without gradients.

        Its annotation is looked at once, and an even image looks the same to all cells but those at the
        border: both together take two thirds of the time of one after the other.

        Parameters
        ----------
        x
            Patch ``[1, C, D, H, W]``; the image is channel 0.
        level
            The value, a scalar.

        Returns
        -------
        Tensor
            ``[2, out, D/2, H/2, W/2]``.
        """
        image = self._of_channels(x, slice(0, 1), None)
        others = self._of_channels(x, slice(1, None), self.bias)
        even = self._of_even(level, x)
        found = torch.empty_like(image.expand(2, -1, -1, -1, -1), memory_format=torch.channels_last_3d)
        torch.add(image, others, out=found[:1])
        torch.add(even, others, out=found[1:])
        return found

    def _of_channels(self, x: Tensor, which: slice, bias: Tensor | None) -> Tensor:
        """What some channels add."""
        kernel, given = self.weight[:, which].contiguous(), x[:, which].contiguous()
        if can_go_straight(x):
            return straight(self, given, kernel, bias)
        return F.conv3d(given, kernel, bias, self.stride, self.padding)

    def _of_even(self, level: Tensor, x: Tensor) -> Tensor:
        """What an image of one value adds, of which a small one shows all that there is."""
        sides = [min(side, 16 + side % 2) for side in x.shape[2:]]
        found = self._of_channels(level.expand(1, 1, *sides), slice(0, 1), None)
        for axis, side in enumerate(x.shape[2:], start=2):
            count, small = (side + 1) // 2, found.shape[axis]
            places = torch.arange(count, device=x.device).clamp(max=small // 2)
            places[count - small // 2 :] = torch.arange(small - small // 2, small, device=x.device)
            found = found.index_select(axis, places)
        return found

    def _is_narrow(self, x: Tensor) -> bool:
        return self.out_channels <= NARROW and can_go_straight(x)

    def _narrow(self, x: Tensor) -> Tensor:
        found = straight(self, x.contiguous(), self.weight.contiguous(), self.bias)
        return found.contiguous(memory_format=torch.channels_last_3d)


def _blocks(x: Tensor) -> Tensor:
    """Space to depth with the border that a 4×4×4 kernel needs: ``[B, 8C, D/2+3, H/2+3, W/2+3]``."""
    batch, channels, *size = x.shape
    depth, height, width = (side // 2 for side in size)
    split = x.view(batch, channels, depth, 2, height, 2, width, 2).permute(0, 2, 4, 6, 1, 3, 5, 7)
    padded = x.new_zeros(batch, depth + 3, height + 3, width + 3, channels, 2, 2, 2)
    padded[:, 2:-1, 2:-1, 2:-1] = split
    return padded.flatten(4).permute(0, 4, 1, 2, 3)


def _block_kernel(weight: Tensor) -> Tensor:
    """Rearrange a 7×7×7 kernel, one zero before it on each axis, for :func:`_blocks`."""
    out, channels = weight.shape[:2]
    split = F.pad(weight, (1, 0, 1, 0, 1, 0)).view(out, channels, 4, 2, 4, 2, 4, 2)
    return split.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(out, 4, 4, 4, 8 * channels).permute(0, 4, 1, 2, 3)


def resnet18_branch(width: int = 64, in_channels: int = 2) -> ResNet:
    """Build the 3D ResNet-18 of one sequence: ``[B, in_channels, D, H, W]`` to ``[B, 8 · width]``.

    The 2D ResNet-18 extended to 3D: 7×7×7 stem of stride 2, max-pooling, four stages of two basic blocks.
    `width` is the number of channels of the first stage; 64 is the paper's (33.2 million parameters).
    """
    widths = [width, 2 * width, 4 * width, 8 * width]
    branch = ResNet(
        ResNetBlock,
        layers=[2, 2, 2, 2],
        block_inplanes=widths,
        n_input_channels=in_channels,
        conv1_t_size=7,
        conv1_t_stride=2,
        feed_forward=False,
        bias_downsample=False,
    )
    stem = Stem(in_channels, width)
    stem.load_state_dict(branch.conv1.state_dict(), assign=True)
    branch.conv1 = stem
    for module in branch.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = Convolution3d
    return branch


STAGE_ENDS = {"stem": "act", "layer1": "layer1", "layer2": "layer2"}
"""Stages of a branch that are fine enough to show where it looked, and the module that each ends with."""
_PARTS = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")


def parts_of(branch: nn.Module) -> tuple[nn.Module, ...]:
    """The modules that a branch is run through, in order."""
    return tuple(getattr(branch, name) for name in _PARTS)


def cells(branch: nn.Module, x: Tensor, stage: str) -> Tensor:
    """Run a branch up to the end of a stage: ``[B, 2, D, H, W]`` to ``[B, C, d, h, w]``."""
    return _through(branch, x, _PARTS[: _after(stage)])


def cells_beside_even(branch: nn.Module, x: Tensor, level: Tensor, stage: str) -> Tensor:
    """Run a branch up to the end of a stage for a patch, and for it with an even image; without gradients.

    Parameters
    ----------
    branch
        The branch.
    x
        Patch ``[1, 2, D, H, W]``.
    level
        The even image's value, a scalar.
    stage
        One of :data:`STAGE_ENDS`.

    Returns
    -------
    Tensor
        ``[2, C, d, h, w]``; the first is that of the patch as it is.
    """
    stem = branch.conv1
    assert isinstance(stem, Stem)
    return _through(branch, stem.beside_even(x, level), _PARTS[1 : _after(stage)])


def features_of(branch: nn.Module, found: Tensor, stage: str) -> Tensor:
    """Run the rest of a branch: ``[B, C, d, h, w]`` to ``[B, F]``, float32."""
    return _through(branch, found, _PARTS[_after(stage) :]).flatten(1).float()


def _after(stage: str) -> int:
    """Position of the part that follows a stage."""
    return _PARTS.index(STAGE_ENDS[stage]) + 1


def _through(branch: nn.Module, x: Tensor, parts: Sequence[str]) -> Tensor:
    for name in parts:
        x = getattr(branch, name)(x)
    return x


class MultitaskResNet3D(nn.Module):
    """One ResNet-18 branch per sequence and one fused head per task.

    Parameters
    ----------
    sequences
        Sequences in the order of the input.
    heads
        Task to its number of classes and leading sequences.
    width
        Channels of the first stage (64 in the paper); a branch gives ``8 · width`` features.
    head_hidden
        Units of each head's hidden layer; 0 for a single linear layer.
    in_channels
        Channels of a patch: image and annotation.

    Notes
    -----
    An absent sequence is represented by its branch's mean feature over the training lesions
    (`mean_features`, ``[S, F]``), so that its block of the head's input carries no information about the
    lesion. During training the mean is followed with momentum, and a sequence that only one lesion of a batch
    has counts as absent, since batch normalisation needs two; :meth:`set_mean_features` fixes the mean at the
    end.
    """

    mean_features: Tensor
    mean_momentum = 0.1

    def __init__(
        self,
        sequences: Sequence[str],
        heads: Mapping[str, Head] = W_HEADS,
        *,
        width: int = 64,
        head_hidden: int = 0,
        in_channels: int = 2,
    ) -> None:
        super().__init__()
        self.sequences = tuple(sequences)
        self.feature_count = 8 * width
        self.branches = nn.ModuleDict({name: resnet18_branch(width, in_channels) for name in self.sequences})
        self.fused = {
            task: tuple(self.sequences.index(name) for name in head.fused) for task, head in heads.items()
        }
        self.heads = nn.ModuleDict(
            {
                _head_name(task): _classifier(
                    (len(head.fused) + len(self.sequences)) * self.feature_count, head_hidden, head.classes
                )
                for task, head in heads.items()
            }
        )
        self.register_buffer("mean_features", torch.zeros(len(self.sequences), self.feature_count))

    def forward(self, x: Tensor, present: Tensor | None = None) -> dict[str, Tensor]:
        """Classify patches; see :meth:`features` and :meth:`logits`."""
        return self.logits(self.features(x, present))

    def features(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Run the branches.

        Parameters
        ----------
        x
            Patches ``[B, S, C, D, H, W]``.
        present
            Booleans ``[B, S]``; patches of absent sequences are not read. None where all are present.

        Returns
        -------
        Tensor
            ``[B, S, F]``, float32.
        """
        if present is None:
            present = x.new_ones(x.shape[:2], dtype=torch.bool)
        columns = [self._branch_features(i, x[:, i], present[:, i]) for i in range(len(self.sequences))]
        return torch.stack(columns, dim=1)

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Run the heads on ``[B, S, F]``: for each task ``[B, classes]``, before softmax."""
        everything = features.flatten(1)
        fused = {
            task: torch.cat([features[:, leading].flatten(1), everything], dim=1)
            for task, leading in self.fused.items()
        }
        return {task: self.head(task)(inputs) for task, inputs in fused.items()}

    def head(self, task: str) -> nn.Module:
        """The head of a task."""
        return self.heads[_head_name(task)]

    def branch_features(self, index: int, x: Tensor) -> Tensor:
        """Run one branch: ``[B, C, D, H, W]`` to ``[B, F]``, float32."""
        return self.branches[self.sequences[index]](x).float()

    def cells(self, index: int, x: Tensor, stage: str) -> Tensor:
        """Run one branch up to the end of a stage; see :func:`cells`."""
        return cells(self.branches[self.sequences[index]], x, stage)

    def cells_beside_even(self, index: int, x: Tensor, level: Tensor, stage: str) -> Tensor:
        """Run one branch up to the end of a stage, beside an even image; see :func:`cells_beside_even`."""
        return cells_beside_even(self.branches[self.sequences[index]], x, level, stage)

    def features_of_cells(self, index: int, found: Tensor, stage: str) -> Tensor:
        """Run the rest of a branch; see :func:`features_of`."""
        return features_of(self.branches[self.sequences[index]], found, stage)

    def heads_as_arrays(self) -> Heads:
        """The heads, and what stands for absent sequences."""
        tensors = {name: tensor.cpu().numpy() for name, tensor in self.state_dict().items() if "head" in name}
        return heads_of({**tensors, "mean_features": self.mean_features.cpu().numpy()}, self.fused)

    @torch.no_grad()
    def set_mean_features(self, features: Tensor, present: Tensor) -> None:
        """Fix the stand-in for absent sequences: the mean of ``[N, S, F]`` where ``[N, S]`` is true."""
        weight = present.to(features.dtype).unsqueeze(-1)
        mean = (features * weight).sum(0) / weight.sum(0).clamp(min=1)
        self.mean_features.copy_(torch.where(present.any(0).unsqueeze(-1), mean, self.mean_features))

    def _branch_features(self, index: int, x: Tensor, present: Tensor) -> Tensor:
        mean = self.mean_features[index]
        if present.sum() < (2 if self.training else 1):
            return mean.expand(len(x), -1)
        branch = self.branches[self.sequences[index]]
        if present.all():
            found = branch(x).float()
            result = found
        else:
            found = branch(x[present]).float()
            result = mean.expand(len(x), -1).clone()
            result[present] = found
        if self.training:
            mean.lerp_(found.detach().mean(0), self.mean_momentum)
        return result


def share_kernels(network: MultitaskResNet3D) -> None:
    """Let all branches use the kernels of the first, in place; each keeps its own normalisation."""
    first, *others = network.branches.values()
    kernels = dict(first.named_modules())
    for branch in others:
        for name, module in branch.named_modules():
            if isinstance(module, nn.Conv3d):
                module.weight = kernels[name].weight


def _head_name(task: str) -> str:
    """Module name of a task's head (a module cannot be called ``type``)."""
    return f"{task}_head"


def _classifier(inputs: int, hidden: int, classes: int) -> nn.Module:
    if hidden == 0:
        return nn.Linear(inputs, classes)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
