"""What every panel of the extension has in common: steps, parameters, the worker, the scene's events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer

from LiverLesionLib.panels.pieces import PieceWorker
from LiverLesionLib.panels.session import Session
from LiverLesionLib.parameters import chosen_nodes, connect_widgets
from LiverLesionLib.steps.job import Job
from LiverLesionLib.steps.step import PanelStep, Working

if TYPE_CHECKING:
    from LiverLesionAI.scenes.logic import LesionRow
    from LiverLesionAI.scenes.nodes import ChosenNodes
    from LiverLesionAI.study import Study

_SOON_MS = 200


class BasePanel:
    """Steps, the parameters that they share, and the worker that works for them.

    A panel names its class of parameters and makes its steps, for which it is the
    :class:`~LiverLesionLib.steps.step.Host`; see :class:`LiverLesionLib.panels.main_panel.MainPanel`.

    Parameters
    ----------
    widget
        The module's widget: observers are added through it.
    ui
        The widgets of the module by name.
    logic
        The module's logic, which keeps the parameter node.
    """

    parameters_class: Any = None

    def __init__(self, widget: Any, ui: Any, logic: Any) -> None:
        self.widget, self.ui, self.logic = widget, ui, logic
        self.session, self._pieces = Session(), PieceWorker()
        self._is_preparing = False
        self.running: object | None = None
        self.is_shown = True
        self.parameters: Any = None
        self._gui_tag: int | None = None
        self._lesion_rows: list[LesionRow] | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SOON_MS)
        self._timer.connect("timeout()", self.refresh)
        self._take_parameters()
        self.steps: tuple[PanelStep, ...] = ()
        self.steps = self.make_steps()
        self.parameters_connected()
        self._observe_scene()
        self.refresh()

    def make_steps(self) -> tuple[PanelStep, ...]:
        """Make the panel's steps, from top to bottom."""
        raise NotImplementedError

    @property
    def is_busy(self) -> bool:
        """Whether work for the panel is going on."""
        return self.running is not None

    @property
    def lesion_rows(self) -> list[LesionRow]:
        """The lesions of the chosen segmentation; measured once for every change that the panel shows.

        Raises
        ------
        StudyError
            If the segmentation cannot be read.
        """
        from LiverLesionAI.scenes.logic import lesion_rows

        if self._lesion_rows is None:
            node = self.parameters.segmentation
            self._lesion_rows = [] if node is None else lesion_rows(node)
        return self._lesion_rows

    def chosen(self) -> ChosenNodes:
        """Return the study that the reader chose."""
        return chosen_nodes(self.parameters)

    def study(self) -> Study:
        """Return the chosen volumes and lesions as the library takes them.

        Raises
        ------
        StudyError
            If they cannot be used.
        """
        from LiverLesionAI.scenes.read import study_of

        return study_of(slicer.mrmlScene, self.chosen())

    def folder(self, name: str) -> Path:
        """Return an empty folder for the files of a job; it is gone when the panel goes away."""
        return self.session.folder(name)

    def observe(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Call a function on an event of a VTK object until the module goes away."""
        self.widget.addObserver(target, event, callback)

    def stop_observing(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Undo :meth:`observe`."""
        self.widget.removeObserver(target, event, callback)

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
        self._pieces.stop()
        for step in self.steps:
            step.forget()
        self.disconnect_parameters()
        self.session.close()

    def refresh_soon(self) -> None:
        """Refresh once after a burst of changes; a hidden panel does so when it is shown again."""
        self._lesion_rows = None
        if self.is_shown:
            self._timer.start()

    def refresh(self) -> None:
        """Let every step show what the scene says."""
        self._timer.stop()
        self._lesion_rows = None
        if self.parameters is None or slicer.mrmlScene.IsClosing():
            return
        for step in self.steps:
            step.refresh()

    def refresh_others(self, step: object) -> None:
        """Refresh every step but the one that has just said something; a closed panel has nothing to say."""
        if self.parameters is None:
            return
        for each in self.steps:
            if each is not step:
                each.refresh()

    def state_changed(self) -> None:
        """A step says something else than before."""

    def forget_errors(self) -> None:
        """The reader does something new: errors of before have been read."""
        for step in self.steps:
            step.forget_error()

    def start(self, step: Working, preparation: Generator[None, None, Job]) -> None:
        """Prepare a job on behalf of a step, give it to the worker and show its answer, all in pieces.

        Raises
        ------
        LiverLesionError
            If the study cannot be used, as far as that shows before the preparation's first pause; what comes
            later is told as the step's state.
        """
        job, is_ready = None, False
        try:
            next(preparation)
        except StopIteration as stop:
            job, is_ready = stop.value, True
        self.running = step
        step.started()
        self.refresh_others(step)
        if is_ready and job is not None:
            self._send(step, job)
            return
        self._is_preparing = True
        self._pieces.start(
            preparation,
            errors_told=step.errors_told,
            then=lambda job: self._send(step, job),
            failed=lambda: self._ended(step),
        )

    def _send(self, step: Working, job: Job) -> None:
        """Give the worker a job that is ready."""
        self._is_preparing = False
        with step.errors_told():
            self.session.run(
                job.command,
                on_progress=step.progress,
                on_done=lambda answer: self._finish(step, job, answer),
                on_failed=lambda message: self._ended(step, message),
                **job.arguments,
            )
            return
        self._ended(step)

    def _finish(self, step: Working, job: Job, answer: Mapping[str, Any]) -> None:
        """Put the worker's answer into the scene; only then the step is at rest."""

        def shown(nothing: Any) -> None:
            self._ended(step)
            job.then()

        step.finishing()
        self._pieces.start(
            job.finish(answer),
            errors_told=step.errors_told,
            then=shown,
            failed=lambda: self._ended(step),
        )

    def _ended(self, step: Working, message: str | None = "") -> None:
        self.running, self._is_preparing = None, False
        step.ended(message)
        self.refresh_others(step)

    def cancel(self) -> None:
        """Cancel what the worker does, or the preparation of it; an answer that came is shown to its end."""
        if self._is_preparing:
            self._pieces.stop()
            self._ended(self.running, None)  # type: ignore[arg-type]
        else:
            self.session.cancel()

    def get_ready(self, **arguments: str) -> None:
        """Let the worker load a model beforehand, unless work is going on."""
        if not self.is_busy:
            self.session.prepare(**arguments)

    def connect_parameters(self) -> None:
        """Take the scene's parameter node, let the widgets follow it and show what it remembers."""
        self._take_parameters()
        self.parameters_connected()

    def parameters_connected(self) -> None:
        """The scene's parameter node has been taken."""

    def _take_parameters(self) -> None:
        self.parameters = self.parameters_class(self.logic.getParameterNode())
        self._gui_tag = connect_widgets(self.parameters, self.ui)

    def disconnect_parameters(self) -> None:
        """Let go of the scene's parameter node."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._gui_tag)
        self.parameters = None

    def scene_closes(self) -> None:
        """Let go of everything that the scene takes away."""
        if self._pieces.is_busy and not self._is_preparing:
            self._pieces.stop()
            self._ended(self.running, None)  # type: ignore[arg-type]
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
