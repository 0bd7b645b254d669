"""Step 5: where the model looked and how much each sequence counted."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.layouts import is_side_by_side, show_chart, show_side_by_side
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.selection import Selection
from LiverLesionLib.steps.explanation_words import (
    explained,
    method_title,
    target_of,
    weight_cells,
    without_explanation,
)
from LiverLesionLib.steps.job import Job, check_present, read_study
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.work_step import Words, WorkStep

if TYPE_CHECKING:
    from LiverLesionAI.results import LesionResult, StudyResult

_LARGEST_SHARE = 1.0
_FIELD_MM, _FIELD_DIAMETERS = 100.0, 2.5
"""What small views show around a lesion: so many mm, or so many diameters where that is more."""
_PREFERRED = ("integrated-grad-cam", "lesion-parts", "integrated-gradients")
"""Methods whose maps differ in kind; a system that offers none of them shows all that it has."""


class ExplainStep(WorkStep):
    """Explain that turns into Cancel, the class it is about; saliency over a sequence and how it looks.

    Parameters
    ----------
    host
        The panel.
    selection
        The result that is explained, the lesion whose maps are shown.
    """

    def __init__(self, host: Host, selection: Selection) -> None:
        ui = host.ui
        words = Words(_("Explaining the answers…"), _("Cancelled; the classes stay."))
        super().__init__(host, ui.explainStep, ui.explainStatus, ui.explainButton, ui.explainProgress, words)
        self._selection = selection
        self.ui.mapCombo.addItems([_("times the weight"), _("where it looked")])
        self.methods: tuple[str, ...] = ()
        self._is_map_hidden = False
        self._offered: Any = None
        self.ui.overlayButton.connect("clicked(bool)", self.show)
        self.ui.weightsButton.connect("clicked(bool)", self.show_weights)
        self.ui.layoutButton.connect("clicked(bool)", self.show_all)
        self.ui.mapCombo.connect("currentIndexChanged(int)", self._kind_chosen)
        self.ui.thresholdSlider.connect("valueChanged(double)", self._look_changed)
        self.ui.opacitySlider.connect("valueChanged(double)", self._look_changed)
        selection.on_result(self.refresh)
        selection.on_lesion(self._lesion_selected)

    @property
    def target(self) -> str | None:
        """The class that Explain is about; None for each lesion's predicted one."""
        return self.ui.targetCombo.currentText if self.ui.targetCombo.currentIndex > 0 else None

    @property
    def method(self) -> str:
        """How Explain makes maps."""
        return self.methods[max(self.ui.methodCombo.currentIndex, 0)]

    def prepare(self) -> Generator[None, None, Job]:
        """Ask for the explanation of the result; it becomes maps, tables and charts."""
        from LiverLesionAI.errors import StudyError
        from LiverLesionAI.results import StudyResult, with_weights_of
        from LiverLesionAI.scenes.explanations import saliency_from_files
        from LiverLesionAI.scenes.saliency import showing_saliency
        from LiverLesionAI.worker.exchange import send_study
        from LiverLesionAI.writers.saliency import SaliencyFile

        result, nodes, folder = self._selection.result, self.chosen(), self._selection.classified
        if result is None:
            raise StudyError(_("Nothing to explain yet; classify first."))
        if not self.methods:
            raise StudyError(without_explanation(result))
        if folder is None:
            study = read_study(nodes, result.unit)
            yield
            folder = send_study(study, self.host.folder("classified"))
            yield
        arguments = {
            "study": str(folder),
            "results": result.to_dict(),
            "out": str(self.host.folder("saliency")),
            "target": self.target,
            "method": self.method,
        }

        def finish(answer: Mapping[str, Any]) -> Generator[None, None, None]:
            check_present(nodes.volumes.values())
            answered = StudyResult.from_dict(answer["results"])
            explained = with_weights_of(self._selection.result or result, answered)
            files = [SaliencyFile.from_dict(each) for each in answer["saliency"]]
            places = {int(label): tuple(place) for label, place in answer["places"].items()}
            lesions = saliency_from_files(explained, files, places)
            scene, study_id = slicer.mrmlScene, explained.study.id
            yield from showing_saliency(scene, study_id, lesions, nodes.anchor, _)
            self._selection.change(explained)
            yield
            self._show_where_nothing_is()

        return Job("explain", arguments, finish)

    def refresh(self) -> None:
        """Offer the sequences that have a map of the selected lesion."""
        result, lesion, volumes = self._selection.result, self._selection.lesion, self.chosen().volumes
        self._offer_classes(result)
        can_start = result is not None and bool(self.methods) and not self.is_busy
        self.ui.explainButton.enabled = self.is_running or can_start
        maps = self._maps()
        names = [name for name in volumes if name in maps]
        current = self.ui.overlayCombo.currentText
        self.ui.overlayCombo.clear()
        self.ui.overlayCombo.addItems(names)
        if current in names:
            self.ui.overlayCombo.setCurrentIndex(names.index(current))
        for widget in (self.ui.overlayCombo, self.ui.mapCombo, self.ui.overlayButton):
            widget.enabled = bool(names)
        self.ui.weightsButton.enabled = self._chart() is not None
        self._show_weights(lesion)
        self.ui.layoutButton.enabled = bool(volumes)
        if self.is_running:
            return
        if result is not None and not self.methods:
            self.say(TODO, without_explanation(result))
        elif result is None or lesion is None:
            self.say(TODO, _("Nothing to explain yet; classify first."))
        elif not names:
            self.say(TODO, _("The answer has not been explained; press Explain."))
        else:
            self.say(DONE, explained(result, lesion, len(names)))

    def _show_weights(self, lesion: LesionResult | None) -> None:
        """How much each sequence counted for the class that was explained, a column for each task."""
        from LiverLesionAI.answers import task_title

        weights = {} if lesion is None else lesion.sequence_weights
        table = self.ui.weightsTable
        if lesion is None or not weights:
            bars.fill(table, ())
            return
        tasks = sorted(weights, key=lambda task: not lesion.tasks[task].primary)
        titles = [_("for {name}").format(name=lesion.explained[task]) for task in tasks]
        bars.prepare(table, [_("Seq."), *titles], *range(1, 1 + len(titles)))
        for column, task in enumerate(tasks, start=1):
            table.horizontalHeaderItem(column).setToolTip(f"{task_title(task)}: {lesion.explained[task]}")
        largest = max(abs(each["shapley"]) for task in weights.values() for each in task.values())
        names = dict.fromkeys(name for task in weights.values() for name in task)
        bars.fill(table, [(name, *weight_cells(lesion, tasks, name, largest)) for name in names])

    def _offer_classes(self, result: StudyResult | None) -> None:
        """Offer the classes and methods of a new result; what it was explained with is chosen."""
        from LiverLesionAI.scenes.explanations import explanation_settings

        tasks = [] if result is None else [lesion.tasks for lesion in result.lesions if lesion.tasks]
        names = [name for task in (tasks[0].values() if tasks else ()) for name in task.probabilities]
        settings = {} if result is None else explanation_settings(result)
        offered = (names, settings, result and result.provenance.started)
        if offered == self._offered:
            return
        self._offered = offered
        self.ui.targetCombo.clear()
        self.ui.targetCombo.addItems([_("the predicted class"), *names])
        self.ui.targetCombo.enabled = bool(names)
        if settings.get("target") in names:
            self.ui.targetCombo.setCurrentIndex(1 + names.index(settings["target"]))
        self._offer_methods(result, settings.get("method"))

    def _offer_methods(self, result: StudyResult | None, chosen: str | None) -> None:
        """Offer what the result's system can explain with."""
        self.methods = () if result is None else _methods_of(result)
        self.ui.methodCombo.clear()
        self.ui.methodCombo.addItems([method_title(method) for method in self.methods])
        self.ui.methodCombo.enabled = bool(self.methods)
        if chosen in self.methods:
            self.ui.methodCombo.setCurrentIndex(self.methods.index(chosen))

    def show(self) -> None:
        """Show the sequence with its map, at the lesion."""
        with self.action():
            self._show_one()

    def toggle_map(self) -> None:
        """Take the maps in the views away, or bring them back."""
        self._is_map_hidden = not self._is_map_hidden
        opacity = 0.0 if self._is_map_hidden else self.ui.opacitySlider.value
        slicer.util.setSliceViewerLayers(foregroundOpacity=opacity)

    def _show_one(self) -> None:
        nodes, sequence = self.chosen(), self.ui.overlayCombo.currentText
        saliency = self._maps().get(sequence)
        if saliency is None or sequence not in nodes.volumes:
            return
        self._uncover()
        slicer.util.setSliceViewerLayers(
            background=nodes.volumes[sequence],
            foreground=saliency,
            foregroundOpacity=self.parameters.opacity,
        )
        self._look_changed()
        self._show_legend()
        self._jump(saliency)

    def show_weights(self) -> None:
        """Show how much each sequence counted."""
        with self.action():
            show_chart(self._chart())

    def show_all(self) -> None:
        """Show all sequences side by side with their maps, at the lesion."""
        with self.action():
            self._show_all()

    def _show_all(self) -> None:
        maps, lesion = self._maps(), self._selection.lesion
        self._uncover()
        field_mm = None if lesion is None else max(_FIELD_MM, _FIELD_DIAMETERS * lesion.diameter_mm)
        show_side_by_side(self.chosen().volumes, maps, self.parameters.opacity, field_mm)
        self._look_changed()
        self._show_legend()
        self._jump(next(iter(maps.values()), None))

    def _show_where_nothing_is(self) -> None:
        """Show new maps, weighted, in the sequence that counted most; not in the place of maps on show."""
        from LiverLesionAI.scenes.explanations import strongest_sequence
        from LiverLesionAI.scenes.saliency import maps_in_views

        result, lesion = self._selection.result, self._selection.lesion
        if result is None or lesion is None or not lesion.sequence_weights:
            return
        if slicer.app.layoutManager() is None:
            return
        if maps_in_views(slicer.mrmlScene, result.study.id):
            self._look_changed()
            self._show_legend()
            return
        self.ui.mapCombo.setCurrentIndex(0)
        self.ui.overlayCombo.setCurrentIndex(
            self.ui.overlayCombo.findText(strongest_sequence(result, lesion))
        )
        if is_side_by_side():
            self._show_all()
        else:
            self._show_one()

    def _jump(self, saliency: Any) -> None:
        """Go to the selected lesion, where one of its maps says that it is largest."""
        from LiverLesionAI import mrml
        from LiverLesionAI.scenes.saliency import place_of

        lesion = self._selection.lesion
        if lesion is not None:
            mrml.jump_to(slicer.mrmlScene, place_of(saliency, lesion), self.chosen().anchor)

    def _uncover(self) -> None:
        """Leave of the lesions only their contours: filled, they would hide the maps.

        To be done before the views are set: the Segment Editor answers by showing its source volume in them.
        """
        from LiverLesionAI import mrml

        if self.parameters.segmentation is not None:
            mrml.show_contours(self.parameters.segmentation)

    def _lesion_selected(self) -> None:
        """Maps in the views are those of the lesion that the panel tells of."""
        from LiverLesionAI.scenes.saliency import show_maps_of

        result, lesion = self._selection.result, self._selection.lesion
        if result is not None and lesion is not None:
            show_maps_of(slicer.mrmlScene, result.study.id, lesion.id)
            self._show_legend()
        self.refresh()

    def _show_legend(self) -> None:
        """Let the colours be explained beside a map of the selected lesion that is shown."""
        from LiverLesionAI.scenes.saliency import maps_in_views, show_legend

        scene, result, lesion = slicer.mrmlScene, self._selection.result, self._selection.lesion
        if result is None or lesion is None:
            return
        shown = [view for view, key in maps_in_views(scene, result.study.id) if key.lesion == lesion.id]
        if shown:
            over = scene.GetNodeByID(shown[0].GetForegroundVolumeID())
            show_legend(scene, result.study.id, lesion.id, over, target_of(result, lesion))

    def _kind_chosen(self, index: int) -> None:
        self.refresh()

    def _look_changed(self, value: float = 0.0) -> None:
        if self.parameters is None:
            return
        for node in self._maps().values():
            display = node.GetDisplayNode()
            display.SetThreshold(self.ui.thresholdSlider.value, _LARGEST_SHARE)
            display.ApplyThresholdOn()
        self._is_map_hidden = False
        slicer.util.setSliceViewerLayers(foregroundOpacity=self.ui.opacitySlider.value)

    def _chart(self) -> Any:
        """The chart of the selected lesion's weights; None where there is none."""
        from LiverLesionAI.scenes.saliency import chart_of

        result, lesion = self._selection.result, self._selection.lesion
        if result is None or lesion is None:
            return None
        return chart_of(slicer.mrmlScene, result.study.id, lesion.id)

    def _maps(self) -> dict[str, Any]:
        """Sequence to the map of the selected lesion, of the chosen kind."""
        from LiverLesionAI.scenes.saliency import lesion_maps

        result, lesion = self._selection.result, self._selection.lesion
        if result is None or lesion is None:
            return {}
        weighted = self.ui.mapCombo.currentIndex == 0
        return lesion_maps(slicer.mrmlScene, result.study.id, lesion.id, weighted=weighted)


def _methods_of(result: StudyResult) -> tuple[str, ...]:
    """Methods that the panel offers for a result; empty where its system has none or is not installed."""
    from LiverLesionAI.errors import ConfigError
    from LiverLesionAI.systems import system_named

    try:
        offered = system_named(result.models[0].system).explanations
    except ConfigError:
        return ()
    return tuple(method for method in _PREFERRED if method in offered) or offered
