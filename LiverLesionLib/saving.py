"""Write what the panel shows into an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import study_of

if TYPE_CHECKING:
    from LiverLesionLib.panel import Panel


def save_result(panel: Panel, folder: Path) -> tuple[Path, ...]:
    """Write results, tables, volumes, report and the open scene.

    Parameters
    ----------
    panel
        The panel; it has a result.
    folder
        Output folder; it appears complete or not at all.

    Returns
    -------
    tuple of Path
        Every file written, relative to the folder.

    Raises
    ------
    OutputError
        If the folder is in use, holds something else, or cannot be written.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.writers.output import files_below, output_folder
    from LiverLesionAI.writers.report import missing_packages, write_report
    from LiverLesionAI.writers.tables import write_results
    from LiverLesionAI.writers.volumes import write_volumes

    study = study_of(
        chosen_volumes(panel.parameters), panel.parameters.segmentation, panel.parameters.reference
    )
    with output_folder(folder) as partial:
        write_volumes(study, panel.result, partial)
        _write_maps(panel, partial / "saliency")
        mrml.save_scene(slicer.mrmlScene, partial / "scene.mrb")
        write_results(panel.result, partial)
        if not missing_packages():
            write_report(panel.result, partial / "report.html")
        return tuple(files_below(partial))


def _write_maps(panel: Panel, folder: Path) -> None:
    """Write the saliency maps that the scene holds, ``<lesion>_<SEQ>.nii.gz`` and ``…_weighted.nii.gz``."""
    from LiverLesionAI import mrml
    from LiverLesionAI.writers.volumes import write_image

    for lesion in panel.result.lesions:
        for suffix, weighted in (("", False), ("_weighted", True)):
            for name, node in panel.saliency_maps(lesion.id, weighted=weighted).items():
                folder.mkdir(exist_ok=True)
                write_image(mrml.image_from_volume(node), folder / f"{lesion.id}_{name}{suffix}.nii.gz")
