"""Nudge by hand: sliders that move one sequence, seen at once, undone step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from LiverLesionLib.alignment import nudge_of, set_nudge

_PARTS = {
    "shiftRSlider": "right_mm",
    "shiftASlider": "anterior_mm",
    "shiftSSlider": "superior_mm",
    "turnSlider": "turn_deg",
}


class NudgeControls:
    """The sliders and buttons of the alignment's step that move one sequence.

    Parameters
    ----------
    step
        The :class:`~LiverLesionLib.align_step.AlignStep` that it belongs to.
    """

    def __init__(self, step: Any) -> None:
        self._step, self._ui = step, step.ui
        self._done: list[tuple[str, str, Any]] = []
        for name in _PARTS:
            slider = getattr(self._ui, name)
            slider.suffix = " °" if name == "turnSlider" else " mm"
            slider.connect("valueChanged(double)", lambda value, name=name: self._moved(name, value))
        self._ui.undoNudgeButton.connect("clicked(bool)", self.undo)
        self._ui.resetNudgeButton.connect("clicked(bool)", self.reset)

    def refresh(self) -> None:
        """Show how far the chosen sequence was moved; nothing is moved while it is registered."""
        from LiverLesionAI import mrml

        volume = self._step.sequence_volume()
        nudge = mrml.Nudge() if volume is None else nudge_of(volume)
        possible = volume is not None and not self._step.panel.is_busy
        for name, part in _PARTS.items():
            slider = getattr(self._ui, name)
            blocked = slider.blockSignals(True)
            slider.value = getattr(nudge, part)
            slider.blockSignals(blocked)
            slider.enabled = possible
        self._ui.undoNudgeButton.enabled = possible and bool(self._done)
        self._ui.resetNudgeButton.enabled = possible and nudge != mrml.Nudge()

    def forget(self) -> None:
        """There is nothing to be undone any more."""
        self._done.clear()

    def undo(self) -> None:
        """Take the last movement of a slider back, of whichever sequence it was."""
        with self._step.action():
            while self._done:
                sequence, _slider, nudge = self._done.pop()
                if self._step.choose_sequence(sequence):
                    self._set(nudge)
                    break
            self._step.panel.refresh()

    def reset(self) -> None:
        """Take the nudge of the chosen sequence away."""
        from LiverLesionAI import mrml

        with self._step.action():
            self._remember("")
            self._set(mrml.Nudge())
            self._step.panel.refresh()

    def _moved(self, slider: str, value: float) -> None:
        volume = self._step.sequence_volume()
        if volume is None:
            return
        with self._step.action():
            self._remember(slider)
            self._set(replace(nudge_of(volume), **{_PARTS[slider]: value}))
            self._step.panel.refresh_soon()

    def _remember(self, slider: str) -> None:
        """Keep the nudge of before; the steps of one slider in a row are one movement."""
        sequence = self._step.sequence
        if not self._done or self._done[-1][:2] != (sequence, slider):
            self._done.append((sequence, slider, nudge_of(self._step.sequence_volume())))

    def _set(self, nudge: Any) -> None:
        volume = self._step.sequence_volume()
        set_nudge(volume, self._step.sequence, nudge, self._step.centre_lps_mm())
