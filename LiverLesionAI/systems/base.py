"""The contract of a system: what one paper does between a study and its answer.

How its networks learn is a part of its own (:mod:`LiverLesionAI.systems.recipe`).
Everything outside of :mod:`LiverLesionAI.systems` asks a bundle for its system and knows no paper by name. A
system is one module; :func:`LiverLesionAI.systems.system_named` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import TypeAdapter

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.inputs.appearance import Pictures
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.results import Unit
from LiverLesionAI.systems.recipe import Recipe
from LiverLesionAI.systems.spec import ModelSpec, Task
from LiverLesionAI.taxonomy import Taxonomy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LiverLesionAI.networks.heads import Heads
    from LiverLesionAI.study import Study


class SystemNetwork(Protocol):
    """The two halves of every network, as modules of torch.

    ``features`` may run in reduced precision, ``logits`` runs in float32.
    """

    def features(self, *inputs: Tensor) -> Tensor:
        """Run a batch of :meth:`NetworkInput.arrays` up to the features: ``[B, …]``, float32."""

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Run the heads: task to ``[B, classes]``, before softmax."""


def outputs(network: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Run a :class:`SystemNetwork` from inputs to logits."""
    logits: dict[str, Tensor] = network.logits(network.features(*inputs))  # type: ignore[operator]
    return logits


class BranchNetwork(SystemNetwork, Protocol):
    """A network with a branch per sequence whose features stand side by side: what explanations work on.

    Attributes
    ----------
    sequences
        In the order of the branches.
    """

    sequences: tuple[str, ...]

    def branch_features(self, index: int, x: Tensor) -> Tensor:
        """Run one branch: a batch of its patches to ``[B, F]``, float32."""

    def cells(self, index: int, x: Tensor, stage: str) -> Tensor:
        """Run one branch up to the end of a stage, to ``[B, C, d, h, w]``."""

    def cells_beside_even(self, index: int, x: Tensor, level: Tensor, stage: str) -> Tensor:
        """As `cells` of a patch ``[1, …]``, and of the same with an even image: ``[2, C, d, h, w]``."""

    def features_of_cells(self, index: int, found: Tensor, stage: str) -> Tensor:
        """Run the rest of a branch, from cells to ``[B, F]``."""

    def heads_as_arrays(self) -> Heads:
        """The heads, and what stands for absent sequences."""


@dataclass(frozen=True)
class Words:
    """What a system says about itself, on model cards and in the panel.

    Attributes
    ----------
    title
        The paper, in short.
    task
        What the models do.
    description
        In one sentence.
    references
        The papers.
    not_intended_for
        Lesions and uses that the paper excluded.
    """

    title: str
    task: str
    description: str
    references: tuple[str, ...]
    not_intended_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """One of the questions that a system's models answer together.

    Attributes
    ----------
    task
        Its task.
    after
        Task and class of an earlier answer that it is asked after; None where it is always asked.
    """

    task: str
    after: tuple[str, str] | None = None


@dataclass(frozen=True)
class Fit:
    """How well a model fits what is known of a study.

    Attributes
    ----------
    rank
        Of several models the one of the highest rank is asked; None where this one cannot be.
    reason
        What speaks for the model, or against it, in words.
    """

    rank: tuple[int, int] | None
    reason: str


class System(ABC):
    """What one paper does between a study and its answer.

    Attributes
    ----------
    name
        As in bundles and configurations.
    words
        What it says about itself.
    unit
        What gets an answer: each lesion, the study, or each slice.
    sequences
        The paper's sequences, the default of a configuration.
    primary_task
        The task that is asked first; readers decide about it, class maps and colours show it.
    patch_settings, network_settings
        Types of the settings of inputs and network; unknown keys and wrong values raise ValueError.
    explanations
        Methods of :data:`LiverLesionAI.explanation.settings.METHODS` that it offers, the default first; its
        networks are then :class:`BranchNetwork`, and :meth:`inputs` gives one
        :class:`~LiverLesionAI.inputs.patches.LesionInput` per lesion.
    stages
        Stages of its branches that maps can be taken at, to the voxels of the patch per cell, the default
        first.
    recipe
        How its networks learn.
    questions
        Where models of it answer different questions: what is asked, in order, when the system is asked by
        its name.
    runs_units_together
        Whether several units share a batch on a processor. Small images take half the time so; the last
        digits of a unit's numbers then depend on which units are beside it.
    """

    name: str
    words: Words
    unit: Unit
    sequences: tuple[str, ...]
    primary_task: str
    patch_settings: type[Any]
    network_settings: type[Any]
    explanations: tuple[str, ...] = ()
    stages: Mapping[str, int] = MappingProxyType({})
    recipe: Recipe
    questions: tuple[Question, ...] = ()
    runs_units_together: bool = False

    @abstractmethod
    def tasks(self, sequences: tuple[str, ...], network: Any) -> dict[str, Task]:
        """The tasks of a network that reads the sequences given and has the settings given."""

    @abstractmethod
    def inputs(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, pose: Any = None
    ) -> tuple[NetworkInput, ...]:
        """Cut what the network reads out of a study.

        Parameters
        ----------
        study
            As :meth:`prepared` gives it.
        lesion_id
            The lesion; None where the unit is the study or the slice.
        spec
            The model.
        pose
            One of :meth:`Recipe.poses`, for training.

        Returns
        -------
        tuple of NetworkInput
            The groups whose answers are joined (:meth:`joined`), or one input per slice where that is the
            unit.

        Raises
        ------
        PatchError
            If it cannot be cut; other units of the study are unaffected.
        StudyError
            If the study cannot be used at all.
        """

    def variants(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, poses: Sequence[Any]
    ) -> list[tuple[NetworkInput, ...]]:
        """Cut what the network reads in several poses; see :meth:`inputs`."""
        return [self.inputs(study, lesion_id, spec, pose) for pose in poses]

    @abstractmethod
    def network(self, spec: ModelSpec, *, device: str = "cpu") -> nn.Module:
        """Build a :class:`SystemNetwork`; on device ``"meta"`` without memory or random numbers."""

    @abstractmethod
    def input_format(self, spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """Describe the network's inputs by name, in MONAI's words (``network_data_format``)."""

    def engines(self, spec: ModelSpec) -> tuple[str, ...]:
        """Engines that can run a model's networks; see :mod:`LiverLesionAI.inference.engines`."""
        return ("torch",)

    def members_abreast(self, spec: ModelSpec) -> int:
        """How many members an engine may run side by side on the same input."""
        return 1

    def fit(self, spec: ModelSpec, study: Study) -> Fit:
        """Say how well a model fits a study: it must have what the model cannot do without."""
        missing = [name for name in spec.required_sequences if name not in study.images]
        if missing:
            return Fit(None, f"{', '.join(missing)} missing")
        at_hand = sum(name in study.images for name in spec.sequences)
        if not at_hand:
            return Fit(None, "none of its sequences is at hand")
        return Fit((len(spec.sequences), 0), f"{at_hand} of {len(spec.sequences)} sequences")

    def reads_clinical(self, spec: ModelSpec) -> bool:
        """Whether a model reads clinical data beside images."""
        return False

    def prepared(self, study: Study, spec: ModelSpec) -> Study:
        """Return the study with what is measured once for all of its units, as ``spec.patches`` asks for."""
        return study

    def fits(self, given: NetworkInput, spec: ModelSpec) -> bool:
        """Whether an input was cut for a model."""
        return given.sequences == spec.sequences

    def joined(self, probabilities: np.ndarray) -> np.ndarray:
        """Join the groups of a unit: ``[members, groups, classes]`` to ``[members, classes]``; their mean."""
        return probabilities[:, 0] if probabilities.shape[1] == 1 else probabilities.mean(axis=1)

    def pictures(self, given: NetworkInput) -> np.ndarray | None:
        """Pictures of an input in [0, 1] with the lesion in their middle, ``[sequence, (z,) y, x]``.

        What is unlike the training is told by them too; None where an input shows no lesion.
        """
        return None

    def surroundings(self, given: NetworkInput) -> Pictures | None:
        """Wider pictures, which show whether a liver is around the lesion; None where there are none."""
        return None

    def check_start(self, spec: ModelSpec, source: ModelSpec | None) -> None:
        """Refuse to start a network with other weights than those of the same sequences and network.

        Parameters
        ----------
        spec
            The network that is to learn.
        source
            The one whose weights it starts with; None for published weights.

        Raises
        ------
        ConfigError
            Saying what does not fit.
        """
        if source is None:
            raise ConfigError(f"System {self.name} starts from no published weights; name a bundle.")
        if (source.sequences, source.network) != (spec.sequences, spec.network):
            raise ConfigError("it has other sequences or another network than the run; give both the same.")

    def start(
        self, network: nn.Module, spec: ModelSpec, weights: Mapping[str, Tensor], source: ModelSpec | None
    ) -> Mapping[str, Tensor]:
        """Return the state that a network starts with, made of weights that :meth:`check_start` let pass."""
        return weights

    def parameters(self, spec: ModelSpec) -> dict[str, Any]:
        """Settings of the inputs, for the provenance of a result."""
        return {"patches": TypeAdapter(type(spec.patches)).dump_python(spec.patches)}


def can_label(truths: Taxonomy, truth: str, taxonomy: Taxonomy) -> bool:
    """Whether a class of one taxonomy has a position in another, by name or by being malignant.

    Benign lesions have none among the malignant classes.
    """
    return truth in taxonomy.names or taxonomy.name == "binary"


def label_of(truths: Taxonomy, truth: str, taxonomy: Taxonomy) -> int:
    """Position of a class of one taxonomy in another: by name, else by being malignant.

    Raises
    ------
    ConfigError
        If neither taxonomy knows the class, or it is neither benign nor malignant by itself.
    """
    if truth in taxonomy.names:
        return taxonomy.index(truth)
    malignant = truths.classes[truths.index(truth)].malignant
    if malignant is None:
        raise ConfigError(f"Class {truth} mixes benign and malignant lesions and has no label for that task.")
    return taxonomy.index("malignant" if malignant else "benign")
