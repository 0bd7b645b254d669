"""Step 5: where the model looked and how much each sequence counted."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import jump_to
from LiverLesionLib.step import DONE, TODO, Step

_LARGEST_SHARE = 1.0


class ExplainStep(Step):
    """Saliency over a sequence, its threshold and opacity."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.explainStep, panel.ui.explainStatus)
        self.ui.mapCombo.addItems([_("where it looked"), _("times the weight")])
        self.ui.overlayButton.connect("clicked(bool)", self.show)
        self.ui.thresholdSlider.connect("valueChanged(double)", self._look_changed)
        self.ui.opacitySlider.connect("valueChanged(double)", self._look_changed)
        self._lesion: Any = None

    def lesion_selected(self, lesion: Any) -> None:
        """Follow the table of results."""
        self._lesion = lesion
        self.refresh()

    def refresh(self) -> None:
        """Offer the sequences that have a map of the selected lesion."""
        maps = self._maps()
        names = [name for name in chosen_volumes(self.parameters) if name in maps]
        current = self.ui.overlayCombo.currentText
        self.ui.overlayCombo.clear()
        self.ui.overlayCombo.addItems(names)
        if current in names:
            self.ui.overlayCombo.setCurrentIndex(names.index(current))
        self.ui.overlayButton.enabled = bool(names)
        if self.panel.result is None:
            self.say(TODO, _("Classify with Explain the answers switched on."))
        elif not names:
            self.say(
                TODO, _("The answer was not explained; switch Explain the answers on and classify again.")
            )
        else:
            self.say(DONE, _("{count} maps of {name}.").format(count=len(names), name=self._lesion.name))

    def show(self) -> None:
        """Show the sequence with its map, at the lesion."""
        with self.errors_told():
            sequence = self.ui.overlayCombo.currentText
            node = self._maps().get(sequence)
            volumes = chosen_volumes(self.parameters)
            if node is None or sequence not in volumes:
                return
            slicer.util.setSliceViewerLayers(
                background=volumes[sequence], foreground=node, foregroundOpacity=self.parameters.opacity
            )
            self._look_changed()
            jump_to(self._lesion.centroid_lps_mm, volumes[self.parameters.reference])

    def _look_changed(self, value: float = 0.0) -> None:
        node = self._maps().get(self.ui.overlayCombo.currentText)
        if node is None:
            return
        display = node.GetDisplayNode()
        display.SetThreshold(self.parameters.threshold, _LARGEST_SHARE)
        display.ApplyThresholdOn()
        slicer.util.setSliceViewerLayers(foregroundOpacity=self.parameters.opacity)

    def _maps(self) -> dict[str, Any]:
        """Sequence to the map of the selected lesion, of the chosen kind."""
        if self._lesion is None:
            return {}
        return self.panel.saliency_maps(self._lesion.id, weighted=self.ui.mapCombo.currentIndex == 1)
