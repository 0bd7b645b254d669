"""What `liverlesionai identify` shows: a line for each part of a series, and which of them are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from LiverLesionAI.cli.console import TABLE_WIDTH

if TYPE_CHECKING:
    from rich.table import Table

    from LiverLesionAI.readers.dicom.identify import Identified

CHOSEN, CHOSEN_IN_ASCII = "▶", ">"


def show_identified(items: Sequence[Identified]) -> None:
    """Print a table for each study; the series that would be taken for a sequence are marked."""
    from rich.console import Console

    from LiverLesionAI.readers.dicom.studies import studies_of

    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    mark = CHOSEN_IN_ASCII if console.options.ascii_only else CHOSEN
    studies = studies_of(items, lambda item: item.stack.first)
    for number, parts in enumerate(studies, start=1):
        title = "Series" if len(studies) == 1 else f"Study {number} of {len(studies)}"
        console.print(_table(title, parts, mark))
    console.print(f"{mark} taken for the study; the reasons of every series: identify --json.")


def _table(title: str, items: Sequence[Identified], mark: str) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from LiverLesionAI.readers.dicom.choose import choose

    chosen = {id(choice.best) for choice in choose(items)}
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("no.", justify="right")
    table.add_column("description", overflow="fold")
    table.add_column("part", overflow="fold")
    table.add_column("files", justify="right")
    table.add_column("sequence", style="bold", overflow="fold")
    table.add_column("sure", justify="right")
    table.add_column("why", overflow="fold")
    for item in items:
        first = item.stack.first
        table.add_row(
            mark if id(item) in chosen else "",
            str(first.series_number or ""),
            escape(first.description),
            item.stack.part,
            str(len({frame.file for frame in item.stack.frames})),
            item.sequence or "unknown",
            f"{item.confidence:.2f}" if item.sequence else "",
            escape("; ".join(item.reasons)),
        )
    return table
