"""Which sequence's outlines are shown and edited, and those that a reader corrects by themselves."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.outlines import add_outlines, outline_nodes
from LiverLesionLib.parameters import chosen_volumes


class OutlineControls:
    """The chooser and the buttons of the lesions' step for outlines on single sequences.

    Parameters
    ----------
    step
        The :class:`~LiverLesionLib.lesions_step.LesionsStep` that it belongs to.
    """

    def __init__(self, step: Any) -> None:
        self._step, self._ui = step, step.ui
        self._names: list[str] = []
        self._ui.outlineCombo.connect("currentIndexChanged(int)", self._chosen)
        self._ui.correctOutlineButton.connect("clicked(bool)", self.correct)
        self._ui.discardOutlineButton.connect("clicked(bool)", self.discard)

    @property
    def sequence(self) -> str:
        """The sequence chosen; empty for the reference, whose outlines count for all."""
        index = self._ui.outlineCombo.currentIndex
        return self._names[index] if 0 < index < len(self._names) else ""

    @property
    def volume(self) -> Any:
        """The volume that is outlined on; None where there is none."""
        parameters = self._step.parameters
        return chosen_volumes(parameters).get(self.sequence or parameters.reference)

    @property
    def segmentation(self) -> Any:
        """The segmentation to be edited; None where there is none yet."""
        if not self.sequence:
            return self._step.parameters.segmentation
        return outline_nodes(chosen_volumes(self._step.parameters)).get(self.sequence)

    def refresh(self) -> None:
        """Offer the sequences; corrected ones are marked."""
        parameters = self._step.parameters
        volumes = chosen_volumes(parameters)
        corrected = outline_nodes(volumes)
        current, reference = self.sequence, parameters.reference
        others = [name for name in volumes if name != reference]
        self._names = [reference, *others] if reference in volumes else []
        titles = [_("{sequence}, for all").format(sequence=reference)]
        titles += [_("{sequence}, corrected").format(sequence=n) if n in corrected else n for n in others]
        combo = self._ui.outlineCombo
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems(titles if self._names else [])
        combo.setCurrentIndex(self._names.index(current) if current in self._names else 0)
        combo.enabled = len(self._names) > 1
        combo.blockSignals(blocked)
        has_lesions = parameters.segmentation is not None and bool(self._step.rows)
        self._ui.correctOutlineButton.enabled = (
            bool(self.sequence) and has_lesions and self.segmentation is None
        )
        self._ui.discardOutlineButton.enabled = bool(self.sequence) and self.segmentation is not None
        self._ui.segmentEditor.enabled = not self.sequence or self.segmentation is not None

    def correct(self) -> None:
        """Carry the lesions to the chosen sequence, to be corrected there."""
        with self._step.action():
            parameters, sequence = self._step.parameters, self.sequence
            add_outlines(self._step.panel.study(), sequence, self.volume, parameters.segmentation)
            self._show()
            self._step.panel.refresh()

    def discard(self) -> None:
        """Take the chosen sequence's own outlines away."""
        from LiverLesionAI import mrml

        with self._step.action():
            node = self.segmentation
            self.choose(0)
            mrml.remove_nodes(slicer.mrmlScene, [node])
            self._step.panel.refresh()

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
        """Show the outlines that are edited, and no others."""
        parameters, edited = self._step.parameters, self.segmentation
        if edited is None:
            edited = parameters.segmentation
        nodes = [parameters.segmentation, *outline_nodes(chosen_volumes(parameters)).values()]
        for node in nodes:
            if node is not None:
                node.SetDisplayVisibility(node is edited)
