"""Which sequence's segments are shown and edited, and those that a reader corrects by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls.owner import Owner

if TYPE_CHECKING:
    from LiverLesionAI.scenes.nodes import ChosenNodes


class OutlineControls:
    """The chooser and the buttons for segments that are corrected on single sequences.

    Parameters
    ----------
    step
        The step that they belong to.
    """

    def __init__(self, step: Owner) -> None:
        self._step, self._ui = step, step.ui
        self._names: list[str] = []
        self._ui.outlineCombo.connect("currentIndexChanged(int)", self._chosen)
        self._ui.correctOutlineButton.connect("clicked(bool)", self.correct)
        self._ui.discardOutlineButton.connect("clicked(bool)", self.discard)

    @property
    def sequence(self) -> str:
        """The sequence chosen; empty for the reference, whose segments count for all."""
        index = self._ui.outlineCombo.currentIndex
        return self._names[index] if 0 < index < len(self._names) else ""

    @property
    def volume(self) -> Any:
        """The volume that is segmented on; None where there is none."""
        nodes = self._step.chosen()
        return nodes.volumes.get(self.sequence or nodes.reference)

    @property
    def segmentation(self) -> Any:
        """The segmentation to be edited; None where there is none yet."""
        nodes = self._step.chosen()
        return _corrected(nodes).get(self.sequence) if self.sequence else nodes.segmentation

    def refresh(self, has_lesions: bool) -> None:
        """Offer the sequences, corrected ones marked; without lesions there is nothing to correct."""
        nodes = self._step.chosen()
        corrected, current, reference = _corrected(nodes), self.sequence, nodes.reference
        others = [name for name in nodes.volumes if name != reference]
        self._names = [reference, *others] if reference in nodes.volumes else []
        titles = [_("{sequence}, for all").format(sequence=reference)]
        titles += [_("{sequence}, corrected").format(sequence=n) if n in corrected else n for n in others]
        combo = self._ui.outlineCombo
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems(titles if self._names else [])
        combo.setCurrentIndex(self._names.index(current) if current in self._names else 0)
        combo.enabled = len(self._names) > 1
        combo.blockSignals(blocked)
        self._ui.correctOutlineButton.enabled = (
            bool(self.sequence) and has_lesions and self.segmentation is None
        )
        self._ui.discardOutlineButton.enabled = bool(self.sequence) and self.segmentation is not None
        self._ui.segmentEditor.enabled = not self.sequence or self.segmentation is not None

    def correct(self) -> None:
        """Carry the lesions to the chosen sequence, to be corrected there."""
        from LiverLesionAI.scenes.outlines import add_outlines
        from LiverLesionAI.scenes.read import study_of

        with self._step.action():
            scene, nodes = slicer.mrmlScene, self._step.chosen()
            add_outlines(scene, study_of(scene, nodes), self.sequence, self.volume, nodes.segmentation, _)
            self._show()
            self._step.refresh_panel()

    def discard(self) -> None:
        """Take the chosen sequence's own segments away."""
        from LiverLesionAI import mrml

        with self._step.action():
            node = self.segmentation
            self.choose(0)
            mrml.remove_nodes(slicer.mrmlScene, [node])
            self._step.refresh_panel()

    def choose(self, index: int) -> None:
        """Choose a sequence by its place in the list; 0 is the reference."""
        if self._ui.outlineCombo.count:
            self._ui.outlineCombo.setCurrentIndex(index)

    def forget(self) -> None:
        """The scene closes."""
        self._names = []

    def _chosen(self, index: int) -> None:
        if self._step.parameters is None or index < 0:
            return
        with self._step.action():
            if self.volume is not None:
                slicer.util.setSliceViewerLayers(background=self.volume, foreground=None)
            self._show()
            self._step.refresh()

    def _show(self) -> None:
        """Show the segments that are edited, and no others."""
        nodes, edited = self._step.chosen(), self.segmentation
        if edited is None:
            edited = nodes.segmentation
        for node in (nodes.segmentation, *_corrected(nodes).values()):
            if node is not None:
                node.SetDisplayVisibility(node is edited)


def _corrected(nodes: ChosenNodes) -> dict[str, Any]:
    """Sequence to the segmentation corrected on it."""
    from LiverLesionAI.scenes.outlines import outline_nodes

    return outline_nodes(slicer.mrmlScene, nodes.volumes)
