"""Step 2: align the sequences with the reference, look at the result, mend it by hand."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib import bars
from LiverLesionLib.alignment import agreement, aligned_sequences, nudge_of, remove_alignment
from LiverLesionLib.compare import Compare
from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.nudge import NudgeControls
from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.step import DONE, TODO, Step

_TRANSFORMS = ("rigid", "affine", "bspline")
_STEP = "register "
_NEUTRAL = (120, 150, 180)


class AlignStep(Step):
    """Register that turns into Cancel with a bar for each sequence, undo, comparison, nudge."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.alignStep, panel.ui.alignStatus)
        self._fractions: dict[str, float] = {}
        self._words = {
            "none": _("as scanned"),
            "translation": _("shifted"),
            "rigid": _("rigid"),
            "affine": _("affine"),
            "bspline": _("deformable"),
        }
        self.ui.transformCombo.addItems([_("Rigid"), _("Affine"), _("Deformable")])
        self.ui.transformCombo.connect("currentIndexChanged(int)", self._transform_chosen)
        self.ui.registerButton.connect("clicked(bool)", self.toggle)
        self.ui.undoRegisterButton.connect("clicked(bool)", self.undo)
        self.ui.alignTable.connect("cellClicked(int,int)", self._row_clicked)
        self.ui.alignSequenceCombo.connect("currentIndexChanged(int)", self._sequence_chosen)
        self.ui.alignProgress.visible = False
        bars.prepare(self.ui.alignTable, [_("Sequence"), _("Alignment"), _("Agreement")], 1)
        self.compare, self.nudge = Compare(self), NudgeControls(self)

    @property
    def sequence(self) -> str:
        """The sequence that is compared and nudged; empty where there is none beside the reference."""
        return self.ui.alignSequenceCombo.currentText

    def sequence_volume(self) -> Any:
        """Volume node of the sequence that is compared and nudged; None where there is none."""
        return self._moving().get(self.sequence)

    def reference_volume(self) -> Any:
        """Volume node of the reference; None where there is none."""
        return chosen_volumes(self.parameters).get(self.parameters.reference)

    def choose_sequence(self, name: str) -> bool:
        """Compare and nudge a sequence; False where it is not there any more."""
        index = self.ui.alignSequenceCombo.findText(name)
        if index >= 0:
            self.ui.alignSequenceCombo.setCurrentIndex(index)
        return index >= 0

    def centre_lps_mm(self) -> tuple[float, float, float]:
        """Point of the world that the reader looks at: the middle of the lesions, else of the reference."""
        import numpy as np

        from LiverLesionAI import mrml

        segmentation = self.parameters.segmentation
        lesions = [] if segmentation is None else self.panel.logic.lesions(segmentation)
        if lesions:
            centre = np.mean([lesion.centroid_lps_mm for lesion in lesions], axis=0).tolist()
        else:
            image = mrml.image_from_volume(self.reference_volume())
            middle = [(size - 1) / 2 for size in image.GetSize()]
            centre = image.TransformContinuousIndexToPhysicalPoint(middle)
        return mrml.point_in_world(self.reference_volume(), centre)

    def refresh(self) -> None:
        """Registering needs two sequences; undoing needs an alignment."""
        running, moving = self.panel.running is self, self._moving()
        aligned = aligned_sequences(moving)
        self.ui.transformCombo.setCurrentIndex(_TRANSFORMS.index(self.parameters.transform))
        self.ui.registerButton.enabled = running or (bool(moving) and not self.panel.is_busy)
        self.ui.undoRegisterButton.enabled = bool(aligned) and not self.panel.is_busy
        self._offer(list(moving))
        self.compare.refresh()
        self.nudge.refresh()
        if running:
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
        self.nudge.forget()

    def toggle(self) -> None:
        """Register, or cancel what is running."""
        if self.panel.running is self:
            self.ui.registerButton.enabled = False
            self.panel.cancel()
            return
        with self.action():
            ensure_packages()
            self.panel.start(self, "register")

    def started(self) -> None:
        """Register becomes Cancel; every sequence gets a bar."""
        self.ui.registerButton.text = _("Cancel")
        self.ui.alignProgress.value = 0
        self.ui.alignProgress.visible = True
        self._fractions = dict.fromkeys(self._moving(), 0.0)
        bars.fill(self.ui.alignTable, [(name, bars.Bar(0.0, _NEUTRAL), "") for name in self._fractions])
        self.nudge.refresh()
        self.say(TODO, _("Aligning…"))

    def progress(self, step: str, fraction: float) -> None:
        """Show how far a sequence is, and all of them together."""
        name = step.removeprefix(_STEP)
        if name not in self._fractions:
            return
        self._fractions[name] = fraction
        bars.set_value(self.ui.alignTable, list(self._fractions).index(name), 1, fraction)
        self.ui.alignProgress.value = round(100 * sum(self._fractions.values()) / len(self._fractions))
        left = [each for each, done in self._fractions.items() if done < 1]
        self.say(TODO, _("Aligning {names}…").format(names=", ".join(left)) if left else _("Aligning…"))

    def ended(self, message: str | None = "") -> None:
        """Cancel becomes Register; `message` is None after a cancellation, else what went wrong."""
        self.ui.registerButton.text = _("Register")
        self.ui.alignProgress.visible = False
        if self.parameters is None:
            return
        self.refresh()
        if message is None:
            self.say(TODO, _("Cancelled; nothing was changed."))
        elif message:
            self.fail(message)

    def registered(self) -> None:
        """The transforms are in the scene: show them."""
        self.nudge.forget()
        self.refresh()

    def undo(self) -> None:
        """Take the alignment back, nudges too."""
        with self.action():
            self.nudge.forget()
            remove_alignment(self._moving())
            self.panel.refresh()

    def _moving(self) -> dict[str, Any]:
        """Sequence to volume of all but the reference."""
        if self.parameters is None:
            return {}
        volumes = chosen_volumes(self.parameters)
        return {name: node for name, node in volumes.items() if name != self.parameters.reference}

    def _row(self, name: str) -> tuple[str, str, str]:
        volume = self._moving()[name]
        found, nudge = agreement(volume), nudge_of(volume)
        stage, before, after = found or ("none", None, None)
        words = [self._words.get(stage, stage)]
        if nudge.shift_mm:
            words.append(_("nudged {distance:.1f} mm").format(distance=nudge.shift_mm))
        if nudge.turn_deg:
            words.append(_("turned {angle:.1f}°").format(angle=nudge.turn_deg))
        shown = "" if before is None or after is None else f"{before:.2f} → {after:.2f}"
        return name, ", ".join(words), shown

    def _state(self, moving: dict[str, Any]) -> str:
        stages = {name: agreement(volume) for name, volume in moving.items()}
        left = [name for name, found in stages.items() if found is not None and found[0] == "none"]
        if not any(stages.values()):
            return _("Moved by hand: {names}.").format(names=", ".join(aligned_sequences(moving)))
        text = _("Aligned with {reference}.").format(reference=self.parameters.reference)
        if left:
            text += " " + _("Nothing better was found than the scanner's position of {names}.").format(
                names=", ".join(left)
            )
        return text

    def _offer(self, names: list[str]) -> None:
        """Offer the sequences to compare and nudge; a choice is kept while it is there."""
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
            self.nudge.refresh()

    def _transform_chosen(self, index: int) -> None:
        self.parameters.transform = _TRANSFORMS[index]
