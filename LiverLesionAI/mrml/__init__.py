"""The one bridge between studies and MRML, the data model of 3D Slicer.

Studies live in LPS mm, MRML in RAS mm: this package is the only place that converts between them, and the
only one that imports ``slicer``. It runs inside Slicer and, without the desktop, on the package
``slicer-core``; nothing of either is imported before a function is called.
"""

from LiverLesionAI.mrml.colours import LESION, add_colour_table, terminology_entry
from LiverLesionAI.mrml.nudges import Nudge, read_nudge, set_nudge_centre, write_nudge
from LiverLesionAI.mrml.overlays import add_colour_legend, add_colour_scale, show_as_overlay
from LiverLesionAI.mrml.plots import add_bar_chart
from LiverLesionAI.mrml.scene import (
    Node,
    add_node,
    application_scene,
    has_slicer,
    in_slicer,
    load_scene,
    new_scene,
    nodes_of,
    pack_scene,
    parent_transforms,
    remove_nodes,
    save_scene,
    save_scene_folder,
    vtk_messages_logged,
)
from LiverLesionAI.mrml.segments import (
    Segment,
    add_segmentation,
    labels_from_segmentation,
    lesion_name,
    reference_volume,
    segment_labels,
    show_outlines,
    style_segment,
)
from LiverLesionAI.mrml.tables import add_table, add_text
from LiverLesionAI.mrml.transforms import add_transform, point_in_world, transform_between
from LiverLesionAI.mrml.views import file_under, folder_item, show_in_slice_views, subfolder_item
from LiverLesionAI.mrml.volumes import add_volume, image_from_volume, set_window, slice_number

__all__ = [
    "LESION",
    "Node",
    "Nudge",
    "Segment",
    "add_bar_chart",
    "add_colour_legend",
    "add_colour_scale",
    "add_colour_table",
    "add_node",
    "add_segmentation",
    "add_table",
    "add_text",
    "add_transform",
    "add_volume",
    "application_scene",
    "file_under",
    "folder_item",
    "has_slicer",
    "image_from_volume",
    "in_slicer",
    "labels_from_segmentation",
    "lesion_name",
    "load_scene",
    "new_scene",
    "nodes_of",
    "pack_scene",
    "parent_transforms",
    "point_in_world",
    "read_nudge",
    "reference_volume",
    "remove_nodes",
    "save_scene",
    "save_scene_folder",
    "segment_labels",
    "set_nudge_centre",
    "set_window",
    "show_as_overlay",
    "show_in_slice_views",
    "show_outlines",
    "slice_number",
    "style_segment",
    "subfolder_item",
    "terminology_entry",
    "transform_between",
    "vtk_messages_logged",
    "write_nudge",
]
