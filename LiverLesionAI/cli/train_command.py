"""``liverlesionai train``: a cohort is looked at, trained on and becomes a bundle.

More than six parameters: those of a function are the options of its command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from LiverLesionAI.cli.arguments import OutDir, ShowProgress
from LiverLesionAI.cli.console import ProgressMode, shown_progress, warn
from LiverLesionAI.errors import ConfigError

if TYPE_CHECKING:
    from LiverLesionAI.progress import Progress


def train(
    out: OutDir,
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG.yaml", help="Training configuration.")
    ] = None,
    lld: Annotated[
        Path | None,
        typer.Option(
            "--lld", metavar="FOLDER", help="A copy of LLD-MMRI as the cohort; CONFIG.yaml may say the rest."
        ),
    ] = None,
    audit_only: Annotated[
        bool, typer.Option("--audit-only", help="With --lld: stop after the cohort and its audit page.")
    ] = False,
    dixon: Annotated[
        bool, typer.Option("--dixon", help="With --lld: train on in- and out-phase too.")
    ] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Look at the cohort, say what is wrong with it, and stop.")
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out-unreadable", help="Go on without studies that cannot be read.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    progress: ShowProgress = ProgressMode.auto,
) -> None:
    """Train a model on a cohort, on phantoms or on LLD-MMRI and write it as a bundle."""
    from LiverLesionAI.training.together import together
    from LiverLesionAI.training.train import train as run_training

    if config is None and lld is None:
        raise typer.BadParameter("give CONFIG.yaml, or --lld FOLDER")
    with together() as ranks, shown_progress(progress if ranks.leads else ProgressMode.none) as show:
        run = out
        if lld is not None:
            run, folder = out / "run", lld
            config = ranks.led(
                lambda: _lld_config(folder, out, show, template=config, dixon=dixon, resume=resume)
            )
            if audit_only:
                return
        assert config is not None
        cohort = config
        if not resume:
            ranks.led(lambda: _checked_cohort(cohort, show, leave_out=leave_out))
        if check_only:
            return
        bundle = run_training(config, run, resume=resume and run.exists(), progress=show)
        if ranks.leads:
            _tell_left_out(run)
            if lld is not None:
                _answer_test_part(out, bundle, show)
            print(f"Written: {bundle}")


def _tell_left_out(run: Path) -> None:
    """Say which cases the training went on without."""
    from LiverLesionAI.training.export import LEFT_OUT

    for reason in (run / LEFT_OUT).read_text(encoding="utf-8").splitlines():
        warn(f"Left out: {reason}")


def _answer_test_part(out: Path, bundle: Path, progress: Progress) -> None:
    from LiverLesionAI.training.lld_submission import answer_test_part

    for file in answer_test_part(out / "lld", bundle, out, progress=progress) or ():
        print(f"Written: {file}")


def _checked_cohort(config: Path, progress: Progress, *, leave_out: bool) -> None:
    """Say what is wrong with a cohort; refuse what would make a training's figures false."""
    from LiverLesionAI.training.check import REFUSED, check_cohort
    from LiverLesionAI.training.config import read_config

    problems = check_cohort(read_config(config), progress)
    for problem in problems:
        warn(problem.words)
    grave = sum(problem.kind in REFUSED for problem in problems)
    unreadable = sum(problem.kind == "unreadable" for problem in problems)
    if grave:
        raise ConfigError(f"{config}: {grave} faults of the cohort would make its figures false; mend them.")
    if unreadable and not leave_out:
        raise ConfigError(
            f"{config}: {unreadable} studies or lesions cannot be read; mend them, or go on without them "
            "with --leave-out-unreadable."
        )


def _lld_config(
    folder: Path, out: Path, progress: Progress, *, template: Path | None, dixon: bool, resume: bool
) -> Path:
    """Make a cohort of a copy of LLD-MMRI, unless a run that goes on has it already."""
    from LiverLesionAI.training.lld import CONFIG, prepare_lld

    place = out / "lld"
    if resume and (place / CONFIG).is_file():
        return place / CONFIG
    made = prepare_lld(folder, place, template=template, dixon=dixon, progress=progress)
    for case, why in made.failures.items():
        warn(f"{case} was left out: {why}")
    findings = [finding for each in made.patients for finding in each.findings]
    mended = sum(finding.verdict == "mended" for finding in findings)
    print(f"Read: {len(made.patients)} cases; {mended} things mended, {len(findings) - mended} doubted.")
    print(f"Written: {made.table}, {made.config}; look at {made.audit}")
    return made.config
