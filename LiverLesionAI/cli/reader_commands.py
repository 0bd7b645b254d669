"""``liverlesionai readers``: reader studies made, watched, filled from tables, and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from LiverLesionAI.cli.arguments import Json, OutDir
from LiverLesionAI.cli.console import warn

StudyDir = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the reader study.")]
Reader = Annotated[str, typer.Option("--reader", metavar="NAME", help="Whose list it is.")]


def make(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT.csv", help="Where each study is.")],
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS.csv", help="The model's answers, with the truth.")
    ],
    out: Annotated[Path, typer.Option("--out", help="New folder of the reader study.")],
    reader: Annotated[
        list[str], typer.Option("--reader", metavar="NAME", help="A reader's pseudonym; once for each.")
    ],
    design: Annotated[
        Literal["crossover", "sequential", "alone"],
        typer.Option(
            help="crossover: two sessions, with and without the model exchanged; sequential: each case "
            "without and then with it; alone: without it."
        ),
    ] = "crossover",
    seed: Annotated[int, typer.Option(help="Same seed, same lists.", min=0)] = 0,
) -> None:
    """Make a blinded reading list for each reader."""
    from LiverLesionAI.reader_study.folder import make_reader_study, read_list

    plan = make_reader_study(cohort, predictions, out, reader, design, seed)
    items = read_list(plan, plan.readers[0])
    sessions = items[-1].item.session
    print(
        f"Written: {out}: {len({each.item.code for each in items})} cases, {len(items)} readings for each of "
        f"{len(plan.readers)} readers in {sessions} session{'s' if sessions > 1 else ''}."
    )
    print(f"{out / 'key.csv'} and {out / 'model.csv'} unblind it: keep them from the readers.")


def status(folder: StudyDir) -> None:
    """Say how far each reader is."""
    from LiverLesionAI.reader_study.folder import read_list, read_reader_study

    plan = read_reader_study(folder)
    for reader in plan.readers:
        answers = plan.journal(reader).answers()
        items = read_list(plan, reader)
        parts = []
        for session in sorted({each.item.session for each in items}):
            own = [each.item.number for each in items if each.item.session == session]
            parts.append(f"session {session}: {sum(number in answers for number in own)} of {len(own)}")
        print(f"{reader}: {', '.join(parts)}")


def take(
    folder: StudyDir,
    table: Annotated[Path, typer.Argument(metavar="LIST.csv", help="The reader's list, filled in.")],
    reader: Reader,
) -> None:
    """Take answers from a reader's list that was filled in by hand."""
    from LiverLesionAI.reader_study.answers import take_answers

    print(f"Answers taken: {take_answers(folder, reader, table)}")


def export(
    folder: StudyDir,
    out: Annotated[Path, typer.Option("--out", metavar="READERS.csv", help="The table to write.")],
) -> None:
    """Write all answers as a table of readers, for evaluate --compare."""
    from LiverLesionAI.reader_study.answers import write_answers
    from LiverLesionAI.reader_study.folder import read_reader_study

    print(f"Written: {out}: {write_answers(read_reader_study(folder), out)} answers")


def judge(
    folder: StudyDir,
    out: OutDir,
    as_json: Json = False,
) -> None:
    """Judge readers against the model, and with it against without it."""
    from LiverLesionAI.cli.console import show_evaluation
    from LiverLesionAI.pipeline import judge_readers

    evaluation, files, warnings = judge_readers(folder, out)
    if as_json:
        print(evaluation.to_json(), end="")
    else:
        show_evaluation(evaluation, files)
    for message in warnings:
        warn(message)
