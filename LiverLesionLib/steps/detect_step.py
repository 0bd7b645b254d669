"""Look for HCC on every slice of the hepatobiliary phase."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.dependencies import missing_packages
from LiverLesionLib.steps.job import Job, check_present
from LiverLesionLib.steps.result_text import result_from_text
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.work_step import Words, WorkStep

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult

SERIES = "HBP"
_OPACITY = 0.5
_FIELD_OF_VIEW_MM = 300.0


class DetectStep(WorkStep):
    """One button, the operating point, and what is known of it.

    Parameters
    ----------
    host
        The panel.
    """

    def __init__(self, host: Host) -> None:
        ui = host.ui
        words = Words(_("Looking at every slice…"), _("Cancelled; nothing was changed."))
        super().__init__(host, ui.detectStep, ui.detectStatus, ui.detectButton, ui.detectProgress, words)
        ui.pointSlider.connect("valueChanged(double)", self._point_moved)

    def enter(self) -> None:
        """The module is shown."""
        self._begin_at_the_models_point()
        self.refresh()

    def _begin_at_the_models_point(self) -> None:
        """Move the slider to the model's own operating point, once for a scene."""
        if self.parameters.point_of or missing_packages(self.needs):
            return
        from LiverLesionAI.bundles import load_bundle
        from LiverLesionAI.options import DEFAULT_DETECTOR

        with self.errors_told():
            bundle = load_bundle(DEFAULT_DETECTOR)
            self.parameters.operating_point = bundle.spec.patches.operating_point
            self.parameters.point_of = bundle.name

    def refresh(self) -> None:
        """Looking needs the hepatobiliary phase."""
        has_series = SERIES in self.chosen().volumes
        self.ui.detectButton.enabled = self.is_running or (has_series and not self.is_busy)
        self.ui.pointLabel.text = self._known_of_point()
        if self.is_running:
            return
        result, failure = result_from_text(self.parameters.result)
        if failure:
            self.fail(failure)
            return
        if result is None:
            self.say(TODO, "" if has_series else _("Choose the hepatobiliary phase (HBP) in step 1."))
            return
        self.say(DONE, self._state(result))

    def _state(self, result: StudyResult) -> str:
        from LiverLesionAI.results import PHANTOM_NOTICE

        point = result.provenance.parameters["detection"]["operating_point"]
        text = _("{count} candidates from p = {point:.2f} on.").format(
            count=len(result.candidates), point=point
        )
        if abs(point - self.parameters.operating_point) > 1e-6:
            text += " " + _("The operating point was moved since; look again.")
        notice = f" {PHANTOM_NOTICE.capitalize()}." if result.is_phantom_trained else ""
        return " ".join([text + notice, *result.warnings])

    def _known_of_point(self) -> str:
        """Sensitivity and specificity that the model's card gives next to the chosen point."""
        from LiverLesionAI.bundles import load_bundle
        from LiverLesionAI.detection.card import nearest_figures
        from LiverLesionAI.errors import LiverLesionError
        from LiverLesionAI.options import DEFAULT_DETECTOR

        try:
            known = nearest_figures(load_bundle(DEFAULT_DETECTOR), self.parameters.operating_point)
        except (LiverLesionError, ImportError):
            return ""
        if known is None:
            return ""
        words = _(
            "Slices at {point:g}, on phantoms: sensitivity {sensitivity:.2f}, specificity {specificity:.2f}."
        )
        return words.format(point=known.point, sensitivity=known.sensitivity, specificity=known.specificity)

    def prepare(self) -> Generator[None, None, Job]:
        """Write the series; the answer becomes markups and a map."""
        from LiverLesionAI.scenes.read import study_of
        from LiverLesionAI.worker.exchange import send_study

        nodes = replace(self.chosen(), segmentation=None)
        study = study_of(slicer.mrmlScene, nodes)
        point = float(self.parameters.operating_point)
        yield
        arguments = {
            "study": str(send_study(study, self.host.folder("study"))),
            "out": str(self.host.folder("detection")),
            "operating_point": point,
        }

        def finish(answer: Mapping[str, Any]) -> Generator[None, None, None]:
            import json

            import SimpleITK as sitk

            from LiverLesionAI import mrml
            from LiverLesionAI.results import StudyResult
            from LiverLesionAI.scenes.candidates import add_candidates, clear_candidates

            check_present(nodes.volumes.values())
            result = StudyResult.from_dict(answer["results"])
            evidence = sitk.ReadImage(answer["evidence"])
            yield
            scene = slicer.mrmlScene
            clear_candidates(scene, result.study.id)
            points, overlay = add_candidates(scene, result, nodes.volumes, evidence)
            mrml.file_under(
                scene,
                mrml.folder_item(scene, result.study.id, beside=nodes.anchor),
                [node for node in (points, overlay) if node is not None],
            )
            yield
            self.parameters.result, self.parameters.rejected = json.dumps(answer["results"]), "[]"
            if result.candidates:
                centre = mrml.point_in_world(nodes.anchor, result.candidates[0].centre_lps_mm)
                mrml.show_in_slice_views(
                    scene, nodes.volumes[SERIES], centre, _FIELD_OF_VIEW_MM, overlay, _OPACITY
                )

        return Job("detect", arguments, finish)

    def _point_moved(self, value: float) -> None:
        if self.parameters is not None:
            self.host.refresh_soon()
