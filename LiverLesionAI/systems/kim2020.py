"""Kim et al. 2020: every slice of the hepatobiliary phase, with HCC or without, and where it is.

Nothing is outlined and nothing is cropped: the whole slice goes in. Since the network ends in global average
pooling, its class activation map is exact and costs nothing.

References
----------
Kim J, Min JH, Kim SK, Shin S-Y, Lee MW. Detection of hepatocellular carcinoma in contrast-enhanced magnetic
resonance imaging using deep learning classifier: a multi-center retrospective study. Sci Rep 2020;10:9458.
doi:10.1038/s41598-020-65875-4
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from LiverLesionAI.errors import ConfigError, StudyError
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.inputs.series import SeriesParameters, WholeSlice, lesion_areas, whole_slices
from LiverLesionAI.results import Unit
from LiverLesionAI.study import Study
from LiverLesionAI.systems.base import System, Words
from LiverLesionAI.systems.images import image_format, lay_channels_last
from LiverLesionAI.systems.recipe import Draw, Recipe
from LiverLesionAI.systems.spec import ModelSpec, Part, Task, known_fields
from LiverLesionAI.taxonomy import TAXONOMIES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LiverLesionAI.networks.hbp_cnn import SliceDetector

TASK, FOUND, NOT_FOUND = "presence", "HCC", "no_HCC"

Width = Annotated[int, Field(ge=1, le=2048)]
Stage = Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]


class Network(Part):
    """How the network is built.

    Attributes
    ----------
    architecture
        ``"plain"`` is the paper's; the others are those that it compares with.
    stages
        Channels of each convolution of each stage; a pooling lies between stages. Of ``"plain"`` alone, as
        the rest is.
    kernel
        Side of the kernels.
    batch_norm, dropout, activation
        What follows each convolution.
    """

    architecture: Literal["plain", "resnet50", "alexnet", "vgg16", "inception_resnet_v2"] = "plain"
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=6)] = (
        (16, 16),
        (32, 32),
        (64, 64, 64, 64),
        (96, 96),
    )
    kernel: Annotated[int, Field(ge=1, le=9)] = 2
    batch_norm: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    activation: Literal["relu", "leaky_relu", "prelu", "elu"] = "relu"


class Augmentation(Part):
    """Online augmentation of slices that show HCC, and of those alone, as in the paper's Table 6.

    Attributes
    ----------
    share
        How many of them are varied in an epoch; the others are shown as they are.
    rotation_deg
        Largest rotation, either way.
    shift
        Largest shift, as a share of the side; 10 of 320 pixels.
    zoom
        Smallest and largest.
    """

    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 90.0
    shift: Annotated[float, Field(ge=0, le=0.5)] = 10 / 320
    zoom: tuple[Annotated[float, Field(gt=0.1, le=1)], Annotated[float, Field(ge=1, lt=10)]] = (0.8, 1.2)


class KimRecipe(Recipe):
    """Whole slices as bytes; those with HCC are turned, shifted and zoomed online."""

    truths = "K2"
    augmentation_settings = Augmentation

    def poses(self, rng: np.random.Generator, variants: Any, patches: SeriesParameters) -> list[Any]:
        """None: a turned slice takes less time than reading it from disk."""
        return []

    def truths_of(
        self, study: Study, groups: Sequence[NetworkInput], truth: str, spec: ModelSpec
    ) -> list[str | None]:
        """HCC where a patient with HCC has an outline on the slice; slices that are left out have none.

        Raises
        ------
        StudyError
            If a patient with HCC has no outline on any slice: all would be learned as free of it.
        """
        slices = [given for given in groups if isinstance(given, WholeSlice)]
        areas = lesion_areas(study, slices[0].series) if truth == FOUND else np.zeros(len(slices))
        if truth == FOUND and not areas.any():
            raise StudyError(
                f"Study {study.id} has HCC, but none is outlined on {slices[0].series.sequence}; outline it, "
                "or leave the study out."
            )
        shows = areas > 0
        learned = np.where(
            shows,
            areas >= spec.patches.training_least_mm2,
            np.arange(len(slices)) % spec.patches.training_step == 0,
        )
        names = np.where(shows, FOUND, NOT_FOUND).tolist()
        return [name if keep else None for name, keep in zip(names, learned, strict=True)]

    def packed(self, variants: Sequence[NetworkInput]) -> np.ndarray:
        """Bytes ``[1, y, x]``, 255 for 1."""
        return np.stack([np.rint(255 * given.arrays()[0][0]).astype(np.uint8) for given in variants])

    def batch(
        self,
        cases: Sequence[np.ndarray],
        present: Sequence[tuple[bool, ...]],
        draws: Sequence[Draw],
        augmentation: Augmentation | None,
    ) -> tuple[Tensor, ...]:
        """Slices ``[B, 1, H, W]``."""
        from LiverLesionAI.inputs.series_batches import batch

        found = TAXONOMIES[self.truths].index(FOUND)
        return (batch(cases, [draw if draw.labels == (found,) else None for draw in draws], augmentation),)

    def begin(self, network: nn.Module, *, shared_kernels: bool) -> None:
        """Lay kernels out channels last."""
        lay_channels_last(network)

    def choices(self, spec: ModelSpec, config: Any) -> dict[str, str]:
        """Slices, network and augmentation, in words."""
        patches, network, augmentation = spec.patches, spec.network, config.augmentation
        lower, upper = patches.percentiles
        layers = "; ".join(" ".join(map(str, stage)) for stage in network.stages)
        side = network.kernel
        plain = f"channels {layers} with a 2×2 max-pooling at each semicolon, kernels {side}×{side}"
        return {
            "slices": (
                f"{patches.size} pixels a side (the paper: 320), bicubic up and area down, a slice that is "
                "no square in the middle of one"
            ),
            "intensity to [0, 1]": (
                f"percentiles {lower} and {upper} of the whole volume"
                if patches.intensity == "percentile"
                else "minimum and maximum of the whole volume"
            ),
            "network": plain if network.architecture == "plain" else network.architecture,
            "slices learned from": (
                f"those with at least {patches.training_least_mm2:g} mm² of HCC, and every "
                f"{patches.training_step}. of those without"
            ),
            "augmentation": (
                f"of slices with HCC alone: {augmentation.share:.0%} of them in each epoch, turned by up to "
                f"{augmentation.rotation_deg:g}°, shifted by up to {augmentation.shift:.1%} of the side, "
                f"zoomed {augmentation.zoom[0]:g} to {augmentation.zoom[1]:g}"
            ),
            "operating point": f"{patches.operating_point:g}, chosen on tuning phantoms",
        }


class Kim2020(System):
    """Each slice of the hepatobiliary phase: HCC or none."""

    name = "kim2020"
    unit: Unit = "slice"
    sequences = ("HBP",)
    primary_task = TASK
    patch_settings: Any = Annotated[SeriesParameters, BeforeValidator(known_fields(SeriesParameters))]
    network_settings = Network
    recipe = KimRecipe()
    words = Words(
        title="Kim et al. 2020",
        task="Detection of hepatocellular carcinoma on hepatobiliary-phase MRI",
        description=(
            "A plain convolutional network on whole slices of the hepatobiliary phase, without outlines, "
            "whose class activation maps show candidates (Kim et al. 2020)."
        ),
        references=("Kim J et al. Sci Rep 2020;10:9458. doi:10.1038/s41598-020-65875-4",),
        not_intended_for=(
            "livers of poor function",
            "HCC that takes up the contrast agent",
            "treated lesions",
        ),
    )

    def tasks(self, sequences: tuple[str, ...], network: Network) -> dict[str, Task]:
        """The one question, asked of every slice."""
        return {TASK: Task(taxonomy="K2")}

    def inputs(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, pose: Any = None
    ) -> tuple[NetworkInput, ...]:
        """Every slice of the series.

        Raises
        ------
        StudyError
            If the series is missing or not axial.
        """
        (sequence,) = spec.sequences
        return whole_slices(study, sequence, spec.patches)

    def joined(self, probabilities: np.ndarray) -> np.ndarray:
        """A study's answer is that of its most suspicious slice, for each member."""
        found = TAXONOMIES["K2"].index(FOUND)
        most = probabilities[:, :, found].argmax(axis=1)
        return probabilities[np.arange(len(probabilities)), most]

    def fits(self, given: NetworkInput, spec: ModelSpec) -> bool:
        """Whether slices have the model's size."""
        return (
            super().fits(given, spec)
            and isinstance(given, WholeSlice)
            and given.series.size == spec.patches.size
        )

    def network(self, spec: ModelSpec, *, device: str = "cpu") -> SliceDetector:
        """Build the network, its kernels drawn after He."""
        from LiverLesionAI.networks.building import built_on
        from LiverLesionAI.networks.hbp_cnn import SliceDetector, he_initialised
        from LiverLesionAI.networks.slice_backbones import backbone

        if len(spec.sequences) != 1:
            raise ConfigError("System kim2020 reads one series; give one sequence.")
        with built_on(device):
            network = SliceDetector(*backbone(spec.network), classes=2, task=TASK)
            if device != "meta":
                he_initialised(network)
            return network

    def input_format(self, spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """A slice."""
        return {"slice": image_format(spec.sequences, (spec.patches.size,) * 2, is_patch=False)}


SYSTEM = Kim2020()
