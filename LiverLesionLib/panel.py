"""The main panel: its steps, and what they have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.align_step import AlignStep
from LiverLesionLib.classify_step import ClassifyStep
from LiverLesionLib.decide_step import DecideStep
from LiverLesionLib.explain_step import ExplainStep
from LiverLesionLib.jobs import JOBS
from LiverLesionLib.lesions_step import LesionsStep
from LiverLesionLib.parameters import PanelParameters, chosen_volumes
from LiverLesionLib.save_step import SaveStep
from LiverLesionLib.scene_study import result_from_text, show_decisions
from LiverLesionLib.session import Session
from LiverLesionLib.step import Step
from LiverLesionLib.study_step import StudyStep

_SOON_MS = 200


class Panel:
    """The steps of the panel, the parameters that they share, and the worker that works for them.

    Parameters
    ----------
    widget
        The module's widget: observers are added through it.
    ui
        The widgets of ``LiverLesionAI.ui`` by name.
    logic
        A :class:`LiverLesionLib.logic.StudyLogic` that also keeps the parameter node.
    """

    def __init__(self, widget: Any, ui: Any, logic: Any) -> None:
        self.widget, self.ui, self.logic = widget, ui, logic
        self.session = Session()
        self.running: Step | None = None
        self.result: Any = None
        self.classified: Path | None = None
        self.parameters: Any = None
        self._gui_tag: int | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SOON_MS)
        self._timer.connect("timeout()", self.refresh)
        self._connect_parameters()
        self.steps: tuple[Step, ...] = ()
        self.study = StudyStep(self)
        self.align = AlignStep(self)
        self.lesions = LesionsStep(self)
        self.classify = ClassifyStep(self)
        self.explain = ExplainStep(self)
        self.decide = DecideStep(self)
        self.save_step = SaveStep(self)
        self.steps = (
            self.study, self.align, self.lesions, self.classify, self.explain, self.decide, self.save_step,
        )  # fmt: skip
        self._observe_scene()
        self.refresh()

    @property
    def is_busy(self) -> bool:
        """Whether the worker works for the panel."""
        return self.running is not None

    def enter(self) -> None:
        """The module is shown."""
        if self.parameters is None:
            self._connect_parameters()
        self.lesions.enter()
        self.refresh()

    def exit(self) -> None:
        """The module is hidden."""
        self.lesions.exit()

    def close(self) -> None:
        """The module goes away: end the worker, let go of the scene."""
        self._timer.stop()
        self.lesions.forget()
        self._disconnect_parameters()
        self.session.close()

    def refresh_soon(self) -> None:
        """Refresh once after a burst of changes."""
        self._timer.start()

    def refresh(self) -> None:
        """Let every step show what the scene says."""
        self._timer.stop()
        if self.parameters is None or slicer.mrmlScene.IsClosing():
            return
        for step in self.steps:
            step.refresh()

    def show_banner(self, phantom: bool) -> None:
        """Say plainly that a model is trained on phantoms."""
        self.ui.bannerLabel.visible = phantom
        self.ui.bannerLabel.text = _("This model is trained on digital phantoms: not for clinical use.")

    def adopt_lesions(self) -> None:
        """Take the scene's segmentation of lesions where none is chosen and only one can be meant."""
        from LiverLesionAI.errors import StudyError
        from LiverLesionLib.logic import only_segmentation

        if self.parameters.segmentation is None:
            try:
                self.parameters.segmentation = only_segmentation()
            except StudyError:
                return

    def lesion_selected(self, lesion: Any) -> None:
        """A lesion was chosen in the table of results."""
        self.explain.lesion_selected(lesion)
        self.decide.refresh()
        self.lesions.select(lesion.id)

    def start(self, step: Any, job: str) -> None:
        """Give the worker one of :data:`LiverLesionLib.jobs.JOBS` on behalf of a step.

        Raises
        ------
        LiverLesionError
            If the study cannot be used, or the worker cannot be started.
        """
        prepared = JOBS[job](self)

        def done(answer: Any) -> None:
            self.running = None
            step.ended("")
            with step.errors_told():
                prepared.finish(answer)
            self.refresh_others(step)

        def failed(message: str | None) -> None:
            self.running = None
            step.ended(message)
            self.refresh_others(step)

        self.session.run(
            prepared.command, on_progress=step.progress, on_done=done, on_failed=failed, **prepared.arguments
        )
        self.running = step
        step.started()
        self.refresh_others(step)

    def refresh_others(self, step: Step) -> None:
        """Refresh every step but the one that has just said something."""
        for each in self.steps:
            if each is not step:
                each.refresh()

    def forget_errors(self) -> None:
        """The reader does something new: errors of before have been read."""
        for step in self.steps:
            step.forget_error()

    def cancel(self) -> None:
        """Cancel what the worker does."""
        self.session.cancel()

    def set_result(self, result: Any, classified: Path | None = None) -> None:
        """Remember a result in the scene; `classified` is the folder with the study as the worker saw it."""
        self.result, self.classified = result, classified
        self.parameters.result = json.dumps(result.to_dict(), ensure_ascii=False)

    def replace_lesion(self, lesion: Any) -> None:
        """Take over what readers have decided about a lesion, and show it."""
        from LiverLesionAI.decisions import with_lesion

        self.set_result(with_lesion(self.result, lesion), self.classified)
        reference = chosen_volumes(self.parameters).get(self.result.study.reference)
        show_decisions(self.result, reference, self.parameters.segmentation)
        self.refresh()

    def registration(self) -> dict[str, Any]:
        """Return what the last alignment reported for each sequence, unless it was taken back."""
        from LiverLesionAI.results import SequenceRegistration

        if not self.parameters.registration or not self.aligned_sequences():
            return {}
        reports = json.loads(self.parameters.registration)
        return {
            name: SequenceRegistration(**{**report, "warnings": tuple(report["warnings"])})
            for name, report in reports.items()
        }

    def saliency_maps(self, lesion_id: int, weighted: bool) -> dict[str, Any]:
        """Return sequence to the saliency volume of a lesion of the result."""
        from LiverLesionAI import mrml
        from LiverLesionAI.mrml import attributes

        found = {}
        for node in mrml.nodes_of(slicer.mrmlScene, "vtkMRMLScalarVolumeNode"):
            shown = node.GetAttribute(attributes.MAP) or ""
            marks = node.GetAttribute(attributes.STUDY), node.GetAttribute(attributes.LESION)
            if marks == (self.result.study.id, str(lesion_id)) and shown.endswith(" weighted") == weighted:
                found[shown.removesuffix(" weighted")] = node
        return found

    def aligned_sequences(self) -> list[str]:
        """Sequences that lie under a transform of our own."""
        from LiverLesionLib.alignment import own_transform

        volumes = chosen_volumes(self.parameters)
        return [name for name, node in volumes.items() if own_transform(node) is not None]

    def remove_alignment(self) -> None:
        """Take our transforms away from the sequences."""
        from LiverLesionLib.alignment import remove_alignment

        remove_alignment(chosen_volumes(self.parameters))

    def _connect_parameters(self) -> None:
        self.parameters = PanelParameters(self.logic.getParameterNode())
        self._gui_tag = self.parameters.connectGui(self.ui)
        self.result, self.classified = result_from_text(self.parameters.result), None

    def _disconnect_parameters(self) -> None:
        if self.parameters is not None:
            self.parameters.disconnectGui(self._gui_tag)
        self.parameters = None

    def _observe_scene(self) -> None:
        scene = slicer.mrmlScene
        add = self.widget.addObserver
        add(scene, scene.StartCloseEvent, self._scene_closes)
        add(scene, scene.EndCloseEvent, self._scene_changed)
        add(scene, scene.EndImportEvent, self._scene_changed)
        add(scene, scene.NodeAddedEvent, self._nodes_changed)
        add(scene, scene.NodeRemovedEvent, self._nodes_changed)

    def _scene_closes(self, caller: Any, event: str) -> None:
        self.cancel()
        self.forget_errors()
        self.lesions.forget()
        self.explain.forget()
        self._disconnect_parameters()
        self.result = self.classified = None

    def _scene_changed(self, caller: Any, event: str) -> None:
        self._disconnect_parameters()
        self._connect_parameters()
        self.refresh()

    def _nodes_changed(self, caller: Any, event: str) -> None:
        if not slicer.mrmlScene.IsClosing():
            self.refresh_soon()
