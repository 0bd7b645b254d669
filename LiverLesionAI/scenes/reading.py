"""A case of a reader study in a scene: its images and its lesion, and nothing that tells whose they are."""

from __future__ import annotations

from dataclasses import replace

import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.mrml import Node
from LiverLesionAI.scenes.show import StudyNodes, arrange_views, clear_study, show_study
from LiverLesionAI.study import Study


def blinded(study: Study, code: str, lesion: int | None) -> Study:
    """Return a study under a code, without its names, clinical data and other lesions.

    Parameters
    ----------
    study
        The study.
    code
        What it is called instead.
    lesion
        Label of the lesion that is read; None for all of them.

    Raises
    ------
    StudyError
        If the study has no such lesion.
    """
    hidden = replace(study, id=code, source=code, lesion_names={}, warnings=(), clinical={})
    if lesion is None:
        return hidden
    if lesion not in study.lesion_ids:
        raise StudyError(f"Case {code} has no lesion {lesion}; its mask is not that of the reading list.")
    outlines = {name: _alone(image, lesion) for name, image in study.outlines.items()}
    return replace(hidden, lesions=_alone(study.outlined_lesions, lesion), outlines=outlines)


def show_case(scene: Node, case: Study) -> StudyNodes:
    """Show a blinded study, its lesion in the middle of the slice views."""
    nodes = show_study(scene, case)
    arrange_views(scene, case, nodes)
    return nodes


def hide_case(scene: Node, code: str) -> None:
    """Take a case out of the scene."""
    clear_study(scene, code)


def _alone(labels: sitk.Image, lesion: int) -> sitk.Image:
    """A label image with one label left."""
    return sitk.Cast(labels == lesion, labels.GetPixelID()) * lesion
