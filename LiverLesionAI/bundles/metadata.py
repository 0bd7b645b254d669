"""What stands in a bundle's ``configs/metadata.json``: MONAI's keys, and ours under ``liver_lesion``.

MONAI's keys follow its schema of 2024-07-25 (``meta_schema_20240725.json``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.systems import DEFAULT, System, SystemName, known_system, system_named
from LiverLesionAI.systems.spec import Part, Task, checked_settings
from LiverLesionAI.taxonomy import TAXONOMIES

MONAI_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
BUNDLE_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


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
    system
        The paper's system (:mod:`LiverLesionAI.systems`); bundles written before there were several are
        Wang's.
    tasks
        Task to taxonomy and leading sequences.
    primary_task
        The task that is asked first; the system's by default.
    sequences, required_sequences
        The network's sequences in order, and those it cannot do without.
    patches
        How inputs are cut, of the system's ``patch_settings``.
    network
        The network's size, of the system's ``network_settings``.
    members
        Files of weights, relative to the bundle, of the networks whose answers are joined: the folds of a
        cross-validation (bundles of the first kind call them ``folds``), repeats, or one.
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
    system: SystemName = DEFAULT
    tasks: Mapping[str, Task] = Field(min_length=1)
    primary_task: str = Field(default=None, validate_default=True)
    sequences: tuple[str, ...] = Field(min_length=1)
    required_sequences: tuple[str, ...] = ()
    patches: Any
    network: Any
    members: tuple[str, ...] = Field(min_length=1, validation_alias=AliasChoices("members", "folds"))
    files: Mapping[str, str] = {}
    intended_use: Literal["phantom", "research"]
    not_intended_for: tuple[str, ...] = ()
    training_cohort: Cohort
    metrics: tuple[Metric, ...] = ()
    choices: Mapping[str, str] = {}
    seed: NonNegativeInt

    @field_validator("primary_task", mode="before")
    @classmethod
    def _primary_task_exists(cls, task: Any, info: ValidationInfo) -> Any:
        tasks = info.data.get("tasks", {})
        if task is None:
            task = known_system(info.data.get("system", DEFAULT)).primary_task
            return task if task in tasks else next(iter(tasks), "")
        if isinstance(task, str) and task not in tasks:
            raise ValueError(f"{task!r} is not among its tasks")
        return task

    @field_validator("patches", "network", mode="before")
    @classmethod
    def _settings_of_its_system(cls, value: Any, info: ValidationInfo) -> Any:
        system = known_system(info.data.get("system", DEFAULT))
        kind = system.patch_settings if info.field_name == "patches" else system.network_settings
        return checked_settings(kind, value)

    @property
    def answers(self) -> System:
        """The system that the model belongs to."""
        return system_named(self.system)

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
    inputs: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Task]
) -> dict[str, Mapping[str, Any]]:
    """Describe the network for MONAI.

    Parameters
    ----------
    inputs
        :meth:`LiverLesionAI.systems.base.System.input_format`.
    tasks
        An output each.
    """
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
    return {"inputs": inputs, "outputs": outputs}
