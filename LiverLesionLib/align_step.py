"""Step 2: align the sequences with the reference."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib import bars
from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.step import DONE, TODO, Step

_TRANSFORMS = ("rigid", "affine", "bspline")


class AlignStep(Step):
    """Register that turns into Cancel, undo, how well it went."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.alignStep, panel.ui.alignStatus)
        self.ui.transformCombo.addItems([_("Rigid"), _("Affine"), _("Deformable")])
        self.ui.transformCombo.connect("currentIndexChanged(int)", self._transform_chosen)
        self.ui.registerButton.connect("clicked(bool)", self.toggle)
        self.ui.undoRegisterButton.connect("clicked(bool)", self.undo)
        self.ui.alignProgress.visible = False
        bars.prepare(self.ui.alignTable, [_("Sequence"), _("Alignment"), _("Agreement")], 1)

    def refresh(self) -> None:
        """Registering needs two sequences; undoing needs an alignment."""
        volumes = chosen_volumes(self.parameters)
        running = self.panel.running is self
        self.ui.transformCombo.setCurrentIndex(_TRANSFORMS.index(self.parameters.transform))
        self.ui.registerButton.enabled = running or (len(volumes) > 1 and not self.panel.is_busy)
        aligned = self.panel.aligned_sequences()
        self.ui.undoRegisterButton.enabled = bool(aligned) and not self.panel.is_busy
        if running:
            return
        if aligned:
            self.say(
                DONE,
                _("Aligned with {reference}: {names}.").format(
                    reference=self.parameters.reference, names=", ".join(aligned)
                ),
            )
        elif len(volumes) > 1:
            self.say(TODO, _("Not aligned: the scanner's positions are trusted."))
        else:
            self.say(TODO, "")
        if not aligned:
            bars.fill(self.ui.alignTable, ())

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
        """Register becomes Cancel."""
        self.ui.registerButton.text = _("Cancel")
        self.ui.alignProgress.value = 0
        self.ui.alignProgress.visible = True
        self.say(TODO, _("Aligning…"))

    def progress(self, step: str, fraction: float) -> None:
        """Show how far the work is."""
        self.ui.alignProgress.value = round(100 * fraction)
        name = step.removeprefix("register").strip()
        self.say(TODO, _("Aligning {name}…").format(name=name) if name else _("Aligning…"))

    def ended(self, message: str | None = "") -> None:
        """Cancel becomes Register; `message` is None after a cancellation, else what went wrong."""
        self.ui.registerButton.text = _("Register")
        self.ui.alignProgress.visible = False
        self.refresh()
        if message is None:
            self.say(TODO, _("Cancelled; nothing was changed."))
        elif message:
            self.fail(message)

    def show(self, registration: dict[str, Any]) -> None:
        """Show the agreement of each sequence with the reference, before and after."""
        rows = [
            (name, str(report["transform"]), _agreement(report["metric_before"], report["metric_after"]))
            for name, report in registration.items()
        ]
        bars.fill(self.ui.alignTable, rows)

    def undo(self) -> None:
        """Take the alignment back."""
        with self.action():
            self.panel.remove_alignment()
            self.panel.refresh()

    def _transform_chosen(self, index: int) -> None:
        self.parameters.transform = _TRANSFORMS[index]


def _agreement(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{before:.2f} → {after:.2f}"
