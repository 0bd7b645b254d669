"""How much each sequence counted, as tables and charts of the scene."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

_COLOURS = {"malignancy": (0.835, 0.369, 0.0), "type": (0.0, 0.447, 0.698)}
_OTHER = (0.6, 0.6, 0.6)


def add_weights(result: Any, folder: int) -> None:
    """Add a table and a chart of the sequences' weights for every lesion that was explained.

    Parameters
    ----------
    result
        :class:`LiverLesionAI.results.StudyResult`.
    folder
        The study's folder in the subject hierarchy.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    scene = slicer.mrmlScene
    for lesion in result.lesions:
        tasks = list(lesion.sequence_weights)
        if not tasks:
            continue
        names = list(lesion.sequence_weights[tasks[0]])
        rows = [
            [name, *(float(lesion.sequence_weights[task][name]["shapley"]) for task in tasks)]
            for name in names
        ]
        title = _("{name} sequence weights").format(name=lesion.name)
        columns = {f"{task}: {lesion.explained[task]}": _COLOURS.get(task, _OTHER) for task in tasks}
        table = mrml.add_table(scene, title, ["sequence", *columns], rows)
        chart, series = mrml.add_bar_chart(scene, title, table, "sequence", columns, _("log-odds"))
        for node in (table, chart, *series):
            node.SetAttribute(attributes.STUDY, result.study.id)
            node.SetAttribute(attributes.LESION, str(lesion.id))
        subfolder = mrml.subfolder_item(scene, folder, f"{lesion.name}: why")
        mrml.file_under(scene, subfolder, (table, chart, *series))


def chart_of(study_id: str, lesion_id: int) -> Any:
    """Return the chart of a lesion's weights; None where there is none."""
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    for node in mrml.nodes_of(slicer.mrmlScene, "vtkMRMLPlotChartNode"):
        marks = node.GetAttribute(attributes.STUDY), node.GetAttribute(attributes.LESION)
        if marks == (study_id, str(lesion_id)):
            return node
    return None


def show_chart(chart: Any) -> None:
    """Show a chart beside the slice views."""
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView)
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetReferenceActivePlotChartID(chart.GetID())
    logic.PropagatePlotChartSelection()
