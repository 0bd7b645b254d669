"""Step 5: where the model looked and how much each sequence counted."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.layouts import show_side_by_side
from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import jump_to, place_of
from LiverLesionLib.step import DONE, TODO
from LiverLesionLib.weights import chart_of, show_chart
from LiverLesionLib.work_step import WorkStep

_LARGEST_SHARE = 1.0
_FIELD_MM, _FIELD_DIAMETERS = 100.0, 2.5
"""What small views show around a lesion: so many mm, or so many diameters where that is more."""
_METHODS = ("integrated-grad-cam", "lesion-parts", "integrated-gradients")


class ExplainStep(WorkStep):
    """Explain that turns into Cancel, the class it is about; saliency over a sequence and how it looks."""

    def __init__(self, panel: Any) -> None:
        ui = panel.ui
        super().__init__(
            panel,
            ui.explainStep,
            ui.explainStatus,
            job="explain",
            button=ui.explainButton,
            bar=ui.explainProgress,
            doing=_("Explaining the answers…"),
            cancelled=_("Cancelled; the classes stay."),
        )
        self.ui.mapCombo.addItems([_("where it looked"), _("times the weight")])
        self.ui.methodCombo.addItems([_("at once"), _("part by part"), _("voxel by voxel")])
        self._offered: Any = None
        self.ui.overlayButton.connect("clicked(bool)", self.show)
        self.ui.weightsButton.connect("clicked(bool)", self.show_weights)
        self.ui.layoutButton.connect("clicked(bool)", self.show_all)
        self.ui.mapCombo.connect("currentIndexChanged(int)", self._kind_chosen)
        self.ui.thresholdSlider.connect("valueChanged(double)", self._look_changed)
        self.ui.opacitySlider.connect("valueChanged(double)", self._look_changed)
        self._lesion: Any = None

    @property
    def target(self) -> str | None:
        """The class that Explain is about; None for each lesion's predicted one."""
        return self.ui.targetCombo.currentText if self.ui.targetCombo.currentIndex > 0 else None

    @property
    def method(self) -> str:
        """How Explain makes maps."""
        return _METHODS[max(self.ui.methodCombo.currentIndex, 0)]

    def lesion_selected(self, lesion: Any) -> None:
        """Follow the table of results."""
        self._lesion = lesion
        self.refresh()

    def forget(self) -> None:
        """There is no result any more."""
        self._lesion = None

    def before_start(self) -> None:
        """Ask for missing packages."""
        ensure_packages()

    def refresh(self) -> None:
        """Offer the sequences that have a map of the selected lesion."""
        result, busy = self.panel.result, self.panel.is_busy
        self._offer_classes(result)
        self.ui.explainButton.enabled = self.is_running or (result is not None and not busy)
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
        if self.is_running:
            return
        if result is None:
            self.say(TODO, _("Nothing to explain yet; classify first."))
        elif not names:
            self.say(TODO, _("The answer has not been explained; press Explain."))
        else:
            text = _("{count} maps of {name}: what speaks for {diagnosis}.")
            diagnosis = _settings(result).get("target") or _mapped_class(self._lesion)
            self.say(DONE, text.format(count=len(names), name=self._lesion.name, diagnosis=diagnosis))

    def _offer_classes(self, result: Any) -> None:
        """Offer the classes of a new result; what it was explained with is chosen."""
        tasks = [] if result is None else [lesion.tasks for lesion in result.lesions if lesion.tasks]
        names = [name for task in (tasks[0].values() if tasks else ()) for name in task.probabilities]
        settings = {} if result is None else _settings(result)
        offered = (names, settings, result and result.provenance.started)
        if offered == self._offered:
            return
        self._offered = offered
        self.ui.targetCombo.clear()
        self.ui.targetCombo.addItems([_("the predicted class"), *names])
        if settings.get("target") in names:
            self.ui.targetCombo.setCurrentIndex(1 + names.index(settings["target"]))
        method = settings.get("method")
        self.ui.methodCombo.setCurrentIndex(_METHODS.index(method) if method in _METHODS else 0)

    def show(self) -> None:
        """Show the sequence with its map, at the lesion."""
        with self.action():
            sequence = self.ui.overlayCombo.currentText
            node = self._maps().get(sequence)
            volumes = chosen_volumes(self.parameters)
            if node is None or sequence not in volumes:
                return
            self._uncover()
            slicer.util.setSliceViewerLayers(
                background=volumes[sequence], foreground=node, foregroundOpacity=self.parameters.opacity
            )
            self._look_changed()
            jump_to(place_of(node, self._lesion), volumes[self.parameters.reference])

    def show_weights(self) -> None:
        """Show how much each sequence counted."""
        with self.action():
            show_chart(self._chart())

    def show_all(self) -> None:
        """Show all sequences side by side with their maps, at the lesion."""
        with self.action():
            volumes = chosen_volumes(self.parameters)
            maps = self._maps()
            self._uncover()
            lesion = self._lesion
            field_mm = None if lesion is None else max(_FIELD_MM, _FIELD_DIAMETERS * lesion.diameter_mm)
            show_side_by_side(volumes, maps, self.parameters.opacity, field_mm)
            if lesion is not None:
                place = place_of(next(iter(maps.values()), None), lesion)
                jump_to(place, volumes[self.parameters.reference])

    def _uncover(self) -> None:
        """Leave of the lesions only their outlines: filled, they would hide the maps.

        To be done before the views are set: the Segment Editor answers by showing its source volume in them.
        """
        from LiverLesionAI import mrml

        if self.parameters.segmentation is not None:
            mrml.show_outlines(self.parameters.segmentation)

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


def _settings(result: Any) -> dict[str, Any]:
    """What a result was explained with, read without the packages that explaining takes."""
    return dict(result.provenance.parameters.get("saliency", {}))


def _mapped_class(lesion: Any) -> str:
    """The class that the maps of a lesion explain where none was asked for."""
    from LiverLesionAI.results import CLASS_TASK

    tasks = lesion.tasks
    return str((tasks.get(CLASS_TASK) or next(iter(tasks.values()))).predicted)
