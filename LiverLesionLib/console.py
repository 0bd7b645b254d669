"""What the modules do to a scene, for the Python console: calls wait until it is done and need no window."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.dicom_files import first_file, instances_of

if TYPE_CHECKING:
    from LiverLesionAI.explanation.settings import Method
    from LiverLesionAI.results import StudyResult, Unit
    from LiverLesionAI.scenes.changes import Basis
    from LiverLesionAI.scenes.logic import LesionRow
    from LiverLesionAI.scenes.naming import Naming
    from LiverLesionAI.scenes.nodes import ChosenNodes
    from LiverLesionAI.scenes.show import StudyNodes
    from LiverLesionAI.worker.state import WorkerState


class StudyLogic:
    """Assign and measure: what every module offers."""

    def assign_sequences(self, nodes: Iterable[Any] | None = None) -> dict[str, Naming]:
        """Recognise volumes.

        Parameters
        ----------
        nodes
            Volume nodes; by default all of the scene.

        Returns
        -------
        dict
            Sequence to :class:`LiverLesionAI.scenes.naming.Naming`.
        """
        from LiverLesionAI.scenes.logic import sequence_candidates
        from LiverLesionAI.scenes.naming import name_volumes

        return name_volumes(sequence_candidates(slicer.mrmlScene) if nodes is None else nodes, first_file)

    def lesions(self, segmentation: Any) -> list[LesionRow]:
        """Measure the lesions of a segmentation node; empty segments are left out."""
        from LiverLesionAI.scenes.logic import lesion_rows

        return lesion_rows(segmentation)

    def chosen(
        self,
        volumes: Mapping[str, Any] | None = None,
        segmentation: Any = None,
        reference: str | None = None,
    ) -> ChosenNodes:
        """Choose the nodes of a study.

        Parameters
        ----------
        volumes
            Sequence to volume node; by default what :meth:`assign_sequences` finds.
        segmentation
            Segmentation node, a segment per lesion; None where nothing is segmented.
        reference
            The reference sequence; by default that of the segmentation, else T2WI, else the first.
        """
        from LiverLesionAI.scenes.logic import default_reference
        from LiverLesionAI.scenes.nodes import ChosenNodes

        if volumes is None:
            volumes = {name: naming.node for name, naming in self.assign_sequences().items()}
        reference = reference or (default_reference(volumes, segmentation) if volumes else "")
        return ChosenNodes(volumes, segmentation, reference)

    def chosen_lesions(
        self,
        volumes: Mapping[str, Any] | None = None,
        segmentation: Any = None,
        reference: str | None = None,
        unit: Unit = "lesion",
    ) -> ChosenNodes:
        """Choose the nodes of a study with lesions.

        Parameters
        ----------
        volumes, reference
            See :meth:`chosen`.
        segmentation
            By default the scene's.
        unit
            What gets an answer; where that is not the lesion, there may be no segmentation: an empty one, or
            several that could be meant, count as none.

        Raises
        ------
        LiverLesionAI.errors.StudyError
            If a segmentation is needed but not given, and the scene has none or several that could be meant.
        """
        from LiverLesionAI.scenes.logic import nodes_for, only_segmentation

        if segmentation is None:
            segmentation = only_segmentation(slicer.mrmlScene, is_needed=unit == "lesion")
        return nodes_for(unit, self.chosen(volumes, segmentation, reference))


class ClassificationLogic(StudyLogic):
    """Classify, explain, save: each goes on from what the last one gave.

    Examples
    --------
    >>> from LiverLesionAI import LiverLesionAILogic  # doctest: +SKIP
    >>> logic = LiverLesionAILogic()  # doctest: +SKIP
    >>> result, nodes = logic.classify()  # doctest: +SKIP
    >>> result = logic.explain(target="ICC")  # doctest: +SKIP
    >>> files, notes = logic.save("/data/out")  # doctest: +SKIP
    """

    _last: tuple[StudyResult, ChosenNodes] | None = None
    _basis: Basis | None = None

    @cached_property
    def _state(self) -> WorkerState:
        """The model and the answers of the last call, as the panel's worker keeps them."""
        from LiverLesionAI.worker.state import WorkerState

        return WorkerState()

    def classify(
        self,
        model: str = "wang2021-phantom",
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        *,
        volumes: Mapping[str, Any] | None = None,
        segmentation: Any = None,
        reference: str | None = None,
    ) -> tuple[StudyResult, StudyNodes]:
        """Classify lesions and put the result into the scene.

        More than six parameters: at the console each is named, and none is needed.

        Parameters
        ----------
        model
            Name or folder of a bundle, or name of a system whose models answer together.
        device
            ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision
            ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        engine
            ``"auto"``, ``"torch"`` or ``"openvino"``: what runs the network.
        volumes, segmentation, reference
            See :meth:`chosen_lesions`.

        Returns
        -------
        result : LiverLesionAI.results.StudyResult
        nodes : LiverLesionAI.scenes.show.StudyNodes

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If scene or model cannot be used.
        RuntimeError
            If a Python package is missing and its installation is declined.
        """
        ensure_packages("classify")
        from LiverLesionAI.progress import silent
        from LiverLesionAI.results import with_registration
        from LiverLesionAI.scenes.alignment import registrations
        from LiverLesionAI.scenes.changes import basis_of
        from LiverLesionAI.scenes.read import study_of
        from LiverLesionAI.scenes.show import show_result
        from LiverLesionAI.stopwatch import Stopwatch

        classifier = self._state.classifier(model, device, precision, engine)
        unit = classifier.system.unit
        scene, nodes = slicer.mrmlScene, self.chosen_lesions(volumes, segmentation, reference, unit)
        study = study_of(scene, nodes)
        result = self._state.classify(study, classifier, silent, Stopwatch())
        result = with_registration(result, registrations(nodes.volumes))
        self._last, self._basis = (result, nodes), basis_of(scene, nodes, _lesions_of(nodes))
        return result, show_result(scene, study, result, nodes)

    def explain(
        self,
        result: StudyResult | None = None,
        *,
        target: str | None = None,
        method: Method | None = None,
    ) -> StudyResult:
        """Explain a result; maps, weights and charts come into the scene in the place of earlier ones.

        Parameters
        ----------
        result
            Of :meth:`classify`, perhaps with readers' decisions; by default the last one.
        target
            Class to be explained; by default each lesion's predicted one.
        method
            How the maps are made (:data:`LiverLesionAI.explanation.settings.METHODS`); by default the
            model's first.

        Returns
        -------
        LiverLesionAI.results.StudyResult
            The result with the weights.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If nothing was classified, the study has changed so much that its answers are others, or target or
            method are not known.
        RuntimeError
            If a Python package is missing and its installation is declined.
        """
        ensure_packages("classify")
        from LiverLesionAI.explanation.settings import Settings
        from LiverLesionAI.progress import silent
        from LiverLesionAI.scenes.explanations import saliency_of
        from LiverLesionAI.scenes.saliency import add_saliency

        given, nodes = self._result_and_nodes(result)
        settings = Settings(method=method, target=target)
        with _exchanged(nodes) as folder:
            outcome = self._state.explain(given, folder, silent, settings)
        names = {lesion.id: lesion.name for lesion in given.lesions}
        lesions = [saliency_of(each, names[each.lesion.lesion_id]) for each in outcome.explanations]
        add_saliency(slicer.mrmlScene, given.study.id, lesions, nodes.anchor, _)
        self._last = outcome.result, nodes
        return outcome.result

    def save(
        self, folder: str | Path, result: StudyResult | None = None
    ) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """Write the output folder of ``liverlesionai classify``, with the open scene as ``scene.mrb``.

        DICOM objects are written where Slicer's DICOM database knows the files of the sequences.

        Parameters
        ----------
        folder
            New, empty, or written by an earlier call; it appears complete or not at all.
        result
            Of :meth:`classify` or :meth:`explain`, perhaps with readers' decisions; by default the last one.

        Returns
        -------
        files : tuple of pathlib.Path
            Every file written.
        notes : tuple of str
            What could not be written, and what has changed since the study was classified.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If nothing was classified, or the folder cannot be written.
        RuntimeError
            If a Python package is missing and its installation is declined.
        """
        ensure_packages("classify")
        from LiverLesionAI import mrml
        from LiverLesionAI.progress import silent
        from LiverLesionAI.results import with_warnings
        from LiverLesionAI.worker import commands
        from LiverLesionLib.controls.layouts import known_layout

        given, nodes = self._result_and_nodes(result)
        with _exchanged(nodes) as study, tempfile.TemporaryDirectory() as scene:
            with known_layout():
                mrml.save_scene_folder(slicer.mrmlScene, Path(scene))
            answer = commands.save(
                self._state,
                silent,
                study=str(study),
                results=with_warnings(given, *self._moved(nodes)).to_dict(),
                out=str(folder),
                scene=scene,
                instances=instances_of(nodes.volumes),
            )
        notes = tuple(text for text in answer["warnings"] if text not in given.warnings)
        return tuple(Path(folder) / name for name in answer["files"]), notes

    def _moved(self, nodes: ChosenNodes) -> tuple[str, ...]:
        """A warning where sequences were moved since they were classified here."""
        from LiverLesionAI.scenes.changes import alignment_warning, changes_since

        if self._basis is None:
            return ()
        return alignment_warning(changes_since(slicer.mrmlScene, self._basis, nodes, _lesions_of(nodes)))

    def _result_and_nodes(self, result: StudyResult | None) -> tuple[StudyResult, ChosenNodes]:
        """A result, by default the last one, and the nodes of its study."""
        from LiverLesionAI.errors import StudyError

        last, nodes = self._last or (None, None)
        given = result or last
        if given is None:
            raise StudyError("Nothing has been classified; call classify() first, or give a result.")
        return given, nodes or self.chosen_lesions(unit=given.unit)


def _lesions_of(nodes: ChosenNodes) -> list[LesionRow]:
    """Measured lesions of a study; none where nothing is segmented."""
    from LiverLesionAI.scenes.logic import lesion_rows

    return [] if nodes.segmentation is None else lesion_rows(nodes.segmentation)


@contextmanager
def _exchanged(nodes: ChosenNodes) -> Iterator[Path]:
    """Write a study into a folder that is gone after the block."""
    from LiverLesionAI.scenes.read import study_of
    from LiverLesionAI.worker.exchange import send_study

    with tempfile.TemporaryDirectory() as folder:
        yield send_study(study_of(slicer.mrmlScene, nodes), folder)
