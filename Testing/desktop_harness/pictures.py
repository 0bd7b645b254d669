"""Pictures of the harness: a panel beside slice views that show the same scene, rendered off-screen.

The views are those of ``trame-slicer``: Slicer's own slice logic and displayable managers without Slicer's
frame around them. Needs ``trame-slicer[standalone]``, Pillow and EGL.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import slicer
from PIL import Image, ImageDraw, ImageFont
from PySide6 import QtGui, QtWidgets

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

FOUR_UP = ("Red", "Yellow", "Green")
_BAR = 18
_BARS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b"}
_GREY = "#7f8c8d"
_GAP = 4
_COLOURS = {Image.Quantize.MEDIANCUT: 112, Image.Quantize.MAXCOVERAGE: 48}
_PANEL_WIDTH = 440


class SliceViews:
    """Slice views of the harness's scene, made when they are first asked for.

    To be made once in a process: the views stay with the scene that was open then.
    """

    def __init__(self) -> None:
        from trame_slicer.core import SlicerApp
        from trame_slicer.views import DirectViewFactory

        with mock.patch("trame_slicer.core.slicer_app.vtkMRMLScene", lambda: slicer.mrmlScene):
            self._app = SlicerApp()
        self._app.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
        self._views: dict[str, Any] = {}

    def open(self, names: Sequence[str]) -> None:
        """Make views by name; those of Slicer's standard layout know their planes, others are axial."""
        from trame_slicer.views import ViewLayoutDefinition as Definition

        planes = {"Yellow": Definition.sagittal_view, "Green": Definition.coronal_view}
        for name in names:
            if name not in self._views:
                view = self._app.view_manager.create_view(planes.get(name, Definition.axial_view)(name))
                self._views[name] = view
        self._app.view_manager.set_current_view_ids(list(self._views))
        for view in self._views.values():
            view.set_render_blocked(True)

    def picture(self, name: str, width: int, height: int, label: str = "") -> Image.Image:
        """Draw a view with its bar and, in a corner, what it shows."""
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        view = self._views[name]
        view.render_window().SetSize(width, height - _BAR)
        self._app.app_logic.GetSliceLogicByLayoutName(name).ResizeSliceNode(width, height - _BAR)
        view.set_render_blocked(False)
        for _ in range(2):
            view.render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(view.render_window())
        grabber.ReadFrontBufferOff()
        grabber.Update()
        view.set_render_blocked(True)
        columns, rows, _ = grabber.GetOutput().GetDimensions()
        pixels = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars())
        shown = Image.fromarray(np.ascontiguousarray(pixels.reshape(rows, columns, -1)[::-1, :, :3]))
        framed = Image.new("RGB", (width, height), _BARS.get(name, _GREY))
        framed.paste(shown, (0, _BAR))
        draw, font = ImageDraw.Draw(framed), ImageFont.load_default(12)
        draw.text((6, 2), label or name[0], fill="black", font=font)
        draw.multiline_text((6, height - 6), _layers(name), fill="white", font=font, anchor="ld")
        return framed


def _layers(name: str) -> str:
    """Names of the volumes that a view shows, as Slicer writes them into a corner."""
    composite = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
    layers = (("F", composite.GetForegroundVolumeID()), ("B", composite.GetBackgroundVolumeID()))
    nodes = [(letter, slicer.mrmlScene.GetNodeByID(node_id)) for letter, node_id in layers if node_id]
    return "\n".join(f"{letter}: {node.GetName()}" for letter, node in nodes if node is not None)


def panel_picture(frame: QtWidgets.QWidget, height: int, width: int = _PANEL_WIDTH) -> Image.Image:
    """Draw a module's panel as high as wanted; what does not fit is scrolled away."""
    frame.resize(width, height)
    for _ in range(3):
        QtWidgets.QApplication.processEvents()
    drawn = frame.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
    rows = np.frombuffer(drawn.constBits(), np.uint8).reshape(drawn.height(), drawn.bytesPerLine())
    return Image.fromarray(np.ascontiguousarray(rows[:, : 3 * drawn.width()].reshape(drawn.height(), -1, 3)))


def beside(panel: Image.Image, views: SliceViews, width: int = 480) -> Image.Image:
    """Put a panel beside a large axial view with a sagittal and a coronal one below it."""
    views.open(FOUR_UP)
    low = round(0.38 * panel.height)
    made = Image.new("RGB", (panel.width + _GAP + width, panel.height), "white")
    made.paste(panel, (0, 0))
    left, half = panel.width + _GAP, (width - _GAP) // 2
    made.paste(views.picture("Red", width, panel.height - low - _GAP), (left, 0))
    for place, name in enumerate(("Yellow", "Green")):
        made.paste(views.picture(name, half, low), (left + place * (half + _GAP), panel.height - low))
    return made


def side_by_side(views: SliceViews, names: Sequence[str], size: int = 250, columns: int = 3) -> Image.Image:
    """Draw a view per sequence in rows."""
    tags = {name: f"Liver{name}" for name in names}
    views.open(list(tags.values()))
    rows = -(-len(names) // columns)
    made = Image.new("RGB", (columns * (size + _GAP) - _GAP, rows * (size + _GAP) - _GAP), "white")
    for place, (name, tag) in enumerate(tags.items()):
        row, column = divmod(place, columns)
        made.paste(views.picture(tag, size, size, name), (column * (size + _GAP), row * (size + _GAP)))
    return made


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG with a palette, most of it for what is frequent, the rest for what stands out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    palette: list[int] = []
    for method, count in _COLOURS.items():
        palette += (picture.quantize(count, method=method).getpalette() or [])[: 3 * count]
    colours = Image.new("P", (1, 1))
    colours.putpalette(palette)
    picture.quantize(palette=colours, dither=Image.Dither.NONE).save(path, optimize=True)
