"""The one bridge between studies and MRML, the data model of 3D Slicer.

Studies live in LPS mm, MRML in RAS mm: this package is the only place that converts between them, and the
only one that imports ``slicer``. It runs inside Slicer and, without the desktop, on the package
``slicer-core``; nothing of either is imported before a function is called.
"""

from LiverLesionAI.mrml.colours import LESION, add_colour_table, terminology_entry
from LiverLesionAI.mrml.manual_offsets import (
    ManualOffset,
    read_manual_offset,
    set_offset_centre,
    write_manual_offset,
)
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
    SegmentedLabels,
    add_segmentation,
    described_segments,
    labels_from_segmentation,
    lesion_name,
    reference_volume,
    segment_colour,
    segment_labels,
    show_contours,
    style_segment,
)
from LiverLesionAI.mrml.tables import add_table, add_text
from LiverLesionAI.mrml.transforms import (
    add_transform,
    carried_points,
    point_in_world,
    point_of_view,
    transform_between,
)
from LiverLesionAI.mrml.views import (
    file_under,
    folder_item,
    folder_name,
    jump_to,
    show_in_slice_views,
    subfolder_item,
)
from LiverLesionAI.mrml.volumes import (
    add_volume,
    image_from_volume,
    middle_and_corners,
    set_window,
    slice_number,
    volume_fingerprint,
)

__all__ = [
    "LESION",
    "ManualOffset",
    "Node",
    "Segment",
    "SegmentedLabels",
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
    "carried_points",
    "described_segments",
    "file_under",
    "folder_item",
    "folder_name",
    "has_slicer",
    "image_from_volume",
    "in_slicer",
    "jump_to",
    "labels_from_segmentation",
    "lesion_name",
    "load_scene",
    "middle_and_corners",
    "new_scene",
    "nodes_of",
    "pack_scene",
    "parent_transforms",
    "point_in_world",
    "point_of_view",
    "read_manual_offset",
    "reference_volume",
    "remove_nodes",
    "save_scene",
    "save_scene_folder",
    "segment_colour",
    "segment_labels",
    "set_offset_centre",
    "set_window",
    "show_as_overlay",
    "show_contours",
    "show_in_slice_views",
    "slice_number",
    "style_segment",
    "subfolder_item",
    "terminology_entry",
    "transform_between",
    "volume_fingerprint",
    "vtk_messages_logged",
    "write_manual_offset",
]
