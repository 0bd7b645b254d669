"""Where a registration looks, and what comes out beside transforms."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.steps.align_step import lesion_scope
from LiverLesionLib.steps.step import Host, PanelStep


def chosen_scope(host: Host) -> str:
    """Say where the reader wants a registration to look, and it can."""
    return lesion_scope(host) if host.parameters.around_lesions else "volume"


class ScopeStep(PanelStep):
    """Around the lesions only, or everywhere.

    Parameters
    ----------
    host
        The panel.
    """

    def __init__(self, host: Host) -> None:
        super().__init__(host, host.ui.scopeStep, host.ui.scopeStatus)
        self.ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._changed)
        self.ui.aroundLesionsCheck.connect("toggled(bool)", self._changed)

    def refresh(self) -> None:
        """Say where the registration will look."""
        if chosen_scope(self.host) == "lesion":
            self.say(DONE, _("Only the neighbourhoods of the lesions are looked at."))
        elif self.parameters.around_lesions:
            self.say(TODO, _("No lesion is segmented: the whole volumes are looked at."))
        else:
            self.say(DONE, _("The whole volumes are looked at."))

    def _changed(self, value: Any = None) -> None:
        self.host.refresh_soon()
