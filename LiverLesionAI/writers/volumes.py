"""Label images, registered sequences and transforms as files.

NIfTI keeps origin and direction in single precision: a voxel of a volume read back lies within 1e-3 mm of
where it was (for positions within 1 m of the scanner's isocentre).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import OutputError
from LiverLesionAI.limits import is_memory_short
from LiverLesionAI.results import StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.written import check_image_file, check_transform_file, refuse_odd_name, unwritable

COMPRESSED = ".nii.gz"
"""Suffix of images to keep and pass on."""
UNCOMPRESSED = ".nrrd"
"""Suffix of images to be read once, at once; origin and direction stay as exact as they are."""


def write_volumes(study: Study, result: StudyResult, folder: Path) -> tuple[Path, ...]:
    """Write all volumes and transforms of a study into a folder.

    Parameters
    ----------
    study
        The study; its lesions give ``lesions.nii.gz``, its sequences ``registered/<SEQ>.nii.gz``, and
        ``transforms/<SEQ>.tfm`` where a sequence has a transform.
    result
        Its lesions' classes give ``lesion_classes.nii.gz``, written where at least one lesion has one.
    folder
        Exists already.

    Returns
    -------
    tuple of pathlib.Path
        The files written.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    return (
        *write_lesions(study, result, folder),
        *write_registered(study, folder / "registered"),
        *write_transforms(study, folder / "transforms"),
    )


def write_lesions(study: Study, result: StudyResult, folder: Path) -> tuple[Path, ...]:
    """Write ``lesions.nii.gz`` and ``lesion_classes.nii.gz`` on the grid of the mask that was given."""
    if study.lesions is None:
        return ()
    paths = [write_image(smallest_labels(study.lesions), folder / "lesions.nii.gz")]
    classes = lesion_classes(study, result)
    if classes is not None:
        paths.append(write_image(classes, folder / "lesion_classes.nii.gz"))
    return tuple(paths)


def write_registered(study: Study, folder: Path) -> tuple[Path, ...]:
    """Write every sequence as ``<SEQ>.nii.gz`` on the reference image's grid, for looking."""
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(write_image(registered(study, name), folder / f"{name}.nii.gz") for name in study.images)


def write_transforms(study: Study, folder: Path) -> tuple[Path, ...]:
    """Write ``<SEQ>.tfm`` (reference frame to sequence, LPS mm) for each sequence that has a transform."""
    return tuple(
        _write_transform(image.transform, folder / f"{name}.tfm")
        for name, image in study.images.items()
        if image.transform is not None
    )


def lesion_classes(study: Study, result: StudyResult) -> sitk.Image | None:
    """Label image of classes on the grid of the study's mask: class index + 1 in the primary task.

    A lesion without an answer is 0, as the background is. None where no lesion has an answer. Where the model
    answers for the study, every lesion has the study's class.
    """
    if study.lesions is None:
        return None
    values = {
        lesion.id: list(answer.probabilities).index(answer.predicted) + 1
        for lesion in result.lesions
        if (answer := lesion.answer or result.answer) is not None
    }
    if not values:
        return None
    labels = sitk.GetArrayViewFromImage(study.lesions)
    table = np.zeros(int(labels.max()) + 1, np.uint8)
    for lesion_id, value in values.items():
        table[lesion_id] = value
    classes = sitk.GetImageFromArray(table[labels])
    classes.CopyInformation(study.lesions)
    return classes


def registered(study: Study, name: str) -> sitk.Image:
    """One sequence on the reference image's grid (linear; its lowest intensity outside of it).

    Its pixel type is kept; whole numbers are rounded, where SimpleITK alone would cut them off.
    """
    sequence = study.images[name]
    resampled = sitk.Resample(
        sequence.image,
        study.images[study.reference].image,
        sequence.transform or sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear,
        float(sitk.GetArrayViewFromImage(sequence.image).min()),
        sitk.sitkFloat64,
    )
    pixel_type = sequence.image.GetPixelID()
    if pixel_type not in (sitk.sitkFloat32, sitk.sitkFloat64):
        resampled = sitk.Round(resampled)
    return sitk.Cast(resampled, pixel_type)


def smallest_labels(labels: sitk.Image) -> sitk.Image:
    """A label image in the fewest bytes per voxel that hold its labels: 8 bits up to 255, else 16."""
    highest = sitk.GetArrayViewFromImage(labels).max(initial=0)
    return sitk.Cast(labels, sitk.sitkUInt8 if highest < 256 else sitk.sitkUInt16)


def write_image(image: sitk.Image, path: Path) -> Path:
    """Write an image and see that its file is whole.

    Parameters
    ----------
    image
        The image.
    path
        A ``.nii.gz`` or ``.png`` file, or ``.nrrd``, whose voxels stay uncompressed.

    Raises
    ------
    OutputError
        If the file cannot be written or does not come out whole.
    """
    refuse_odd_name(path)
    if path.name.lower().endswith(".nii.gz"):
        _write_packed(image, path)
    else:
        _write_by_itk(image, path)
    return path


def _write_packed(image: sitk.Image, path: Path) -> None:
    """Let ITK write a NIfTI file aside and compress it, which takes ITK itself five times as long."""
    from LiverLesionAI.packing import pack

    aside = path.with_name(f".{path.name[: -len('.gz')]}")
    try:
        _write_by_itk(image, aside)
        pack(aside, path)
    except (OSError, OutputError) as error:
        raise unwritable(path) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def _write_by_itk(image: sitk.Image, path: Path) -> None:
    try:
        sitk.WriteImage(image, str(path), useCompression=path.suffix.lower() == ".png")
    except RuntimeError as error:
        if is_memory_short(error):
            raise
        raise unwritable(path) from error
    check_image_file(path, image)


def _write_transform(transform: sitk.Transform, path: Path) -> Path:
    refuse_odd_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        sitk.WriteTransform(transform, str(path))
    except RuntimeError as error:
        raise unwritable(path) from error
    check_transform_file(path, transform)
    return path
