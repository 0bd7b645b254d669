"""Write ``api.json``: the part of Slicer's names that the harness checks against.

Run it with the list of a running Slicer's objects (a JSON file with ``objects``: name to its ``properties``,
``signals``, ``slots`` and other names) whenever a module starts to use a further class::

    python Testing/desktop_harness/make_api.py slicer-api.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

API_FILE = Path(__file__).with_name("api.json")

QT = [
    "QAbstractItemView",
    "QAction",
    "QApplication",
    "QBoxLayout",
    "QBrush",
    "QButtonGroup",
    "QCheckBox",
    "QColor",
    "QComboBox",
    "QCursor",
    "QDateTime",
    "QDialog",
    "QDir",
    "QEvent",
    "QFile",
    "QFileDialog",
    "QFont",
    "QFontMetrics",
    "QFormLayout",
    "QFrame",
    "QGridLayout",
    "QGroupBox",
    "QHBoxLayout",
    "QHeaderView",
    "QIcon",
    "QInputDialog",
    "QLayoutItem",
    "QKeySequence",
    "QLabel",
    "QLayout",
    "QLineEdit",
    "QListWidget",
    "QMenu",
    "QMessageBox",
    "QModelIndex",
    "QObject",
    "QPalette",
    "QPixmap",
    "QPlainTextEdit",
    "QProcess",
    "QProgressBar",
    "QPushButton",
    "QRadioButton",
    "QScrollArea",
    "QScrollBar",
    "QSettings",
    "QSize",
    "QSizePolicy",
    "QSlider",
    "QSpacerItem",
    "QSpinBox",
    "QDoubleSpinBox",
    "QStackedWidget",
    "QStyle",
    "QTabWidget",
    "QTableView",
    "QTableWidget",
    "QTableWidgetItem",
    "QTextBrowser",
    "QTextEdit",
    "QTimer",
    "QToolButton",
    "QUiLoader",
    "QUrl",
    "QVBoxLayout",
    "QWidget",
    "Qt",
]
CTK = [
    "ctkCheckBox",
    "ctkCollapsibleButton",
    "ctkCollapsibleGroupBox",
    "ctkComboBox",
    "ctkDirectoryButton",
    "ctkDoubleSlider",
    "ctkExpandButton",
    "ctkMessageBox",
    "ctkPathLineEdit",
    "ctkRangeWidget",
    "ctkSliderWidget",
]
SLICER_WIDGETS = [
    "qMRMLCheckableNodeComboBox",
    "qMRMLNodeComboBox",
    "qMRMLPlotView",
    "qMRMLPlotWidget",
    "qMRMLSegmentEditorWidget",
    "qMRMLSegmentsTableView",
    "qMRMLSliceControllerWidget",
    "qMRMLSliceWidget",
    "qMRMLSubjectHierarchyComboBox",
    "qMRMLSubjectHierarchyTreeView",
    "qMRMLTableView",
    "qMRMLWidget",
    "qSlicerMarkupsPlaceWidget",
    "qSlicerSimpleMarkupsWidget",
    "qSlicerLayoutManager",
    "qMRMLLayoutManager",
    "qSlicerScriptedLoadableModule",
    "qSlicerScriptedLoadableModuleWidget",
    "qSlicerModuleManager",
]
SLICER = ["app", "modules", "util", "i18n", "packaging", "parameterNodeWrapper", "ScriptedLoadableModule"]
PARTS = ("properties", "signals", "slots", "names")
COMMON = "qt.QWidget"


def extract(objects: dict[str, Any]) -> dict[str, Any]:
    """Keep what is needed; what a widget shares with every widget is not repeated."""
    wanted = [f"qt.{name}" for name in QT] + [f"ctk.{name}" for name in CTK]
    wanted += [f"slicer.{name}" for name in (*SLICER_WIDGETS, *SLICER)] + ["sitkUtils", "SampleData"]
    kept = {name: _parts(objects[name]) for name in wanted if "kind" not in objects.get(name, {"kind": ""})}
    common = kept[COMMON]
    for name, parts in kept.items():
        is_widget = set(common["slots"]) <= set(parts["slots"]) and name != COMMON
        if is_widget:
            kept[name] = {part: sorted(set(parts[part]) - set(common[part])) for part in PARTS}
            kept[name]["widget"] = True
    kept["slicer"] = {"names": sorted(_members(objects, "slicer"))}
    kept["qt"] = {"names": sorted(_members(objects, "qt"))}
    kept["ctk"] = {"names": sorted(_members(objects, "ctk"))}
    return kept


def _parts(entry: dict[str, Any]) -> dict[str, Any]:
    names = entry.get("names") or entry.get("other_names") or []
    return {**{part: sorted(entry.get(part, [])) for part in PARTS[:3]}, "names": sorted(names)}


def _members(objects: dict[str, Any], module: str) -> set[str]:
    return {name.split(".", 1)[1] for name in objects if name.startswith(f"{module}.")}


if __name__ == "__main__":
    listed = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    api = {"version": listed["version"], "objects": extract(listed["objects"])}
    API_FILE.write_text(json.dumps(api, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
