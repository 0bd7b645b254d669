"""Look at candidates, accept or reject each, have the accepted ones segmented and classified."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.steps.job import Job, check_present
from LiverLesionLib.steps.search_result import shown_result
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.work_step import Words, WorkStep

if TYPE_CHECKING:
    from LiverLesionAI.results import Candidate, StudyResult

_ACCEPTED, _PROBABILITY, _CLASS = 0, 1, 3
"""Columns of the check marks, of the detector's and of the classifier's answers."""


class CandidatesStep(WorkStep):
    """The list of candidates; *Outline and classify*.

    Parameters
    ----------
    host
        The panel.
    """

    def __init__(self, host: Host) -> None:
        ui = host.ui
        words = Words(_("Segmenting and classifying…"), _("Cancelled; nothing was changed."))
        super().__init__(
            host, ui.candidatesStep, ui.candidatesStatus, ui.outlineButton, ui.outlineProgress, words
        )
        titles = [_("Accept"), _("HCC"), _("Slices"), _("Class")]
        bars.prepare(ui.candidateTable, titles, _CLASS, longest={_PROBABILITY: "000 0.99"})
        self._class_column = bars.ReadableColumn(ui.candidateTable, _CLASS)
        ui.candidateTable.connect("cellClicked(int,int)", self.clicked)

    @property
    def rejected(self) -> set[int]:
        """Ranks of the candidates that the reader does not believe in."""
        return set(json.loads(self.parameters.rejected or "[]"))

    def refresh(self) -> None:
        """Show the candidates of the last search."""
        result = shown_result(self.parameters)
        candidates = result.candidates if result else ()
        accepted = [each for each in candidates if each.rank not in self.rejected]
        self.ui.outlineButton.enabled = self.is_running or (bool(accepted) and not self.is_busy)
        if self.is_running:
            return
        self._fill(result, candidates)
        if result is None:
            self.say(TODO, "")
        elif not candidates:
            self.say(DONE, _("No candidate; this does not mean that there is no lesion."))
        elif any(each.lesion for each in candidates):
            self.say(DONE, segments_in_words(accepted))
        else:
            words = _("{accepted} of {count} accepted. Click a row to see its place, its mark to reject it.")
            self.say(TODO, words.format(accepted=len(accepted), count=len(candidates)))

    def toggle_candidate(self, rank: int) -> None:
        """Reject a candidate, or accept it again."""
        self.parameters.rejected = json.dumps(sorted(self.rejected ^ {rank}))
        self.refresh()

    def jump(self, candidate: Candidate) -> None:
        """Show a candidate's place in all views."""
        from LiverLesionAI import mrml

        mrml.jump_to(slicer.mrmlScene, candidate.centre_lps_mm, self.chosen().anchor)

    def prepare(self) -> Generator[None, None, Job]:
        """Write the study; the answer becomes segments in the colours of their classes."""
        from LiverLesionAI.scenes.read import study_of
        from LiverLesionAI.worker.exchange import send_study

        nodes = replace(self.chosen(), segmentation=None)
        study = study_of(slicer.mrmlScene, nodes)
        result = shown_result(self.parameters)
        assert result is not None
        ranks = [each.rank for each in result.candidates if each.rank not in self.rejected]
        yield
        arguments = {
            "study": str(send_study(study, self.host.folder("study"))),
            "out": str(self.host.folder("segments")),
            "results": result.to_dict(),
            "ranks": ranks,
        }

        def finish(answer: Mapping[str, Any]) -> Generator[None, None, None]:
            import SimpleITK as sitk

            from LiverLesionAI.results import StudyResult
            from LiverLesionAI.scenes.show import add_candidate_segments

            check_present(nodes.volumes.values())
            labels = sitk.ReadImage(answer["mask"])
            yield
            classified = StudyResult.from_dict(answer["results"])
            self.parameters.segmentation = add_candidate_segments(
                slicer.mrmlScene, labels, classified, nodes.anchor
            )
            answered = {each.rank: each for each in classified.candidates}
            shown = replace(
                result,
                candidates=tuple(answered[each.rank] for each in result.candidates),
                lesions=classified.lesions,
                models=tuple(dict.fromkeys((*result.models, *classified.models))),
            )
            self.parameters.result = json.dumps(shown.to_dict())

        return Job("classify_candidates", arguments, finish)

    def _fill(self, result: StudyResult | None, candidates: tuple[Candidate, ...]) -> None:
        from LiverLesionAI.taxonomy import HCC

        rejected, given = self.rejected, _classes(result)
        rows: list[list[bars.Cell]] = [
            [
                f"{'☐' if each.rank in rejected else '☑'} {each.rank}",
                bars.Bar(each.probability, HCC.colour, f"{each.probability:.2f}"),
                f"{each.slices[0] + 1}–{each.slices[1] + 1}",
                "" if each.lesion is None else given.get(each.lesion, "–"),
            ]
            for each in candidates
        ]
        bars.fill(self.ui.candidateTable, rows)
        self._class_column.hold(max((each.text for each in given.values()), key=len, default=""))
        self.ui.candidateTable.setSelectionMode(qt.QAbstractItemView.SingleSelection)

    def clicked(self, row: int, column: int) -> None:
        """Show the place of a row's candidate; a click on its mark rejects it, or accepts it again."""
        result = shown_result(self.parameters)
        if result is None or row >= len(result.candidates):
            return
        candidate = result.candidates[row]
        with self.action():
            if column == _ACCEPTED and not self.is_busy:
                self.toggle_candidate(candidate.rank)
            self.jump(candidate)


def _classes(result: StudyResult | None) -> dict[int, bars.Chip]:
    """Label of each segment to the class that it was given, with its probability."""
    return {
        lesion.id: bars.Chip(
            f"{lesion.answer.predicted} {lesion.answer.probability:.2f}",
            lesion.answer.predicted_class.colour,
            lesion.answer.set_in_words,
        )
        for lesion in (result.lesions if result else ())
        if lesion.answer
    }


def segments_in_words(accepted: Sequence[Candidate]) -> str:
    """Say of how many accepted candidates segments were made, and of which none was."""
    without = [str(each.rank) for each in accepted if each.lesion is None]
    counts = {"made": len(accepted) - len(without), "count": len(accepted)}
    if not without:
        return _("{made} of {count} accepted candidates have a segment.").format(**counts)
    words = _(
        "{made} of {count} accepted candidates have a segment; without one: {ranks}. "
        "Where no border was found, segment by hand in Liver Lesion AI."
    )
    return words.format(**counts, ranks=", ".join(without))
