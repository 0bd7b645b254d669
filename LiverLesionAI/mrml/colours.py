"""Class colours and coded terms as Slicer keeps them."""

from __future__ import annotations

from collections.abc import Iterable

from LiverLesionAI.mrml.scene import Node, add_node
from LiverLesionAI.taxonomy import Code, LesionClass, Taxonomy

LESION = Code("52988006", "Lesion")
"""Stands where a class has no single SNOMED CT concept."""

_CATEGORY = Code("49755003", "Morphologically Altered Structure")
_LIVER = Code("10200004", "Liver")
_TERMINOLOGY = "Segmentation category and type - DICOM master list"
_ANATOMY = "Anatomic codes - DICOM master list"
_NO_CODE = Code("", "", "")


def terminology_entry(code: Code) -> str:
    """Write a coded lesion of the liver as a segment's terminology tag.

    Category and region are those of DICOM PS3.16, CID 7150 and 4030; the tag's layout is Slicer's
    (``vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry``).
    """
    lesion, region = map(_triples, ((_CATEGORY, code, _NO_CODE), (_LIVER, _NO_CODE)))
    return "~".join((_TERMINOLOGY, *lesion, _ANATOMY, *region))


def add_colour_table(scene: Node, taxonomy: Taxonomy) -> Node:
    """Add the colour table of a taxonomy: value 0 is the background, class k has the value k + 1.

    Returns
    -------
    vtkMRMLColorTableNode
        With coded terms where this version of MRML knows them (5.10 and later).
    """
    node = add_node(scene, "vtkMRMLColorTableNode", f"Liver lesions {taxonomy.name}")
    node.SetTypeToUser()
    node.SetHideFromEditors(False)
    node.SetNumberOfColors(len(taxonomy) + 1)
    node.SetColor(0, "background", 0, 0, 0, 0)
    for value, lesion_class in enumerate(taxonomy.classes, start=1):
        _set_class(node, value, lesion_class)
    node.AddDefaultStorageNode()
    return node


def _set_class(node: Node, value: int, lesion_class: LesionClass) -> None:
    node.SetColor(value, lesion_class.name, *(c / 255 for c in lesion_class.colour), 1)
    if hasattr(node, "SetTerminology"):
        codes = (_CATEGORY, lesion_class.code or LESION, _NO_CODE, _LIVER)
        node.SetTerminology(value, *(part for c in codes for part in (c.scheme, c.value, c.meaning)))


def _triples(codes: Iterable[Code]) -> list[str]:
    return ["^".join((code.scheme, code.value, code.meaning)) for code in codes]
