"""What the worker can do: one function per command, each with files in and files and JSON out.

More than six parameters: those of a function are the arguments of its command, which
:mod:`LiverLesionAI.worker.protocol` carries by name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.errors import DicomError, LiverLesionError, OutputError, StudyError
from LiverLesionAI.explanation.settings import Method
from LiverLesionAI.options import DEFAULT_DETECTOR, DEFAULT_MODEL
from LiverLesionAI.progress import Progress
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.worker.state import WorkerState

if TYPE_CHECKING:
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.results import StudyResult
    from LiverLesionAI.study import Study

NO_SOURCE = "{sequence} cannot be traced to its DICOM instances: {reason}"
CHANGED = (
    "{names} changed after the study was classified; what stands beside the results is as it was when saved"
)
NO_EXPLANATION = "figures and maps were not written: {reason}"


def load(
    state: WorkerState,
    progress: Progress,
    *,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
) -> dict[str, Any]:
    """Read a model into memory, so that the first lesion need not wait for it.

    What only maps need is loaded afterwards, beside whatever is asked next.
    """
    classifier = state.classifier(model, device, precision, engine)
    classifier.load(progress)
    threading.Thread(target=classifier.load_for_maps, name="maps", daemon=True).start()
    execution = classifier.execution
    return {
        "models": [asdict(summary) for summary in classifier.summaries],
        "device": execution.device,
        "precision": execution.precision,
        "engine": execution.engine,
        "warnings": list(execution.warnings),
    }


def identify(state: WorkerState, progress: Progress, *, path: str) -> dict[str, Any]:
    """Recognise the sequences of a DICOM folder: the rows of ``identify --json``."""
    from LiverLesionAI.readers.dicom.identify import identify as identify_series

    return {"series": [item.row() for item in identify_series(path, progress)]}


def register(
    state: WorkerState,
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
    from LiverLesionAI.worker.exchange import receive_study
    from LiverLesionAI.writers.volumes import write_transforms

    registered = register_study(
        receive_study(study, mask),
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
    state: WorkerState,
    progress: Progress,
    *,
    study: str,
    mask: str | None = None,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
) -> dict[str, Any]:
    """Classify the lesions of a study; ``results`` is the content of ``results.json``, without explanations.

    What it takes to explain the answers is kept until the next classification.
    """
    from LiverLesionAI.worker.exchange import receive_study

    stopwatch = Stopwatch()
    with stopwatch.time("read"):
        progress("read", 0.0)
        opened = receive_study(study, mask)
    result = state.classify(opened, state.classifier(model, device, precision, engine), progress, stopwatch)
    return {"results": result.to_dict()}


def explain(
    state: WorkerState,
    progress: Progress,
    *,
    study: str,
    results: Mapping[str, Any],
    out: str,
    target: str | None = None,
    method: Method | None = None,
) -> dict[str, Any]:
    """Explain the answers of ``classify``: saliency maps, sequence weights.

    Parameters
    ----------
    study
        The study that was classified; it is read where this process did not classify it last.
    results
        What ``classify`` answered, with whatever readers have decided since.
    out
        Folder for the maps, which are to be read once and at once.
    target
        Class to be explained; by default each lesion's predicted one.
    method
        How the maps are made (:data:`LiverLesionAI.explanation.settings.METHODS`); by default the
        model's first.

    Returns
    -------
    dict
        ``results`` with the weights; ``saliency``, a record per map
        (:class:`LiverLesionAI.writers.saliency.SaliencyFile`); ``places``, lesion to the middle of its slice
        of largest area (LPS mm, reference frame).
    """
    from LiverLesionAI.explanation.settings import Settings
    from LiverLesionAI.results import StudyResult
    from LiverLesionAI.writers.saliency import write_saliency
    from LiverLesionAI.writers.volumes import UNCOMPRESSED

    settings = Settings(method=method, target=target)
    analysis = state.explain(StudyResult.from_dict(results), study, progress, settings)
    maps = write_saliency(analysis.explanations, _folder(out), UNCOMPRESSED)
    places = {
        str(each.lesion.lesion_id): list(each.slice_centre_lps_mm(each.largest_slice))
        for each in analysis.explanations
    }
    return {
        "results": analysis.result.to_dict(),
        "saliency": [each.to_dict() for each in maps],
        "places": places,
    }


def save(
    state: WorkerState,
    progress: Progress,
    *,
    study: str,
    results: Mapping[str, Any],
    out: str,
    scene: str | None = None,
    instances: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Write the output folder of ``liverlesionai classify``.

    Parameters
    ----------
    study, results
        See :func:`explain`.
    out
        Output folder; it appears complete or not at all.
    scene
        Folder of the scene that is open in Slicer (:func:`LiverLesionAI.mrml.save_scene_folder`); by default
        a scene is made.
    instances
        Sequence to the DICOM files that it was loaded from, for segmentation and structured report.

    Returns
    -------
    dict
        ``files`` written, relative to `out`, and all ``warnings`` of the result.
    """
    from LiverLesionAI.analysis import Analysis
    from LiverLesionAI.files import files_below, output_folder, refuse_other_study
    from LiverLesionAI.outputs import write_result
    from LiverLesionAI.results import StudyResult, with_warnings
    from LiverLesionAI.worker.exchange import receive_study

    result = StudyResult.from_dict(results)
    refuse_other_study(out, result.provenance.inputs)
    opened = receive_study(study)
    warnings = _changes(opened, result)
    opened, untraced = _traced(opened, instances or {})
    warnings += untraced
    explanations: tuple[LesionExplanation, ...] = ()
    if any(lesion.sequence_weights for lesion in result.lesions):
        try:
            explanations = state.explain(result, study, progress).explanations
        except LiverLesionError as error:
            warnings.append(NO_EXPLANATION.format(reason=error))
    result = with_warnings(result, *warnings)
    stopwatch = Stopwatch(dict(result.provenance.seconds))
    open_scene = Path(scene) if scene is not None else None
    with output_folder(out) as folder:
        analysis = Analysis(result, explanations)
        written = write_result(opened, analysis, folder, stopwatch, progress, scene=open_scene)
        return {"files": [str(file) for file in files_below(folder)], "warnings": list(written.warnings)}


def _changes(study: Study, result: StudyResult) -> list[str]:
    """A warning where images or outlines are not those that were classified."""
    from LiverLesionAI.fingerprint import input_fingerprints

    before, now = result.provenance.inputs, input_fingerprints(study)
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [CHANGED.format(names=", ".join(names))] if names else []


def _traced(study: Study, instances: Mapping[str, Sequence[str]]) -> tuple[Study, list[str]]:
    """The study with its sequences' DICOM sources, and a warning for each that cannot be found."""
    from LiverLesionAI.readers.dicom.instances import source_of

    images, warnings = dict(study.images), []
    for name, files in instances.items():
        try:
            source = source_of(images[name].image, [Path(file) for file in files])
            images[name] = replace(images[name], dicom=source)
        except DicomError as error:
            warnings.append(NO_SOURCE.format(sequence=name, reason=str(error).rstrip(".")))
    return replace(study, images=images), warnings


def detect(
    state: WorkerState,
    progress: Progress,
    *,
    study: str,
    out: str,
    model: str = DEFAULT_DETECTOR,
    operating_point: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
) -> dict[str, Any]:
    """Look for lesions on every slice; ``evidence`` names the file of the map in the series' frame."""
    from LiverLesionAI.bundles import load_bundle
    from LiverLesionAI.detection import detect_study
    from LiverLesionAI.options import DetectOptions
    from LiverLesionAI.worker.exchange import receive_study
    from LiverLesionAI.writers.volumes import write_image

    options = DetectOptions(
        model=model, operating_point=operating_point, device=device, precision=precision, engine=engine
    )
    found = detect_study(receive_study(study), load_bundle(model), options, progress=progress)
    file = write_image(found.found.evidence, _folder(out) / "activation.nrrd")
    return {"results": found.result.to_dict(), "evidence": str(file)}


def classify_candidates(
    state: WorkerState,
    progress: Progress,
    *,
    study: str,
    results: Mapping[str, Any],
    ranks: Sequence[int],
    out: str,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
) -> dict[str, Any]:
    """Segment candidates of ``detect`` by one click each, and classify the segments.

    Returns
    -------
    dict
        ``results`` of the classification with all candidates, which tell their segments; ``mask``, the file
        of the segments.

    Raises
    ------
    StudyError
        If no candidate stands out from its surroundings.
    """
    from LiverLesionAI.detection.detect import outlined, with_candidates
    from LiverLesionAI.results import StudyResult
    from LiverLesionAI.worker.exchange import receive_study
    from LiverLesionAI.writers.volumes import smallest_labels, write_image

    found = StudyResult.from_dict(results)
    asked = [each for each in found.candidates if each.rank in ranks]
    progress("segment", 0.0)
    segmented, candidates, warnings = outlined(receive_study(study), asked)
    progress("segment", 1.0)
    if segmented.lesions is None:
        raise StudyError("No accepted candidate stands out from its surroundings; segment them by hand.")
    result = state.classify(
        segmented, state.classifier(model, device, precision, engine), progress, Stopwatch()
    )
    joined = with_candidates(result, found, candidates, warnings)
    file = write_image(smallest_labels(segmented.lesions), _folder(out) / "lesions.nrrd")
    return {"results": joined.to_dict(), "mask": str(file)}


def segment(
    state: WorkerState,
    progress: Progress,
    *,
    study: str,
    point_lps_mm: Sequence[float],
    out: str,
    sequences: Sequence[str] | None = None,
    looseness: float = 0.0,
) -> dict[str, Any]:
    """Outline the lesion around a point; the mask (1 in the lesion) is written to the file `out`."""
    from LiverLesionAI.geometry import lesion_geometry
    from LiverLesionAI.one_click import outline_lesion
    from LiverLesionAI.worker.exchange import receive_study
    from LiverLesionAI.writers.volumes import write_image

    found = outline_lesion(receive_study(study), point_lps_mm, sequences=sequences, looseness=looseness)
    _folder(str(Path(out).parent))
    write_image(found.mask, Path(out))
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
    "explain": explain,
    "save": save,
    "segment": segment,
    "detect": detect,
    "classify_candidates": classify_candidates,
}
