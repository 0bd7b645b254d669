"""The command line: ``liverlesionai`` or ``python -m LiverLesionAI``.

More than six parameters: those of a function are the options of its command.

Exit codes: 0 done; 1 our own fault; 2 wrong usage; 3 input cannot be used; 4 a batch has failed studies;
130 interrupted.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from LiverLesionAI.cli import batch_commands, model_commands, reader_commands, train_command
from LiverLesionAI.cli.arguments import (
    Device,
    Engine,
    Json,
    Model,
    OutDir,
    Precision,
    ShowProgress,
    StudyPath,
)
from LiverLesionAI.cli.console import (
    ProgressMode,
    print_json,
    replace_unknown_letters,
    show_registration,
    show_result,
    shown_progress,
    warn,
)
from LiverLesionAI.errors import ConfigError, LiverLesionError, told_by_system
from LiverLesionAI.explanation.settings import Method, Settings
from LiverLesionAI.limits import NO_MEMORY, is_memory_short
from LiverLesionAI.options import DEFAULT_DETECTOR, DEFAULT_MODEL, DetectOptions, Options, RegisterOptions

Function = TypeVar("Function", bound=Callable[..., None])

OWN_FAULT, UNUSABLE_INPUT, INTERRUPTED = 1, 3, 130
DEBUG_VARIABLE = "LIVERLESIONAI_DEBUG"

app = typer.Typer(
    name="liverlesionai",
    help="Classify focal liver lesions on multisequence MRI. Research software: not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models = typer.Typer(no_args_is_help=True, help="List, show, check and add model bundles.")
app.add_typer(models, name="models")
readers = typer.Typer(no_args_is_help=True, help="Make, watch and judge reader studies.")
app.add_typer(readers, name="readers")
batch = typer.Typer(
    cls=batch_commands.BatchGroup, no_args_is_help=True, help="Classify cohorts: batch COHORT --out DIR."
)
app.add_typer(batch, name="batch")


def main() -> None:
    """Run the command line.

    Once interrupted it ends at once: Python would end itself by the signal instead of with the exit code
    where the interrupt fell into code that is made while running, as in the import of a dataclass.
    """
    replace_unknown_letters()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


def _interrupt(number: int, frame: object) -> None:
    """Interrupt once; whoever presses again meanwhile does not disturb the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _reporting_errors(function: Function) -> Function:
    """End with the contract's exit code and one sentence, never with a traceback."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (typer.BadParameter, typer.Exit):
            raise
        except LiverLesionError as error:
            _fail(str(error), UNUSABLE_INPUT)
        except KeyboardInterrupt:
            _fail("interrupted; nothing half-written was left.", INTERRUPTED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OWN_FAULT) from None
        except Exception as error:
            if is_memory_short(error):
                _fail(NO_MEMORY, UNUSABLE_INPUT)
            if (refused := told_by_system(error)) is not None:
                _fail(refused, UNUSABLE_INPUT)
            if os.environ.get(DEBUG_VARIABLE):
                traceback.print_exc()
            _fail(
                f"this is a fault of LiverLesionAI ({type(error).__name__}: {error}); "
                f"set {DEBUG_VARIABLE}=1 to see where, and report it.",
                OWN_FAULT,
            )

    return run  # type: ignore[return-value]


def _fail(message: str, code: int) -> None:
    print(f"Error: {message}", file=sys.stderr)
    raise typer.Exit(code) from None


@app.command()
@_reporting_errors
def demo(
    out: OutDir = Path("demo"),
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Make a phantom study, classify it and write every output: the first thing to run."""
    from LiverLesionAI.cli.demo import run_demo

    with shown_progress(progress) as show:
        result, files, truth = run_demo(out, progress=show)
    show_result(result, files, truth)


@app.command()
@_reporting_errors
def classify(
    study: StudyPath,
    out: OutDir,
    mask: Annotated[Path | None, typer.Option(help="Lesion mask to use instead of the study's own.")] = None,
    model: Model = DEFAULT_MODEL,
    clinical: Annotated[
        Path | None, typer.Option(help="Clinical data to use instead of the study's clinical.json.")
    ] = None,
    no_register: Annotated[
        bool, typer.Option("--no-register", help="Trust the scanner's positions; do not register.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    no_saliency: Annotated[
        bool, typer.Option("--no-saliency", help="Do not explain: no maps, no sequence weights.")
    ] = False,
    explain_class: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Explain this class instead of each lesion's predicted one."),
    ] = None,
    saliency_method: Annotated[
        Method | None,
        typer.Option(help="How maps are made; the later in the list, the slower (docs/explanation.md)."),
    ] = None,
    parametric_maps: Annotated[
        bool, typer.Option("--parametric-maps", help="Write the maps of a DICOM study as DICOM, too.")
    ] = False,
    as_json: Json = False,
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Classify every outlined lesion of a study and write the results."""
    from LiverLesionAI.pipeline import classify_path

    if no_saliency and (parametric_maps or explain_class):
        raise typer.BadParameter("--no-saliency leaves nothing for --parametric-maps or --explain-class.")
    options = Options(
        model=model,
        mask=mask,
        clinical=clinical,
        register=not no_register,
        device=device,
        precision=precision,
        engine=engine,
        explain=not no_saliency,
        explanation=Settings(method=saliency_method, target=explain_class),
        parametric_maps=parametric_maps,
    )
    with shown_progress(progress) as show:
        result, files = classify_path(study, out, options, progress=show)
    if as_json:
        print_json(result.to_dict())
    else:
        show_result(result, files)


@app.command()
@_reporting_errors
def detect(
    study: StudyPath,
    out: OutDir,
    sequence: Annotated[
        str | None, typer.Option(help="Series to look at instead of the one the model was trained on.")
    ] = None,
    liver_mask: Annotated[
        Path | None, typer.Option(help="Image of the liver; candidates outside of it are left out.")
    ] = None,
    operating_point: Annotated[
        float | None, typer.Option(help="Probability from which a slice counts; by default the model's.")
    ] = None,
    then_classify: Annotated[
        bool, typer.Option("--classify", help="Segment every candidate and classify the segments.")
    ] = False,
    model: Model = DEFAULT_DETECTOR,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    as_json: Json = False,
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Look for HCC on every slice of the hepatobiliary phase; nothing needs to be outlined."""
    from LiverLesionAI.detection import detect_path

    options = DetectOptions(
        model=model,
        sequence=sequence,
        liver_mask=liver_mask,
        operating_point=operating_point,
        classify=then_classify,
        then=Options(device=device, precision=precision, engine=engine),
        device=device,
        precision=precision,
        engine=engine,
    )
    with shown_progress(progress) as show:
        result, files = detect_path(study, out, options, progress=show)
    if as_json:
        print_json(result.to_dict())
    else:
        show_result(result, files)


@app.command()
@_reporting_errors
def identify(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of DICOM files, a file, or a DICOMDIR.")
    ],
    as_json: Json = False,
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Say of each DICOM series which sequence it is, why, and how sure that is."""
    from LiverLesionAI.cli.identify_table import show_identified
    from LiverLesionAI.readers.dicom.identify import identify as identify_series

    with shown_progress(progress) as show:
        found = identify_series(path, show)
    if as_json:
        print_json([item.row() for item in found])
    else:
        show_identified(found)


@app.command()
@_reporting_errors
def register(
    study: StudyPath,
    out: OutDir,
    mask: Annotated[Path | None, typer.Option(help="Lesion mask to use instead of the study's own.")] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="SEQ", help="Sequence to register to; default T2WI.")
    ] = None,
    transform: Annotated[
        Literal["rigid", "affine", "bspline"], typer.Option("--transform", help="Last stage to try.")
    ] = "bspline",
    scope: Annotated[
        Literal["lesion", "volume"],
        typer.Option("--scope", help="Look at the lesions' neighbourhoods only, or at the whole volume."),
    ] = "lesion",
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Register every sequence to the reference; write volumes, transforms, pictures and registration.json."""
    from LiverLesionAI.pipeline import register_path

    options = RegisterOptions(mask, reference, transform, scope)
    with shown_progress(progress) as show:
        registered, files = register_path(study, out, options, progress=show)
    show_registration(registered, files)


@app.command()
@_reporting_errors
def phantom(
    out: OutDir,
    studies: Annotated[int, typer.Option(min=1, help="How many studies.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first study; the next ones count on.")] = 0,
    classes: Annotated[
        str, typer.Option(help="Classes to draw from, separated by commas; default all.")
    ] = "",
    misalign: Annotated[
        str, typer.Option(metavar="RIGID_MM[,SMOOTH_MM]", help="Largest displacement between sequences.")
    ] = "0",
    omit: Annotated[str, typer.Option(metavar="SEQ,…", help="Sequences to leave out.")] = "",
    vendor: Annotated[
        Literal["siemens", "ge", "philips"] | None,
        typer.Option(help="Scanner; drawn for each study by default."),
    ] = None,
    modality: Annotated[
        Literal["mr", "ct"], typer.Option(help="ct: four phases, the categories of Yasaka et al. 2018.")
    ] = "mr",
    lesion_centred: Annotated[
        bool, typer.Option("--lesion-centred", help="Only the surroundings of one lesion, much faster.")
    ] = False,
    file_format: Annotated[
        Literal["nifti", "dicom"],
        typer.Option("--format", help="dicom: folders as a scanner's archive delivers them."),
    ] = "nifti",
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Write phantom studies whose truth is known."""
    from LiverLesionAI.phantom import write_cohort
    from LiverLesionAI.phantom.dicom.cohort import write_dicom_cohort
    from LiverLesionAI.phantom.modality import MODALITIES

    write = write_dicom_cohort if file_format == "dicom" else write_cohort
    with shown_progress(progress) as show:
        cohort = write(
            out,
            studies,
            seed,
            classes=_list(classes) or None,
            misalign_mm=_misalignment(misalign),
            omit=_list(omit),
            vendor=vendor,
            lesion_centred=lesion_centred,
            modality=MODALITIES[modality],
            progress=show,
        )
    print(f"Written: {cohort}")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _misalignment(text: str) -> tuple[float, float]:
    parts = _list(text)
    try:
        rigid, smooth = map(float, parts if len(parts) > 1 else (*parts, "0"))
    except ValueError:
        raise ConfigError(f"--misalign {text!r} is not of the form RIGID_MM or RIGID_MM,SMOOTH_MM.") from None
    return rigid, smooth


app.command()(_reporting_errors(train_command.train))
batch.command()(_reporting_errors(batch_commands.run))
batch.command()(_reporting_errors(batch_commands.merge))
batch.command()(_reporting_errors(batch_commands.export))
app.command()(_reporting_errors(batch_commands.feedback))


@app.command()
@_reporting_errors
def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(metavar="PREDICTIONS.csv", help="Answers and truth, like results.csv of classify."),
    ],
    out: OutDir,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="OTHER.csv|READERS.csv",
            help="Answers of another model, or of readers, to the same cases; may be repeated.",
        ),
    ] = None,
    operating_point: Annotated[
        str,
        typer.Option(metavar="argmax|youden|FILE", help="When a case is called a class against the rest."),
    ] = "argmax",
    embed: Annotated[
        bool,
        typer.Option("--embed", help="Lay out the features in features.csv beside the table by t-SNE."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge answers whose truth is known: figures with intervals, ROC, kappa, comparisons, subgroups."""
    from LiverLesionAI.cli.console import show_evaluation
    from LiverLesionAI.pipeline import evaluate_path

    evaluation, files, warnings = evaluate_path(predictions, out, compare or (), operating_point, embed)
    if as_json:
        print(evaluation.to_json(), end="")
    else:
        show_evaluation(evaluation, files)
    for message in warnings:
        warn(message)


@app.command()
@_reporting_errors
def features(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT.csv", help="Studies with their truth.")],
    out: OutDir,
    model: Model = DEFAULT_MODEL,
    no_register: Annotated[
        bool, typer.Option("--no-register", help="Trust the scanner's positions; do not register.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Write a model's answers and what its last hidden layer sees of a cohort, for `evaluate --embed`."""
    from LiverLesionAI.features import RECORD_FILE, features_path

    options = Options(
        model=model, register=not no_register, device=device, precision=precision, engine=engine
    )
    with shown_progress(progress) as show:
        files = features_path(cohort, out, options, progress=show)
    for reason in json.loads((out / RECORD_FILE).read_text(encoding="utf-8"))["left_out"]:
        warn(f"Left out: {reason}")
    for file in files:
        print(f"Written: {file}")


@app.command()
@_reporting_errors
def worker() -> None:
    """Serve a front end: requests in, answers out, one JSON object a line; the model stays loaded."""
    from LiverLesionAI.worker.server import run_worker

    run_worker()


for _shown in (model_commands.list_, model_commands.show, model_commands.verify, model_commands.add):
    models.command(_shown.__name__.rstrip("_"))(_reporting_errors(_shown))
for _command in (
    reader_commands.make,
    reader_commands.status,
    reader_commands.take,
    reader_commands.export,
    reader_commands.judge,
):
    readers.command(_command.__name__)(_reporting_errors(_command))
