"""Move one sequence by hand: sliders whose effect is seen at once, undone step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import slicer

from LiverLesionLib.controls.owner import Owner

if TYPE_CHECKING:
    from LiverLesionAI.mrml import ManualOffset

_PARTS = {
    "shiftRSlider": "right_mm",
    "shiftASlider": "anterior_mm",
    "shiftSSlider": "superior_mm",
    "turnSlider": "turn_deg",
}


class MovingStep(Owner, Protocol):
    """A step with a sequence that can be moved."""

    @property
    def sequence(self) -> str:
        """The sequence; empty where there is none."""

    def sequence_volume(self) -> Any:
        """Its volume node; None where there is none."""

    def choose_sequence(self, name: str) -> bool:
        """Choose a sequence; False where it is not there any more."""

    def centre_lps_mm(self) -> tuple[float, float, float]:
        """Point of the world that the sequence turns about."""


class ManualOffsetControls:
    """The sliders and buttons that move one sequence.

    Parameters
    ----------
    step
        The step that they belong to.
    """

    def __init__(self, step: MovingStep) -> None:
        self._step, self._ui = step, step.ui
        self._done: list[tuple[str, str, ManualOffset]] = []
        for name in _PARTS:
            slider = getattr(self._ui, name)
            slider.suffix = " °" if name == "turnSlider" else " mm"
            slider.connect("valueChanged(double)", lambda value, name=name: self._moved(name, value))
        self._ui.undoOffsetButton.connect("clicked(bool)", self.undo)
        self._ui.resetOffsetButton.connect("clicked(bool)", self.reset)

    def refresh(self) -> None:
        """Show how far the chosen sequence was moved; nothing is moved while work goes on."""
        from LiverLesionAI.mrml import ManualOffset
        from LiverLesionAI.scenes.alignment import manual_offset_of

        volume = self._step.sequence_volume()
        offset = ManualOffset() if volume is None else manual_offset_of(volume)
        possible = volume is not None and not self._step.is_busy
        for name, part in _PARTS.items():
            slider = getattr(self._ui, name)
            blocked = slider.blockSignals(True)
            slider.value = getattr(offset, part)
            slider.blockSignals(blocked)
            slider.enabled = possible
        self._ui.undoOffsetButton.enabled = possible and bool(self._done)
        self._ui.resetOffsetButton.enabled = possible and offset != ManualOffset()

    def forget(self) -> None:
        """There is nothing to be undone any more."""
        self._done.clear()

    def undo(self) -> None:
        """Take the last movement of a slider back, of whichever sequence it was."""
        with self._step.action():
            while self._done:
                sequence, _slider, offset = self._done.pop()
                if self._step.choose_sequence(sequence):
                    self._set(offset)
                    break
            self._step.refresh_panel()

    def reset(self) -> None:
        """Take the offset of the chosen sequence away."""
        from LiverLesionAI.mrml import ManualOffset

        with self._step.action():
            self._remember("")
            self._set(ManualOffset())
            self._step.refresh_panel()

    def _moved(self, slider: str, value: float) -> None:
        from LiverLesionAI.scenes.alignment import manual_offset_of

        volume = self._step.sequence_volume()
        if volume is None:
            return
        with self._step.action():
            self._remember(slider)
            part: dict[str, Any] = {_PARTS[slider]: value}
            self._set(replace(manual_offset_of(volume), **part))
            self._step.refresh_panel_soon()

    def _remember(self, slider: str) -> None:
        """Keep the offset of before; the steps of one slider in a row are one movement."""
        from LiverLesionAI.scenes.alignment import manual_offset_of

        sequence = self._step.sequence
        if not self._done or self._done[-1][:2] != (sequence, slider):
            self._done.append((sequence, slider, manual_offset_of(self._step.sequence_volume())))

    def _set(self, offset: ManualOffset) -> None:
        from LiverLesionAI.scenes.alignment import set_manual_offset

        volume, centre = self._step.sequence_volume(), self._step.centre_lps_mm()
        set_manual_offset(slicer.mrmlScene, volume, self._step.sequence, offset, centre)
