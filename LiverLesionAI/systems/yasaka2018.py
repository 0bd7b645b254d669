"""Yasaka et al. 2018: each lesion on one slice of up to three phases of CT, a plain CNN, five categories.

doi:10.1148/radiol.2017170706
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, NonNegativeFloat

from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.inputs.ct_slices import CTSliceParameters, extract_largest_slice
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.inputs.slice_stack import SlicePose
from LiverLesionAI.results import Unit
from LiverLesionAI.study import Study
from LiverLesionAI.systems.base import Fit, Question, System, Words
from LiverLesionAI.systems.images import image_format, lay_channels_last
from LiverLesionAI.systems.recipe import Draw, Recipe
from LiverLesionAI.systems.spec import ModelSpec, Part, Task, known_fields
from LiverLesionAI.taxonomy import TAXONOMIES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LiverLesionAI.networks.slice_network import SliceNetwork

PHASES = ("CT_PLAIN", "CT_ART", "CT_DELAY")
PUBLISHED_ACCURACY: Mapping[frozenset[str], float] = {
    frozenset(PHASES): 0.84,
    frozenset(PHASES[1:]): 0.81,
    frozenset(PHASES[:1]): 0.48,
    frozenset(PHASES[1:2]): 0.66,
    frozenset(PHASES[2:]): 0.71,
}
"""Median accuracy of the paper's five models (its Table 2); of those that fit a study the best is asked."""

TABLE_POSITIONS = (0, 1, -1, 2, -2)
"""Slices that a lesion's variants are cut at, in table steps from the one of its largest diameter."""
TASK, TAXONOMY = "type", "Y5"


class Network(Part):
    """Size of the network.

    Attributes
    ----------
    width
        Channels of the first two convolutions; the next pairs have two and four times as many, the dense
        layers eight and four times.
    dropout
        Probability with which a feature of the dense layers is left out in training.
    """

    architecture: Literal["ct_cnn"] = "ct_cnn"
    width: Annotated[int, Field(ge=1, le=256)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5


class Augmentation(Part):
    """What is varied each time a set is shown.

    Attributes
    ----------
    noise
        Largest standard deviation of Gaussian noise, drawn for each phase; 1 is the width of its window.
    phase_dropout
        Probability with which each phase is treated as missing, which is what explanations compare with.
    """

    noise: NonNegativeFloat = 0.04
    phase_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05


class YasakaRecipe(Recipe):
    """Sets made once, turned, shifted and strongly enlarged, at up to five table positions; noise online."""

    truths = TAXONOMY
    augmentation_settings = Augmentation
    says_present = True
    most_lesions = 7
    """Of a patient, as in the paper."""

    def poses(self, rng: np.random.Generator, variants: Any, patches: CTSliceParameters) -> list[SlicePose]:
        """Draw sets in turns of four: turned, shifted, strongly enlarged, shifted and a little enlarged.

        All are turned by up to the third angle of ``rotation_deg``; the table moves on after each turn.
        """
        return [_pose(rng, number, variants, patches) for number in range(variants.count)]

    def packed(self, variants: Sequence[NetworkInput]) -> np.ndarray:
        """Bytes; see :mod:`LiverLesionAI.inputs.slice_batches`."""
        from LiverLesionAI.inputs.slice_batches import packed_images

        return packed_images([given.slices.images[0] for given in variants if isinstance(given, SliceGroup)])

    def batch(
        self,
        cases: Sequence[np.ndarray],
        present: Sequence[tuple[bool, ...]],
        draws: Sequence[Draw],
        augmentation: Augmentation | None,
    ) -> tuple[Tensor, ...]:
        """Images ``[B, phase, y, x]`` and which phases are there ``[B, phase]``."""
        from LiverLesionAI.inputs.slice_batches import batch_of_images

        return batch_of_images(cases, present, draws, augmentation)

    def begin(self, network: nn.Module, *, shared_kernels: bool) -> None:
        """Lay kernels out channels last."""
        lay_channels_last(network)

    def choices(self, spec: ModelSpec, config: Any) -> dict[str, str]:
        """Slice, windows, widths and augmentation, in words."""
        patches, variants, augmentation = spec.patches, config.variants, config.augmentation
        plain, enhanced = patches.plain_window, patches.enhanced_window
        return {
            "slice": (
                "through the lesion's largest axial diameter; a square around it with "
                f"{patches.margin_mm:g} mm on each side, {patches.smallest_side_mm:g} mm at least, "
                f"{patches.size} pixels a side (the paper: by hand, with other organs in 90 of 100)"
            ),
            "window level / width": (
                f"{plain[0]:g}/{plain[1]:g} HU unenhanced, {enhanced[0]:g}/{enhanced[1]:g} HU enhanced; 8 bit"
            ),
            "width of the network": (
                f"{spec.network.width}, {2 * spec.network.width} and {4 * spec.network.width} channels, "
                f"dense layers of {8 * spec.network.width} and {4 * spec.network.width}, dropout "
                f"{spec.network.dropout:g} before each"
            ),
            "augmentation": (
                f"×{variants.count}: a quarter turned, a quarter shifted by up to {variants.shift_mm:g} mm, "
                f"a quarter enlarged up to {variants.scale:g} times, a quarter shifted and a little "
                f"enlarged; all turned by up to {variants.rotation_deg[2]:g}°, at {len(TABLE_POSITIONS)} "
                f"table positions {patches.table_step_mm:g} mm apart; noise of up to "
                f"{augmentation.noise:g} of the window"
            ),
            "missing phases": (
                "a channel of the middle intensity, for explanations; each is left out with probability "
                f"{augmentation.phase_dropout:g} in training"
            ),
        }


class Yasaka2018(System):
    """Each lesion on one slice of CT: five categories."""

    name = "yasaka2018"
    unit: Unit = "lesion"
    sequences = PHASES
    primary_task = TASK
    patch_settings: Any = Annotated[CTSliceParameters, BeforeValidator(known_fields(CTSliceParameters))]
    network_settings = Network
    explanations = ("grad-cam", "input-gradient")
    recipe = YasakaRecipe()
    questions = (Question(TASK),)
    runs_units_together = True
    words = Words(
        title="Yasaka et al. 2018",
        task="Classification of liver masses on dynamic CT",
        description=(
            "A plain CNN on the slice of a liver mass's largest diameter with a channel per CT phase, five "
            "categories (Yasaka et al. 2018)."
        ),
        references=("Yasaka K et al. Radiology 2018;286:887-896. doi:10.1148/radiol.2017170706",),
        not_intended_for=(
            "treated lesions",
            "images with prominent artefacts",
            "patients younger than 20 years",
        ),
    )

    def tasks(self, sequences: tuple[str, ...], network: Network) -> dict[str, Task]:
        """Which of the five categories."""
        return {TASK: Task(taxonomy=TAXONOMY)}

    def fit(self, spec: ModelSpec, study: Study) -> Fit:
        """A model needs all of its phases; of those that fit, the most accurate one of the paper is best."""
        missing = [name for name in spec.sequences if name not in study.images]
        if missing:
            return Fit(None, f"{', '.join(missing)} missing")
        published = PUBLISHED_ACCURACY.get(frozenset(spec.sequences), 0.0)
        reason = f"reads {', '.join(spec.sequences)}"
        if published:
            reason += f": of the models that fit, the most accurate one in the paper ({published:g})"
        if "CT_PORTAL" in study.images and "CT_PORTAL" not in spec.sequences:
            reason += "; CT_PORTAL was left out, no model of the paper reads it"
        return Fit((round(100 * published), len(spec.sequences)), reason)

    def inputs(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, pose: SlicePose | None = None
    ) -> tuple[NetworkInput, ...]:
        """Cut the slice of the lesion's largest diameter.

        Raises
        ------
        StudyError
            If nothing is segmented.
        PatchError
            If a phase that the model reads does not show the lesion.
        """
        return self.variants(study, lesion_id, spec, (pose,))[0]

    def variants(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, poses: Sequence[SlicePose | None]
    ) -> list[tuple[NetworkInput, ...]]:
        """Cut the slice in several poses, the lesion being measured once."""
        assert lesion_id is not None
        name = study.lesion_name(lesion_id)
        cut = extract_largest_slice(study, lesion_id, spec.sequences, spec.patches, poses)
        return [(SliceGroup(slices, 0, name),) for slices in cut]

    def fits(self, given: NetworkInput, spec: ModelSpec) -> bool:
        """Whether a slice has the model's phases and size."""
        return super().fits(given, spec) and given.arrays()[0].shape[1:] == (spec.patches.size,) * 2

    def pictures(self, given: NetworkInput) -> np.ndarray | None:
        """The slice on all phases."""
        return given.arrays()[0]

    def network(self, spec: ModelSpec, *, device: str = "cpu") -> SliceNetwork:
        """Build the CNN."""
        from LiverLesionAI.networks.building import built_on
        from LiverLesionAI.networks.ct_cnn import CtCnn
        from LiverLesionAI.networks.slice_network import SliceNetwork

        with built_on(device):
            image = CtCnn(
                len(spec.sequences),
                len(TAXONOMIES[TAXONOMY]),
                size=spec.patches.size,
                width=spec.network.width,
                dropout=spec.network.dropout,
            )
            return SliceNetwork(image, TASK, (0.5, 0.5))

    def engines(self, spec: ModelSpec) -> tuple[str, ...]:
        """Both."""
        return ("torch", "openvino")

    def input_format(self, spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """An image with a channel per phase."""
        return {"slice": image_format(spec.sequences, (spec.patches.size,) * 2, modality="CT")}


def _pose(rng: np.random.Generator, number: int, variants: Any, patches: CTSliceParameters) -> SlicePose:
    kind, turn = number % 4, number // 4
    x, y = rng.uniform(-1, 1, 2) * variants.shift_mm * (kind in (1, 3))
    strongest = {2: 1.0, 3: 0.4}.get(kind, 0.0)
    table = TABLE_POSITIONS[turn % len(TABLE_POSITIONS)] * patches.table_step_mm
    return SlicePose(
        rotation_deg=float(rng.uniform(-1, 1) * variants.rotation_deg[2]),
        scale=float(variants.scale ** (strongest * rng.uniform(0.2, 1))),
        shift_mm=(float(x), float(y), float(table)),
    )


SYSTEM = Yasaka2018()
