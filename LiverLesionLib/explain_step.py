"""Step 5: where the model looked and how much each sequence counted."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.layouts import show_side_by_side
from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import jump_to
from LiverLesionLib.step import DONE, TODO, Step
from LiverLesionLib.weights import chart_of, show_chart

_LARGEST_SHARE = 1.0


class ExplainStep(Step):
    """Saliency over a sequence, its threshold and opacity."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.explainStep, panel.ui.explainStatus)
        self.ui.mapCombo.addItems([_("where it looked"), _("times the weight")])
        self.ui.overlayButton.connect("clicked(bool)", self.show)
        self.ui.weightsButton.connect("clicked(bool)", self.show_weights)
        self.ui.layoutButton.connect("clicked(bool)", self.show_all)
        self.ui.mapCombo.connect("currentIndexChanged(int)", self._kind_chosen)
        self.ui.thresholdSlider.connect("valueChanged(double)", self._look_changed)
        self.ui.opacitySlider.connect("valueChanged(double)", self._look_changed)
        self._lesion: Any = None

    def lesion_selected(self, lesion: Any) -> None:
        """Follow the table of results."""
        self._lesion = lesion
        self.refresh()

    def forget(self) -> None:
        """There is no result any more."""
        self._lesion = None

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
        self.ui.weightsButton.enabled = self._lesion is not None and self._chart() is not None
        self.ui.layoutButton.enabled = bool(chosen_volumes(self.parameters))
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
        with self.action():
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

    def show_weights(self) -> None:
        """Show how much each sequence counted."""
        with self.action():
            show_chart(self._chart())

    def show_all(self) -> None:
        """Show all sequences side by side with their maps, at the lesion."""
        with self.action():
            volumes = chosen_volumes(self.parameters)
            show_side_by_side(volumes, self._maps(), self.parameters.opacity)
            if self._lesion is not None:
                jump_to(self._lesion.centroid_lps_mm, volumes[self.parameters.reference])

    def _kind_chosen(self, index: int) -> None:
        self.refresh()

    def _look_changed(self, value: float = 0.0) -> None:
        if self.parameters is None:
            return
        for node in self._maps().values():
            display = node.GetDisplayNode()
            display.SetThreshold(self.ui.thresholdSlider.value, _LARGEST_SHARE)
            display.ApplyThresholdOn()
        slicer.util.setSliceViewerLayers(foregroundOpacity=self.ui.opacitySlider.value)

    def _chart(self) -> Any:
        return (
            chart_of(self.panel.result.study.id, self._lesion.id) if self.panel.result is not None else None
        )

    def _maps(self) -> dict[str, Any]:
        """Sequence to the map of the selected lesion, of the chosen kind."""
        if self._lesion is None or self.panel.result is None:
            return {}
        return self.panel.saliency_maps(self._lesion.id, weighted=self.ui.mapCombo.currentIndex == 1)
