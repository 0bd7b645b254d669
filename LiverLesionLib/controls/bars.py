"""Tables of the panel: texts, and probabilities as bars in the colours of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import qt

_ROW_HEIGHT = 24
_HEADER_HEIGHT = 26
_STYLE = (
    "QProgressBar {{ border: none; background: rgba(128, 128, 128, 40); text-align: center; margin: 3px; }}"
    "QProgressBar::chunk {{ background-color: rgb({}, {}, {}); }}"
)


@dataclass(frozen=True)
class Bar:
    """A probability to be drawn as a bar.

    Attributes
    ----------
    value
        0 to 1.
    colour
        sRGB in [0, 255].
    tip
        Shown under the mouse.
    """

    value: float
    colour: tuple[int, int, int]
    tip: str = ""


@dataclass(frozen=True)
class Chip:
    """A text with a patch of colour before it, and perhaps more under the mouse."""

    text: str
    colour: tuple[int, int, int]
    tip: str = ""


Cell = str | Bar | Chip


def prepare(table: qt.QTableWidget, columns: Sequence[str], stretched: int) -> None:
    """Set the headers of a table; the column `stretched` takes the space that is left."""
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
    header = table.horizontalHeader()
    for column in range(len(columns)):
        kind = qt.QHeaderView.Stretch if column == stretched else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, kind)
    fill(table, ())


def fill(table: qt.QTableWidget, rows: Sequence[Sequence[Cell]]) -> None:
    """Show rows, and make the table as high as they are; an empty table is hidden."""
    blocked = table.blockSignals(True)
    table.setRowCount(0)
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            _put(table, row, column, cell)
    table.blockSignals(blocked)
    table.setFixedHeight(_ROW_HEIGHT * len(rows) + _HEADER_HEIGHT)
    table.visible = bool(rows)


def icon(colour: tuple[int, int, int]) -> qt.QIcon:
    """Make a patch of colour (sRGB in [0, 255])."""
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*colour))
    return qt.QIcon(pixmap)


def class_colours(taxonomy: str) -> dict[str, tuple[int, int, int]]:
    """Return class to colour (sRGB in [0, 255]), in the taxonomy's order."""
    from LiverLesionAI.taxonomy import taxonomy_named

    return {each.name: each.colour for each in taxonomy_named(taxonomy).classes}


def set_value(table: qt.QTableWidget, row: int, column: int, value: float) -> None:
    """Change a bar that is shown already; `value` is 0 to 1."""
    _fill_bar(table.cellWidget(row, column), value)


def _put(table: qt.QTableWidget, row: int, column: int, cell: Cell) -> None:
    if isinstance(cell, Bar):
        table.setCellWidget(row, column, _bar(cell))
        return
    item = qt.QTableWidgetItem(cell if isinstance(cell, str) else cell.text)
    if isinstance(cell, Chip):
        item.setIcon(icon(cell.colour))
        item.setToolTip(cell.tip)
    table.setItem(row, column, item)


def _bar(cell: Bar) -> qt.QProgressBar:
    bar = qt.QProgressBar()
    bar.setRange(0, 100)
    _fill_bar(bar, cell.value)
    bar.styleSheet = _STYLE.format(*cell.colour)
    bar.toolTip = cell.tip
    return bar


def _fill_bar(bar: qt.QProgressBar, value: float) -> None:
    bar.setValue(round(100 * value))
    bar.setFormat(f"{100 * value:.0f} %")
