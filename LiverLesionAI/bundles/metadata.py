"""What stands in a bundle's ``configs/metadata.json``: MONAI's keys, and ours under ``liver_lesion``.

MONAI's keys follow its schema of 2024-07-25 (``meta_schema_20240725.json``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from LiverLesionAI.inputs.patch_grid import PatchParameters
from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.taxonomy import TAXONOMIES

MONAI_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
BUNDLE_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


def _known_parameters(value: Any) -> Any:
    """Refuse misspelt patch parameters, which a dataclass would ignore."""
    if isinstance(value, dict):
        unknown = sorted(set(value) - {field.name for field in fields(PatchParameters)})
        if unknown:
            raise ValueError(f"there is no patch parameter {', '.join(unknown)}")
    return value


Patches = Annotated[PatchParameters, BeforeValidator(_known_parameters)]


class Part(BaseModel):
    """Base of every checked value: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(Part):
    """Size of the network of Wang et al. 2021.

    ``width`` is the number of channels of the first stage (64 in the paper), ``head_hidden`` the units of
    each head's hidden layer (0: one linear layer).
    """

    architecture: Literal["resnet3d"] = "resnet3d"
    width: PositiveInt = 64
    head_hidden: NonNegativeInt = 64


class Task(Part):
    """A task: its taxonomy and the sequences whose features lead its head's input."""

    taxonomy: str
    fused: tuple[str, ...] = ()

    @field_validator("taxonomy")
    @classmethod
    def _taxonomy_exists(cls, taxonomy: str) -> str:
        if taxonomy not in TAXONOMIES:
            raise ValueError(f"there is no taxonomy {taxonomy!r}")
        return taxonomy


def wang_tasks(sequences: tuple[str, ...]) -> dict[str, Task]:
    """The two tasks of Wang et al. 2021 on the sequences given (``fused2`` and ``fused7``)."""
    leading = {"malignancy": ("binary", ("T2WI", "DWI", "ADC")), "type": ("W7", ("LAP", "PVP", "DP"))}
    return {
        name: Task(taxonomy=taxonomy, fused=tuple(s for s in fused if s in sequences))
        for name, (taxonomy, fused) in leading.items()
    }


class Metric(Part):
    """A measured figure with its 95% confidence interval.

    ``cohort`` says what it was measured on, ``method`` how the interval was computed, ``n`` on how many
    lesions.
    """

    name: str
    value: float
    lower: float
    upper: float
    n: PositiveInt
    method: str
    cohort: str


class Cohort(Part):
    """What the model was trained on; no patient is identifiable from it."""

    kind: Literal["phantom", "patients"]
    description: str
    lesions: NonNegativeInt
    patients: NonNegativeInt
    classes: Mapping[str, NonNegativeInt]


class LiverLesion(Part):
    """This project's part of the metadata.

    Attributes
    ----------
    tasks
        Task to taxonomy and leading sequences.
    sequences, required_sequences
        The network's sequences in order, and those it cannot do without.
    patches
        How lesions are cropped.
    network
        The network's size.
    folds
        Weights of each fold, relative to the bundle.
    files
        Every file of the bundle but the metadata itself, to its SHA-256.
    intended_use
        ``"phantom"``: trained on phantoms, not for clinical use. ``"research"``: trained on patients, for
        research only.
    not_intended_for
        Lesions and uses that the model must not be applied to.
    training_cohort
        What it was trained on.
    metrics
        What was measured.
    choices
        What was chosen where the paper is silent.
    seed
        Seed of the training.
    """

    schema_version: Literal[1] = 1
    tasks: Mapping[str, Task]
    sequences: tuple[str, ...] = Field(min_length=1)
    required_sequences: tuple[str, ...] = ()
    patches: Patches
    network: Network
    folds: tuple[str, ...] = Field(min_length=1)
    files: Mapping[str, str] = {}
    intended_use: Literal["phantom", "research"]
    not_intended_for: tuple[str, ...] = ()
    training_cohort: Cohort
    metrics: tuple[Metric, ...] = ()
    choices: Mapping[str, str] = {}
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _sequences_fit(self) -> LiverLesion:
        unknown = [name for name in self.sequences if name not in SEQUENCES]
        if unknown:
            raise ValueError(f"there is no sequence {unknown[0]!r}")
        used = {*self.required_sequences, *(name for task in self.tasks.values() for name in task.fused)}
        if not used <= set(self.sequences):
            raise ValueError(f"{', '.join(sorted(used - set(self.sequences)))} is not among its sequences")
        return self


class BundleMetadata(BaseModel):
    """The whole of ``metadata.json``; keys that MONAI may add are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_url: str = Field(default=MONAI_SCHEMA, alias="schema")
    name: str = Field(pattern=BUNDLE_NAME)
    version: str
    changelog: Mapping[str, str] = {}
    monai_version: str
    pytorch_version: str
    numpy_version: str
    required_packages_version: Mapping[str, str]
    task: str
    description: str
    authors: str
    copyright: str
    intended_use: str
    references: tuple[str, ...] = ()
    network_data_format: Mapping[str, Any]
    liver_lesion: LiverLesion

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def network_data_format(
    sequences: tuple[str, ...], tasks: Mapping[str, Task], size: int
) -> dict[str, dict[str, Any]]:
    """Describe the network's input, an entry per sequence, and its outputs, an entry per task, for MONAI."""
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        "num_channels": 2,
        "spatial_shape": [size] * 3,
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {"0": "sequence", "1": "blurred outline of the lesion"},
    }
    outputs = {}
    for task, spec in tasks.items():
        names = TAXONOMIES[spec.taxonomy].names
        outputs[task] = {
            "type": "probabilities",
            "format": "classes",
            "num_channels": len(names),
            "spatial_shape": [],
            "dtype": "float32",
            "value_range": [0, 1],
            "is_patch_data": True,
            "channel_def": {str(index): name for index, name in enumerate(names)},
        }
    return {"inputs": {name: image for name in sequences}, "outputs": outputs}
