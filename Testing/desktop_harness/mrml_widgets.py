"""Stand-ins for Slicer's widgets that show nodes of the scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from PySide6 import QtCore, QtWidgets

from desktop_harness.events import Events

Property = QtCore.Property


class SceneWatch:
    """Calls a function whenever nodes that matter come or go, until told to stop."""

    _NODES = ("NodeAddedEvent", "NodeRemovedEvent")
    _EVENTS = ("EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")

    def __init__(self, scene: Any, changed: Callable[[], None], matters: Callable[[Any], bool]) -> None:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def moved(caller: Any, event: str, node: Any) -> None:
            if matters(node):
                changed()

        self.scene = scene
        self._tags = [
            *(scene.AddObserver(getattr(scene, name), moved) for name in self._NODES),
            *(
                scene.AddObserver(getattr(scene, name), lambda caller, event: changed())
                for name in self._EVENTS
            ),
        ]

    def stop(self) -> None:
        """Let go of the scene."""
        for tag in self._tags:
            self.scene.RemoveObserver(tag)
        self._tags = []


class _SceneWidget(Events, QtWidgets.QWidget):
    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._watch: SceneWatch | None = None
        self.destroyed.connect(self._forget)

    def _forget(self) -> None:
        if self._watch:
            self._watch.stop()
            self._watch = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._forget()
        self._scene = scene
        if scene is not None:
            self._watch = SceneWatch(scene, self._scene_changed, self._matters)
        self._scene_changed()

    def _scene_changed(self) -> None:
        raise NotImplementedError

    def _matters(self, node: Any) -> bool:
        """Whether it makes a difference that a node comes or goes."""
        return True


def _value(name: str, kind: Any, default: Any) -> Any:
    """Make a property that is kept in ``_values``; a change is followed by a look at the scene."""

    def get(self: Any) -> Any:
        return self._values.get(name, default)

    def put(self: Any, value: Any) -> None:
        self._values[name] = list(value) if kind == "QStringList" else value
        self._scene_changed()

    return Property(kind, get, put)


class NodeComboBox(_SceneWidget):
    """``qMRMLNodeComboBox``: one node of some classes, or none."""

    EVENTS = (
        "currentNodeChanged(bool)",
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeIDChanged(QString)",
        "nodeAddedByUser(vtkMRMLNode*)",
    )

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._box = QtWidgets.QComboBox()
        layout.addWidget(self._box)
        self._box.activated.connect(lambda index: self._select(self._box.itemData(index)))
        self._values: dict[str, Any] = {"noneDisplay": "Select", "noneEnabled": False, "nodeTypes": []}
        self._required: list[tuple[str, str]] = []
        self._current = ""

    nodeTypes = _value("nodeTypes", "QStringList", [])
    noneEnabled = _value("noneEnabled", bool, False)
    noneDisplay = _value("noneDisplay", str, "Select")
    addEnabled = _value("addEnabled", bool, True)
    removeEnabled = _value("removeEnabled", bool, True)
    renameEnabled = _value("renameEnabled", bool, False)
    editEnabled = _value("editEnabled", bool, False)
    selectNodeUponCreation = _value("selectNodeUponCreation", bool, True)
    showHidden = _value("showHidden", bool, False)
    showChildNodeTypes = _value("showChildNodeTypes", bool, True)
    hideChildNodeTypes = _value("hideChildNodeTypes", "QStringList", [])
    baseName = _value("baseName", str, "")

    def addAttribute(self, node_type: str, name: str, value: str = "") -> None:
        self._required.append((name, value))
        self._scene_changed()

    def nodes(self) -> list[Any]:
        """Nodes that can be chosen (of the stand-in only)."""
        if self._scene is None:
            return []
        kinds = self._values["nodeTypes"]
        return [node for node in self._nodes_of(kinds[0] if len(kinds) == 1 else None) if self._offers(node)]

    def _nodes_of(self, kind: str | None) -> list[Any]:
        """Nodes of a class and its children, all nodes for None, in the scene's order."""
        if kind is None:
            return [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        nodes = self._scene.GetNodesByClass(kind)
        nodes.UnRegister(None)  # as the caller of GetNodesByClass must
        return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]

    def _matters(self, node: Any) -> bool:
        return any(node.IsA(name) for name in self._values["nodeTypes"])

    def _offers(self, node: Any) -> bool:
        hidden = node.GetHideFromEditors() and not self._values.get("showHidden")
        if self._values.get("showChildNodeTypes", True):
            fits = self._matters(node)
        else:
            fits = node.GetClassName() in self._values["nodeTypes"]
        fits &= not any(node.IsA(name) for name in self._values.get("hideChildNodeTypes", ()))
        return fits and not hidden and all(node.GetAttribute(name) == value for name, value in self._required)

    def nodeCount(self) -> int:
        return len(self.nodes())

    def nodeFromIndex(self, index: int) -> Any:
        nodes = self.nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self._select(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        self._select(node_id)

    def addNode(self, class_name: str = "") -> Any:
        kind = class_name or self._values["nodeTypes"][0]
        node = self._scene.AddNewNodeByClass(kind, self._values.get("baseName", ""))
        self.fire("nodeAddedByUser(vtkMRMLNode*)", node)
        self._select(node.GetID())
        return node

    currentNodeID = Property(str, lambda self: self._current, setCurrentNodeID)

    def _scene_changed(self) -> None:
        nodes = self.nodes()
        self._box.clear()
        if self._values["noneEnabled"] or not nodes:
            self._box.addItem(self._values["noneDisplay"], "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        ids = [node.GetID() for node in nodes]
        if self._current not in ids:
            self._select(ids[0] if ids and not self._values["noneEnabled"] else "")
        self._box.setCurrentIndex(max(0, self._box.findData(self._current)))

    def _select(self, node_id: str | None) -> None:
        node_id = node_id or ""
        self._box.setCurrentIndex(max(0, self._box.findData(node_id)))
        if node_id == self._current:
            return
        self._current = node_id
        node = self.currentNode()
        self.fire("currentNodeChanged(vtkMRMLNode*)", node)
        self.fire("currentNodeChanged(bool)", node is not None)
        self.fire("currentNodeIDChanged(QString)", node_id)


class SegmentEditorWidget(_SceneWidget):
    """``qMRMLSegmentEditorWidget``: which segment is edited, on which volume."""

    EVENTS = (
        "currentSegmentIDChanged(QString)",
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)",
    )
    EFFECTS = ("Threshold", "Paint", "Draw", "Erase", "Scissors", "Islands", "Smoothing", "Margin")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        buttons, self._tools = QtWidgets.QHBoxLayout(), QtWidgets.QGridLayout()
        self._add, self._remove = QtWidgets.QPushButton("Add"), QtWidgets.QPushButton("Remove")
        for button in (self._add, self._remove):
            buttons.addWidget(button)
        self._effects = [QtWidgets.QToolButton(text=name) for name in self.EFFECTS]
        self._lay_out(4)
        self._list = QtWidgets.QListWidget()
        self._list.setMaximumHeight(90)
        for part in (buttons, self._tools):
            layout.addLayout(part)
        layout.addWidget(self._list)
        self._add.clicked.connect(self.onAddSegment)
        self._remove.clicked.connect(self.onRemoveSegment)
        self._list.currentRowChanged.connect(lambda row: self._row_chosen())
        self._node: Any = None
        self._values: dict[str, Any] = {}
        self._observations = False

    segmentationNodeSelectorVisible = _value("segmentationNodeSelectorVisible", bool, True)
    sourceVolumeNodeSelectorVisible = _value("sourceVolumeNodeSelectorVisible", bool, True)
    switchToSegmentationsButtonVisible = _value("switchToSegmentationsButtonVisible", bool, True)
    maximumNumberOfUndoStates = _value("maximumNumberOfUndoStates", int, 10)
    show3DButtonVisible = _value("show3DButtonVisible", bool, True)
    maskingSectionVisible = _value("maskingSectionVisible", bool, True)
    jumpToSelectedSegmentEnabled = _value("jumpToSelectedSegmentEnabled", bool, False)
    unorderedEffectsVisible = _value("unorderedEffectsVisible", bool, True)
    readOnly = _value("readOnly", bool, False)

    def _lay_out(self, columns: int) -> None:
        for index, button in enumerate(self._effects):
            self._tools.addWidget(button, *divmod(index, columns))

    def _columns(self) -> int:
        return self._values.get("effectColumnCount", 4)

    def _set_columns(self, columns: int) -> None:
        self._values["effectColumnCount"] = columns
        self._lay_out(columns)

    effectColumnCount = Property(int, _columns, _set_columns)

    def setEffectNameOrder(self, names: list[str]) -> None:
        self._values["order"] = names

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._node = node
        self._scene_changed()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if self._node is None:
            return
        self._node.SetAndObserveSegmentationNode(node)
        self._scene_changed()
        self.fire("segmentationNodeChanged(vtkMRMLSegmentationNode*)", node)

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode() if self._node else None

    def setSourceVolumeNode(self, node: Any) -> None:
        if self._node is None or self.segmentationNode() is None:
            return
        self._node.SetAndObserveSourceVolumeNode(node)
        segmentation = self.segmentationNode()
        if node is not None and not segmentation.GetSegmentation().GetNumberOfSegments():
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
        self.fire("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)", node)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode() if self._node else None

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._node is not None and segment_id != self.currentSegmentID():
            self._node.SetSelectedSegmentID(segment_id)
            self.fire("currentSegmentIDChanged(QString)", segment_id)

    def onAddSegment(self, *_: Any) -> None:
        node = self.segmentationNode()
        if node is not None:
            self.setCurrentSegmentID(node.GetSegmentation().AddEmptySegment())
            self._scene_changed()

    def onRemoveSegment(self, *_: Any) -> None:
        node = self.segmentationNode()
        if node is not None:
            node.GetSegmentation().RemoveSegment(self.currentSegmentID())
            self._scene_changed()

    def setupViewObservations(self) -> None:
        self._observations = True

    def removeViewObservations(self) -> None:
        self._observations = False

    def setActiveEffect(self, effect: Any) -> None:
        self._values["effect"] = effect

    def setActiveEffectByName(self, name: str) -> None:
        self._values["effect"] = name

    def saveStateForUndo(self) -> None:
        """Undo belongs to the C++ widget and is not imitated; the call must be legal."""

    def undo(self) -> None:
        """See :meth:`saveStateForUndo`."""

    def updateWidgetFromMRML(self) -> None:
        self._scene_changed()

    def _row_chosen(self) -> None:
        item = self._list.currentItem()
        if item is not None:
            self.setCurrentSegmentID(item.data(QtCore.Qt.ItemDataRole.UserRole))

    def _scene_changed(self) -> None:
        self._list.blockSignals(True)
        self._list.clear()
        node = self.segmentationNode()
        segmentation = node.GetSegmentation() if node is not None else None
        for index in range(segmentation.GetNumberOfSegments() if segmentation else 0):
            item = QtWidgets.QListWidgetItem(segmentation.GetNthSegment(index).GetName())
            item.setData(QtCore.Qt.ItemDataRole.UserRole, segmentation.GetNthSegmentID(index))
            self._list.addItem(item)
        self._list.blockSignals(False)


class SegmentsTableView(_SceneWidget):
    """``qMRMLSegmentsTableView``, known by name only."""

    def _scene_changed(self) -> None:
        """Nothing is drawn."""


class TableView(Events, QtWidgets.QTableView):
    """``qMRMLTableView``: shows a table node."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        """Slicer's view needs the scene to find its node."""

    def mrmlTableNode(self) -> Any:
        return self._node

    def setMRMLTableNode(self, node: Any) -> None:
        from PySide6 import QtGui

        self._node = node
        model = QtGui.QStandardItemModel()
        if node is not None:
            rows, columns = node.GetNumberOfRows(), node.GetNumberOfColumns()
            model.setHorizontalHeaderLabels([node.GetColumnName(column) for column in range(columns)])
            for row in range(rows):
                model.appendRow([QtGui.QStandardItem(node.GetCellText(row, c)) for c in range(columns)])
        self.setModel(model)


class PlotWidget(_SceneWidget):
    """``qMRMLPlotWidget``: shows a chart node of a plot view."""

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._view_node = node

    def mrmlPlotViewNode(self) -> Any:
        return getattr(self, "_view_node", None)

    def _scene_changed(self) -> None:
        """Charts are not drawn."""


class PlotView(PlotWidget):
    """``qMRMLPlotView``, as :class:`PlotWidget`."""
