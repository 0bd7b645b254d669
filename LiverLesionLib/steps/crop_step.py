"""Crop lesions as the classifier sees them, into volumes of the scene."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import TODO
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.stepwise import StepwiseStep


class CropStep(StepwiseStep):
    """Crop every lesion out of every sequence.

    Parameters
    ----------
    host
        The panel.
    """

    def __init__(self, host: Host) -> None:
        ui = host.ui
        super().__init__(host, ui.cropStep, ui.cropStatus, ui.cropButton, ui.cropProgress)
        self._nodes: list[Any] = []
        self._failures: list[str] = []

    def refresh(self) -> None:
        """Cropping needs lesions."""
        count = len(self.lesion_rows)
        self.ui.cropButton.enabled = self.is_running or (count > 0 and not self.is_busy)
        if not self.is_running and not self._nodes:
            words = _("Lesions segmented: {count}.").format(count=count)
            self.say(TODO, words if count else _("Choose the segmentation of the lesions."))

    def work(self) -> Generator[float, None, None]:
        """Crop lesion by lesion."""
        from LiverLesionAI.scenes.patches import add_patches
        from LiverLesionAI.scenes.read import study_of

        scene, chosen = slicer.mrmlScene, self.chosen()
        self._nodes, self._failures = [], []
        for fraction, nodes, failure in add_patches(scene, study_of(scene, chosen), chosen.anchor):
            self._nodes += nodes
            self._failures += [failure] if failure else []
            yield fraction

    def result(self) -> str:
        """Say how many volumes were made, and what was left out."""
        text = _("{count} volumes were made.").format(count=len(self._nodes))
        return " ".join([text, *self._failures])

    def forget(self) -> None:
        """The scene closes."""
        super().forget()
        self._nodes = []
