"""What the panel remembers in the scene, so that a saved scene brings the whole panel back."""

from __future__ import annotations

from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

SEQUENCES = ("T2WI", "DWI", "ADC", "T1WI", "LAP", "PVP", "DP", "HBP")
"""The sequences that the panel has a selector for, in its order."""


@parameterNodeWrapper
class PanelParameters:
    """Everything that a reader chose.

    ``volume<SEQUENCE>`` are the volumes, `reference` names the reference sequence, `reader` is who decides.
    `registration` is what the last alignment reported for each sequence, as JSON; `result` is the content of
    ``results.json`` of the last classification with the readers' decisions.
    """

    volumeT2WI: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeDWI: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeADC: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeT1WI: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeLAP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumePVP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeDP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    volumeHBP: slicer.vtkMRMLScalarVolumeNode  # noqa: N815
    segmentation: slicer.vtkMRMLSegmentationNode
    reference: str
    transform: str = "bspline"
    model: str
    device: str = "auto"
    precision: str = "auto"
    explain: bool = True
    looseness: Annotated[float, WithinRange(-1.0, 1.0)] = 0.0
    threshold: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.6
    reader: str
    registration: str
    result: str


def chosen_volumes(parameters: PanelParameters) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """Return sequence to volume node for the sequences that have one."""
    nodes = {name: parameters.getValue(f"volume{name}") for name in SEQUENCES}
    return {name: node for name, node in nodes.items() if node is not None}
