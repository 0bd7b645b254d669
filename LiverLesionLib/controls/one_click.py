"""One-click lesion: a point placed in the views becomes a segment, its extent follows a slider."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls.owner import Owner

if TYPE_CHECKING:
    from LiverLesionAI.one_click import LesionSurface

_POINT = "LiverLesionAI click"


class SegmentingStep(Owner, Protocol):
    """A step with a segmentation that lesions are added to."""

    def segmentation_to_edit(self) -> Any:
        """Return the segmentation node, ready to be edited; made where there is none."""


class OneClick:
    """The button, the point and the slider for lesions that are clicked.

    Parameters
    ----------
    step
        The step that they belong to.
    """

    def __init__(self, step: SegmentingStep) -> None:
        self._step, self._ui = step, step.ui
        self._point: Any = None
        self._surface: LesionSurface | None = None
        self._segment = ""
        self._ui.oneClickButton.connect("toggled(bool)", self._toggled)
        self._ui.loosenessSlider.connect("valueChanged(double)", self._extent_changed)

    def refresh(self) -> None:
        """A click needs a reference sequence; the slider needs a lesion that was clicked."""
        nodes = self._step.chosen()
        self._ui.oneClickButton.enabled = nodes.reference in nodes.volumes
        self._ui.loosenessSlider.enabled = self._surface is not None

    @property
    def is_waiting(self) -> bool:
        """Whether the next click into a view is meant for a lesion."""
        return self._point is not None

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
        self._step.observe(self._point, self._point.PointPositionDefinedEvent, self._clicked)
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        logic.GetSelectionNode().SetActivePlaceNodeID(self._point.GetID())
        interaction = logic.GetInteractionNode()
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self._step.refresh_panel()

    def _stop_placing(self) -> None:
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        point, self._point = self._point, None
        if point is not None:
            self._step.stop_observing(point, point.PointPositionDefinedEvent, self._clicked)
            slicer.mrmlScene.RemoveNode(point)
        self._step.refresh_panel_soon()

    def _clicked(self, caller: Any, event: str) -> None:
        position = [0.0, 0.0, 0.0]
        caller.GetNthControlPointPositionWorld(0, position)
        self._ui.oneClickButton.checked = False
        with self._step.action():
            self.segment(position)

    def segment(self, position_ras: list[float]) -> None:
        """Segment the lesion at a point of the world, RAS mm.

        Raises
        ------
        LiverLesionError
            If there is no lesion to be told from its surroundings.
        """
        from LiverLesionAI import mrml
        from LiverLesionAI.one_click import find_lesion
        from LiverLesionAI.scenes.read import study_of

        nodes = self._step.chosen()
        study = study_of(slicer.mrmlScene, replace(nodes, segmentation=None))
        self._surface = find_lesion(study, mrml.point_of_view(nodes.anchor, position_ras))
        segmentation = self._step.segmentation_to_edit()
        self._ui.segmentEditor.saveStateForUndo()
        name = _("lesion {number}").format(number=segmentation.GetSegmentation().GetNumberOfSegments() + 1)
        self._segment = segmentation.GetSegmentation().AddEmptySegment("", name)
        self._step.parameters.looseness = 0.0
        self._draw(self._surface)
        self._ui.segmentEditor.setCurrentSegmentID(self._segment)
        self._step.refresh_panel()

    def _extent_changed(self, value: float) -> None:
        if self._surface is None or self._step.parameters is None:
            return
        segmentation = self._step.parameters.segmentation
        if segmentation is None or segmentation.GetSegmentation().GetSegment(self._segment) is None:
            self._surface = None
            self._step.fail(_("The lesion that was clicked is no longer there."))
            return
        self._draw(self._surface)

    def _draw(self, surface: LesionSurface) -> None:
        import SimpleITK as sitk

        from LiverLesionAI import mrml

        nodes = self._step.chosen()
        mask = surface.mask(mrml.image_from_volume(nodes.anchor), self._ui.loosenessSlider.value)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            sitk.GetArrayFromImage(mask), nodes.segmentation, self._segment, nodes.anchor
        )
