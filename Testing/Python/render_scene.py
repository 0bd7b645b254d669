"""Render a Slicer scene's three slice views off-screen, as Slicer shows them, into one PNG.

    python Testing/Python/render_scene.py scene.mrb views.png

Needs ``trame-slicer[standalone]`` and OpenGL; without a screen, EGL (Debian: libegl1 libgl1 libgl1-mesa-dri).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

VIEWS = ("Red", "Yellow", "Green")


def render(scene_file: Path, size: int = 480) -> np.ndarray:
    """Axial, sagittal and coronal view side by side, [row, column, RGB] from the top left."""
    import vtk
    from trame_slicer.core import SlicerApp
    from trame_slicer.views import DirectViewFactory, ViewLayoutDefinition

    app = SlicerApp()
    app.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
    layouts = (
        ViewLayoutDefinition.axial_view("Red"),
        ViewLayoutDefinition.sagittal_view("Yellow"),
        ViewLayoutDefinition.coronal_view("Green"),
    )
    views = [app.view_manager.create_view(layout) for layout in layouts]
    for view in views:
        view.render_window().SetSize(size, size)
    if not app.io_manager.load_scene(str(scene_file)):
        raise SystemExit(f"{scene_file} cannot be loaded.")
    pictures = []
    for name, view in zip(VIEWS, views, strict=True):
        app.app_logic.GetSliceLogicByLayoutName(name).ResizeSliceNode(size, size)
        view.render()
        view.render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(view.render_window())
        grabber.ReadFrontBufferOff()
        grabber.Update()
        pictures.append(_pixels(grabber.GetOutput()))
    return np.concatenate(pictures, axis=1)


def _pixels(picture) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    columns, rows, _ = picture.GetDimensions()
    return vtk_to_numpy(picture.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3]


def main() -> None:
    from PIL import Image

    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    scene_file, png = map(Path, sys.argv[1:3])
    Image.fromarray(np.ascontiguousarray(render(scene_file))).save(png)


if __name__ == "__main__":
    main()
