"""What a registration leaves behind: ``registration.json`` and a checkerboard picture of each sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.files import write_json
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.inputs.intensity import window_of
from LiverLesionAI.registration import RegisteredStudy, outline_on_sequence
from LiverLesionAI.results import REGISTRATION_SCHEMA
from LiverLesionAI.study import Study
from LiverLesionAI.writers.volumes import smallest_labels, write_image, write_registered, write_transforms

REGISTRATION_NAMES = frozenset({"registered", "transforms", "outlines", "figures", "registration.json"})
"""What `register` writes at the top of its output folder."""

TILE_MM = 20.0
PICTURE_SPACING_MM = 1.0
_GAP = 6
_WINDOW_PERCENTILES = (1.0, 99.0)


def write_registration(registered: RegisteredStudy, folder: Path) -> tuple[Path, ...]:
    """Write everything that `register` leaves: volumes, transforms, pictures and ``registration.json``.

    Parameters
    ----------
    registered
        The registered study.
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
        *write_registered(registered.study, folder / "registered"),
        *write_transforms(registered.study, folder / "transforms"),
        *write_outlines(registered.study, folder / "outlines"),
        *write_checkerboards(registered.study, folder / "figures"),
        _write_report(registered, folder / "registration.json"),
    )


def write_outlines(study: Study, folder: Path) -> tuple[Path, ...]:
    """Write the lesions as ``lesions_<SEQ>.nii.gz`` on each sequence's own grid.

    A sequence that was outlined by itself keeps its outline; nothing is written where there are no lesions.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    if study.lesions is None:
        return ()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, image in study.images.items():
        outline = study.outlines.get(name)
        if outline is None:
            outline = outline_on_sequence(study.lesions, image)
        paths.append(write_image(smallest_labels(outline), folder / f"lesions_{name}.nii.gz"))
    return tuple(paths)


def registration_report(registered: RegisteredStudy) -> dict[str, object]:
    """Content of ``registration.json``: for each sequence the transform kept, similarity before and after."""
    return {
        "schema": REGISTRATION_SCHEMA,
        "study": registered.study.id,
        "reference": registered.study.reference,
        "scope": registered.scope,
        "registration": {name: asdict(done) for name, done in registered.sequences.items()},
        "warnings": list(registered.warnings),
    }


def write_checkerboards(study: Study, folder: Path) -> tuple[Path, ...]:
    """Write ``registration_<SEQ>.png`` for every sequence but the reference; see :func:`checkerboards`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moving = [name for name in study.images if name != study.reference]
    return tuple(
        _write_picture(board, folder / f"registration_{name}.png")
        for name, board in zip(moving, checkerboards(study, moving), strict=True)
    )


def checkerboards(study: Study, names: Iterable[str]) -> Iterator[NDArray[np.uint8]]:
    """Draw the reference and each sequence in alternating tiles, unregistered and registered side by side.

    The plane is that of the reference's slices, through the first lesion's centre, else the image's. Where
    the sequences are aligned, edges run on from tile to tile.

    Yields
    ------
    numpy.ndarray
        Grey values ``[y, x]``, 1 mm a pixel.
    """
    reference = study.images[study.reference].image
    plane = _plane(reference, _centre(study))
    (fixed,) = _greys(reference, plane, [None])
    y, x = np.indices(fixed.shape) * PICTURE_SPACING_MM // TILE_MM
    gap = np.full((fixed.shape[0], _GAP), 255, np.uint8)
    for sequence in map(study.images.__getitem__, names):
        before, after = (
            np.where((x + y) % 2 == 0, fixed, moving)
            for moving in _greys(sequence.image, plane, [None, sequence.transform])
        )
        yield np.hstack([before, gap, after])


def _centre(study: Study) -> tuple[float, float, float]:
    if study.lesion_ids:
        return lesion_geometry(study.outlined_lesions, study.lesion_ids[0]).centroid_lps_mm
    reference = study.images[study.reference].image
    middle = ((np.asarray(reference.GetSize()) - 1) / 2).tolist()
    x, y, z = reference.TransformContinuousIndexToPhysicalPoint(middle)
    return x, y, z


def _plane(reference: sitk.Image, point: tuple[float, float, float]) -> sitk.Image:
    """Empty slice of the reference's grid through a point, with square pixels."""
    x, y, _ = np.multiply(reference.GetSize(), reference.GetSpacing()) / PICTURE_SPACING_MM
    plane = sitk.Image([round(x), round(y), 1], sitk.sitkUInt8)
    plane.SetSpacing([PICTURE_SPACING_MM] * 3)
    plane.SetDirection(reference.GetDirection())
    level = reference.TransformPhysicalPointToContinuousIndex(point)[2]
    plane.SetOrigin(reference.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, level)))
    return plane


def _greys(
    image: sitk.Image, plane: sitk.Image, transforms: Iterable[sitk.Transform | None]
) -> Iterator[NDArray[np.uint8]]:
    """A plane of an image under each of several transforms, in one window."""
    low, high = window_of(sitk.GetArrayViewFromImage(image), _WINDOW_PERCENTILES)
    still = sitk.Transform(3, sitk.sitkIdentity)
    for transform in transforms:
        cut = sitk.Resample(image, plane, transform or still, sitk.sitkLinear, low, sitk.sitkFloat32)
        shares = (sitk.GetArrayFromImage(cut)[0] - low) / max(high - low, 1e-6)
        yield np.round(255 * np.sqrt(np.clip(shares, 0, 1))).astype(np.uint8)


def _write_picture(grey: NDArray[np.uint8], path: Path) -> Path:
    return write_image(sitk.GetImageFromArray(grey), path)


def _write_report(registered: RegisteredStudy, path: Path) -> Path:
    write_json(path, registration_report(registered))
    return path
