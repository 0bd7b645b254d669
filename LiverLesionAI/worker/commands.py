"""What the worker can do: one function a command, each with files in and files and JSON out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.errors import OutputError
from LiverLesionAI.pipeline import DEFAULT_MODEL
from LiverLesionAI.progress import Progress

if TYPE_CHECKING:
    from LiverLesionAI.inference import Classifier

KEPT_WEIGHTS_BYTES = 2**31
"""A model whose folds together are larger on disk is read anew, fold by fold, for every request."""


@dataclass
class Workshop:
    """What the worker keeps between requests: the model that was used last, ready to classify."""

    _key: tuple[str, str, str] | None = None
    _classifier: Classifier | None = field(default=None, repr=False)

    def classifier(self, model: str, device: str, precision: str) -> Classifier:
        """Return a model, loaded already if it was the last one and has not been changed on disk.

        Raises
        ------
        BundleError
            If there is no such model.
        ConfigError
            If device or precision is not possible.
        """
        from LiverLesionAI.bundles import load_bundle
        from LiverLesionAI.inference import Classifier

        bundle = load_bundle(model)
        key = (bundle.sha256, device, precision)
        if self._classifier is None or self._key != key:
            self._classifier = None
            small = sum(path.stat().st_size for path in bundle.fold_paths) <= KEPT_WEIGHTS_BYTES
            self._classifier = Classifier(bundle, device=device, precision=precision, keep_loaded=small)
            self._key = key
        return self._classifier


def load(
    shop: Workshop,
    progress: Progress,
    *,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    precision: str = "auto",
) -> dict[str, Any]:
    """Read a model into memory, so that the first lesion need not wait for it."""
    classifier = shop.classifier(model, device, precision)
    folds = classifier.bundle.fold_count
    for fold in range(folds):
        progress("load", fold / folds)
        classifier.network(fold)
    progress("load", 1.0)
    execution = classifier.execution
    return {
        "model": asdict(classifier.bundle.summary),
        "device": execution.device,
        "precision": execution.precision,
        "warnings": list(execution.warnings),
    }


def identify(shop: Workshop, progress: Progress, *, path: str) -> dict[str, Any]:
    """Recognise the sequences of a DICOM folder: the rows of ``identify --json``."""
    from LiverLesionAI.readers.dicom.identify import identify as identify_series

    return {"series": [item.row() for item in identify_series(path, progress)]}


def register(
    shop: Workshop,
    progress: Progress,
    *,
    study: str,
    out: str,
    mask: str | None = None,
    transform: str = "bspline",
    scope: str = "lesion",
) -> dict[str, Any]:
    """Register a study; ``transforms`` names the ``.tfm`` file of each sequence that was moved."""
    from LiverLesionAI.registration import register_study
    from LiverLesionAI.worker.exchange import read_study
    from LiverLesionAI.writers.volumes import write_transforms

    registered = register_study(
        read_study(study, mask),
        transform=transform,  # type: ignore[arg-type]
        scope=scope,  # type: ignore[arg-type]
        progress=progress,
    )
    files = write_transforms(registered.study, _folder(out))
    return {
        "registration": {name: asdict(done) for name, done in registered.sequences.items()},
        "transforms": {file.stem: str(file) for file in files},
        "warnings": list(registered.warnings),
    }


def classify(
    shop: Workshop,
    progress: Progress,
    *,
    study: str,
    mask: str | None = None,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    precision: str = "auto",
    out: str | None = None,
) -> dict[str, Any]:
    """Classify the lesions of a study and, where `out` is given, explain the answers.

    ``results`` is the content of ``results.json``; ``saliency`` names the maps written to `out`, as in the
    output folder of ``liverlesionai classify``.
    """
    from LiverLesionAI.pipeline import analyse_with
    from LiverLesionAI.stopwatch import Stopwatch
    from LiverLesionAI.worker.exchange import read_study
    from LiverLesionAI.writers.saliency import write_saliency

    stopwatch = Stopwatch()
    with stopwatch.time("read"):
        progress("read", 0.0)
        opened = read_study(study, mask)
    classifier = shop.classifier(model, device, precision)
    outcome = analyse_with(
        classifier, opened, saliency=out is not None, progress=progress, stopwatch=stopwatch
    )
    maps = write_saliency(outcome.explanations, _folder(out)) if out is not None else ()
    return {"results": outcome.result.to_dict(), "saliency": [str(file) for file in maps]}


def segment(
    shop: Workshop,
    progress: Progress,
    *,
    study: str,
    point_lps_mm: Sequence[float],
    out: str,
    sequences: Sequence[str] | None = None,
    looseness: float = 0.0,
) -> dict[str, Any]:
    """Outline the lesion around a point; the mask (1 in the lesion) is written to the file `out`."""
    import SimpleITK as sitk

    from LiverLesionAI.one_click import outline_lesion
    from LiverLesionAI.study import lesion_geometry
    from LiverLesionAI.worker.exchange import read_study

    found = outline_lesion(read_study(study), point_lps_mm, sequences=sequences, looseness=looseness)
    _folder(str(Path(out).parent))
    try:
        sitk.WriteImage(found.mask, out, useCompression=True)
    except RuntimeError:
        raise OutputError(f"{out} cannot be written; choose another place.") from None
    geometry = lesion_geometry(found.mask, 1)
    return {
        "mask": out,
        "diameter_mm": geometry.diameter_mm,
        "volume_ml": geometry.volume_ml,
        "centroid_lps_mm": list(geometry.centroid_lps_mm),
        "sequences": list(found.surface.sequences),
    }


def _folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from None
    return folder


COMMANDS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "load": load,
    "identify": identify,
    "register": register,
    "classify": classify,
    "segment": segment,
}
