"""Tables and texts as nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from LiverLesionAI.mrml.scene import Node, add_node


def add_table(scene: Node, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Node:
    """Add a table node. Columns of numbers (None where missing) become numeric, all others text.

    Returns
    -------
    vtkMRMLTableNode
    """
    import vtk

    node = add_node(scene, "vtkMRMLTableNode", name)
    if hasattr(node, "SetUseColumnTitleAsColumnHeader"):
        node.SetUseColumnTitleAsColumnHeader(True)
    else:
        node.SetUseColumnNameAsColumnHeader(True)
    node.SetLocked(True)
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = all(isinstance(cell, (int, float)) for cell in cells)
        array = vtk.vtkDoubleArray() if numeric else vtk.vtkStringArray()
        array.SetName(column)
        for cell in cells:
            array.InsertNextValue(cell if numeric else "" if cell is None else str(cell))
        node.AddColumn(array)
    node.AddDefaultStorageNode()
    return node


def add_text(scene: Node, name: str, text: str) -> Node:
    """Add a text node.

    Returns
    -------
    vtkMRMLTextNode
    """
    node = add_node(scene, "vtkMRMLTextNode", name)
    node.SetText(text)
    return node
