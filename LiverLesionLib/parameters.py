"""What the panels remember in the scene, so that a saved scene brings them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from LiverLesionAI.sequences import CT_PHASES

if TYPE_CHECKING:
    from LiverLesionAI.scenes.nodes import ChosenNodes

SEQUENCES = ("T2WI", "DWI", "ADC", "T1WI", "LAP", "PVP", "DP", "HBP", *CT_PHASES)
"""The sequences that a panel has a selector for, in its order."""


class StudyParameters:
    """The study that a reader chose: a volume for each sequence, the lesions, the reference sequence."""

    volumeT2WI: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeDWI: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeADC: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeT1WI: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeLAP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumePVP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeDP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeHBP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeCT_PLAIN: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeCT_ART: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeCT_PORTAL: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeCT_DELAY: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    segmentation: slicer.vtkMRMLSegmentationNode
    reference: str


@parameterNodeWrapper
class PanelParameters(StudyParameters):
    """Everything that a reader chose in the main panel.

    `reader` is who decides; `result` is the content of ``results.json`` of the last classification with
    the readers' decisions; `basis` is what it rests on (:class:`LiverLesionAI.scenes.changes.Basis`).
    """

    transform: str = "bspline"
    model: str
    device: str = "auto"
    precision: str = "auto"
    explain: bool = True
    looseness: Annotated[float, WithinRange(-1.0, 1.0)] = 0.0
    threshold: Annotated[float, WithinRange(0.0, 1.0)] = 0.25
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.65
    reader: str
    result: str
    basis: str


@parameterNodeWrapper
class RegistrationParameters(StudyParameters):
    """Everything that a reader chose in the registration's panel."""

    transform: str = "bspline"
    around_lesions: bool = True
    resample: bool = False


@parameterNodeWrapper
class PatchesParameters(StudyParameters):
    """Everything that a reader chose in the patches' panel; `diagnoses` is JSON, segment ID to class."""

    study_name: str
    patient: str
    diagnoses: str


@parameterNodeWrapper
class DetectionParameters(StudyParameters):
    """Everything that a reader chose in the detection's panel.

    `result` is the content of ``results.json`` of the last search; `rejected` is JSON, the ranks of the
    candidates that the reader does not believe in; `point_of` is the model whose operating point the slider
    began at, empty before.
    """

    operating_point: Annotated[float, WithinRange(0.01, 0.99)] = 0.5
    point_of: str
    result: str
    rejected: str


@parameterNodeWrapper
class ReadingParameters:
    """What a reader study keeps in the scene: where the slider stands, and nothing of who reads what."""

    confidence: Annotated[float, WithinRange(0.0, 100.0)] = 50.0


@parameterNodeWrapper
class BatchParameters:
    """What a batch keeps in the scene: how many studies at a time, and nothing of where cohorts are."""

    workers: Annotated[int, WithinRange(1, 64)] = 1


def chosen_volumes(parameters: Any) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """Return sequence to volume node for the sequences that have one."""
    nodes = {name: parameters.getValue(f"volume{name}") for name in SEQUENCES}
    return {name: node for name, node in nodes.items() if node is not None}


def chosen_nodes(parameters: Any) -> ChosenNodes:
    """Return the study that the parameters name."""
    from LiverLesionAI.scenes.nodes import ChosenNodes

    return ChosenNodes(chosen_volumes(parameters), parameters.segmentation, parameters.reference)


def connect_widgets(parameters: Any, ui: Any) -> int:
    """Connect every widget that names a parameter in its property ``SlicerParameterName``.

    Returns
    -------
    int
        For ``disconnectGui``; the wrapper's own ``connectGui`` keeps it to itself.
    """
    named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
    return parameters.connectParametersToGui({name: widget for name, widget in named.items() if name})
