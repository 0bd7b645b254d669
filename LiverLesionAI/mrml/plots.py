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
    for column in columns:
        chart.AddAndObservePlotSeriesNodeID(add_node(scene, "vtkMRMLPlotSeriesNode", column).GetID())
    return chart, put_bars(chart, table, labels, columns, axis)


def put_bars(chart: Node, table: Node, labels: str, columns: Mapping[str, Colour], axis: str) -> list[Node]:
    """Let a chart show other columns, or another table, with as many rows of bars as it has.

    Parameters
    ----------
    chart
        ``vtkMRMLPlotChartNode`` of :func:`add_bar_chart`, which also says what the others are.

    Returns
    -------
    list of vtkMRMLPlotSeriesNode
    """
    chart.SetTitle(chart.GetName())
    chart.SetYAxisTitle(axis)
    names = table.GetTable().GetColumnByName(labels)
    numbered = [f"{row} {names.GetValue(row)}" for row in range(names.GetNumberOfValues())]
    chart.SetXAxisTitle(" · ".join(numbered))
    all_series = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
    for series, (column, colour) in zip(all_series, columns.items(), strict=True):
        series.SetName(column)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(series.PlotTypeBar)
        series.SetLabelColumnName(labels)
        series.SetYColumnName(column)
        series.SetColor(*colour)
    return all_series
