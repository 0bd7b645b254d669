"""Step 4: choose a model, classify, read the answers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.clinical_form import ClinicalForm
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.controls.slice_table import SliceTable
from LiverLesionLib.controls.visibility import show
from LiverLesionLib.dependencies import missing_packages
from LiverLesionLib.selection import Selection
from LiverLesionLib.steps.answers import Answered, answered, answered_with
from LiverLesionLib.steps.job import Job, check_present, read_study
from LiverLesionLib.steps.out_of_date import changes_after_classifying, in_words, note_basis, outdated
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.work_step import Words, WorkStep

if TYPE_CHECKING:
    from LiverLesionAI.bundles.suite import Model
    from LiverLesionAI.results import StudyResult
    from LiverLesionAI.scenes.changes import Change

_DEVICES = ("auto", "cpu", "cuda", "mps")
_PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_CLASS, _PROBABILITY, _MALIGNANCY, _READER = range(1, 5)
"""Columns of the answers; those without a word for any row are not shown."""
READY_AFTER_MS = 1500
"""So long after a study was assigned or a model chosen the worker begins to load the model."""


class ClassifyStep(WorkStep):
    """Model chooser, Classify that turns into Cancel, results.

    Parameters
    ----------
    host
        The panel.
    selection
        The result that is shown.
    classified
        Called when a new result has come.
    """

    def __init__(self, host: Host, selection: Selection, classified: Callable[[], None]) -> None:
        ui = host.ui
        words = Words(_("Classifying…"), _("Cancelled; nothing was changed."))
        bar = ui.classifyProgress
        super().__init__(host, ui.classifyStep, ui.classifyStatus, ui.classifyButton, bar, words)
        self._selection, self._classified = selection, classified
        self._models: tuple[Model, ...] = ()
        self._clinical = ClinicalForm(self)
        self._said: object = None
        self._changes: tuple[Change, ...] = ()
        self._study_is_shown = True
        self._ready_timer = qt.QTimer()
        self._ready_timer.setSingleShot(True)
        self._ready_timer.setInterval(READY_AFTER_MS)
        self._ready_timer.connect("timeout()", self._get_ready)
        self._fill_choices()
        self.ui.modelCombo.connect("currentIndexChanged(int)", self._model_chosen)
        self.ui.deviceCombo.connect("currentIndexChanged(int)", self._device_chosen)
        self.ui.precisionCombo.connect("currentIndexChanged(int)", self._precision_chosen)
        self.ui.resultsTable.connect("itemSelectionChanged()", self._row_chosen)
        answers = [_("Lesion"), _("Class"), _("p ±SD"), _("malig."), _("Reader")]
        bars.prepare(
            self.ui.resultsTable, answers, _CLASS, longest={_PROBABILITY: "100±15 %", _MALIGNANCY: "100 %"}
        )
        self._class_column = bars.ReadableColumn(self.ui.resultsTable, _CLASS)
        bars.prepare(self.ui.classesTable, [_("Class"), _("p"), _("SD")], 1)
        self.ui.classesTable.horizontalHeaderItem(1).setToolTip(_("Probability"))
        self._slices = SliceTable(self)
        show(self.ui.classesLabel, False)
        selection.on_result(self._show_result)
        selection.on_lesion(self._show_lesion)

    def _fill_choices(self) -> None:
        devices = (_("Automatic device"), _("Processor"), _("Graphics (CUDA)"), _("Graphics (Apple)"))
        self.ui.deviceCombo.addItems(list(devices))
        self.ui.precisionCombo.addItems([_("Automatic precision"), *_PRECISIONS[1:]])

    def load_models(self) -> None:
        """List the models; without the packages that read them, say that they will be asked for."""
        if missing_packages(self.needs):
            self.ui.modelDescription.text = _(
                "Python packages are missing; Classify will ask to install them."
            )
            return
        from LiverLesionAI.bundles.suite import models_at_hand
        from LiverLesionAI.options import DEFAULT_MODEL

        self._models = models_at_hand(DEFAULT_MODEL)
        blocked = self.ui.modelCombo.blockSignals(True)
        self.ui.modelCombo.clear()
        self.ui.modelCombo.addItems([bundle.name for bundle in self._models])
        self.ui.modelCombo.blockSignals(blocked)

    def refresh(self) -> None:
        """Show the chosen model, and the result that the scene remembers."""
        if not self._models:
            self.load_models()
        names = [bundle.name for bundle in self._models]
        if names and self.parameters.model not in names:
            self.parameters.model = names[0]
        _choose(self.ui.modelCombo, names, self.parameters.model)
        _choose(self.ui.deviceCombo, _DEVICES, self.parameters.device)
        _choose(self.ui.precisionCombo, _PRECISIONS, self.parameters.precision)
        self._describe()
        self.ui.classifyButton.enabled = not self.is_busy or self.is_running
        if not self.is_running:
            self._tell()

    def get_ready(self) -> None:
        """Let the worker load the model a moment from now, while the reader segments."""
        self._ready_timer.start()

    def _get_ready(self) -> None:
        if self.parameters is None or not self.chosen().volumes or missing_packages(self.needs):
            return
        self.host.get_ready(
            model=self.parameters.model,
            device=self.parameters.device,
            precision=self.parameters.precision,
        )

    def forget(self) -> None:
        """The scene closes."""
        self._ready_timer.stop()

    @property
    def sequences_read(self) -> tuple[str, ...]:
        """Sequences that the chosen model reads; none where there is no model."""
        model = self._chosen_model()
        return () if model is None else tuple(model.sequences)

    def _chosen_model(self) -> Model | None:
        return next((each for each in self._models if each.name == self.parameters.model), None)

    def _describe(self) -> None:
        bundle = self._chosen_model()
        self.ui.bannerLabel.visible = bundle is not None and bundle.intended_use == "phantom"
        self.ui.bannerLabel.text = _("This model is trained on digital phantoms: not for clinical use.")
        self._clinical.refresh(bundle is not None and bundle.reads_clinical)
        if bundle is None:
            return
        text = _("{description} Reads: {sequences}.")
        if bundle.reads_clinical:
            text = _("{description} Reads: {sequences}; clinical data where they are known.")
        reads = ", ".join(bundle.sequences)
        self.ui.modelDescription.text = text.format(description=bundle.description, sequences=reads)

    def prepare(self) -> Generator[None, None, Job]:
        """Write the study for the worker; its answer becomes table and colours."""
        from LiverLesionAI.decisions import carry_over
        from LiverLesionAI.results import StudyResult, with_registration
        from LiverLesionAI.scenes.alignment import registrations
        from LiverLesionAI.scenes.saliency import removing, retire_saliency
        from LiverLesionAI.scenes.show import show_result
        from LiverLesionAI.worker.exchange import send_study

        if not self._models:
            self.refresh()
        scene, nodes = slicer.mrmlScene, self.chosen()
        chosen = self._chosen_model()
        unit = "lesion" if chosen is None else chosen.system.unit
        study, basis = read_study(nodes, unit), note_basis(self.host)
        yield
        folder = send_study(study, self.host.folder("classified"))
        arguments = {
            "study": str(folder),
            "model": self.parameters.model,
            "device": self.parameters.device,
            "precision": self.parameters.precision,
        }

        def finish(answer: Mapping[str, Any]) -> Generator[None, None, None]:
            check_present(nodes.present)
            result = StudyResult.from_dict(answer["results"])
            result = with_registration(result, registrations(nodes.volumes))
            if self._selection.result is not None:
                result = carry_over(self._selection.result, result)
            retired = retire_saliency(scene, study.id)
            yield
            show_result(scene, study, result, nodes)
            yield
            self.parameters.basis = basis
            self._selection.show(result, folder)
            yield
            if self._selection.lesion is not None:
                self._selection.select(self._selection.lesion.id)
            yield from removing(scene, retired)

        return Job("classify", arguments, finish, self._classified)

    @property
    def out_of_date(self) -> str:
        """What has changed since the result was classified, in a sentence; empty where nothing has."""
        return in_words(self._changes) if self._changes else ""

    def words(self, step: str) -> str:
        """What the state says while the worker is at a step of the road."""
        known = {
            "read": _("Reading the sequences…"),
            "crop": _("Cropping the lesions…"),
            "load": _("Loading the model…"),
        }
        return known.get(step, _("Classifying…"))

    def _show_result(self) -> None:
        """Show the result that the selection has, its lesions and what was noticed."""
        result = self._selection.result
        if result is None:
            bars.fill(self.ui.resultsTable, ())
            bars.fill(self.ui.classesTable, ())
            self._slices.show(None, None)
            show(self.ui.classesLabel, False)
            self._said = None
            self.say(TODO, "")
            return
        self._changes, self._study_is_shown = (), True
        self._show_answers(result)
        self._tell()

    def _show_answers(self, result: StudyResult) -> None:
        """The table of answers; what does not hold any more is in brackets."""
        blocked = self.ui.resultsTable.blockSignals(True)
        shown = answered(result)
        rows = [each.row(outdated(each.name, result, self._changes)) for each in shown]
        bars.fill(self.ui.resultsTable, rows)
        has_malignancy = any(task.is_binary for each in shown for task in each.tasks.values())
        is_decided = any(each.reading is not None for each in shown)
        self.ui.resultsTable.setColumnHidden(_MALIGNANCY, not has_malignancy)
        self.ui.resultsTable.setColumnHidden(_READER, not is_decided)
        names = [each.answer.predicted for each in shown if each.answer is not None]
        self._class_column.hold(max(names, key=len, default=""))
        self.ui.resultsTable.blockSignals(blocked)
        self._show_lesion()

    def fail(self, text: str) -> None:
        """Show what went wrong with the reader's last action; the result is told again after it."""
        self._said = None
        super().fail(text)

    def _tell(self) -> None:
        """Say what came out, and whether it is out of date; once, so that later words stay."""
        result = self._selection.result
        if result is None or self._error_stands:
            return
        with self.errors_told():
            changes = changes_after_classifying(self.host)
            if changes != self._changes:
                self._changes = changes
                self._show_answers(result)
            if (result, changes) != self._said:
                self._said = result, changes
                lines = [in_words(changes), *_told(result)] if changes else _told(result)
                self.say(TODO if changes else DONE, "\n".join(lines))

    def _row_chosen(self) -> None:
        result, row = self._selection.result, self.ui.resultsTable.currentRow()
        rows = [] if result is None else answered(result)
        if not 0 <= row < len(rows):
            return
        self._study_is_shown = rows[row].lesion is None
        if self._study_is_shown:
            self._show_lesion()
        else:
            self._selection.select(rows[row].lesion)

    def _show_lesion(self) -> None:
        """Mark the row of the study, where it has an answer, or that of the selected lesion, and show its
        probabilities."""
        result, lesion = self._selection.result, self._selection.lesion
        if result is not None and result.unit != "lesion" and self._study_is_shown:
            lesion = None
        shown = None if result is None else answered_with(result, lesion)
        show(self.ui.classesLabel, shown is not None)
        if result is None or shown is None:
            return
        blocked = self.ui.resultsTable.blockSignals(True)
        self.ui.resultsTable.selectRow(answered(result).index(shown))
        self.ui.resultsTable.blockSignals(blocked)
        self._show_classes(shown)

    def _show_classes(self, shown: Answered) -> None:
        title = _("All probabilities of {name}").format(name=shown.name)
        self.ui.classesLabel.text = "\n".join([title, *shown.remarks])
        bars.fill(self.ui.classesTable, shown.classes())
        self._slices.show(self._selection.result, shown.lesion)

    def _model_chosen(self, index: int) -> None:
        if 0 <= index < len(self._models):
            self.host.forget_errors()
            self.parameters.model = self._models[index].name
            self._describe()
            self.get_ready()
            self.host.refresh_soon()

    def _device_chosen(self, index: int) -> None:
        self.parameters.device = _DEVICES[index]

    def _precision_chosen(self, index: int) -> None:
        self.parameters.precision = _PRECISIONS[index]


def _told(result: StudyResult) -> list[str]:
    """What the state says of a result: what it ran on, then all that was noticed."""
    from LiverLesionAI.answers import task_title

    ran = _("{device}, {precision}, {seconds:.1f} s").format(
        device=result.provenance.device,
        precision=result.provenance.precision,
        seconds=result.provenance.seconds.get("classify", 0.0),
    )
    lines = [_("{model}: {ran}.").format(model=_asked(result), ran=ran)]
    for name, task in result.chosen_models.items():
        line = _("{task} by {model}: {basis}.")
        title = task_title(name).capitalize()
        lines.append(line.format(task=title, model=task.model, basis=task.basis))
    lines += [_("Note: {text}.").format(text=text.rstrip(".")) for text in result.warnings]
    for lesion in result.lesions:
        lines += [
            _("{name}: {text}.").format(name=lesion.name, text=text.rstrip(".")) for text in lesion.warnings
        ]
    return lines


def _asked(result: StudyResult) -> str:
    """The model that was asked; the system where its models answered together."""
    return result.models[0].system if result.chosen_models else result.models[0].name


def _choose(combo: Any, values: Sequence[str], value: str) -> None:
    blocked = combo.blockSignals(True)
    if value in values:
        combo.setCurrentIndex(list(values).index(value))
    combo.blockSignals(blocked)
