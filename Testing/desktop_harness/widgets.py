"""Stand-ins for widgets of CTK and Slicer with their documented properties, methods and signals."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from desktop_harness.events import Events
from desktop_harness.mrml_widgets import (
    NodeComboBox,
    PlotView,
    PlotWidget,
    SegmentEditorWidget,
    SegmentsTableView,
    TableView,
)

Property = QtCore.Property


class MRMLWidget(Events, QtWidgets.QWidget):
    """``qMRMLWidget``: hands its scene to the widgets in it."""

    EVENTS = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.fire("mrmlSceneChanged(vtkMRMLScene*)", scene)


class CollapsibleButton(Events, QtWidgets.QWidget):
    """``ctkCollapsibleButton``: a title that folds its contents away.

    As in CTK a property of a child tells that it was hidden while the button was open; hiding it while the
    button is folded changes nothing that could be noticed.
    """

    EVENTS = ("contentsCollapsed(bool)", "clicked()", "clicked(bool)")
    _REMEMBERED = "visibilityToParent"

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed, self._forcing = "", False, False
        self._TITLE = self.fontMetrics().height() + 12
        self.setContentsMargins(0, self._TITLE, 0, 0)

    def paintEvent(self, event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), self._TITLE)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        mark = "▸" if self._collapsed else "▾"
        align = QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.AlignmentFlag.AlignLeft
        painter.drawText(option.rect.adjusted(8, 0, 0, 0), align, f"{mark}  {self._text}")

    def mousePressEvent(self, event: Any) -> None:
        if event.position().y() < self._TITLE:
            self._set_collapsed(not self._collapsed)

    def childEvent(self, event: Any) -> None:
        super().childEvent(event)
        child = event.child()
        if isinstance(child, QtWidgets.QWidget) and event.added():
            child.installEventFilter(self)
            if self._collapsed:
                self._show_child(child)

    def eventFilter(self, child: Any, event: Any) -> bool:
        if not self._forcing and event.type() == QtCore.QEvent.Type.ShowToParent:
            child.setProperty(self._REMEMBERED, True)
            self._show_child(child)
        elif not self._forcing and event.type() == QtCore.QEvent.Type.HideToParent:
            child.setProperty(self._REMEMBERED, False)
        return False

    def _show_child(self, child: QtWidgets.QWidget) -> None:
        """Show a child unless the button is folded, or the child was hidden on its own account."""
        self._forcing = True
        child.setVisible(not self._collapsed and child.property(self._REMEMBERED) is not False)
        self._forcing = False

    def _get_text(self) -> str:
        return self._text

    def _set_text(self, text: str) -> None:
        self._text = text
        self.update()

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self._show_contents()
            self.fire("contentsCollapsed(bool)", collapsed)

    def _show_contents(self) -> None:
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                self._show_child(child)
        self.setMaximumHeight(self._TITLE if self._collapsed else 16_777_215)

    text = Property(str, _get_text, _set_text)
    collapsed = Property(bool, _get_collapsed, _set_collapsed)


class CollapsibleGroupBox(QtWidgets.QGroupBox):
    """``ctkCollapsibleGroupBox``: a box with a title whose check mark folds its contents away."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.toggled.connect(self._show_contents)

    def childEvent(self, event: Any) -> None:
        super().childEvent(event)
        if not self.isChecked():
            self._show_contents(False)

    def _show_contents(self, shown: bool) -> None:
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(shown)
        self.setMaximumHeight(16_777_215 if shown else self.fontMetrics().height() + 8)

    def _get_collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _get_collapsed, _set_collapsed)


class SliderWidget(Events, QtWidgets.QWidget):
    """``ctkSliderWidget``: a slider with a spin box."""

    EVENTS = ("valueChanged(double)", "valueIsChanging(double)")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, self._box = (
            QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal),
            QtWidgets.QDoubleSpinBox(),
        )
        self._slider.setRange(0, 1000)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self._changed)
        self._slider.valueChanged.connect(self._slid)
        self._box.setRange(0, 99)

    def _changed(self, value: float) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        self._slider.blockSignals(True)
        self._slider.setValue(round(1000 * (value - low) / ((high - low) or 1)))
        self._slider.blockSignals(False)
        self.fire("valueChanged(double)", value)

    def _limit(self, set_limit: Any, value: float) -> None:
        set_limit(value)
        self._changed(self._box.value())

    def _slid(self, position: int) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        self._box.setValue(low + position / 1000 * (high - low))

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    value = Property(float, lambda self: self._box.value(), lambda self, v: self._box.setValue(v))
    minimum = Property(
        float, lambda self: self._box.minimum(), lambda self, v: self._limit(self._box.setMinimum, v)
    )
    maximum = Property(
        float, lambda self: self._box.maximum(), lambda self, v: self._limit(self._box.setMaximum, v)
    )
    singleStep = Property(
        float, lambda self: self._box.singleStep(), lambda self, v: self._box.setSingleStep(v)
    )
    decimals = Property(int, lambda self: self._box.decimals(), lambda self, v: self._box.setDecimals(v))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, v: self._box.setSuffix(v))
    tracking = Property(
        bool, lambda self: self._slider.hasTracking(), lambda self, v: self._slider.setTracking(v)
    )


class PathLineEdit(Events, QtWidgets.QWidget):
    """``ctkPathLineEdit``: a path and a button to browse."""

    EVENTS = ("currentPathChanged(QString)",)
    Dirs = 1

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit = QtWidgets.QLineEdit()
        layout.addWidget(self._edit)
        layout.addWidget(QtWidgets.QToolButton(text="…"))
        self._edit.textChanged.connect(lambda text: self.fire("currentPathChanged(QString)", text))
        self._filters: Any = 0
        self._setting = ""

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    def addCurrentPathToHistory(self) -> None:
        """The history is not imitated."""

    def _set_filters(self, filters: Any) -> None:
        self._filters = filters

    def _set_setting(self, key: str) -> None:
        self._setting = key

    currentPath = Property(str, lambda self: self._edit.text(), setCurrentPath)
    filters = Property("QVariant", lambda self: self._filters, _set_filters)
    settingKey = Property(str, lambda self: self._setting, _set_setting)


class MarkupsPlaceWidget(Events, QtWidgets.QWidget):
    """``qSlicerMarkupsPlaceWidget``: switches the placing of points on and off."""

    EVENTS = ("activeMarkupsPlaceModeChanged(bool)", "activeMarkupsFiducialPlaceModeChanged(bool)")
    ForcePlaceSingleMarkup = 1

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._button = QtWidgets.QToolButton(text="＋", checkable=True)
        layout.addWidget(self._button)
        self._button.toggled.connect(lambda on: self.fire("activeMarkupsPlaceModeChanged(bool)", on))
        self._node: Any = None
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setCurrentNode(self, node: Any) -> None:
        self._node = node

    def currentNode(self) -> Any:
        return self._node

    def placeButton(self) -> QtWidgets.QToolButton:
        return self._button

    def setPlaceModeEnabled(self, on: bool) -> None:
        self._button.setChecked(on)

    def setPlaceMultipleMarkups(self, kind: Any) -> None:
        """Whether the mode stays on after a point; tests place points themselves."""

    placeModeEnabled = Property(bool, lambda self: self._button.isChecked(), setPlaceModeEnabled)
    buttonsVisible = Property(
        bool, lambda self: self._button.isVisible(), lambda self, on: self._button.setVisible(on)
    )


class UiLoader(QtCore.QObject):
    """``QUiLoader`` that knows the stand-ins and refuses what Slicer does not have; see :mod:`.ui`."""

    def load(self, device: QtCore.QFile, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        from desktop_harness.ui import load_ui

        return load_ui(bytes(device.readAll().data()).decode("utf-8"), parent)


STAND_INS: dict[str, type] = {
    "ctk.ctkCollapsibleButton": CollapsibleButton,
    "ctk.ctkCollapsibleGroupBox": CollapsibleGroupBox,
    "ctk.ctkPathLineEdit": PathLineEdit,
    "ctk.ctkSliderWidget": SliderWidget,
    "qt.QUiLoader": UiLoader,
    "slicer.qMRMLNodeComboBox": NodeComboBox,
    "slicer.qMRMLPlotView": PlotView,
    "slicer.qMRMLPlotWidget": PlotWidget,
    "slicer.qMRMLSegmentEditorWidget": SegmentEditorWidget,
    "slicer.qMRMLSegmentsTableView": SegmentsTableView,
    "slicer.qMRMLTableView": TableView,
    "slicer.qMRMLWidget": MRMLWidget,
    "slicer.qSlicerMarkupsPlaceWidget": MarkupsPlaceWidget,
}
"""Full name in Slicer to the class that imitates it."""
