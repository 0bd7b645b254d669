"""The nodes that make up a study: those that a reader chose, and those that are ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from LiverLesionAI import mrml
from LiverLesionAI.errors import StudyError
from LiverLesionAI.mrml import Node, attributes


@dataclass(frozen=True)
class ChosenNodes:
    """The nodes of a scene that a reader takes for a study.

    Attributes
    ----------
    volumes
        Sequence to volume node.
    segmentation
        Segmentation node, a segment per lesion; None where nothing is segmented.
    reference
        The reference sequence.
    """

    volumes: Mapping[str, Node]
    segmentation: Node | None
    reference: str

    @property
    def anchor(self) -> Node:
        """Volume node of the reference sequence.

        Raises
        ------
        StudyError
            If there is none.
        """
        if self.reference not in self.volumes:
            raise StudyError(
                "No sequence is assigned as the reference; press Assign sequences or choose volumes."
            )
        return self.volumes[self.reference]

    @property
    def repeated(self) -> tuple[str, ...]:
        """Sequences that have one volume between them, which shows one of them at most."""
        nodes = list(self.volumes.values())
        return tuple(name for name, node in self.volumes.items() if nodes.count(node) > 1)

    @property
    def present(self) -> list[Node]:
        """Volumes and segmentation."""
        return [node for node in (*self.volumes.values(), self.segmentation) if node is not None]


def study_nodes(scene: Node, study_id: str) -> list[Node]:
    """All nodes of ours that belong to a study."""
    nodes = mrml.nodes_of(scene, "vtkMRMLNode")
    return [node for node in nodes if node.GetAttribute(attributes.STUDY) == study_id]
