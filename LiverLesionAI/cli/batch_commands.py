"""``liverlesionai batch`` and ``feedback``: cohorts, shards, and what lesions turned out to be.

More than six parameters: those of a function are the options of its command.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from LiverLesionAI.cli.arguments import Device, Engine, Json, Precision, ShowProgress
from LiverLesionAI.cli.console import ProgressMode, print_json, resolved, shown_progress, warn
from LiverLesionAI.explanation.settings import Method, Settings
from LiverLesionAI.options import DEFAULT_MODEL, Options

if TYPE_CHECKING:
    from LiverLesionAI.batch import BatchRun
    from LiverLesionAI.batch.run import BatchProgress

FAILED_STUDIES = 4
_SHOWN_FAILURES = 10

RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")]


class BatchGroup(TyperGroup):
    """``batch COHORT`` is ``batch run COHORT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` before what names no other command."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def run(
    cohort: Annotated[
        Path,
        typer.Argument(metavar="COHORT", help="cohort.csv, or a folder of studies, scenes or DICOM files."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; give it again to go on.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME|DIR", help="A model or system; several share the reading."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Studies at a time, on this machine.")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of each worker.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, to use its workers."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Every N-th study from the I-th, for job arrays."),
    ] = None,
    outputs: Annotated[
        Literal["table", "volumes", "all"], typer.Option("--outputs", help="What is written of each study.")
    ] = "all",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try studies again that failed before.")
    ] = False,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="A study that takes longer has failed.")
    ] = 1800.0,
    memory_limit: Annotated[
        float | None, typer.Option("--memory-limit", metavar="GIB", help="So has one that takes more memory.")
    ] = None,
    no_register: Annotated[
        bool, typer.Option("--no-register", help="Trust the scanner's positions; do not register.")
    ] = False,
    no_saliency: Annotated[
        bool, typer.Option("--no-saliency", help="Do not explain: no maps, no sequence weights.")
    ] = False,
    saliency_method: Annotated[
        Method | None, typer.Option(help="How maps are made (docs/explanation.md).")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    as_json: Json = False,
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Classify every study of a cohort, exactly once; start it again to go on after whatever ended it."""
    from LiverLesionAI.batch import BatchOptions, run_batch
    from LiverLesionAI.batch.settings import shard_of

    options = BatchOptions(
        models=tuple(model or (DEFAULT_MODEL,)),
        study=Options(
            register=not no_register,
            device=device,
            precision=precision,
            engine=engine,
            explain=not no_saliency,
            explanation=Settings(method=saliency_method),
        ),
        outputs=outputs,
        workers=workers,
        threads=threads,
        scheduler=scheduler,
        shard=shard_of(shard) if shard else None,
        retry_failed=retry_failed,
        time_limit_s=time_limit,
        memory_limit_bytes=None if memory_limit is None else int(memory_limit * 2**30),
    )
    with shown_progress(progress) as show:
        begun = run_batch(cohort, out, options, progress=show)
    failures: list[dict[str, str]] = []
    with begun, shown_batch(progress) as tell:
        for answer in begun:
            failures += [
                {"study": answer.study_id, "model": each.label, "kind": each.kind, "reason": each.reason}
                for each in answer.answers
                if each.status == "failed"
            ]
            tell(begun.progress)
    _show(begun, failures, as_json)
    if begun.counts["failed"]:
        raise typer.Exit(FAILED_STUDIES)


def _show(run: BatchRun, failures: list[dict[str, str]], as_json: bool) -> None:
    done = run.progress
    if as_json:
        print_json(
            {
                "studies": run.counts,
                "now": {"passed": done.passed, "done": done.done, "failed": done.failed},
                "failures": failures,
                "files": [str(file) for file in run.files],
            }
        )
    else:
        counts = run.counts
        before = f" ({done.passed} of them before)" if done.passed else ""
        print(f"{done.total} studies: {counts['done']} done, {counts['failed']} failed{before}.")
        if run.notice:
            print(run.notice)
        print("Written:")
        for file in run.files:
            print(f"  {file}")
    for message in run.warnings:
        warn(message)
    for kind, count in Counter(each["kind"] for each in failures).most_common():
        warn(f"{count} failed ({kind}).")
    for each in failures[:_SHOWN_FAILURES]:
        warn(f"{each['study']}: {each['reason']}")
    if len(failures) > _SHOWN_FAILURES:
        warn(f"{len(failures) - _SHOWN_FAILURES} more are in {run.files[-1].parent / 'failures.csv'}.")


@contextmanager
def shown_batch(mode: ProgressMode) -> Iterator[Callable[[BatchProgress], None]]:
    """Show how far a run is, on stderr."""
    mode = resolved(mode)
    if mode is ProgressMode.jsonl:
        yield _line
    elif mode is ProgressMode.bar:
        with _bar() as tell:
            yield tell
    else:
        yield lambda done: None


def _line(done: BatchProgress) -> None:
    left = None if done.seconds_left is None else round(done.seconds_left, 1)
    content = {
        "step": "batch", "fraction": round(done.fraction, 4), "total": done.total, "passed": done.passed,
        "done": done.done, "failed": done.failed, "seconds_left": left,
    }  # fmt: skip
    print(json.dumps(content), file=sys.stderr, flush=True)


@contextmanager
def _bar() -> Iterator[Callable[[BatchProgress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.completed:>5.0f} of {task.total:.0f} studies"),
        BarColumn(),
        TextColumn("{task.fields[failed]} failed · {task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task("studies", total=None, failed=0, left="")

        def tell(done: BatchProgress) -> None:
            finished = done.passed + done.done + done.failed
            bars.update(
                bar,
                total=done.total,
                completed=finished,
                failed=done.failed,
                left=_time_left(done.seconds_left),
            )

        yield tell


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min left" if hours else f"{minutes} min left"


def merge(
    shards: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Folders of shards.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the joined run.")],
    as_json: Json = False,
) -> None:
    """Join shards of a run into one with its tables."""
    from LiverLesionAI.batch.merge import merge_runs

    merged = merge_runs(shards, out)
    if as_json:
        print_json({"studies": merged.counts, "files": [str(file) for file in merged.files]})
    else:
        print(f"{sum(merged.counts[each] for each in ('done', 'failed', 'left'))} studies: "
              f"{merged.counts['done']} done, {merged.counts['failed']} failed.")  # fmt: skip
        for file in merged.files:
            print(f"Written: {file}")
    for message in merged.warnings:
        warn(message)


def export(
    folder: RunDir,
    out: Annotated[
        Path, typer.Option("--out", metavar="COHORT", help="New folder of the cohort to train on.")
    ],
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Write the studies whose diagnosis is settled as a cohort for `train`."""
    from LiverLesionAI.batch.feedback import export_cohort

    with shown_progress(progress) as show:
        table, rows = export_cohort(folder, out, progress=show)
    print(f"Written: {table}: {rows} rows")


def feedback(
    folder: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a run.")],
    study: Annotated[str, typer.Option("--study", metavar="ID", help="study_id, as in the run's tables.")],
    diagnosis: Annotated[str, typer.Option("--diagnosis", metavar="CLASS", help="What it turned out to be.")],
    lesion: Annotated[
        int | None, typer.Option("--lesion", metavar="N", min=1, help="Default: the study as a whole.")
    ] = None,
    source: Annotated[
        Literal["pathology", "follow-up", "imaging", "other"], typer.Option("--source", help="Who says so.")
    ] = "pathology",
    date: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="When it was said; today by default.")
    ] = None,
) -> None:
    """Note the final diagnosis of a lesion; the run's tables then have it as truth, for `evaluate`."""
    from LiverLesionAI.batch.feedback import give_feedback

    for file in give_feedback(folder, study, lesion, diagnosis, source, date):
        print(f"Written: {file}")
