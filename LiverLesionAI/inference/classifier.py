"""Classification of lesions with a bundle: the folds' probabilities, their mean and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.errors import BundleError
from LiverLesionAI.inference.engine import autocast_of, load_fold, run_batches
from LiverLesionAI.inference.execution import resolve_execution
from LiverLesionAI.inference.predictions import LesionPrediction, Predictions, TaskPrediction
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.progress import Progress, silent

if TYPE_CHECKING:
    import torch

    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D

GPU_BATCH = 32
CPU_BATCH = 1
"""On a processor lesions are run one by one: a lesion's numbers then do not depend on which lesions are
beside it, and batches would gain a fifth at most."""


def predict(
    bundle: Bundle,
    inputs: Sequence[LesionInput],
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress = silent,
) -> Predictions:
    """Classify lesions.

    The folds are the outer loop, so that one fold's weights are in memory at a time.

    Parameters
    ----------
    bundle
        The model.
    inputs
        Lesions, cropped with the bundle's parameters and sequences.
    device, precision
        See :func:`LiverLesionAI.inference.execution.resolve_execution`.
    progress
        Told the fraction of the work that is done.

    Returns
    -------
    Predictions
        A sequence of :class:`LesionPrediction` with the device and precision that were used.

    Raises
    ------
    BundleError
        If a required sequence is missing, the inputs were cropped for another model, or weights are damaged.
    ConfigError
        If device or precision is not possible.
    """
    return Classifier(bundle, device=device, precision=precision).predict(inputs, progress=progress)


class Classifier:
    """A model ready to classify.

    Parameters
    ----------
    bundle
        The model.
    device, precision
        See :func:`LiverLesionAI.inference.execution.resolve_execution`.
    keep_loaded
        Keep every fold's weights in memory between calls, for many calls with a small model.
    """

    def __init__(
        self, bundle: Bundle, *, device: str = "auto", precision: str = "auto", keep_loaded: bool = False
    ) -> None:
        self.bundle = bundle
        self.execution = resolve_execution(device, precision)
        self._keep_loaded = keep_loaded
        self._loaded: dict[int, MultitaskResNet3D] = {}
        self._shell: MultitaskResNet3D | None = None

    def predict(self, inputs: Sequence[LesionInput], *, progress: Progress = silent) -> Predictions:
        """Classify lesions; see :func:`predict`."""
        for lesion in inputs:
            _check_input(self.bundle, lesion)
        folds = len(self.bundle.spec.folds)
        probabilities: list[Mapping[str, np.ndarray]] = []
        for fold in range(folds if inputs else 0):
            network = self.network(fold)
            probabilities.append(self._run(network, inputs))
            progress("classify", (fold + 1) / folds)
        lesions = tuple(self._prediction(i, lesion, probabilities) for i, lesion in enumerate(inputs))
        return Predictions(lesions, self.execution)

    def network(self, fold: int) -> MultitaskResNet3D:
        """Return a fold's network; unless folds are kept, one network takes the weights of each in turn.

        Raises
        ------
        BundleError
            If the weights are missing or damaged.
        """
        if fold in self._loaded:
            return self._loaded[fold].to(self.execution.device)
        shell = self._shell.to_empty(device="meta") if self._shell else None
        network = load_fold(self.bundle, fold, self.execution.device, shell)
        if self._keep_loaded:
            self._loaded[fold] = network
        else:
            self._shell = network
        return network

    def autocast(self) -> torch.autocast:
        """The precision in which the branches run, as a context."""
        return autocast_of(self.execution)

    def _run(self, network: MultitaskResNet3D, inputs: Sequence[LesionInput]) -> Mapping[str, np.ndarray]:
        """Run one fold; where the GPU's memory does not hold a batch, in smaller ones, then on the CPU."""
        import torch

        if self.execution.device == "cpu":
            network.to("cpu")
            return run_batches(network, inputs, self.execution, CPU_BATCH)
        batch_size = min(GPU_BATCH, len(inputs))
        while batch_size:
            try:
                return run_batches(network, inputs, self.execution, batch_size)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                batch_size //= 2
        self._leave_gpu()
        return self._run(network, inputs)

    def _leave_gpu(self) -> None:
        warning = f"{self.execution.device} ran out of memory; classified on the processor instead"
        on_cpu = resolve_execution("cpu", "auto")
        self.execution = replace(on_cpu, warnings=(*self.execution.warnings, *on_cpu.warnings, warning))

    def _prediction(
        self, index: int, lesion: LesionInput, probabilities: Sequence[Mapping[str, np.ndarray]]
    ) -> LesionPrediction:
        tasks = {
            task: TaskPrediction(taxonomy, np.stack([fold[task][index] for fold in probabilities]))
            for task, taxonomy in self.bundle.taxonomies.items()
        }
        absent = [name for name, there in zip(lesion.sequences, lesion.present, strict=True) if not there]
        warnings = (f"classified without {', '.join(absent)}",) if absent else ()
        return LesionPrediction(lesion.lesion_id, tasks, warnings)


def _check_input(bundle: Bundle, lesion: LesionInput) -> None:
    spec = bundle.spec
    size = spec.patches.size
    if lesion.sequences != spec.sequences or lesion.patches.shape[1:] != (2, size, size, size):
        raise BundleError(f"Lesion {lesion.lesion_id} was cropped for another model than {bundle.name}.")
    absent = {name for name, there in zip(lesion.sequences, lesion.present, strict=True) if not there}
    needed = [name for name in spec.required_sequences if name in absent]
    if needed:
        raise BundleError(
            f"Model {bundle.name} cannot classify lesion {lesion.lesion_id} without {', '.join(needed)}; "
            "add the sequence or choose another model."
        )
