"""Zhen et al. 2020: whole patients on 2D cross-sections of their lesions, with what else is known of them.

Seven models of one system (A–G of the paper): six or three sequences, which question is asked, whether
clinical data are read. doi:10.3389/fonc.2020.00680
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, NonNegativeFloat

from LiverLesionAI.errors import ConfigError, PatchError
from LiverLesionAI.inputs.appearance import Pictures
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.inputs.clinical import CODE_LENGTH, coded_patient
from LiverLesionAI.inputs.intensity import with_intensity_limits
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.inputs.slice_stack import SlicePose
from LiverLesionAI.inputs.slices import SliceParameters, extract_slices
from LiverLesionAI.results import Unit
from LiverLesionAI.study import Study, labels_in
from LiverLesionAI.systems.base import Fit, Question, System, Words
from LiverLesionAI.systems.images import image_format, lay_channels_last
from LiverLesionAI.systems.recipe import Draw, Recipe
from LiverLesionAI.systems.spec import ModelSpec, Part, Task, known_fields
from LiverLesionAI.taxonomy import TAXONOMIES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LiverLesionAI.networks.slice_network import SliceNetwork

SEQUENCES = ("T2WI", "DWI", "T1WI", "LAP", "PVP", "DP")

QUESTIONS: Mapping[str, str] = {"type": "Z7", "malignancy": "binary", "malignant_type": "Z3"}
"""What a model is asked, to the taxonomy of its answer."""


_IMAGE = "image."
"""Begins the names of the weights of the part that sees images."""


class Network(Part):
    """What a network is asked and how large it is.

    Attributes
    ----------
    asks
        One of :data:`QUESTIONS`: which of seven classes (models A, B), benign or malignant (C, D), or which
        of three malignant classes (E, F, G).
    clinical
        Whether clinical data join the features of an image (F, G).
    width
        Factor of all channels; 1 in the paper.
    dropout
        Probability with which a feature is left out in training.
    mean, sd
        What is subtracted from intensities in [0, 1], and what they are then divided by; the weights
        published for ImageNet expect 0.5 and 0.5.
    """

    architecture: Literal["inception_resnet_v2"] = "inception_resnet_v2"
    asks: Literal["type", "malignancy", "malignant_type"] = "type"
    clinical: bool = False
    width: Annotated[float, Field(ge=1 / 32, le=2)] = 1.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    mean: Annotated[float, Field(ge=0, le=1)] = 0.5
    sd: Annotated[float, Field(ge=0.01, le=10)] = 0.5


class Augmentation(Part):
    """Online augmentation; every range is symmetric, in units of the [0, 1] intensity where it has one.

    Attributes
    ----------
    flip
        Probability of a flip left to right, and of one front to back.
    gain, gamma
        Largest factor and exponent; drawn log-uniformly for each sequence.
    offset
        Largest offset, drawn for each sequence.
    noise
        Largest standard deviation of Gaussian noise, drawn for each sequence.
    sequence_dropout
        Probability with which each sequence is treated as missing.
    field_dropout
        Probability with which each clinical field is treated as unknown.
    clinical_dropout
        Probability with which all of them are.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    gain: Annotated[float, Field(ge=1)] = 1.15
    gamma: Annotated[float, Field(ge=1)] = 1.2
    offset: NonNegativeFloat = 0.04
    noise: NonNegativeFloat = 0.02
    sequence_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    field_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clinical_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25


class ZhenRecipe(Recipe):
    """Slices made once with turned, scaled, sheared, shifted variants; flips, lighting, noise online."""

    truths = "Z7"
    augmentation_settings = Augmentation
    says_present = True

    def poses(self, rng: np.random.Generator, variants: Any, patches: SliceParameters) -> list[SlicePose]:
        """Draw sampling grids, turned by up to the third angle of ``rotation_deg``."""
        return [_random_pose(rng, variants, patches) for _ in range(variants.count)]

    def packed(self, variants: Sequence[NetworkInput]) -> np.ndarray:
        """A row of bytes for each variant; see :mod:`LiverLesionAI.inputs.slice_batches`."""
        from LiverLesionAI.inputs.slice_batches import packed

        groups = [given for given in variants if isinstance(given, SliceGroup)]
        return packed([group.slices.images[group.index] for group in groups], groups[0].patient.codes)

    def batch(
        self,
        cases: Sequence[np.ndarray],
        present: Sequence[tuple[bool, ...]],
        draws: Sequence[Draw],
        augmentation: Augmentation | None,
    ) -> tuple[Tensor, ...]:
        """Images ``[B, C, H, W]``, which sequences are there ``[B, C]``, clinical codes ``[B, K]``."""
        from LiverLesionAI.inputs.slice_batches import batch

        return batch(cases, present, draws, augmentation)

    def begin(self, network: nn.Module, *, shared_kernels: bool) -> None:
        """Lay kernels out channels last."""
        lay_channels_last(network)

    def choices(self, spec: ModelSpec, config: Any) -> dict[str, str]:
        """Slices, intensities, clinical data and augmentation, in words."""
        patches, variants, augmentation = spec.patches, config.variants, config.augmentation
        lower, upper = patches.percentiles
        read = "read, one-hot with *unknown* for every field" if spec.network.clinical else "not read"
        return {
            "question": f"{spec.network.asks} ({QUESTIONS[spec.network.asks]})",
            "region of interest": (
                f"a square around the lesion's box with {patches.margin_mm:g} mm on each side, "
                f"{patches.smallest_side_mm:g} mm at least, {patches.size} pixels a side (the paper: 299)"
            ),
            "cross-sections": f"{patches.slice_spacing_mm:g} mm apart, the answers of all lesions' summed",
            "intensity to [0, 1]": (
                f"percentiles {lower} and {upper} of the whole volume"
                if patches.intensity == "percentile"
                else "minimum and maximum of the whole volume"
            ),
            "what is unlike the training": (
                "told by the square that the network sees"
                if patches.surroundings_mm is None
                else f"told by a square of {patches.surroundings_mm:g} mm around the lesion"
            ),
            "width of the network": f"{spec.network.width:g} of the published one",
            "clinical data": read,
            "augmentation": (
                f"turned by up to {variants.rotation_deg[2]:g}° (the paper: 40°), scaled by up to "
                f"{variants.scale:g}, sheared by up to {patches.training_shear_deg:g}°, shifted by up to "
                f"{variants.shift_mm:g} mm; {variants.count} variants of each slice made once; flips with "
                f"probability {augmentation.flip:g}, lighting and noise online"
            ),
            "missing sequences": (
                "a channel of the middle intensity; each sequence is left out with probability "
                f"{augmentation.sequence_dropout:g} in training"
            ),
        }


class Zhen2020(System):
    """Each patient on 2D cross-sections of all lesions: type, malignancy, or type of malignancy."""

    name = "zhen2020"
    unit: Unit = "study"
    sequences = SEQUENCES
    primary_task = "type"
    patch_settings: Any = Annotated[SliceParameters, BeforeValidator(known_fields(SliceParameters))]
    network_settings = Network
    explanations = ("input-gradient", "grad-cam")
    recipe = ZhenRecipe()
    questions = (
        Question("malignancy"),
        Question("malignant_type", after=("malignancy", "malignant")),
        Question("type"),
    )
    words = Words(
        title="Zhen et al. 2020",
        task="Classification of patients with liver tumours on multisequence MRI and clinical data",
        description=(
            "Inception-ResNet V2 on 2D cross-sections of a patient's liver lesions with a channel per MRI "
            "sequence, joined by clinical data in two of its seven models (Zhen et al. 2020)."
        ),
        references=("Zhen S-H et al. Front Oncol 2020;10:680. doi:10.3389/fonc.2020.00680",),
        not_intended_for=("inflammatory lesions", "treated lesions"),
    )

    def tasks(self, sequences: tuple[str, ...], network: Network) -> dict[str, Task]:
        """The one question of a network."""
        return {network.asks: Task(taxonomy=QUESTIONS[network.asks])}

    def fit(self, spec: ModelSpec, study: Study) -> Fit:
        """Prefer six sequences to three, and clinical data, where they are at hand, to none."""
        found = super().fit(spec, study)
        if found.rank is None or not spec.network.clinical:
            return found
        if not coded_patient(study.clinical).known:
            return Fit(None, "no clinical data are known")
        return Fit((len(spec.sequences), 1), f"{found.reason} and clinical data")

    def reads_clinical(self, spec: ModelSpec) -> bool:
        """Models F and G do."""
        return bool(spec.network.clinical)

    def prepared(self, study: Study, spec: ModelSpec) -> Study:
        """Measure every sequence's intensity limits once."""
        return with_intensity_limits(study, spec.patches)

    def inputs(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, pose: SlicePose | None = None
    ) -> tuple[NetworkInput, ...]:
        """Cut the cross-sections of every lesion that a sequence shows.

        Raises
        ------
        StudyError
            If nothing is segmented, or the clinical data that the network reads cannot be used.
        PatchError
            If no sequence shows any of the lesions.
        """
        groups: list[SliceGroup] = []
        failures: list[PatchError] = []
        for label in labels_in(study.outlined_lesions):
            try:
                slices = extract_slices(study, label, spec.sequences, spec.patches, pose)
            except PatchError as error:
                failures.append(error)
                continue
            name, reads = study.lesion_name(label), spec.network.clinical
            for index in range(slices.stack.count):
                groups.append(SliceGroup(slices, index, name, study.clinical, reads))
        if not groups:
            empty = PatchError(f"The lesion mask of study {study.id} is empty; segment a lesion.")
            raise failures[0] if failures else empty
        if spec.network.clinical:
            coded_patient(study.clinical)
        return tuple(groups)

    def fits(self, given: NetworkInput, spec: ModelSpec) -> bool:
        """Whether slices have the model's sequences and size."""
        return super().fits(given, spec) and given.arrays()[0].shape[1:] == (spec.patches.size,) * 2

    def pictures(self, given: NetworkInput) -> np.ndarray | None:
        """The cross-section on all sequences."""
        return given.arrays()[0]

    def surroundings(self, given: NetworkInput) -> Pictures | None:
        """Wider pictures of the cross-section where the model's settings ask for them."""
        if isinstance(given, SliceGroup) and given.slices.surroundings:
            return given.slices.surroundings[given.index]
        return None

    def network(self, spec: ModelSpec, *, device: str = "cpu") -> SliceNetwork:
        """Build the Inception-ResNet V2."""
        from LiverLesionAI.networks.building import built_on
        from LiverLesionAI.networks.inception_resnet_v2 import InceptionResNetV2
        from LiverLesionAI.networks.slice_network import SliceNetwork

        settings = spec.network
        ((task, its),) = spec.tasks.items()
        with built_on(device):
            image = InceptionResNetV2(
                len(spec.sequences),
                len(TAXONOMIES[its.taxonomy].classes),
                clinical=CODE_LENGTH if settings.clinical else 0,
                width=settings.width,
                dropout=settings.dropout,
            )
            return SliceNetwork(image, task, (settings.mean, settings.sd))

    def check_start(self, spec: ModelSpec, source: ModelSpec | None) -> None:
        """Let pass published weights for a network of full width, and every model of the same width.

        Its sequences must be among those of the model that it starts from; the last layer begins anew where
        the question or what is read of the patient differs.
        """
        if source is None:
            if spec.network.width != 1:
                raise ConfigError("Published weights are of a network of width 1; choose that width.")
            return
        if source.network.width != spec.network.width:
            raise ConfigError("it has a network of another width than the run; give both the same.")
        if not set(spec.sequences) <= set(source.sequences):
            raise ConfigError(f"it does not read {', '.join(spec.sequences)}; choose one that does.")

    def start(
        self, network: nn.Module, spec: ModelSpec, weights: Mapping[str, Tensor], source: ModelSpec | None
    ) -> Mapping[str, Tensor]:
        """Return the state of a network that begins with published weights or those of another model."""
        from LiverLesionAI.networks.inception_resnet_v2 import CLASSIFIER, FIRST_LAYER, published_start

        if source is None:
            image = published_start(network.image, weights)  # type: ignore[arg-type]
            return {f"{_IMAGE}{name}": tensor for name, tensor in image.items()}
        own, state = network.state_dict(), dict(weights)
        channels = [source.sequences.index(name) for name in spec.sequences]
        state[_IMAGE + FIRST_LAYER] = weights[_IMAGE + FIRST_LAYER][:, channels]
        if (source.network.asks, source.network.clinical) != (spec.network.asks, spec.network.clinical):
            last = [name for name in own if name.startswith(f"{_IMAGE}{CLASSIFIER}.")]
            state.update({name: own[name] for name in last})
        return state

    def engines(self, spec: ModelSpec) -> tuple[str, ...]:
        """Both."""
        return ("torch", "openvino")

    def input_format(self, spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """An image with a channel per sequence, and the clinical codes where they are read."""
        image = image_format(spec.sequences, (spec.patches.size,) * 2)
        codes = {
            "type": "tuples",
            "format": "classes",
            "num_channels": CODE_LENGTH,
            "spatial_shape": [],
            "dtype": "float32",
            "value_range": [0, 1],
            "is_patch_data": False,
            "channel_def": {"0": "one-hot codes of the clinical fields"},
        }
        return {"slice": image, "clinical": codes} if spec.network.clinical else {"slice": image}


def _random_pose(rng: np.random.Generator, variants: Any, patches: SliceParameters) -> SlicePose:
    x, y, z = (rng.uniform(-1, 1, 3) * variants.shift_mm).tolist()
    return SlicePose(
        rotation_deg=float(rng.uniform(-1, 1) * variants.rotation_deg[2]),
        scale=float(variants.scale ** rng.uniform(-1, 1)),
        shear_deg=float(rng.uniform(-1, 1) * patches.training_shear_deg),
        shift_mm=(x, y, float(np.clip(z, -patches.slice_spacing_mm / 2, patches.slice_spacing_mm / 2))),
    )


SYSTEM = Zhen2020()
