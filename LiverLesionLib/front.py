"""What every panel of the extension has in common: steps, parameters, the worker, the scene's events."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from LiverLesionLib.jobs import JOBS
from LiverLesionLib.parameters import chosen_volumes, connect_widgets
from LiverLesionLib.session import Session
from LiverLesionLib.step import Step

_SOON_MS = 200


class Front:
    """Steps, the parameters that they share, and the worker that works for them.

    A panel names its class of parameters and makes its steps; see :class:`LiverLesionLib.panel.Panel`.

    Parameters
    ----------
    widget
        The module's widget: observers are added through it.
    ui
        The widgets of the module by name.
    logic
        A :class:`LiverLesionLib.logic.StudyLogic` that also keeps the parameter node.
    """

    parameters_class: Any = None

    def __init__(self, widget: Any, ui: Any, logic: Any) -> None:
        self.widget, self.ui, self.logic = widget, ui, logic
        self.session = Session()
        self.running: Step | None = None
        self.is_shown = True
        self.parameters: Any = None
        self._gui_tag: int | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SOON_MS)
        self._timer.connect("timeout()", self.refresh)
        self.connect_parameters()
        self.steps: tuple[Step, ...] = ()
        self.steps = self.make_steps()
        self._observe_scene()
        self.refresh()

    def make_steps(self) -> tuple[Step, ...]:
        """Make the panel's steps, from top to bottom."""
        raise NotImplementedError

    @property
    def is_busy(self) -> bool:
        """Whether work for the panel is going on."""
        return self.running is not None

    @property
    def registration_scope(self) -> str:
        """Where a registration looks: around the lesions where there are any, else everywhere."""
        segmentation = self.parameters.segmentation
        return "lesion" if segmentation is not None and self.logic.lesions(segmentation) else "volume"

    def registered(self) -> None:
        """Transforms that were found have come into the scene."""

    def enter(self) -> None:
        """The module is shown."""
        self.is_shown = True
        if self.parameters is None:
            self.connect_parameters()
        for step in self.steps:
            step.enter()
        self.refresh()

    def exit(self) -> None:
        """The module is hidden."""
        self.is_shown = False
        if self.parameters is not None:
            for step in self.steps:
                step.exit()

    def close(self) -> None:
        """The module goes away: end the worker, let go of the scene."""
        self._timer.stop()
        for step in self.steps:
            step.forget()
        self.disconnect_parameters()
        self.session.close()

    def refresh_soon(self) -> None:
        """Refresh once after a burst of changes; a hidden panel does so when it is shown again."""
        if self.is_shown:
            self._timer.start()

    def refresh(self) -> None:
        """Let every step show what the scene says."""
        self._timer.stop()
        if self.parameters is None or slicer.mrmlScene.IsClosing():
            return
        for step in self.steps:
            step.refresh()

    def refresh_others(self, step: Step) -> None:
        """Refresh every step but the one that has just said something."""
        for each in self.steps:
            if each is not step:
                each.refresh()

    def forget_errors(self) -> None:
        """The reader does something new: errors of before have been read."""
        for step in self.steps:
            step.forget_error()

    def adopt_lesions(self) -> None:
        """Take the scene's segmentation of lesions where none is chosen and only one can be meant."""
        from LiverLesionAI.errors import StudyError
        from LiverLesionLib.logic import only_segmentation

        if self.parameters.segmentation is None:
            try:
                self.parameters.segmentation = only_segmentation()
            except StudyError:
                return

    def study(self) -> Any:
        """Return the chosen volumes and lesions as a :class:`LiverLesionAI.study.Study`.

        Raises
        ------
        StudyError
            If they cannot be used.
        """
        from LiverLesionLib.scene_study import study_of

        parameters = self.parameters
        return study_of(chosen_volumes(parameters), parameters.segmentation, parameters.reference)

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

    def cancel(self) -> None:
        """Cancel what the worker does."""
        self.session.cancel()

    def connect_parameters(self) -> None:
        """Take the scene's parameter node and let the widgets follow it."""
        self.parameters = self.parameters_class(self.logic.getParameterNode())
        self._gui_tag = connect_widgets(self.parameters, self.ui)

    def disconnect_parameters(self) -> None:
        """Let go of the scene's parameter node."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._gui_tag)
        self.parameters = None

    def scene_closes(self) -> None:
        """Let go of everything that the scene takes away."""
        self.cancel()
        self.forget_errors()
        for step in self.steps:
            step.forget()
        self.disconnect_parameters()

    def _observe_scene(self) -> None:
        scene = slicer.mrmlScene
        add = self.widget.addObserver
        add(scene, scene.StartCloseEvent, self._scene_closes)
        add(scene, scene.EndCloseEvent, self._scene_changed)
        add(scene, scene.EndImportEvent, self._scene_changed)
        add(scene, scene.NodeAddedEvent, self._nodes_changed)
        add(scene, scene.NodeRemovedEvent, self._nodes_changed)

    def _scene_closes(self, caller: Any, event: str) -> None:
        self.scene_closes()

    def _scene_changed(self, caller: Any, event: str) -> None:
        self.disconnect_parameters()
        self.connect_parameters()
        if self.is_shown:
            for step in self.steps:
                step.enter()
        self.refresh()
        self.refresh_soon()

    def _nodes_changed(self, caller: Any, event: str) -> None:
        if not slicer.mrmlScene.IsClosing():
            self.refresh_soon()
