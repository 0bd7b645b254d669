"""Step 4: choose a model, classify, read the answers."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib import bars
from LiverLesionLib.dependencies import ensure_packages, missing_packages
from LiverLesionLib.step import DONE, TODO
from LiverLesionLib.work_step import WorkStep

_DEVICES = ("auto", "cpu", "cuda", "mps")
_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


class ClassifyStep(WorkStep):
    """Model chooser, Classify that turns into Cancel, results."""

    def __init__(self, panel: Any) -> None:
        ui = panel.ui
        super().__init__(
            panel,
            ui.classifyStep,
            ui.classifyStatus,
            job="classify",
            button=ui.classifyButton,
            bar=ui.classifyProgress,
            doing=_("Classifying…"),
            cancelled=_("Cancelled; nothing was changed."),
        )
        self._models: tuple[Any, ...] = ()
        self._result: Any = None
        self._fill_choices()
        self.ui.modelCombo.connect("currentIndexChanged(int)", self._model_chosen)
        self.ui.deviceCombo.connect("currentIndexChanged(int)", self._device_chosen)
        self.ui.precisionCombo.connect("currentIndexChanged(int)", self._precision_chosen)
        self.ui.resultsTable.connect("itemSelectionChanged()", self._row_chosen)
        answers = [_("Lesion"), _("Class"), _("Probability"), _("Malignant"), _("Spread")]
        bars.prepare(self.ui.resultsTable, answers, 2)
        bars.prepare(self.ui.classesTable, [_("Class"), _("Probability"), _("Spread")], 1)
        self.ui.classesLabel.visible = False

    def _fill_choices(self) -> None:
        devices = (_("Automatic device"), _("Processor"), _("Graphics (CUDA)"), _("Graphics (Apple)"))
        self.ui.deviceCombo.addItems(list(devices))
        self.ui.precisionCombo.addItems([_("Automatic precision"), *_PRECISIONS[1:]])

    def load_models(self) -> None:
        """List the models; without the packages that read them, say that they will be asked for."""
        if missing_packages():
            self.ui.modelDescription.text = _(
                "Python packages are missing; Classify will ask to install them."
            )
            return
        from LiverLesionAI.bundles import list_bundles

        self._models = list_bundles()
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
        busy = self.panel.is_busy
        self.ui.classifyButton.enabled = not busy or self.is_running
        if self._result is not self.panel.result:
            self._show_result(self.panel.result)

    def _describe(self) -> None:
        bundle = next((each for each in self._models if each.name == self.parameters.model), None)
        self.panel.show_banner(bundle is not None and bundle.intended_use == "phantom")
        if bundle is None:
            return
        needs = ", ".join(bundle.spec.sequences)
        text = _("{description} Sequences: {sequences}. Intended use: {use}")
        use = bundle.metadata.intended_use
        self.ui.modelDescription.text = text.format(
            description=bundle.metadata.description, sequences=needs, use=use
        )

    def before_start(self) -> None:
        """Ask for missing packages, then list the models that they read."""
        ensure_packages()
        if not self._models:
            self.refresh()

    def words(self, step: str) -> str:
        """What the state says while the worker is at a step of the road."""
        known = {
            "read": _("Reading the sequences…"),
            "crop": _("Cropping the lesions…"),
            "load": _("Loading the model…"),
        }
        return known.get(step, _("Classifying…"))

    def _show_result(self, result: Any) -> None:
        before = self.selected()
        self._result = result
        if result is None:
            bars.fill(self.ui.resultsTable, ())
            bars.fill(self.ui.classesTable, ())
            self.ui.classesLabel.visible = False
            self.say(TODO, "")
            return
        blocked = self.ui.resultsTable.blockSignals(True)
        bars.fill(self.ui.resultsTable, [self._row(lesion) for lesion in result.lesions])
        ids = [lesion.id for lesion in result.lesions]
        is_there = before is not None and before.id in ids
        self.ui.resultsTable.selectRow(ids.index(before.id) if is_there else 0)
        self.ui.resultsTable.blockSignals(blocked)
        self._show_classes(self.selected())
        self.panel.explain.lesion_selected(self.selected())
        ran = _("{device}, {precision}, {seconds:.1f} s").format(
            device=result.provenance.device,
            precision=result.provenance.precision,
            seconds=result.provenance.seconds.get("classify", 0.0),
        )
        lines = [_("{model}: {ran}.").format(model=result.models[0].name, ran=ran), *_warnings(result)]
        self.say(DONE, "\n".join(lines))

    def _row(self, lesion: Any) -> tuple[bars.Cell, ...]:
        kind = lesion.answer
        if kind is None:
            return (lesion.name, _("not classified"))
        colour = bars.class_colours(kind.taxonomy)[kind.predicted]
        top = kind.probabilities[kind.predicted]
        malignancy = lesion.tasks.get("malignancy")
        malignant: bars.Cell = ""
        if malignancy is not None:
            p = malignancy.probabilities["malignant"]
            malignant = bars.Bar(p, bars.class_colours("binary")["malignant" if p >= 0.5 else "benign"])
        return (
            lesion.name,
            bars.Chip(kind.predicted, colour),
            bars.Bar(top, colour),
            malignant,
            self._spread(kind, kind.predicted),
        )

    def _spread(self, task: Any, name: str) -> str:
        """Standard deviation over the folds; one fold has none."""
        has_folds = self._result.models[0].members > 1 and name in task.std
        return f"± {100 * task.std[name]:.0f} %" if has_folds else "–"

    def selected(self) -> Any:
        """Return the lesion that is selected in the table; None where there is none."""
        row = self.ui.resultsTable.currentRow()
        if self._result is None or not 0 <= row < len(self._result.lesions):
            return None
        return self._result.lesions[row]

    def select(self, name: str) -> None:
        """Select a lesion by its name."""
        names = [lesion.name for lesion in self._result.lesions] if self._result is not None else []
        if name in names:
            self.ui.resultsTable.selectRow(names.index(name))

    def _row_chosen(self) -> None:
        lesion = self.selected()
        self._show_classes(lesion)
        if lesion is not None:
            self.panel.lesion_selected(lesion)

    def _show_classes(self, lesion: Any) -> None:
        self.ui.classesLabel.visible = lesion is not None
        if lesion is None:
            return
        self.ui.classesLabel.text = _("All probabilities of {name}").format(name=lesion.name)
        rows: list[tuple[bars.Cell, ...]] = []
        for task in lesion.tasks.values():
            if task.taxonomy == "binary" and len(lesion.tasks) > 1:
                continue
            colours = bars.class_colours(task.taxonomy)
            ordered = sorted(task.probabilities.items(), key=lambda item: -item[1])
            rows += [
                (bars.Chip(n, colours[n]), bars.Bar(p, colours[n]), self._spread(task, n)) for n, p in ordered
            ]
        bars.fill(self.ui.classesTable, rows)

    def _model_chosen(self, index: int) -> None:
        if 0 <= index < len(self._models):
            self.parameters.model = self._models[index].name
            self._describe()

    def _device_chosen(self, index: int) -> None:
        self.parameters.device = _DEVICES[index]

    def _precision_chosen(self, index: int) -> None:
        self.parameters.precision = _PRECISIONS[index]


def _warnings(result: Any) -> list[str]:
    lines = [_("Note: {text}.").format(text=text.rstrip(".")) for text in result.warnings]
    for lesion in result.lesions:
        lines += [
            _("{name}: {text}.").format(name=lesion.name, text=text.rstrip(".")) for text in lesion.warnings
        ]
    return lines


def _choose(combo: Any, values: Any, value: str) -> None:
    blocked = combo.blockSignals(True)
    if value in values:
        combo.setCurrentIndex(list(values).index(value))
    combo.blockSignals(blocked)
