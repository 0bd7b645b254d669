"""Wang et al. 2021: each lesion on seven sequences, 3D patches, a multitask ResNet with a branch each.

doi:10.1186/s13244-021-01117-z
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from LiverLesionAI.errors import PatchError
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.inputs.intensity import with_intensity_limits
from LiverLesionAI.inputs.patch_grid import PatchParameters, PatchPose
from LiverLesionAI.inputs.patches import LesionInput, extract_patches
from LiverLesionAI.results import Unit
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.study import Study
from LiverLesionAI.systems.base import System, Words
from LiverLesionAI.systems.images import image_format
from LiverLesionAI.systems.recipe import Draw, Recipe
from LiverLesionAI.systems.spec import ModelSpec, Part, Task, known_fields
from LiverLesionAI.taxonomy import TAXONOMIES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D

_LEADING = {"malignancy": ("binary", ("T2WI", "DWI", "ADC")), "type": ("W7", ("LAP", "PVP", "DP"))}
"""Task to its taxonomy and the sequences that lead its head: ``fused2`` and ``fused7`` of the paper."""


class Network(Part):
    """Size of the network.

    ``width`` is the number of channels of the first stage (64 in the paper), ``head_hidden`` the units of
    each head's hidden layer (0: one linear layer).
    """

    architecture: Literal["resnet3d"] = "resnet3d"
    width: Annotated[PositiveInt, Field(le=1024)] = 64
    head_hidden: Annotated[NonNegativeInt, Field(le=65536)] = 64


class Augmentation(Part):
    """Online augmentation; every range is symmetric, in units of the [0, 1] intensity where it has one.

    Attributes
    ----------
    flip
        Probability of a flip along each of the patch's axes, left–right, anterior–posterior and
        cranio-caudal, for all sequences alike.
    gain, gamma
        Largest factor and exponent; drawn log-uniformly for each sequence.
    offset
        Largest offset, drawn for each sequence.
    noise
        Largest standard deviation of Gaussian noise, drawn for each sequence.
    sequence_dropout
        Probability with which each sequence is treated as missing.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    gain: Annotated[float, Field(ge=1)] = 1.2
    gamma: Annotated[float, Field(ge=1)] = 1.3
    offset: NonNegativeFloat = 0.05
    noise: NonNegativeFloat = 0.03
    sequence_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class WangRecipe(Recipe):
    """Patches made once with turned, scaled and shifted variants; flips, lighting and noise online."""

    truths = "W7"
    augmentation_settings = Augmentation
    says_present = True
    options = frozenset({"central_epochs", "shared_kernels"})

    def poses(self, rng: np.random.Generator, variants: Any, patches: PatchParameters) -> list[PatchPose]:
        """Draw turned, scaled and shifted sampling grids; large lesions draw their margin as well."""
        return [_random_pose(rng, variants, patches) for _ in range(variants.count)]

    def packed(self, variants: Sequence[NetworkInput]) -> np.ndarray:
        """Patches as bytes; see :func:`LiverLesionAI.inputs.augmentation.packed`."""
        from LiverLesionAI.inputs.augmentation import packed

        return packed([given.arrays()[0] for given in variants])

    def batch(
        self,
        cases: Sequence[np.ndarray],
        present: Sequence[tuple[bool, ...]],
        draws: Sequence[Draw],
        augmentation: Augmentation,
    ) -> tuple[Tensor, ...]:
        """Patches ``[B, S, 2, z, y, x]`` and which sequences are there ``[B, S]``."""
        from LiverLesionAI.inputs.augmentation import batch

        return batch(cases, present, draws, augmentation)

    def begin(self, network: nn.Module, *, shared_kernels: bool) -> None:
        """Lay kernels out channels last; let all branches use the same ones where that is wanted."""
        import torch

        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if shared_kernels:
            from LiverLesionAI.networks.resnet3d import share_kernels

            share_kernels(network)  # type: ignore[arg-type]

    def finish(self, network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Fix the stand-ins for absent sequences: each branch's mean feature."""
        import torch

        features, there = [], []
        for patches, present in batches:
            features.append(network.features(patches, present))  # type: ignore[operator]
            there.append(present)
        network.set_mean_features(torch.cat(features), torch.cat(there))  # type: ignore[operator]

    def choices(self, spec: ModelSpec, config: Any) -> dict[str, str]:
        """Intensities, crops, network, loss and optimiser, in words."""
        patches, settings, augmentation = spec.patches, config.optimisation, config.augmentation
        limits = (
            "minimum and maximum of the whole volume"
            if patches.intensity == "minmax"
            else "percentiles {} and {} of the whole volume".format(*patches.percentiles)
        )
        hidden = spec.network.head_hidden
        return {
            "intensity to [0, 1]": limits,
            "Gaussian of the annotation channel": f"σ = {patches.annotation_sigma:g} voxels of the patch",
            "margin of lesions of 32 mm and more": (
                "{:g} mm; in training {:g}–{:g} mm".format(patches.margin_mm, *patches.training_margin_mm)
            ),
            "width of the network": f"{spec.network.width} channels in the first stage (the paper: 64)",
            "heads": f"one hidden layer of {hidden} units" if hidden else "one linear layer",
            "loss": "cross-entropy of both tasks, 1:1, "
            + (
                "classes weighted by the inverse of their frequency"
                if settings.class_weights
                else "unweighted"
            ),
            "missing sequences": (
                "replaced by the branch's mean feature; each sequence is left out with probability "
                f"{augmentation.sequence_dropout:g} in training"
            ),
        }


class Wang2021(System):
    """Each lesion in 3D on up to seven sequences: benign or malignant, and one of seven types."""

    name = "wang2021"
    unit: Unit = "lesion"
    sequences = W_SEQUENCES
    primary_task = "type"
    patch_settings: Any = Annotated[PatchParameters, BeforeValidator(known_fields(PatchParameters))]
    network_settings = Network
    explanations = ("integrated-grad-cam", "grad-cam", "lesion-parts", "integrated-gradients", "smoothgrad")
    stages: Mapping[str, int] = MappingProxyType({"stem": 2, "layer1": 4, "layer2": 8})
    """A patch of 64 voxels a side has 32 cells a side after the first convolution (``stem``), 16 at the end
    of ``layer1`` and 8 at the end of ``layer2``."""
    recipe = WangRecipe()
    words = Words(
        title="Wang et al. 2021",
        task="Classification of focal liver lesions on multisequence MRI",
        description=(
            "Multitask 3D ResNet-18 with a branch per MRI sequence (Wang et al. 2021), which tells seven "
            "types of focal liver lesion apart, and benign from malignant ones."
        ),
        references=("Wang S-H et al. Insights Imaging 2021;12:173. doi:10.1186/s13244-021-01117-z",),
        not_intended_for=(
            "treated lesions",
            "diffuse lesions without a boundary",
            "malignancies that invade the portal or a hepatic vein or a neighbouring organ",
        ),
    )

    def tasks(self, sequences: tuple[str, ...], network: Network) -> dict[str, Task]:
        """Both tasks of the paper."""
        return {
            name: Task(taxonomy=taxonomy, fused=tuple(s for s in fused if s in sequences))
            for name, (taxonomy, fused) in _LEADING.items()
        }

    def prepared(self, study: Study, spec: ModelSpec) -> Study:
        """Measure every sequence's intensity limits once."""
        return with_intensity_limits(study, spec.patches)

    def inputs(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, pose: PatchPose | None = None
    ) -> tuple[LesionInput, ...]:
        """Crop one lesion out of every sequence."""
        if lesion_id is None:
            raise PatchError(f"Study {study.id} has no lesion to crop; segment one.")
        return (extract_patches(study, lesion_id, spec.sequences, spec.patches, pose),)

    def fits(self, given: NetworkInput, spec: ModelSpec) -> bool:
        """Whether patches have the model's sequences and size."""
        size = spec.patches.size
        return super().fits(given, spec) and given.arrays()[0].shape[1:] == (2, size, size, size)

    def pictures(self, given: NetworkInput) -> np.ndarray | None:
        """The images of the patches."""
        return given.arrays()[0][:, 0]

    def network(self, spec: ModelSpec, *, device: str = "cpu") -> MultitaskResNet3D:
        """Build the multitask ResNet-18."""
        from LiverLesionAI.networks.building import built_on
        from LiverLesionAI.networks.resnet3d import Head, MultitaskResNet3D

        heads = {
            name: Head(len(TAXONOMIES[task.taxonomy].classes), task.fused)
            for name, task in spec.tasks.items()
        }
        size = spec.network
        with built_on(device):
            return MultitaskResNet3D(spec.sequences, heads, width=size.width, head_hidden=size.head_hidden)

    def engines(self, spec: ModelSpec) -> tuple[str, ...]:
        """Both."""
        return ("torch", "openvino")

    def members_abreast(self, spec: ModelSpec) -> int:
        """Those that have 64 channels in their first layers together: fewer leave vectors half empty."""
        return max(1, 64 // spec.network.width)

    def input_format(self, spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """A patch of two channels for each sequence."""
        channels = ("sequence", "blurred outline of the lesion")
        image = image_format(channels, (spec.patches.size,) * 3)
        return {name: image for name in spec.sequences}


def _random_pose(rng: np.random.Generator, variants: Any, patches: PatchParameters) -> PatchPose:
    rotation = rng.uniform(-1, 1, 3) * variants.rotation_deg
    return PatchPose(
        rotation_deg=tuple(rotation.tolist()),
        scale=float(variants.scale ** rng.uniform(-1, 1)),
        shift_mm=tuple((rng.uniform(-1, 1, 3) * variants.shift_mm).tolist()),
        margin_mm=float(rng.uniform(*patches.training_margin_mm)),
    )


SYSTEM = Wang2021()
