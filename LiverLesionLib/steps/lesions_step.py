"""Step 3: segment lesions, by hand in Slicer's segment editor or with one click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.controls.one_click import OneClick
from LiverLesionLib.controls.outline_controls import OutlineControls
from LiverLesionLib.selection import Selection
from LiverLesionLib.steps.step import Host, PanelStep

if TYPE_CHECKING:
    from LiverLesionAI.scenes.logic import LesionRow

_EDITOR_TAG = "LiverLesionAI"
_EFFECT_COLUMNS = 2
"""So many effects stand side by side, so that the panel can be narrow."""


class LesionsStep(PanelStep):
    """The segment editor and the table of lesions.

    Parameters
    ----------
    host
        The panel.
    selection
        A lesion that is selected in the result is jumped to.
    """

    def __init__(self, host: Host, selection: Selection) -> None:
        super().__init__(host, host.ui.lesionsStep, host.ui.lesionsStatus)
        self._selection = selection
        self.ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._segmentation_chosen)
        self.ui.lesionTable.connect("cellClicked(int,int)", self._row_clicked)
        columns = [_("Lesion"), _("mm"), _("ml"), _("Slice")]
        bars.prepare(self.ui.lesionTable, columns, 0)
        for column, tip in enumerate((_("Longest axial diameter"), _("Volume")), start=1):
            self.ui.lesionTable.horizontalHeaderItem(column).setToolTip(tip)
        self._set_up_editor()
        self.rows: list[LesionRow] = []
        self.one_click, self.outlines = OneClick(self), OutlineControls(self)
        self._observed: list[Any] = []
        selection.on_lesion(self._lesion_selected)

    def _set_up_editor(self) -> None:
        editor = self.ui.segmentEditor
        editor.segmentationNodeSelectorVisible = False
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        editor.show3DButtonVisible = False
        editor.effectColumnCount = _EFFECT_COLUMNS
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
        self._observe([])

    def refresh(self) -> None:
        """Measure the lesions again."""
        self.one_click.refresh()
        self._observe(self._segmentations())
        self.rows = []
        with self.errors_told():
            self.rows = self.lesion_rows
        self.outlines.refresh(bool(self.rows))
        self._bind_editor()
        self._show_lesions()

    def _show_lesions(self) -> None:
        bars.fill(self.ui.lesionTable, [self._row(lesion) for lesion in self.rows])
        sequence = self.outlines.sequence
        if self.one_click.is_waiting:
            self.say(TODO, _("Click into the middle of the lesion."))
        elif self.parameters.segmentation is None:
            self.say(TODO, _("Choose or create a segmentation; each lesion is one segment of it."))
        elif not self.rows:
            self.say(TODO, _("Segment a lesion: click it, or Add, then Paint or Draw."))
        elif sequence and self.outlines.segmentation is None:
            self.say(
                DONE,
                _("{sequence} takes the segments of {reference}; press Correct here to change them.").format(
                    sequence=sequence, reference=self.parameters.reference
                ),
            )
        elif sequence:
            self.say(DONE, _("The segments below are those of {sequence} alone.").format(sequence=sequence))
        else:
            self.say(DONE, _("Lesions segmented: {count}.").format(count=len(self.rows)) + self._empty_ones())

    def _empty_ones(self) -> str:
        """Name the segments that nothing has been painted into."""
        segments, painted = (
            self.parameters.segmentation.GetSegmentation(),
            {row.segment_id for row in self.rows},
        )
        ids = [segments.GetNthSegmentID(index) for index in range(segments.GetNumberOfSegments())]
        names = [segments.GetSegment(each).GetName() for each in ids if each not in painted]
        return " " + _("Empty, and left out: {names}.").format(names=", ".join(names)) if names else ""

    def _row(self, lesion: LesionRow) -> tuple[bars.Cell, ...]:
        from LiverLesionAI import mrml

        reference, centre = self._reference(), lesion.centroid_lps_mm
        level = "" if reference is None else "{}/{}".format(*mrml.slice_number(reference, centre))
        return (
            bars.Chip(lesion.name, lesion.colour),
            f"{lesion.diameter_mm:.0f}",
            f"{lesion.volume_ml:.1f}",
            bars.Tipped(level, _("Centre: {place} mm").format(place=_place(lesion))),
        )

    def select(self, lesion_id: int) -> None:
        """Jump to a lesion."""
        from LiverLesionAI import mrml

        reference = self._reference()
        for row in self.rows:
            if row.id == lesion_id and reference is not None:
                mrml.jump_to(slicer.mrmlScene, row.centroid_lps_mm, reference)
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

    def _lesion_selected(self) -> None:
        lesion = self._selection.lesion
        if lesion is not None:
            self.select(lesion.id)

    def _reference(self) -> Any:
        """Volume node of the reference; None where there is none."""
        nodes = self.chosen()
        return nodes.volumes.get(nodes.reference)

    def _segmentations(self) -> list[Any]:
        """The segmentation of the lesions, and those corrected on single sequences."""
        from LiverLesionAI.scenes.outlines import outline_nodes

        nodes = self.chosen()
        corrected = outline_nodes(slicer.mrmlScene, nodes.volumes).values()
        return [node for node in (nodes.segmentation, *corrected) if node is not None]

    def _row_clicked(self, row: int) -> None:
        self.select(self.rows[row].id)

    def _segmentation_chosen(self, node: Any) -> None:
        self.host.forget_errors()
        self.host.refresh_soon()

    def _bind_editor(self) -> None:
        editor, lesions, reference = self.ui.segmentEditor, self.parameters.segmentation, self._reference()
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

    def _observe(self, nodes: list[Any]) -> None:
        """Measure again, a little later, whenever a segment changes."""
        if nodes == self._observed:
            return
        for event in _segment_events():
            for node in self._observed:
                self.stop_observing(node.GetSegmentation(), event, self._changed)
            for node in nodes:
                self.observe(node.GetSegmentation(), event, self._changed)
        self._observed = nodes

    @vtk.calldata_type(vtk.VTK_STRING)
    def _changed(self, caller: Any, event: str, data: str = "") -> None:
        self.host.forget_errors()
        self.host.refresh_soon()


def _tie(segmentation: Any, reference: Any) -> None:
    """Give a new segmentation the reference's grid and frame."""
    if segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()) is None:
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        segmentation.SetAndObserveTransformNodeID(reference.GetTransformNodeID())


def _place(lesion: LesionRow) -> str:
    """Centre of a lesion as radiologists read it: right or left, anterior or posterior, superior, mm."""
    x, y, z = lesion.centroid_lps_mm
    sides = ("L" if x > 0 else "R", "P" if y > 0 else "A", "S" if z > 0 else "I")
    return " ".join(f"{side}{abs(value):.0f}" for side, value in zip(sides, (x, y, z), strict=True))


def _segment_events() -> tuple[int, ...]:
    kind = slicer.vtkSegmentation
    return kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified, kind.SourceRepresentationModified
