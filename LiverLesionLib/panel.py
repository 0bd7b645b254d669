"""The main panel: its steps, and what they have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib.align_step import AlignStep
from LiverLesionLib.alignment import agreement
from LiverLesionLib.classify_step import ClassifyStep
from LiverLesionLib.decide_step import DecideStep
from LiverLesionLib.explain_step import ExplainStep
from LiverLesionLib.front import Front
from LiverLesionLib.lesions_step import LesionsStep
from LiverLesionLib.parameters import PanelParameters, chosen_volumes
from LiverLesionLib.save_step import SaveStep
from LiverLesionLib.scene_study import maps_of, result_from_text, show_decisions
from LiverLesionLib.step import Step
from LiverLesionLib.study_step import StudyStep


class Panel(Front):
    """From a loaded study to an explained, decided and saved classification."""

    parameters_class = PanelParameters
    result: Any = None
    classified: Path | None = None

    def make_steps(self) -> tuple[Step, ...]:
        """Make the seven steps."""
        self.study_step = StudyStep(self)
        self.align = AlignStep(self)
        self.lesions = LesionsStep(self)
        self.classify = ClassifyStep(self)
        self.explain = ExplainStep(self)
        self.decide = DecideStep(self)
        self.save_step = SaveStep(self)
        return (
            self.study_step, self.align, self.lesions, self.classify,
            self.explain, self.decide, self.save_step,
        )  # fmt: skip

    def registered(self) -> None:
        """Transforms that were found have come into the scene."""
        self.align.registered()

    def registration(self) -> dict[str, Any]:
        """Return how each sequence was registered; what was taken back is not in it."""
        from LiverLesionAI.results import SequenceRegistration

        found = {name: agreement(volume) for name, volume in chosen_volumes(self.parameters).items()}
        return {name: SequenceRegistration(*report) for name, report in found.items() if report is not None}

    def show_banner(self, phantom: bool) -> None:
        """Say plainly that a model is trained on phantoms."""
        self.ui.bannerLabel.visible = phantom
        self.ui.bannerLabel.text = _("This model is trained on digital phantoms: not for clinical use.")

    def lesion_selected(self, lesion: Any) -> None:
        """A lesion was chosen in the table of results."""
        self.explain.lesion_selected(lesion)
        self.decide.refresh()
        self.lesions.select(lesion.id)

    def set_result(self, result: Any, classified: Path | None = None) -> None:
        """Remember a result in the scene; `classified` is the folder with the study as the worker saw it."""
        self.result, self.classified = result, classified
        self.parameters.result = json.dumps(result.to_dict(), ensure_ascii=False)

    def replace_lesion(self, lesion: Any) -> None:
        """Take over what readers have decided about a lesion, and show it."""
        from LiverLesionAI.decisions import with_lesion

        self.set_result(with_lesion(self.result, lesion), self.classified)
        show_decisions(self.result, chosen_volumes(self.parameters), self.parameters.segmentation)
        self.refresh()

    def saliency_maps(self, lesion_id: int, weighted: bool) -> dict[str, Any]:
        """Return sequence to the saliency volume of a lesion of the result."""
        return {
            name.removesuffix(" weighted"): node
            for (lesion, name), node in maps_of(self.result.study.id).items()
            if lesion == str(lesion_id) and name.endswith(" weighted") == weighted
        }

    def connect_parameters(self) -> None:
        """Take the scene's parameter node, and the result that it remembers."""
        super().connect_parameters()
        self.result, self.classified = result_from_text(self.parameters.result), None

    def scene_closes(self) -> None:
        """Let go of everything that the scene takes away."""
        super().scene_closes()
        self.result = self.classified = None
