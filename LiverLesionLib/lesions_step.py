"""Step 3: outline lesions, by hand in Slicer's segment editor or with one click."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from LiverLesionLib import bars
from LiverLesionLib.one_click import OneClick
from LiverLesionLib.outline_controls import OutlineControls
from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import jump_to
from LiverLesionLib.step import DONE, TODO, Step

_EDITOR_TAG = "LiverLesionAI"


class LesionsStep(Step):
    """The segment editor and the table of lesions."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.lesionsStep, panel.ui.lesionsStatus)
        self.ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._segmentation_chosen)
        self.ui.lesionTable.connect("cellClicked(int,int)", self._row_clicked)
        columns = [_("Lesion"), _("Diameter"), _("Volume"), _("Centre (mm)"), _("Slice")]
        bars.prepare(self.ui.lesionTable, columns, 0)
        self._set_up_editor()
        self.rows: list[Any] = []
        self.one_click, self.outlines = OneClick(self), OutlineControls(self)
        self._observed: Any = None

    def _set_up_editor(self) -> None:
        editor = self.ui.segmentEditor
        editor.segmentationNodeSelectorVisible = False
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        editor.maximumNumberOfUndoStates = 10

    def enter(self) -> None:
        """The module is shown: take part in the views."""
        self._bind_editor()
        self.ui.segmentEditor.setupViewObservations()

    def exit(self) -> None:
        """The module is hidden: leave the mouse to others."""
        self.ui.oneClickButton.checked = False
        self.outlines.choose(0)
        self.ui.segmentEditor.setActiveEffect(None)
        self.ui.segmentEditor.removeViewObservations()

    def forget(self) -> None:
        """The scene closes."""
        self.one_click.forget()
        self.outlines.forget()
        self.ui.segmentEditor.removeViewObservations()
        self.ui.segmentEditor.setMRMLSegmentEditorNode(None)
        self._observe(None)

    def refresh(self) -> None:
        """Measure the lesions again."""
        self.one_click.refresh()
        node = self.parameters.segmentation
        self._observe(node)
        self.rows = []
        with self.errors_told():
            self.rows = [] if node is None else self.panel.logic.lesions(node)
        self.outlines.refresh()
        self._bind_editor()
        self._show_lesions()

    def _show_lesions(self) -> None:
        bars.fill(self.ui.lesionTable, [self._row(lesion) for lesion in self.rows])
        sequence = self.outlines.sequence
        if self.parameters.segmentation is None:
            self.say(TODO, _("Choose or create a segmentation; each lesion is one segment of it."))
        elif not self.rows:
            self.say(TODO, _("Outline a lesion: click it, or Add, then Paint or Draw."))
        elif sequence and self.outlines.segmentation is None:
            self.say(
                DONE,
                _("{sequence} takes the outlines of {reference}; press Correct here to change them.").format(
                    sequence=sequence, reference=self.parameters.reference
                ),
            )
        elif sequence:
            self.say(DONE, _("The outlines below are those of {sequence} alone.").format(sequence=sequence))
        else:
            self.say(DONE, _("Lesions outlined: {count}.").format(count=len(self.rows)))

    def _row(self, lesion: Any) -> tuple[bars.Cell, ...]:
        from LiverLesionAI import mrml

        reference = chosen_volumes(self.parameters).get(self.parameters.reference)
        level = (
            "" if reference is None else "{}/{}".format(*mrml.slice_number(reference, lesion.centroid_lps_mm))
        )
        return (
            bars.Chip(lesion.name, lesion.colour),
            f"{lesion.diameter_mm:.0f} mm",
            f"{lesion.volume_ml:.1f} ml",
            _place(lesion),
            level,
        )

    def select(self, lesion_id: int) -> None:
        """Jump to a lesion."""
        reference = chosen_volumes(self.parameters).get(self.parameters.reference)
        for row in self.rows:
            if row.id == lesion_id and reference is not None:
                jump_to(row.centroid_lps_mm, reference)
                self.ui.segmentEditor.setCurrentSegmentID(row.segment_id)

    def segmentation_to_edit(self) -> Any:
        """Return the chosen segmentation, ready to be edited; one is made where there is none."""
        self.outlines.choose(0)
        if self.parameters.segmentation is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("Lesions"))
            node.CreateDefaultDisplayNodes()
            self.parameters.segmentation = node
            self._bind_editor()
        return self.parameters.segmentation

    def _row_clicked(self, row: int) -> None:
        self.select(self.rows[row].id)

    def _segmentation_chosen(self, node: Any) -> None:
        self.panel.refresh_soon()

    def _bind_editor(self) -> None:
        editor, lesions = self.ui.segmentEditor, self.parameters.segmentation
        reference = chosen_volumes(self.parameters).get(self.parameters.reference)
        if lesions is not None and reference is not None:
            _tie(lesions, reference)
        node, volume = self.outlines.segmentation or lesions, self.outlines.volume
        if editor.mrmlSegmentEditorNode() is None:
            editor.setMRMLSegmentEditorNode(self._editor_node())
        if editor.segmentationNode() is not node:
            editor.setSegmentationNode(node)
        if node is not None and volume is not None and editor.sourceVolumeNode() is not volume:
            editor.setSourceVolumeNode(volume)

    def _editor_node(self) -> Any:
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(_EDITOR_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(_EDITOR_TAG)
            node = scene.AddNode(node)
        return node

    def _observe(self, node: Any) -> None:
        """Measure again, a little later, whenever a segment changes."""
        if node is self._observed:
            return
        for event in _segment_events():
            if self._observed is not None:
                self.panel.widget.removeObserver(self._observed.GetSegmentation(), event, self._changed)
            if node is not None:
                self.panel.widget.addObserver(node.GetSegmentation(), event, self._changed)
        self._observed = node

    @vtk.calldata_type(vtk.VTK_STRING)
    def _changed(self, caller: Any, event: str, data: str = "") -> None:
        self.panel.refresh_soon()


def _tie(segmentation: Any, reference: Any) -> None:
    """Give a new segmentation the reference's grid and frame."""
    if segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()) is None:
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        segmentation.SetAndObserveTransformNodeID(reference.GetTransformNodeID())


def _place(lesion: Any) -> str:
    """Centre of a lesion as radiologists read it: right or left, anterior or posterior, superior, mm."""
    x, y, z = lesion.centroid_lps_mm
    sides = ("L" if x > 0 else "R", "P" if y > 0 else "A", "S" if z > 0 else "I")
    return " ".join(f"{side}{abs(value):.0f}" for side, value in zip(sides, (x, y, z), strict=True))


def _segment_events() -> tuple[int, ...]:
    kind = slicer.vtkSegmentation
    return kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified, kind.SourceRepresentationModified
