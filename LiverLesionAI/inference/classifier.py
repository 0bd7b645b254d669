"""Classification with a bundle: the members' probabilities, their mean and their standard deviation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from LiverLesionAI.answers import GroupResult, OutOfDistribution
from LiverLesionAI.bundles import Bundle
from LiverLesionAI.errors import BundleError, StudyError
from LiverLesionAI.inference.engine import Ran, autocast_of, last_layer, load_fold, run_batches
from LiverLesionAI.inference.engines import KEPT_WEIGHTS_BYTES, engine_of, weights_bytes, with_engine
from LiverLesionAI.inference.execution import Execution, resolve_execution
from LiverLesionAI.inference.familiar import compared_unit, judged
from LiverLesionAI.inference.predictions import Predictions, TaskPrediction, UnitInputs, UnitPrediction
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import ModelSummary
from LiverLesionAI.systems import System
from LiverLesionAI.taxonomy import Taxonomy

if TYPE_CHECKING:
    import torch
    from torch import nn

GPU_BATCH = 32
CPU_BATCH = 16
"""Groups that run together on a processor. Units are run one by one unless their system says otherwise: a
lesion's numbers then do not depend on which lesions are beside it, and batches of patches would gain a fifth
at most."""


class Runner(Protocol):
    """Runs a network on inputs in batches, as :func:`LiverLesionAI.inference.engine.run_batches` does."""

    def __call__(
        self, network: nn.Module, inputs: Sequence[NetworkInput], execution: Execution, batch_size: int, /
    ) -> Ran: ...


def predict(
    bundle: Bundle,
    units: Sequence[UnitInputs],
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    progress: Progress = silent,
) -> Predictions:
    """Classify units.

    The members are the outer loop, so that one member's weights are in memory at a time.

    Parameters
    ----------
    bundle
        The model.
    units
        Lesions, slices or studies, cut with the bundle's settings and sequences.
    device, precision
        See :func:`LiverLesionAI.inference.execution.resolve_execution`.
    engine
        See :func:`LiverLesionAI.inference.engines.with_engine`.
    progress
        Told the fraction of the work that is done.

    Returns
    -------
    Predictions
        A sequence of :class:`UnitPrediction` with the device, precision and engine that were used.

    Raises
    ------
    BundleError
        If a required sequence is missing, the inputs were cut for another model, or weights are damaged.
    ConfigError
        If device, precision or engine is not possible.
    """
    classifier = Classifier(bundle, device=device, precision=precision, engine=engine)
    return classifier.predict(units, progress=progress)


class Classifier:
    """A model ready to classify.

    Parameters
    ----------
    bundle
        The model.
    device, precision
        See :func:`LiverLesionAI.inference.execution.resolve_execution`.
    engine
        See :func:`LiverLesionAI.inference.engines.with_engine`.
    keep_loaded
        Keep every member's weights in memory between calls, for many calls; a model of more than
        :data:`KEPT_WEIGHTS_BYTES` is read anew, member by member, all the same.
    run
        What runs a network on a batch.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        keep_loaded: bool = False,
        run: Runner = run_batches,
    ) -> None:
        self.bundle = bundle
        self.execution = with_engine(resolve_execution(device, precision), engine, bundle)
        self.engine = engine_of(self.execution, bundle)
        self._keep_loaded = keep_loaded and weights_bytes(bundle) <= KEPT_WEIGHTS_BYTES
        self._run_batches = run
        self._loaded: dict[int, nn.Module] = {}
        self._blank: nn.Module | None = None
        self._last: nn.Module | None = None

    @property
    def name(self) -> str:
        """Name, as in ``--model NAME``."""
        return self.bundle.name

    @property
    def system(self) -> System:
        """What its paper does between a study and its answer."""
        return self.bundle.system

    @property
    def summaries(self) -> tuple[ModelSummary, ...]:
        """What a result says about the model."""
        return (self.bundle.summary,)

    def of(self, bundle: Bundle) -> Classifier:
        """Itself, which answers for the one model there is."""
        return self

    def predict(self, units: Sequence[UnitInputs], *, progress: Progress = silent) -> Predictions:
        """Classify units; see :func:`predict`."""
        inputs = [given for unit in units for given in unit.groups]
        for given in inputs:
            _check_input(self.bundle, given)
        ran: list[Ran] = []
        if inputs and self.engine is not None:
            ran = self.engine.run(inputs, progress)
        elif inputs:
            ran = self._ran_by_torch([unit.groups for unit in units], progress)
        found: list[UnitPrediction] = []
        first = 0
        for unit in units:
            own = slice(first, first + len(unit.groups))
            tasks = {
                task: self._task(task, unit, np.stack([each.probabilities[task][own] for each in ran]))
                for task in self.bundle.taxonomies
            }
            features = np.stack([each.features[own] for each in ran])
            unlike = self._unlike(unit, features[0])
            warnings = (*_warnings(unit), *(unlike.in_words if unlike is not None else ()))
            found.append(UnitPrediction(unit.lesion_id, tasks, warnings, unlike, features))
            first = own.stop
        return Predictions(tuple(found), self.execution)

    def _unlike(self, unit: UnitInputs, features: np.ndarray) -> OutOfDistribution | None:
        """How unlike the training a unit is, where the model was shown what that looked like."""
        known = self.bundle.calibration
        if known is None or known.familiarity is None:
            return None
        return judged(known.familiarity, compared_unit(self.system, unit, features))

    def features(self, unit: UnitInputs) -> np.ndarray:
        """What the first member's last hidden layer sees of a unit, float32 ``[groups, F]``."""
        import torch

        tensors = zip(*(given.arrays() for given in unit.groups), strict=True)
        with torch.inference_mode(), self.autocast():
            stacked = [torch.from_numpy(np.stack(each)).to(self.execution.device) for each in tensors]
            found = self.network(0).features(*stacked)  # type: ignore[operator]
        return last_layer(found)

    def network(self, member: int) -> nn.Module:
        """Return a member's network; unless members are kept, that of the one before loses its weights.

        Raises
        ------
        BundleError
            If the weights are missing or damaged.
        """
        if member in self._loaded:
            return self._loaded[member].to(self.execution.device)
        if self._last is not None:
            self._last.to_empty(device="meta")
        network = load_fold(self.bundle, member, self.execution.device, copy.deepcopy(self._laid_out()))
        if self._keep_loaded:
            self._loaded[member] = network
        else:
            self._last = network
        return network

    def load(self, progress: Progress = silent) -> None:
        """Read the weights of all members into memory, as far as they are kept."""
        if self.engine is not None:
            self.engine.load(progress)
            return
        for member in range(self.bundle.member_count):
            progress("load", member / self.bundle.member_count)
            self.network(member)
        progress("load", 1.0)

    def load_for_maps(self) -> None:
        """Load what the model's first maps need beyond answers, as far as it is kept.

        Where the engine takes no gradients these are torch's networks, whose import takes seconds.
        """
        slopes = self.engine.slopes() if self.engine is not None else None
        if slopes is None:
            self._laid_out()
            return
        for part in slopes.parts if slopes.keep else ():
            slopes.members(part)

    def _laid_out(self) -> nn.Module:
        """A network without weights; what networks are made of is imported for the first one."""
        if self._blank is None:
            self._blank = self.system.network(self.bundle.spec, device="meta")
        return self._blank

    def autocast(self) -> torch.autocast:
        """The precision in which features are computed, as a context."""
        return autocast_of(self.execution)

    def _ran_by_torch(self, units: Sequence[Sequence[NetworkInput]], progress: Progress) -> list[Ran]:
        """What each member answers."""
        members = self.bundle.member_count
        ran: list[Ran] = []
        for member in range(members):
            ran.append(self._run(self.network(member), units))
            progress("classify", (member + 1) / members)
        return ran

    def _run(self, network: nn.Module, units: Sequence[Sequence[NetworkInput]]) -> Ran:
        """Run one member; where the GPU's memory does not hold a batch, in smaller ones, then on the CPU."""
        import torch

        inputs = [given for groups in units for given in groups]
        if self.execution.device == "cpu":
            network.to("cpu")
            apart = [inputs] if self.system.runs_units_together else units
            return Ran.joined(
                [self._run_batches(network, groups, self.execution, CPU_BATCH) for groups in apart]
            )
        batch_size = min(GPU_BATCH, len(inputs))
        while batch_size:
            try:
                return self._run_batches(network, inputs, self.execution, batch_size)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                batch_size //= 2
        self._leave_gpu()
        return self._run(network, units)

    def _leave_gpu(self) -> None:
        warning = f"{self.execution.device} ran out of memory; classified on the processor instead"
        on_cpu = resolve_execution("cpu", "auto")
        self.execution = replace(on_cpu, warnings=(*self.execution.warnings, *on_cpu.warnings, warning))

    def _task(self, name: str, unit: UnitInputs, probabilities: np.ndarray) -> TaskPrediction:
        """Join the groups of a unit, ``[members, groups, classes]``, into its answer."""
        taxonomy = self.bundle.taxonomies[name]
        joined = self.bundle.system.joined(probabilities)
        if not (np.isfinite(probabilities).all() and np.isfinite(joined).all()):
            raise StudyError(
                f"Model {self.bundle.name} came to no probabilities for {unit.groups[0].name}; its images, "
                "clinical data or the model's weights hold values that cannot be."
            )
        shows_lesions = unit.lesion_id is None and any(each.lesion_id is not None for each in unit.groups)
        has_groups = len(unit.groups) > 1 or shows_lesions or self.bundle.system.unit == "slice"
        groups = _groups(unit, taxonomy, probabilities.mean(axis=0)) if has_groups else ()
        primary = name == self.bundle.spec.primary_task
        clinical = tuple(dict.fromkeys(name for given in unit.groups for name in given.clinical))
        known = self.bundle.calibration
        calibration = known.tasks.get(name) if known is not None else None
        return TaskPrediction(taxonomy, joined, primary, groups, clinical, calibration)


def _groups(unit: UnitInputs, taxonomy: Taxonomy, means: np.ndarray) -> tuple[GroupResult, ...]:
    return tuple(
        GroupResult(
            name=given.name,
            probabilities=dict(zip(taxonomy.names, mean.tolist(), strict=True)),
            lesion=given.lesion_id,
            slice=given.slice_number,
            centre_lps_mm=given.centre_lps_mm,
        )
        for given, mean in zip(unit.groups, means, strict=True)
    )


def _warnings(unit: UnitInputs) -> tuple[str, ...]:
    """Sequences that none of a unit's groups has."""
    sequences, groups = unit.groups[0].sequences, unit.groups
    absent = [name for i, name in enumerate(sequences) if not any(given.present[i] for given in groups)]
    return (f"classified without {', '.join(absent)}",) if absent else ()


def _check_input(bundle: Bundle, given: NetworkInput) -> None:
    spec = bundle.spec
    if not bundle.system.fits(given, spec):
        raise BundleError(f"{given.name.capitalize()} was cropped for another model than {bundle.name}.")
    absent = {name for name, there in zip(given.sequences, given.present, strict=True) if not there}
    needed = [name for name in spec.required_sequences if name in absent]
    if needed:
        raise BundleError(
            f"Model {bundle.name} cannot classify {given.name} without {', '.join(needed)}; "
            "add the sequence or choose another model."
        )
