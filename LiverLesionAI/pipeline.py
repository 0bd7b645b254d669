"""The road from a study to its result; every front (Slicer module, command line, notebook) walks it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI.analysis import Analysis, analyse_with
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.options import DEFAULTS, REGISTER_DEFAULTS, Options, RegisterOptions
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import SequenceRegistration, StudyResult, Unit, with_registration
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study

if TYPE_CHECKING:
    from LiverLesionAI.bundles.suite import Model
    from LiverLesionAI.evaluation.evaluate import Evaluation
    from LiverLesionAI.registration import RegisteredStudy, Scope


def read_study(
    path: str | Path,
    mask: str | Path | None = None,
    progress: Progress = silent,
    clinical: str | Path | None = None,
) -> Study:
    """Read a study from a study folder, a DICOM folder or a Slicer scene.

    Parameters
    ----------
    path
        A study folder (:mod:`LiverLesionAI.readers.folder`), an ``.mrml`` or ``.mrb`` scene, or a folder of
        DICOM files in any nesting, one DICOM file or a DICOMDIR (:mod:`LiverLesionAI.readers.dicom.study`).
    mask
        Lesion mask to use instead of the study's own: an image file, a DICOM segmentation or an RT
        structure set.
    progress
        Told how far the reading of DICOM is; may cancel by raising.
    clinical
        Clinical data to use instead of the study's own: a file like a study folder's ``clinical.json``.

    Raises
    ------
    StudyError
        If there is nothing usable at `path`.
    """
    from LiverLesionAI.readers.folder import read_clinical

    study = _read_images(Path(path), mask, progress)
    return study if clinical is None else replace(study, clinical=read_clinical(Path(clinical)))


def _read_images(path: Path, mask: str | Path | None, progress: Progress) -> Study:
    from LiverLesionAI.readers import folder
    from LiverLesionAI.readers.dicom.scan import holds_dicom, is_dicom
    from LiverLesionAI.readers.dicom.study import read_dicom_study, with_mask
    from LiverLesionAI.scenes.file import SCENE_SUFFIXES, read_scene

    if path.suffix.lower() in SCENE_SUFFIXES:
        study = read_scene(path)
    elif not folder.is_study_folder(path) and holds_dicom(path):
        return read_dicom_study(path, mask, progress=progress)
    elif mask is not None and not is_dicom(Path(mask)):
        return folder.read_study_folder(path, mask)
    else:
        study = folder.read_study_folder(path)
    return study if mask is None else with_mask(study, mask)


def classify_study(
    study: Study,
    model: Model,
    options: Options = DEFAULTS,
    *,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> StudyResult:
    """Classify a study, without explaining; see :func:`analyse_study`.

    Parameters
    ----------
    study
        The study, registered or not.
    model
        A bundle, or the models of a system together.
    options
        Device and precision.
    progress
        Told how far the work is.
    stopwatch
        Goes on from the time already spent, for example on reading.

    Returns
    -------
    StudyResult
        With a warning for each lesion that could not be classified.

    Raises
    ------
    StudyError
        If the model answers for lesions and none is segmented.
    PatchError
        If no lesion could be cropped.
    BundleError
        If the study lacks a sequence that the model cannot do without.

    Examples
    --------
    >>> from LiverLesionAI.bundles import load_bundle
    >>> from LiverLesionAI.pipeline import classify_study, read_study
    >>> result = classify_study(read_study("S1"), load_bundle("wang2021-phantom"))  # doctest: +SKIP
    >>> result.lesions[0].tasks["type"].predicted  # doctest: +SKIP
    'HCC'
    """
    options = replace(options, explain=False)
    return analyse_study(study, model, options, progress=progress, stopwatch=stopwatch).result


def analyse_study(
    study: Study,
    model: Model,
    options: Options = DEFAULTS,
    *,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Analysis:
    """Classify a study and explain the answers.

    Parameters
    ----------
    study, model, progress, stopwatch
        See :func:`classify_study`.
    options
        Device, precision and engine; whether to explain, what and how.

    Returns
    -------
    Analysis
        An explanation for each lesion that was classified.

    Raises
    ------
    StudyError, PatchError, BundleError
        As :func:`classify_study`.
    ConfigError
        If the settings do not fit the model.
    """
    from LiverLesionAI.inference.suite import classifier_of

    classifier = classifier_of(
        model,
        device=options.device,
        precision=options.precision,
        engine=options.engine,
        keep_loaded=options.explain,
    )
    return analyse_with(
        classifier,
        study,
        options.explanation,
        explain=options.explain,
        progress=progress,
        stopwatch=stopwatch,
    )


def classify_path(
    path: str | Path, out: str | Path, options: Options = DEFAULTS, *, progress: Progress = silent
) -> tuple[StudyResult, tuple[Path, ...]]:
    """Read a study, classify it and write the output folder.

    Parameters
    ----------
    path
        See :func:`read_study`.
    out
        Output folder; it appears complete or not at all.
    options
        What the run is asked for.
    progress
        Told how far the work is.

    Returns
    -------
    result : StudyResult
    files : tuple of Path
        Every file written.

    Raises
    ------
    LiverLesionError
        If study, model or output folder cannot be used, or the folder holds the results of another study;
        nothing is written then.
    """
    from LiverLesionAI.bundles.suite import open_model
    from LiverLesionAI.files import files_below, output_folder

    with output_folder(out) as folder:
        model = open_model(options.model)
        result = classify_into(folder, path, model, options, target=Path(out), progress=progress)
        names = files_below(folder)
    return result, tuple(Path(out) / name for name in names)


def classify_into(
    folder: Path,
    path: str | Path,
    model: Model,
    options: Options = DEFAULTS,
    *,
    target: Path | None = None,
    progress: Progress = silent,
) -> StudyResult:
    """Read and classify a study and write every output into an existing folder; see :func:`classify_path`.

    A `target` is where the folder goes at the end; it is refused, once the study is read, where it holds the
    results of another one.
    """
    from LiverLesionAI.files import refuse_other_study
    from LiverLesionAI.fingerprint import input_fingerprints
    from LiverLesionAI.outputs import write_result

    stopwatch = Stopwatch()
    check_explanation(model, options)
    study = opened(path, stopwatch, progress, options.mask, options.clinical)
    if target is not None and target.exists():
        refuse_other_study(target, input_fingerprints(study))
    registration: Mapping[str, SequenceRegistration] = {}
    if options.register:
        study, registration = registered(study, scope_of(study, model.system.unit), stopwatch, progress)
    analysis = analyse_study(study, model, options, progress=progress, stopwatch=stopwatch)
    analysis = replace(analysis, result=with_registration(analysis.result, registration))
    return write_result(study, analysis, folder, stopwatch, progress, parametric_maps=options.parametric_maps)


def opened(
    path: str | Path,
    stopwatch: Stopwatch,
    progress: Progress = silent,
    mask: str | Path | None = None,
    clinical: str | Path | None = None,
) -> Study:
    """Read a study as the first step of a run, timed and told of; see :func:`read_study`."""
    with stopwatch.time("read"):
        progress("read", 0.0)
        study = read_study(path, mask, progress, clinical)
        progress("read", 1.0)
    return study


def check_explanation(model: Model, options: Options) -> None:
    """Refuse settings of the explanation that do not fit a model, before any study is read.

    Raises
    ------
    ConfigError
        If they do not.
    """
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.explanation.settings import resolved

    if not isinstance(model, Bundle) or not options.explain:
        return
    if model.system.explanations or options.explanation != DEFAULTS.explanation:
        resolved(options.explanation, model)


def scope_of(study: Study, unit: Unit) -> Scope:
    """What registration looks at: the lesions' neighbourhoods, or all where none is needed and segmented."""
    return "lesion" if unit == "lesion" or study.lesion_ids else "volume"


def registered(
    study: Study,
    scope: Scope,
    stopwatch: Stopwatch,
    progress: Progress = silent,
    threads: int | None = None,
) -> tuple[Study, Mapping[str, SequenceRegistration]]:
    """Register a study, by default in as many threads as there are processors; returns what was done too."""
    from LiverLesionAI.registration import register_study

    with stopwatch.time("register"):
        done = register_study(study, scope=scope, workers=threads, progress=progress)
    return done.study, done.sequences


def register_path(
    path: str | Path,
    out: str | Path,
    options: RegisterOptions = REGISTER_DEFAULTS,
    *,
    progress: Progress = silent,
) -> tuple[RegisteredStudy, tuple[Path, ...]]:
    """Read a study, register it and write the output folder of ``register``.

    Parameters
    ----------
    path
        See :func:`read_study`.
    out
        Output folder; it appears complete or not at all.
    options
        What the run is asked for.
    progress
        Told how far the work is.

    Returns
    -------
    registered : RegisteredStudy
    files : tuple of Path
        Every file written.

    Raises
    ------
    LiverLesionError
        If study or output folder cannot be used; nothing is written then.
    """
    from LiverLesionAI.files import files_below, output_folder
    from LiverLesionAI.registration import register_study
    from LiverLesionAI.writers.registration import REGISTRATION_NAMES, write_registration

    with output_folder(out, REGISTRATION_NAMES) as folder:
        done = register_study(
            read_study(path, options.mask, progress),
            reference=options.reference,
            transform=options.transform,
            scope=options.scope,
            progress=progress,
        )
        write_registration(done, folder)
        names = files_below(folder)
    return done, tuple(Path(out) / name for name in names)


def evaluate_path(
    predictions: str | Path,
    out: str | Path,
    others: Sequence[str | Path] = (),
    operating_point: str = "argmax",
    embedded: bool = False,
) -> tuple[Evaluation, tuple[Path, ...], tuple[str, ...]]:
    """Evaluate a table of answers and write the output folder of ``evaluate``.

    Parameters
    ----------
    predictions, others, operating_point, embedded
        See :func:`LiverLesionAI.evaluation.evaluate.evaluate_file`; of a folder, its ``results.csv``.
    out
        Output folder; it appears complete or not at all.

    Returns
    -------
    evaluation : Evaluation
    files : tuple of Path
        Every file written.
    warnings : tuple of str
        What was left out.

    Raises
    ------
    LiverLesionError
        If a table or the output folder cannot be used; nothing is written then.
    """
    from LiverLesionAI.evaluation.evaluate import evaluate_file
    from LiverLesionAI.files import files_below, output_folder
    from LiverLesionAI.writers.evaluation import EVALUATION_NAMES, write_evaluation

    table, *rest = (_table_of(Path(each)) for each in (predictions, *others))
    evaluation = evaluate_file(table, rest, operating_point, embedded)
    with output_folder(out, EVALUATION_NAMES) as folder:
        warnings = write_evaluation(evaluation, folder)
        names = files_below(folder)
    return evaluation, tuple(Path(out) / name for name in names), warnings


def _table_of(path: Path) -> Path:
    return path / "results.csv" if path.is_dir() else path


def judge_readers(
    folder: str | Path, out: str | Path
) -> tuple[Evaluation, tuple[Path, ...], tuple[str, ...]]:
    """Judge what the readers of a reader study said so far, and write the output folder of ``evaluate``.

    Parameters
    ----------
    folder
        Of :func:`LiverLesionAI.reader_study.folder.make_reader_study`.
    out
        Output folder; it appears complete or not at all.

    Returns
    -------
    evaluation : Evaluation
    files : tuple of Path
    warnings : tuple of str
        See :func:`evaluate_path`.

    Raises
    ------
    LiverLesionError
        If the study or the output folder cannot be used, or nobody has answered anything.
    """
    import tempfile

    from LiverLesionAI.reader_study.answers import write_answers
    from LiverLesionAI.reader_study.folder import MODEL, read_reader_study

    plan = read_reader_study(Path(folder))
    with tempfile.TemporaryDirectory() as aside:
        table = Path(aside) / "readers.csv"
        if not write_answers(plan, table):
            raise ConfigError(f"No reader has answered anything in {folder} yet.")
        return evaluate_path(plan.folder / MODEL, out, [table])
