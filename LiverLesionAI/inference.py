"""Classification of lesions with a bundle: the folds' probabilities, their mean and their spread."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LiverLesionAI.bundles import Bundle, check_file
from LiverLesionAI.errors import BundleError
from LiverLesionAI.execution import Execution, resolve_execution
from LiverLesionAI.patches import LesionInput, extract_patches, with_intensity_limits
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import TaskResult
from LiverLesionAI.taxonomy import Taxonomy

if TYPE_CHECKING:
    import torch

    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D

GPU_BATCH = 32
CPU_BATCH = 1
"""On a processor lesions are run one by one: a lesion's numbers then do not depend on which lesions are
beside it, and batches would gain a fifth at most."""


@dataclass(frozen=True)
class TaskPrediction:
    """What the folds say about one lesion in one task.

    Attributes
    ----------
    taxonomy
        The classes.
    fold_probabilities
        float64 ``[folds, classes]``; every row sums to 1.
    """

    taxonomy: Taxonomy
    fold_probabilities: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over folds, ``[classes]``: the prediction (Wang et al. 2021)."""
        return self.fold_probabilities.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over folds (population formula), ``[classes]``."""
        return self.fold_probabilities.std(axis=0)

    @property
    def predicted(self) -> str:
        """Class of the highest mean probability."""
        return self.taxonomy.names[int(self.mean.argmax())]

    def result(self) -> TaskResult:
        """Return the prediction as it stands in ``results.json``."""
        names = self.taxonomy.names
        return TaskResult(
            taxonomy=self.taxonomy.name,
            probabilities=dict(zip(names, self.mean.tolist(), strict=True)),
            predicted=self.predicted,
            fold_std=dict(zip(names, self.std.tolist(), strict=True)),
        )


@dataclass(frozen=True)
class LesionPrediction:
    """One lesion's prediction for each task, and what the reader should know about it."""

    lesion_id: int
    tasks: Mapping[str, TaskPrediction]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions(Sequence[LesionPrediction]):
    """The predictions of several lesions, in the order of the inputs, and how they were computed."""

    lesions: tuple[LesionPrediction, ...]
    execution: Execution

    def __getitem__(self, index: Any) -> Any:
        return self.lesions[index]

    def __len__(self) -> int:
        return len(self.lesions)


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
        See :func:`LiverLesionAI.execution.resolve_execution`.
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
        See :func:`LiverLesionAI.execution.resolve_execution`.
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
        return _autocast(self.execution)

    def _run(self, network: MultitaskResNet3D, inputs: Sequence[LesionInput]) -> Mapping[str, np.ndarray]:
        """Run one fold; where the GPU's memory does not hold a batch, in smaller ones, then on the CPU."""
        import torch

        if self.execution.device == "cpu":
            network.to("cpu")
            return _run_batches(network, inputs, self.execution, CPU_BATCH)
        batch_size = min(GPU_BATCH, len(inputs))
        while batch_size:
            try:
                return _run_batches(network, inputs, self.execution, batch_size)
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


def load_fold(
    bundle: Bundle, fold: int, device: str = "cpu", shell: MultitaskResNet3D | None = None
) -> MultitaskResNet3D:
    """Load one fold's network, in evaluation mode; its file is compared with the bundle's hash.

    Parameters
    ----------
    bundle
        The model.
    fold
        Position of the fold.
    device
        Where to.
    shell
        A network of this bundle on device ``"meta"`` that takes the weights; a new one by default.

    Raises
    ------
    BundleError
        If the file is missing, damaged or not of this network.
    """
    from LiverLesionAI.networks.build import build_network
    from LiverLesionAI.networks.weights import load_weights

    spec = bundle.spec
    with ThreadPoolExecutor(max_workers=1) as beside:
        check = beside.submit(check_file, bundle, spec.folds[fold])
        network = shell or build_network(spec.sequences, spec.tasks, spec.network, device="meta")
        load_weights(network, bundle.fold_paths[fold], device)
        check.result()
    return network


def classify_folder(
    bundle: Bundle,
    study: str | Path,
    output: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
) -> dict[str, Any]:
    """Classify every lesion of a study folder: what MONAI's bundle runner calls.

    Returns
    -------
    dict
        ``{"model": …, "lesions": {id: {task: {class: probability}}}}``, also written as JSON to `output`, or
        to standard output where none is given.
    """
    from LiverLesionAI.readers.folder import read_study

    opened = with_intensity_limits(read_study(study), bundle.spec.patches)
    inputs = [
        extract_patches(opened, lesion, bundle.spec.sequences, bundle.spec.patches)
        for lesion in opened.lesion_ids
    ]
    predictions = predict(bundle, inputs, device=device, precision=precision)
    lesions = {
        str(lesion.lesion_id): {task: p.result().probabilities for task, p in lesion.tasks.items()}
        for lesion in predictions
    }
    content = {"model": bundle.name, "intended_use": bundle.spec.intended_use, "lesions": lesions}
    text = json.dumps(content, indent=1) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        temporary = Path(output).with_name(f".{Path(output).name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, output)
    return content


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


def _run_batches(
    network: MultitaskResNet3D, inputs: Sequence[LesionInput], execution: Execution, batch_size: int
) -> Mapping[str, np.ndarray]:
    import torch

    autocast = _autocast(execution)
    found: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for patches, present in _batches(inputs, batch_size, execution.device):
            with autocast:
                features = network.features(patches, present)
            for task, logits in network.logits(features).items():
                found.setdefault(task, []).append(logits.cpu().double().softmax(dim=1).numpy())
    return {task: np.concatenate(parts) for task, parts in found.items()}


def _autocast(execution: Execution) -> torch.autocast:
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[execution.precision]
    return torch.autocast(execution.device, dtype, enabled=dtype is not torch.float32)


def _batches(
    inputs: Sequence[LesionInput], batch_size: int, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    import torch

    for start in range(0, len(inputs), batch_size):
        chosen = inputs[start : start + batch_size]
        patches = torch.from_numpy(np.stack([lesion.patches for lesion in chosen]))
        present = torch.tensor([lesion.present for lesion in chosen])
        yield patches.to(device), present.to(device)
