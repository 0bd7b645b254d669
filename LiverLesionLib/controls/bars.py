"""Tables of the panel: texts, probabilities as bars in the colours of their classes, weights to two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import qt

from LiverLesionLib.controls.palette import Colour, is_dark, under_text
from LiverLesionLib.controls.visibility import show

_ROW_HEIGHT, _ROW_MARGIN = 24, 9
_HEADER_HEIGHT, _HEADER_MARGIN = 26, 11
"""Heights with small fonts, and what surrounds the letters of larger ones."""
_CELL_MARGIN = 10
"""What surrounds a text in a cell from left to right."""
_PATCH = 20
"""Width of a patch of colour with the space behind it."""
_FEWEST_LETTERS = 3
"""So many letters of a column stay on show where a table is narrow."""
_STYLE = (
    "QProgressBar {{ border: none; background: {behind}; text-align: center; margin: 3px; color: {words}; }}"
    "QProgressBar::chunk {{ background-color: rgb{colour}; }}"
)

_FOR, _AGAINST = "rgba(214, 96, 77, 190)", "rgba(67, 147, 195, 190)"
"""Red for a class, blue against it, as in the figures."""

_LIGHT, _DARK = ("rgb(232, 232, 232)", "black"), ("rgb(72, 72, 72)", "white")
"""What is behind a bar, and its letters, in the light style and in the dark one."""
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


def prepare(
    table: qt.QTableWidget, columns: Sequence[str], *stretched: int, longest: Mapping[int, str] | None = None
) -> None:
    """Set the headers of a table.

    Parameters
    ----------
    table
        To be filled with :func:`fill`.
    columns
        Their titles.
    stretched
        Columns that share the space that is left; what does not fit there is cut short and told under the
        mouse. The others are as wide as their contents.
    longest
        Column to the longest text of its bars: it is as wide as that, or as its title.
    """
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().setVisible(False)
    table.setWordWrap(False)
    header, letters = table.horizontalHeader(), table.fontMetrics()
    header.setMinimumSectionSize(letters.horizontalAdvance("m" * _FEWEST_LETTERS))
    for column, title in enumerate(columns):
        kind = qt.QHeaderView.Stretch if column in stretched else qt.QHeaderView.ResizeToContents
        text = (longest or {}).get(column)
        header.setSectionResizeMode(column, qt.QHeaderView.Fixed if text else kind)
        if text:
            width = max(letters.horizontalAdvance(each) for each in (text, title))
            header.resizeSection(column, width + _CELL_MARGIN)
        table.horizontalHeaderItem(column).setToolTip(title)
    header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
    header.setHighlightSections(False)
    fill(table, ())


def fill(table: qt.QTableWidget, rows: Sequence[Sequence[Cell]]) -> None:
    """Show rows, and make the table as high as they are; an empty table is hidden.

    Where the panel is too narrow for the columns at their narrowest, there is room for a scroll bar as well.
    """
    blocked = table.blockSignals(True)
    table.verticalHeader().setDefaultSectionSize(_row_height(table))
    table.setRowCount(0)
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            _put(table, row, column, cell)
    table.blockSignals(blocked)
    show(table, bool(rows))
    _fit_height(table)


class ReadableColumn:
    """A stretched column with patches of colour that stays as wide as a text.

    Where the panel is too narrow for that, the table scrolls sideways and is higher by the scroll bar; it
    follows when columns, the panel or the font change.

    Parameters
    ----------
    table, column
        Set up by :func:`prepare`.
    """

    def __init__(self, table: qt.QTableWidget, column: int) -> None:
        self._table, self._column, self._text = table, column, ""
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._fit)
        table.horizontalHeader().connect("sectionResized(int,int,int)", self._fit_soon)
        table.horizontalScrollBar().connect("rangeChanged(int,int)", self._fit_soon)

    def hold(self, text: str) -> None:
        """Stay as wide as a text from now on."""
        self._text = text
        self._fit()

    def _fit_soon(self, *_sizes: int) -> None:
        self._timer.start()

    def _fit(self) -> None:
        table, column = self._table, self._column
        header = table.horizontalHeader()
        others = sum(header.sectionSize(each) for each in range(table.columnCount) if each != column)
        width = table.fontMetrics().horizontalAdvance(self._text) + _PATCH + _CELL_MARGIN
        fits = table.viewport().width - others >= width
        header.setSectionResizeMode(column, qt.QHeaderView.Stretch if fits else qt.QHeaderView.Fixed)
        if not fits:
            header.resizeSection(column, width)
        _fit_height(table)


def _row_height(table: qt.QTableWidget) -> int:
    return max(_ROW_HEIGHT, table.fontMetrics().height() + _ROW_MARGIN)


def _fit_height(table: qt.QTableWidget) -> None:
    header = max(_HEADER_HEIGHT, table.fontMetrics().height() + _HEADER_MARGIN)
    height = _row_height(table) * table.rowCount + header
    bar = table.horizontalScrollBar()
    too_wide = table.horizontalHeader().length() > table.viewport().width
    if too_wide if table.isVisible() else bar.maximum > 0:
        height += bar.sizeHint.height()
    table.setFixedHeight(height)


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
    dark = is_dark(bar)
    behind, words = _DARK if dark else _LIGHT
    bar.styleSheet = _STYLE.format(behind=behind, words=words, colour=under_text(cell.colour, dark))
    bar.toolTip = cell.tip
    return bar


def _weight(cell: Weight) -> qt.QLabel:
    label = qt.QLabel(signed(cell.value))
    free_side = qt.Qt.AlignLeft if cell.value > 0 else qt.Qt.AlignRight
    label.setAlignment(free_side | qt.Qt.AlignVCenter)
    part = min(abs(cell.value) / cell.largest, 1.0) * (0.5 - 2 * _EDGE) if cell.largest > 0 else 0.0
    low, high, colour = (0.5, 0.5 + part, _FOR) if cell.value > 0 else (0.5 - part, 0.5, _AGAINST)
    label.styleSheet = _TWO_SIDED.format(
        before=low - _EDGE, low=low, high=high, after=high + _EDGE, colour=colour
    )
    label.toolTip = cell.tip
    return label


def signed(value: float) -> str:
    """Write a weight with its sign, one decimal and a minus that is one."""
    return f"{value:+.1f}".replace("-", "−") if abs(value) >= _SMALLEST_SHOWN else "0.0"


def _fill_bar(bar: qt.QProgressBar, value: float, text: str) -> None:
    bar.setValue(round(100 * value))
    bar.setFormat(text)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
