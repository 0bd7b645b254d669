"""Step 2: align the sequences with the reference, look at the result, mend it by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.compare import Compare
from LiverLesionLib.controls.manual_offset import ManualOffsetControls
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.dependencies import Action
from LiverLesionLib.steps.job import Job, check_present
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.work_step import Words, WorkStep

_TRANSFORMS = ("rigid", "affine", "bspline")
_STEP = "register "
_NEUTRAL = (120, 150, 180)


def lesion_scope(host: Host) -> str:
    """Say where a registration looks: around the lesions where there are any, else everywhere."""
    return "lesion" if host.lesion_rows else "volume"


class AlignStep(WorkStep):
    """Register that turns into Cancel with a bar for each sequence, undo, comparison, manual offset.

    Parameters
    ----------
    host
        The panel.
    scope
        Says where a registration is to look, ``"lesion"`` or ``"volume"``.
    registered
        Called when the transforms that were found are in the scene.
    """

    needs: Action = "register"

    def __init__(
        self,
        host: Host,
        scope: Callable[[Host], str] = lesion_scope,
        registered: Callable[[], None] = lambda: None,
    ) -> None:
        ui = host.ui
        words = Words(_("Aligning…"), _("Cancelled; nothing was changed."))
        super().__init__(host, ui.alignStep, ui.alignStatus, ui.registerButton, ui.alignProgress, words)
        self._scope, self._registered = scope, registered
        self._fractions: dict[str, float] = {}
        self._stages = {
            "none": _("as scanned"),
            "translation": _("shifted"),
            "rigid": _("rigid"),
            "affine": _("affine"),
            "bspline": _("deformable"),
        }
        self.ui.transformCombo.addItems([_("Rigid"), _("Affine"), _("Deformable")])
        self.ui.transformCombo.connect("currentIndexChanged(int)", self._transform_chosen)
        self.ui.undoRegisterButton.connect("clicked(bool)", self.undo)
        self.ui.alignTable.connect("cellClicked(int,int)", self._row_clicked)
        self.ui.alignSequenceCombo.connect("currentIndexChanged(int)", self._sequence_chosen)
        bars.prepare(self.ui.alignTable, [_("Seq."), _("Alignment"), _("Similarity")], 1)
        self.compare, self.offset = Compare(self), ManualOffsetControls(self)

    @property
    def sequence(self) -> str:
        """The sequence that is compared and moved; empty where there is none beside the reference."""
        return self.ui.alignSequenceCombo.currentText

    def sequence_volume(self) -> Any:
        """Volume node of the sequence that is compared and moved; None where there is none."""
        return self._moving().get(self.sequence)

    def reference_volume(self) -> Any:
        """Volume node of the reference; None where there is none."""
        nodes = self.chosen()
        return nodes.volumes.get(nodes.reference)

    def choose_sequence(self, name: str) -> bool:
        """Compare and move a sequence; False where it is not there any more."""
        index = self.ui.alignSequenceCombo.findText(name)
        if index >= 0:
            self.ui.alignSequenceCombo.setCurrentIndex(index)
        return index >= 0

    def centre_lps_mm(self) -> tuple[float, float, float]:
        """Point of the world that the reader looks at: the middle of the lesions, else of the reference."""
        import numpy as np

        from LiverLesionAI import mrml

        anchor, lesions = self.chosen().anchor, self.lesion_rows
        if lesions:
            centre = np.mean([lesion.centroid_lps_mm for lesion in lesions], axis=0).tolist()
        else:
            image = mrml.image_from_volume(anchor)
            middle = [(size - 1) / 2 for size in image.GetSize()]
            centre = image.TransformContinuousIndexToPhysicalPoint(middle)
        return mrml.point_in_world(anchor, centre)

    def refresh(self) -> None:
        """Registering needs two sequences; undoing needs an alignment."""
        from LiverLesionAI.scenes.alignment import aligned_sequences

        moving = self._moving()
        aligned = aligned_sequences(moving)
        self.ui.transformCombo.setCurrentIndex(_TRANSFORMS.index(self.parameters.transform))
        self.ui.registerButton.enabled = self.is_running or (bool(moving) and not self.is_busy)
        self.ui.undoRegisterButton.enabled = bool(aligned) and not self.is_busy
        self._offer(list(moving))
        self.compare.refresh()
        self.offset.refresh()
        if self.is_running:
            return
        bars.fill(self.ui.alignTable, [self._row(name) for name in moving] if aligned else ())
        if aligned:
            self.say(DONE, self._state(moving))
        else:
            self.say(TODO, _("Not aligned: the scanner's positions are trusted.") if moving else "")

    def exit(self) -> None:
        """The module is hidden: the views belong to others."""
        self.compare.stop()

    def forget(self) -> None:
        """The scene closes."""
        self.compare.forget()
        self.offset.forget()

    def prepare(self) -> Generator[None, None, Job]:
        """Write the study without its earlier alignment; the answer becomes transform nodes."""
        from LiverLesionAI.scenes.alignment import add_alignment
        from LiverLesionAI.scenes.read import study_of
        from LiverLesionAI.scenes.registering import without_alignment
        from LiverLesionAI.worker.exchange import send_study

        scene, nodes, scope = slicer.mrmlScene, self.chosen(), self._scope(self.host)
        seen = nodes if scope == "lesion" else replace(nodes, segmentation=None)
        study = without_alignment(study_of(scene, seen), nodes.volumes)
        yield
        arguments = {
            "study": str(send_study(study, self.host.folder("study"))),
            "out": str(self.host.folder("registration")),
            "transform": self.parameters.transform,
            "scope": scope,
        }

        def finish(answer: Mapping[str, Any]) -> Generator[None, None, None]:
            import SimpleITK as sitk

            check_present(nodes.volumes.values())
            transforms = {name: sitk.ReadTransform(file) for name, file in answer["transforms"].items()}
            yield
            add_alignment(scene, nodes, transforms, answer["registration"])
            yield
            self._registered()
            self.offset.forget()
            self.refresh()

        return Job("register", arguments, finish)

    def started(self) -> None:
        """Register becomes Cancel; every sequence gets a bar."""
        super().started()
        self._fractions = dict.fromkeys(self._moving(), 0.0)
        bars.fill(self.ui.alignTable, [(name, bars.Bar(0.0, _NEUTRAL), "") for name in self._fractions])
        self.offset.refresh()

    def progress(self, step: str, fraction: float) -> None:
        """Show how far a sequence is, and all of them together."""
        name = step.removeprefix(_STEP)
        if name not in self._fractions:
            return
        self._fractions[name] = fraction
        bars.set_value(self.ui.alignTable, list(self._fractions).index(name), 1, fraction)
        self.fraction = sum(self._fractions.values()) / len(self._fractions)
        self.ui.alignProgress.value = round(100 * self.fraction)
        left = [each for each, done in self._fractions.items() if done < 1]
        self.say(TODO, _("Aligning {names}…").format(names=", ".join(left)) if left else _("Aligning…"))

    def undo(self) -> None:
        """Take the alignment back, manual offsets too."""
        from LiverLesionAI.scenes.alignment import remove_alignment

        with self.action():
            self.offset.forget()
            remove_alignment(slicer.mrmlScene, self._moving())
            self.host.refresh()

    def _moving(self) -> dict[str, Any]:
        """Sequence to volume of all but the reference."""
        if self.parameters is None:
            return {}
        nodes = self.chosen()
        return {name: node for name, node in nodes.volumes.items() if name != nodes.reference}

    def _row(self, name: str) -> tuple[str, str, str]:
        from LiverLesionAI.scenes.alignment import manual_offset_of, registration_of

        volume = self._moving()[name]
        found, offset = registration_of(volume), manual_offset_of(volume)
        stage = "none" if found is None else found.transform
        words = [self._stages.get(stage, stage)]
        if offset.shift_mm:
            words.append(_("moved {distance:.1f} mm").format(distance=offset.shift_mm))
        if offset.turn_deg:
            words.append(_("turned {angle:.1f}°").format(angle=offset.turn_deg))
        measured = found is not None and found.metric_before is not None and found.metric_after is not None
        similarity = f"{found.metric_before:.2f} → {found.metric_after:.2f}" if found and measured else ""
        return name, ", ".join(words), similarity

    def _state(self, moving: Mapping[str, Any]) -> str:
        from LiverLesionAI.scenes.alignment import aligned_sequences, registrations

        found = registrations(moving)
        if not found:
            return _("Moved by hand: {names}.").format(names=", ".join(aligned_sequences(moving)))
        text = _("Aligned with {reference}.").format(reference=self.parameters.reference)
        left = [name for name, report in found.items() if report.transform == "none"]
        if left:
            text += " " + _("Nothing better was found than the scanner's position of {names}.").format(
                names=", ".join(left)
            )
        return text

    def _offer(self, names: list[str]) -> None:
        """Offer the sequences to compare and move; a choice is kept while it is there."""
        combo = self.ui.alignSequenceCombo
        current = combo.currentText
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems(names)
        combo.setCurrentIndex(names.index(current) if current in names else 0 if names else -1)
        combo.enabled = bool(names)
        combo.blockSignals(blocked)

    def _row_clicked(self, row: int) -> None:
        self.choose_sequence(self.ui.alignTable.item(row, 0).text())

    def _sequence_chosen(self, index: int) -> None:
        if self.parameters is not None and index >= 0:
            self.compare.sequence_chosen()
            self.offset.refresh()

    def _transform_chosen(self, index: int) -> None:
        self.parameters.transform = _TRANSFORMS[index]
