"""Tables and texts as nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from LiverLesionAI.mrml.scene import Node, add_node


def add_table(scene: Node, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Node:
    """Add a table node: columns of whole numbers or of numbers stay so, all others are text, None is empty.

    Returns
    -------
    vtkMRMLTableNode
    """
    node = add_node(scene, "vtkMRMLTableNode", name)
    if hasattr(node, "SetUseColumnTitleAsColumnHeader"):
        node.SetUseColumnTitleAsColumnHeader(True)
    else:
        node.SetUseColumnNameAsColumnHeader(True)
    node.SetLocked(True)
    put_table(node, columns, rows)
    return node


def put_table(node: Node, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Give a table node other columns and rows; see :func:`add_table`."""
    modified = node.StartModify()
    node.RemoveAllColumns()
    for index, column in enumerate(columns):
        node.AddColumn(_column(column, [row[index] for row in rows]))
    node.EndModify(modified)


def _column(name: str, cells: Sequence[Any]) -> Any:
    from LiverLesionAI.mrml import vtk_classes as vtk

    if all(isinstance(cell, int) for cell in cells):
        array: Any = vtk.vtkIntArray()
    elif all(isinstance(cell, float) for cell in cells):
        array = vtk.vtkDoubleArray()
    else:
        array, cells = vtk.vtkStringArray(), ["" if cell is None else str(cell) for cell in cells]
    array.SetName(name)
    for cell in cells:
        array.InsertNextValue(cell)
    return array


def add_text(scene: Node, name: str, text: str) -> Node:
    """Add a text node.

    Returns
    -------
    vtkMRMLTextNode
    """
    node = add_node(scene, "vtkMRMLTextNode", name)
    node.SetText(text)
    return node
