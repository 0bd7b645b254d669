"""Tables of the panel: texts, probabilities as bars in the colours of their classes, weights to two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import qt

from LiverLesionLib.controls.palette import Colour, text_on

_ROW_HEIGHT, _ROW_MARGIN = 24, 9
_HEADER_HEIGHT, _HEADER_MARGIN = 26, 11
"""Heights with small fonts, and what surrounds the letters of larger ones."""
_STYLE = (
    "QProgressBar {{ border: none; background: rgba(128, 128, 128, 40); text-align: center; margin: 3px;{} }}"
    "QProgressBar::chunk {{ background-color: rgb({}, {}, {}); }}"
)

_FOR, _AGAINST = "rgba(214, 96, 77, 190)", "rgba(67, 147, 195, 190)"
"""Red for a class, blue against it, as in the figures."""

_REACHES_TEXT = 0.55
_GREY = (150, 150, 150)
_EDGE = 1e-4
_SMALLEST_SHOWN = 0.05
_TWO_SIDED = (
    "margin: 3px; background: qlineargradient(x1:0, y1:0, x2:1, y2:0, stop:0 transparent, "
    "stop:{before:.4f} transparent, stop:{low:.4f} {colour}, stop:{high:.4f} {colour}, "
    "stop:{after:.4f} transparent, stop:1 transparent);"
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
    text
        What stands on it; by default the value in percent.
    tip
        Shown under the mouse.
    """

    value: float
    colour: Colour
    text: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Chip:
    """A text with a patch of colour before it, and perhaps more under the mouse."""

    text: str
    colour: Colour
    tip: str = ""


@dataclass(frozen=True)
class Tipped:
    """A text with more under the mouse."""

    text: str
    tip: str


@dataclass(frozen=True)
class Stale:
    """A text that held once: in brackets and grey, why it does so no more under the mouse."""

    text: str
    tip: str


@dataclass(frozen=True)
class Weight:
    """A weight to be drawn to the right of the middle where it speaks for a class, to the left where against.

    Attributes
    ----------
    value
        In log-odds.
    largest
        The magnitude that fills one side.
    tip
        Shown under the mouse.
    """

    value: float
    largest: float
    tip: str = ""


Cell = str | Bar | Chip | Stale | Tipped | Weight


def prepare(table: qt.QTableWidget, columns: Sequence[str], *stretched: int) -> None:
    """Set the headers of a table; the columns `stretched` share the space that is left."""
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().setVisible(False)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    table.setWordWrap(False)
    header = table.horizontalHeader()
    for column in range(len(columns)):
        kind = qt.QHeaderView.Stretch if column in stretched else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, kind)
    header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
    header.setHighlightSections(False)
    fill(table, ())


def fill(table: qt.QTableWidget, rows: Sequence[Sequence[Cell]]) -> None:
    """Show rows, and make the table as high as they are; an empty table is hidden."""
    blocked = table.blockSignals(True)
    letters = table.fontMetrics().height()
    row_height = max(_ROW_HEIGHT, letters + _ROW_MARGIN)
    table.verticalHeader().setDefaultSectionSize(row_height)
    table.setRowCount(0)
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            _put(table, row, column, cell)
    table.blockSignals(blocked)
    table.setFixedHeight(row_height * len(rows) + max(_HEADER_HEIGHT, letters + _HEADER_MARGIN))
    table.visible = bool(rows)


def icon(colour: Colour) -> qt.QIcon:
    """Make a patch of colour (sRGB in [0, 255])."""
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*colour))
    return qt.QIcon(pixmap)


def class_colours(taxonomy: str) -> dict[str, Colour]:
    """Return class to colour (sRGB in [0, 255]), in the taxonomy's order."""
    from LiverLesionAI.taxonomy import taxonomy_named

    return {each.name: each.colour for each in taxonomy_named(taxonomy).classes}


def set_value(table: qt.QTableWidget, row: int, column: int, value: float) -> None:
    """Change a bar that is shown already; `value` is 0 to 1."""
    _fill_bar(table.cellWidget(row, column), value, _percent(value))


def _put(table: qt.QTableWidget, row: int, column: int, cell: Cell) -> None:
    if isinstance(cell, Bar | Weight):
        table.setCellWidget(row, column, _bar(cell) if isinstance(cell, Bar) else _weight(cell))
        return
    item = qt.QTableWidgetItem(cell if isinstance(cell, str) else cell.text)
    if isinstance(cell, Stale):
        item.setText(f"({cell.text})")
        item.setForeground(qt.QBrush(qt.QColor(*_GREY)))
    if isinstance(cell, Chip):
        item.setIcon(icon(cell.colour))
    item.setToolTip((cell if isinstance(cell, str) else cell.tip) or item.text())
    table.setItem(row, column, item)


def _bar(cell: Bar) -> qt.QProgressBar:
    bar = qt.QProgressBar()
    bar.setRange(0, 100)
    _fill_bar(bar, cell.value, cell.text or _percent(cell.value))
    on_bar = f" color: {text_on(cell.colour)};" if cell.value > _REACHES_TEXT else ""
    bar.styleSheet = _STYLE.format(on_bar, *cell.colour)
    bar.toolTip = cell.tip
    return bar


def _weight(cell: Weight) -> qt.QLabel:
    label = qt.QLabel(f"{cell.value:+.1f}".replace("-", "−") if abs(cell.value) >= _SMALLEST_SHOWN else "0.0")
    label.setAlignment(qt.Qt.AlignCenter)
    part = min(abs(cell.value) / cell.largest, 1.0) * (0.5 - 2 * _EDGE) if cell.largest > 0 else 0.0
    low, high, colour = (0.5, 0.5 + part, _FOR) if cell.value > 0 else (0.5 - part, 0.5, _AGAINST)
    label.styleSheet = _TWO_SIDED.format(
        before=low - _EDGE, low=low, high=high, after=high + _EDGE, colour=colour
    )
    label.toolTip = cell.tip
    return label


def _fill_bar(bar: qt.QProgressBar, value: float, text: str) -> None:
    bar.setValue(round(100 * value))
    bar.setFormat(text)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
