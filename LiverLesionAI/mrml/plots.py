"""Charts of table columns."""

from __future__ import annotations

from collections.abc import Mapping

from LiverLesionAI.mrml.scene import Node, add_node

Colour = tuple[float, float, float]


def add_bar_chart(
    scene: Node, name: str, table: Node, labels: str, columns: Mapping[str, Colour], axis: str
) -> tuple[Node, list[Node]]:
    """Chart columns of a table as bars, side by side.

    Parameters
    ----------
    scene
        The scene.
    name
        Title and name of the chart.
    table
        ``vtkMRMLTableNode``.
    labels
        Column that names the bars. Slicer numbers them from 0, so that the axis says which is which.
    columns
        Columns of numbers, each to its colour in [0, 1].
    axis
        What the numbers are.

    Returns
    -------
    chart : vtkMRMLPlotChartNode
    series : list of vtkMRMLPlotSeriesNode
    """
    chart = add_node(scene, "vtkMRMLPlotChartNode", name)
    chart.SetTitle(name)
    chart.SetYAxisTitle(axis)
    names = table.GetTable().GetColumnByName(labels)
    numbered = [f"{row} {names.GetValue(row)}" for row in range(names.GetNumberOfValues())]
    chart.SetXAxisTitle(" · ".join(numbered))
    all_series = []
    for column, colour in columns.items():
        series = add_node(scene, "vtkMRMLPlotSeriesNode", column)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(series.PlotTypeBar)
        series.SetLabelColumnName(labels)
        series.SetYColumnName(column)
        series.SetColor(*colour)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        all_series.append(series)
    return chart, all_series
