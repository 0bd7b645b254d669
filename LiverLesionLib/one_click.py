"""One-click lesion: a point placed in the views becomes a segment, its extent follows a slider."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import study_of
from LiverLesionLib.step import TODO

_POINT = "LiverLesionAI click"


class OneClick:
    """The button, the point and the slider of the lesions' step.

    Parameters
    ----------
    step
        The :class:`~LiverLesionLib.lesions_step.LesionsStep` that it belongs to.
    """

    def __init__(self, step: Any) -> None:
        self._step, self._ui, self._panel = step, step.ui, step.panel
        self._point: Any = None
        self._surface: Any = None
        self._segment = ""
        self._ui.oneClickButton.connect("toggled(bool)", self._toggled)
        self._ui.loosenessSlider.connect("valueChanged(double)", self._extent_changed)

    def refresh(self) -> None:
        """A click needs a reference sequence; the slider needs a lesion that was clicked."""
        parameters = self._step.parameters
        self._ui.oneClickButton.enabled = parameters.reference in chosen_volumes(parameters)
        self._ui.loosenessSlider.enabled = self._surface is not None

    def forget(self) -> None:
        """The scene closes, or another segmentation is edited."""
        self._point, self._surface, self._segment = None, None, ""

    def _toggled(self, on: bool) -> None:
        if on:
            self._start_placing()
        else:
            self._stop_placing()

    def _start_placing(self) -> None:
        self._point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _POINT)
        self._point.SetSaveWithScene(False)
        self._panel.widget.addObserver(self._point, self._point.PointPositionDefinedEvent, self._clicked)
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        logic.GetSelectionNode().SetActivePlaceNodeID(self._point.GetID())
        interaction = logic.GetInteractionNode()
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self._step.say(TODO, _("Click into the middle of the lesion."))

    def _stop_placing(self) -> None:
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        point, self._point = self._point, None
        if point is not None:
            self._panel.widget.removeObserver(point, point.PointPositionDefinedEvent, self._clicked)
            slicer.mrmlScene.RemoveNode(point)

    def _clicked(self, caller: Any, event: str) -> None:
        position = [0.0, 0.0, 0.0]
        caller.GetNthControlPointPositionWorld(0, position)
        self._ui.oneClickButton.checked = False
        with self._step.action():
            self.outline(position)

    def outline(self, position_ras: list[float]) -> None:
        """Outline the lesion at a point of the world, RAS mm, as a new segment.

        Raises
        ------
        LiverLesionError
            If there is no lesion to be told from its surroundings.
        """
        from LiverLesionAI.mrml.frames import ras
        from LiverLesionAI.one_click import find_lesion

        parameters = self._step.parameters
        volumes = chosen_volumes(parameters)
        reference = volumes[parameters.reference]
        local = [0.0, 0.0, 0.0]
        reference.TransformPointFromWorld(position_ras, local)
        self._surface = find_lesion(study_of(volumes, None, parameters.reference), ras(local))
        segmentation = self._step.segmentation_to_edit()
        self._ui.segmentEditor.saveStateForUndo()
        name = _("lesion {number}").format(number=segmentation.GetSegmentation().GetNumberOfSegments() + 1)
        self._segment = segmentation.GetSegmentation().AddEmptySegment("", name)
        parameters.looseness = 0.0
        self._draw()
        self._ui.segmentEditor.setCurrentSegmentID(self._segment)
        self._panel.refresh()

    def _extent_changed(self, value: float) -> None:
        if self._surface is None or self._step.parameters is None:
            return
        segmentation = self._step.parameters.segmentation
        if segmentation is None or segmentation.GetSegmentation().GetSegment(self._segment) is None:
            self._surface = None
            self._step.fail(_("The lesion that was clicked is no longer there."))
            return
        self._draw()

    def _draw(self) -> None:
        import SimpleITK as sitk

        from LiverLesionAI import mrml

        parameters = self._step.parameters
        reference = chosen_volumes(parameters)[parameters.reference]
        mask = self._surface.mask(mrml.image_from_volume(reference), self._ui.loosenessSlider.value)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            sitk.GetArrayFromImage(mask), parameters.segmentation, self._segment, reference
        )
