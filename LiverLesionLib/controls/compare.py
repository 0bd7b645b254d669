"""Compare a sequence with the reference: fade, flicker, checkerboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls.owner import Owner

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

_FLICKER_MS = 500
_TILE_MM = 20.0
_MIDDLE = 0.5


class ComparingStep(Owner, Protocol):
    """A step with two sequences to compare."""

    def sequence_volume(self) -> Any:
        """Volume node of the sequence; None where there is none."""

    def reference_volume(self) -> Any:
        """Volume node of the reference; None where there is none."""


class Compare:
    """The buttons and the slider that show two sequences in the same views.

    What the views showed before comes back when the comparison ends.

    Parameters
    ----------
    step
        The step that it belongs to.
    """

    def __init__(self, step: ComparingStep) -> None:
        self._step, self._ui = step, step.ui
        self._before: list[tuple[Any, str | None, str | None, float]] = []
        self._board: Any = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_FLICKER_MS)
        self._timer.connect("timeout()", self._flick)
        self._ui.fadeSlider.value = _MIDDLE
        self._ui.flickerButton.connect("toggled(bool)", self._flicker_toggled)
        self._ui.checkerboardButton.connect("toggled(bool)", self._checkerboard_toggled)
        self._ui.fadeSlider.connect("valueChanged(double)", self._faded)

    def refresh(self) -> None:
        """Comparing needs a sequence beside the reference; what is shown follows its alignment."""
        possible = self._step.sequence_volume() is not None
        for widget in (self._ui.flickerButton, self._ui.checkerboardButton, self._ui.fadeSlider):
            widget.enabled = possible
        if not possible:
            self.stop()
        elif self._board is not None and not slicer.mrmlScene.IsNodePresent(self._board):
            self._ui.checkerboardButton.checked = False
        elif self._board is not None:
            self._draw_checkerboard()

    def sequence_chosen(self) -> None:
        """Another sequence is compared from now on."""
        if self._ui.checkerboardButton.checked:
            self._draw_checkerboard()
        elif self._before:
            self._show_both(self._ui.fadeSlider.value)

    def stop(self) -> None:
        """End every comparison; the views show what they showed before."""
        self._ui.flickerButton.checked = False
        self._ui.checkerboardButton.checked = False
        self._restore_views()

    def forget(self) -> None:
        """The scene closes, and the views' nodes with it."""
        self._before, self._board = [], None
        self.stop()

    def _flicker_toggled(self, on: bool) -> None:
        if not on:
            self._timer.stop()
            self._restore_views()
            return
        self._ui.checkerboardButton.checked = False
        self._show_both(0.0)
        self._timer.start()

    def _flick(self) -> None:
        if self._step.sequence_volume() is None:
            self.stop()
            return
        seen = any(node.GetForegroundOpacity() > _MIDDLE for node in _composites())
        slicer.util.setSliceViewerLayers(foregroundOpacity=0.0 if seen else 1.0)

    def _faded(self, value: float) -> None:
        if self._step.parameters is None or self._step.sequence_volume() is None:
            return
        self._ui.flickerButton.checked = False
        self._ui.checkerboardButton.checked = False
        self._show_both(value)

    def _checkerboard_toggled(self, on: bool) -> None:
        if not on:
            self._remove_checkerboard()
            self._restore_views()
            return
        self._ui.flickerButton.checked = False
        with self._step.action():
            self._remember_views()
            self._draw_checkerboard()

    def _draw_checkerboard(self) -> None:
        from LiverLesionAI import mrml
        from LiverLesionAI.mrml import attributes

        reference, moving = self._step.reference_volume(), self._step.sequence_volume()
        if self._board is not None and slicer.mrmlScene.IsNodePresent(self._board):
            mrml.put_image(self._board, _checkerboard(reference, moving))
            self._board.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
            return
        self._board = mrml.add_volume(slicer.mrmlScene, _checkerboard(reference, moving), _("checkerboard"))
        self._board.SetAttribute(attributes.ROLE, attributes.COMPARISON)
        self._board.SetSaveWithScene(False)
        self._board.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        mrml.set_window(self._board, 0.0, 1.0)
        slicer.util.setSliceViewerLayers(background=self._board, foreground=None)

    def _remove_checkerboard(self) -> None:
        from LiverLesionAI import mrml

        board, self._board = self._board, None
        if board is not None and slicer.mrmlScene.IsNodePresent(board):
            mrml.remove_nodes(slicer.mrmlScene, [board])

    def _show_both(self, opacity: float) -> None:
        self._remember_views()
        slicer.util.setSliceViewerLayers(
            background=self._step.reference_volume(),
            foreground=self._step.sequence_volume(),
            foregroundOpacity=opacity,
        )

    def _remember_views(self) -> None:
        if not self._before:
            self._before = [
                (
                    node,
                    node.GetBackgroundVolumeID(),
                    node.GetForegroundVolumeID(),
                    node.GetForegroundOpacity(),
                )
                for node in _composites()
            ]

    def _restore_views(self) -> None:
        before, self._before = self._before, []
        for node, background, foreground, opacity in before:
            node.SetBackgroundVolumeID(background)
            node.SetForegroundVolumeID(foreground)
            node.SetForegroundOpacity(opacity)


def _composites() -> list[Any]:
    """The nodes that say which volumes each slice view shows."""
    from LiverLesionAI import mrml

    return mrml.nodes_of(slicer.mrmlScene, "vtkMRMLSliceCompositeNode")


def _checkerboard(reference: Any, moving: Any) -> sitk.Image:
    """Draw two volumes in alternating tiles, each in its own window, on the reference's grid: 0 to 1."""
    import numpy as np
    import SimpleITK as sitk

    from LiverLesionAI import mrml

    grid, image = mrml.image_from_volume(reference), mrml.image_from_volume(moving)
    way = mrml.transform_between(reference, moving) or sitk.Transform(3, sitk.sitkIdentity)
    lowest = float(sitk.GetArrayViewFromImage(image).min())
    carried = sitk.Resample(image, grid, way, sitk.sitkLinear, lowest, sitk.sitkFloat32)
    fixed, other = _in_window(grid, reference), _in_window(carried, moving)
    y, x = (
        np.arange(count) * spacing // _TILE_MM
        for count, spacing in zip(fixed.shape[1:], grid.GetSpacing()[1::-1], strict=True)
    )
    board = sitk.GetImageFromArray(np.where((y[:, None] + x) % 2 == 0, fixed, other))
    board.CopyInformation(grid)
    return board


def _in_window(image: sitk.Image, volume: Any) -> np.ndarray:
    """Voxels ``[z, y, x]`` as the display of a volume node shows them: 0 black, 1 white."""
    import numpy as np
    import SimpleITK as sitk

    display = volume.GetDisplayNode()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    shares = (sitk.GetArrayFromImage(image).astype(np.float32) - low) / max(high - low, 1e-6)
    return np.clip(shares, 0.0, 1.0)
