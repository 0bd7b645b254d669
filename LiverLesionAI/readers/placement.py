"""A mask that has an image's voxels but not its place: laid on the image where that is safe, else refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.readers.masks import Outlined
from LiverLesionAI.study import SequenceImage, Study

_SAME_PLACE_VOXELS = 0.5
_SAME_SPACING, _SAME_AXES = 0.01, 0.01


def placed(given: Outlined, study: Study, file: Path) -> Outlined:
    """Check the place of a mask that has as many voxels as an image of the study.

    Parameters
    ----------
    given
        The mask as it was read, LPS mm.
    study
        The study that it belongs to.
    file
        The mask's file, for messages.

    Returns
    -------
    Outlined
        Laid on the image, with a warning, where its header gives no place at all, as tools that drop the
        geometry write it; otherwise as it is, with a warning where it is only shifted.

    Raises
    ------
    StudyError
        If it could be laid on several images, or on one in more than one way, or has other axes or another
        spacing than the images of its size.
    """
    labels = given.labels
    alike = {
        name: image.image for name, image in study.images.items() if image.image.GetSize() == labels.GetSize()
    }
    if not alike or any(_in_one_place(labels, image) for image in alike.values()):
        return given
    if _gives_no_place(labels):
        name = _only_choice(alike, study, file)
        laid = sitk.Image(labels)
        laid.CopyInformation(alike[name])
        said = f"{file.name} gives no place in its header; it has the voxels of {name} and was laid on it."
        return replace(given, labels=laid, warnings=(*given.warnings, said))
    if not any(_differ_in_place_alone(labels, image) for image in alike.values()):
        raise StudyError(
            f"{file} has as many voxels as {_listed(alike)} but another spacing or other axes; save it with "
            "the geometry of the image it was drawn on."
        )
    beside = min(float(np.linalg.norm(_centre(labels) - _centre(image))) for image in alike.values())
    same = f"{file.name} has as many voxels as {_listed(alike)}"
    said = f"{same} but lies {beside:.1f} mm beside; check its header."
    return replace(given, warnings=(*given.warnings, said))


def without_place(images: Mapping[str, SequenceImage]) -> tuple[str, ...]:
    """Say which images give no place in their headers, unless all share one grid."""
    grids = [image.image for image in images.values()]
    if all(grid.GetSize() == grids[0].GetSize() and _in_one_place(grid, grids[0]) for grid in grids):
        return ()
    return tuple(
        f"{name} gives no place in its header: that it shows the same place as the others is not known."
        for name, image in images.items()
        if _gives_no_place(image.image)
    )


def _only_choice(alike: Mapping[str, sitk.Image], study: Study, file: Path) -> str:
    """The one image that a mask without a place can be laid on, in the one order of its voxels."""
    name = study.reference if study.reference in alike else next(iter(alike))
    one_place = all(_in_one_place(image, alike[name]) for image in alike.values())
    if one_place and not any(image.dicom for image in study.images.values()):
        return name
    raise StudyError(
        f"{file} gives no place in its header, and whether its voxels are in the order of {_listed(alike)} "
        "cannot be told; save it with the geometry of the image it was drawn on."
    )


def _listed(alike: Mapping[str, sitk.Image]) -> str:
    return ", ".join(alike)


def _gives_no_place(image: sitk.Image) -> bool:
    """Whether the header holds the geometry that tools write who know none."""
    codes = [image.GetMetaData(key) for key in ("sform_code", "qform_code") if image.HasMetaDataKey(key)]
    if codes and all(code.strip() == "0" for code in codes):
        return True
    plain = image.GetSpacing() == (1.0, 1.0, 1.0) and not any(image.GetOrigin())
    return plain and np.array_equal(np.abs(_axes(image)), np.eye(3))


def _in_one_place(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether the corner voxels of two images lie in the same places, whichever way their index axes run."""
    away = np.linalg.norm(_corners(first)[:, None] - _corners(second)[None], axis=-1)
    worst = max(away.min(axis=0).max(), away.min(axis=1).max())
    return bool(worst <= _SAME_PLACE_VOXELS * min(second.GetSpacing()))


def _differ_in_place_alone(first: sitk.Image, second: sitk.Image) -> bool:
    same_spacing = np.allclose(first.GetSpacing(), second.GetSpacing(), rtol=_SAME_SPACING)
    same_axes = np.allclose(np.abs(_axes(first).T @ _axes(second)), np.eye(3), atol=_SAME_AXES)
    return bool(same_spacing and same_axes)


def _axes(image: sitk.Image) -> np.ndarray:
    return np.reshape(image.GetDirection(), (3, 3))


def _corners(image: sitk.Image) -> np.ndarray:
    ends = np.array(list(np.ndindex(2, 2, 2))) * (np.array(image.GetSize()) - 1)
    return np.array([image.TransformIndexToPhysicalPoint(end.tolist()) for end in ends])


def _centre(image: sitk.Image) -> np.ndarray:
    return _corners(image).mean(axis=0)
