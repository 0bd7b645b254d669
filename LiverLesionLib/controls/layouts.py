"""All sequences side by side, linked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import slicer

_LAYOUT = 7077
"""Number of our layout; Slicer's own and those of other known extensions are below 1000."""
_COLUMNS = 3
_TAG = "Liver{}"
_VIEW = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
    '<property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">{label}</property>'
    '<property name="viewcolor" action="default">#7f8c8d</property></view></item>'
)


def layout_of(names: Sequence[str]) -> str:
    """Describe a layout with an axial view for each sequence, three in a row."""
    rows = [names[start : start + _COLUMNS] for start in range(0, len(names), _COLUMNS)]
    described = [
        '<item><layout type="horizontal">'
        + "".join(_VIEW.format(tag=_TAG.format(name), label=name) for name in row)
        + "</layout></item>"
        for row in rows
    ]
    return f'<layout type="vertical">{"".join(described)}</layout>'


def show_side_by_side(
    volumes: Mapping[str, Any], maps: Mapping[str, Any], opacity: float, field_mm: float | None = None
) -> None:
    """Show every sequence in a view of its own; all views move together.

    They are linked once they have been shown: a new view would else move all others to its first slice.

    Parameters
    ----------
    volumes
        Sequence to volume node.
    maps
        Sequence to the map shown over it; may lack some.
    opacity
        How much the maps cover the sequences, in [0, 1].
    field_mm
        Shorter side of what each view shows; by default the whole slice.
    """
    manager = slicer.app.layoutManager()
    node = manager.layoutLogic().GetLayoutNode()
    description = layout_of(list(volumes))
    if node.IsLayoutDescription(_LAYOUT):
        node.SetLayoutDescription(_LAYOUT, description)
    else:
        node.AddLayoutDescription(_LAYOUT, description)
    manager.setLayout(_LAYOUT)
    composites = [
        slicer.mrmlScene.GetSingletonNode(_TAG.format(name), "vtkMRMLSliceCompositeNode") for name in volumes
    ]
    for composite, (name, volume) in zip(composites, volumes.items(), strict=True):
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(maps[name].GetID() if name in maps else None)
        composite.SetForegroundOpacity(opacity)
    slicer.app.processEvents()
    for name in volumes:
        _widen_label(manager.sliceWidget(_TAG.format(name)))
    if field_mm is not None:
        for name in volumes:
            _zoom(slicer.mrmlScene.GetSingletonNode(_TAG.format(name), "vtkMRMLSliceNode"), field_mm)
    for composite in composites:
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)


def _widen_label(view: Any) -> None:
    """Let the label of a slice view keep the width of its text: narrow views would cut it at both ends."""
    if view is not None:
        label = view.sliceController().viewLabel()
        label.setMinimumWidth(label.sizeHint.width())


def is_side_by_side() -> bool:
    """Whether :func:`show_side_by_side` is what is shown."""
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    return bool(node.GetViewArrangement() == _LAYOUT)


def _zoom(view: Any, field_mm: float) -> None:
    width, height, depth = view.GetFieldOfView()
    scale = field_mm / min(width, height)
    view.SetFieldOfView(width * scale, height * scale, depth)


def show_chart(chart: Any) -> None:
    """Show a chart beside the slice views."""
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView)
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetReferenceActivePlotChartID(chart.GetID())
    logic.PropagatePlotChartSelection()


@contextmanager
def known_layout() -> Iterator[None]:
    """Let the scene name a layout that every Slicer has while it is saved; the views stay as they are.

    Without a main window there is none to be named.
    """
    manager = slicer.app.layoutManager()
    if manager is None:
        yield
        return
    node = manager.layoutLogic().GetLayoutNode()
    shown = node.GetViewArrangement()
    if shown != _LAYOUT:
        yield
        return
    node.DisableModifiedEventOn()
    node.SetViewArrangement(node.SlicerLayoutFourUpView)
    try:
        yield
    finally:
        node.SetViewArrangement(shown)
        node.DisableModifiedEventOff()
