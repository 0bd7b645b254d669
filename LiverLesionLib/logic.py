"""What the panel does to the scene, without its window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import slicer


@dataclass(frozen=True)
class LesionRow:
    """A segment as a lesion: label, name, colour (sRGB), size, centre in the node's frame (LPS mm)."""

    id: int
    segment_id: str
    name: str
    colour: tuple[int, int, int]
    diameter_mm: float
    volume_ml: float
    centroid_lps_mm: tuple[float, float, float]


class StudyLogic:
    """Assign, measure, classify: every method works on nodes and needs no window."""

    def studies(self) -> dict[str, list[Any]]:
        """Return the folders of the subject hierarchy that hold volumes: name to volume nodes, in order."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        found: dict[str, list[Any]] = {}
        for node in _sequence_candidates():
            parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
            if parent and parent != hierarchy.GetSceneItemID():
                found.setdefault(hierarchy.GetItemName(parent), []).append(node)
        return found

    def assign_sequences(self, nodes: list[Any] | None = None) -> dict[str, Any]:
        """Recognise volumes.

        Parameters
        ----------
        nodes
            Volume nodes; by default all of the scene.

        Returns
        -------
        dict
            Sequence to :class:`LiverLesionLib.naming.Naming`.
        """
        from LiverLesionLib.naming import name_volumes

        return name_volumes(_sequence_candidates() if nodes is None else nodes)

    def default_reference(self, volumes: Mapping[str, Any], segmentation: Any = None) -> str:
        """Return the sequence that lesions are outlined on: the segmentation's, else T2WI, else the first."""
        from LiverLesionAI import mrml

        outlined = mrml.reference_volume(segmentation) if segmentation is not None else None
        for name, node in volumes.items():
            if node is outlined:
                return name
        return "T2WI" if "T2WI" in volumes else next(iter(volumes))

    def lesions(self, segmentation: Any) -> list[LesionRow]:
        """Measure the lesions of a segmentation node; empty segments are left out."""
        from LiverLesionAI import mrml
        from LiverLesionAI.geometry import lesion_geometry
        from LiverLesionAI.study import labels_in

        node = segmentation.GetSegmentation()
        if not node.GetNumberOfSegments():
            return []
        image = mrml.labels_from_segmentation(segmentation).image
        present = labels_in(image)
        rows = []
        for segment_id, label in mrml.segment_labels(segmentation).items():
            if label not in present:
                continue
            segment, geometry = node.GetSegment(segment_id), lesion_geometry(image, label)
            red, green, blue = (round(255 * value) for value in segment.GetColor())
            rows.append(
                LesionRow(
                    label,
                    segment_id,
                    segment.GetName(),
                    (red, green, blue),
                    geometry.diameter_mm,
                    geometry.volume_ml,
                    geometry.centroid_lps_mm,
                )
            )
        return rows

    def classify(
        self,
        model: str = "wang2021-phantom",
        device: str = "auto",
        precision: str = "auto",
        *,
        volumes: Mapping[str, Any] | None = None,
        segmentation: Any = None,
        reference: str | None = None,
    ) -> tuple[Any, Any]:
        """Classify lesions and put the result into the scene; waits until it is done.

        Parameters
        ----------
        model
            Name or folder of a bundle.
        device
            ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision
            ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        volumes
            Sequence to volume node; by default what :meth:`assign_sequences` finds.
        segmentation
            Segmentation node, a segment a lesion; by default the scene's.
        reference
            The reference sequence; by default that of the segmentation.

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
        from LiverLesionLib.dependencies import ensure_packages

        ensure_packages()
        from LiverLesionAI.bundles import load_bundle
        from LiverLesionAI.pipeline import classify_study
        from LiverLesionLib.scene_study import show_result, study_of

        if volumes is None:
            volumes = {name: naming.node for name, naming in self.assign_sequences().items()}
        if segmentation is None:
            segmentation = only_segmentation()
        study = study_of(volumes, segmentation, reference or _reference(self, volumes, segmentation))
        result = classify_study(study, load_bundle(model), device=device, precision=precision)
        return result, show_result(study, result, volumes, segmentation)


def _sequence_candidates() -> list[Any]:
    """Volumes of the scene that may be sequences: no labels, nothing that was computed."""
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    return [
        node
        for node in mrml.nodes_of(slicer.mrmlScene, "vtkMRMLScalarVolumeNode")
        if not node.IsA("vtkMRMLLabelMapVolumeNode")
        and node.GetAttribute(attributes.ROLE) in attributes.SOURCES
    ]


def _reference(logic: StudyLogic, volumes: Mapping[str, Any], segmentation: Any) -> str:
    return logic.default_reference(volumes, segmentation) if volumes else ""


def only_segmentation() -> Any:
    """Return the segmentation of the scene that holds lesions.

    Raises
    ------
    StudyError
        If there is none, or several could be meant.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.mrml import attributes

    nodes = mrml.nodes_of(slicer.mrmlScene, "vtkMRMLSegmentationNode")
    ours = [node for node in nodes if node.GetAttribute(attributes.ROLE) == attributes.LESIONS]
    candidates = ours or [node for node in nodes if node.GetAttribute(attributes.ROLE) is None]
    if len(candidates) != 1:
        raise StudyError(
            f"The scene has {len(candidates)} segmentations that could be the lesions; "
            "choose the one that outlines them."
        )
    return candidates[0]
