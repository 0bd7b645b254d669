"""Assemble the study of a DICOM folder: sequences chosen, ADC computed, a segmentation as lesions."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from LiverLesionAI.errors import DicomError
from LiverLesionAI.geometry import covers_lesion, lesion_geometry
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.pseudonyms import pseudonym
from LiverLesionAI.readers import folder
from LiverLesionAI.readers.dicom.choose import FEWEST_SLICES, Choice, choose
from LiverLesionAI.readers.dicom.diffusion import adc_map, series_for_adc
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.identify import Identified, identify_scan
from LiverLesionAI.readers.dicom.scan import Scan, scan
from LiverLesionAI.readers.dicom.segmentations import (
    NoLesionError,
    Segmentation,
    is_segmentation,
    on_grid_of,
    read_segmentation,
    segmentations_among,
)
from LiverLesionAI.readers.dicom.volumes import Volume, volume_of
from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.study import SequenceImage, Study

MASK_FILES = ("lesions.nii.gz", "lesions.nii", "lesions.nrrd")
"""A mask beside the DICOM files that is taken without being asked for."""


def read_dicom_study(
    path: str | Path,
    mask: str | Path | None = None,
    reference: str | None = None,
    progress: Progress = silent,
) -> Study:
    """Read a DICOM folder as a study.

    Parameters
    ----------
    path
        A folder tree, one DICOM file, or a DICOMDIR.
    mask
        Lesion mask: a NIfTI, NRRD or MetaImage file, or a DICOM segmentation. By default a mask file named
        ``lesions`` in the folder, else a DICOM segmentation of lesions inside.
    reference
        The reference sequence; by default the one that the segmentation was drawn on, else T2WI, else the
        first at hand.
    progress
        Told how far the work is; may cancel by raising.

    Returns
    -------
    Study
        Its identifier is a pseudonym made from StudyInstanceUID. Warnings say which series were chosen among
        several, what was repaired or left out, and that an ADC map was computed.

    Raises
    ------
    DicomError
        If no sequence can be read, or the folder holds several patients or studies.
    StudyError
        If the mask cannot be used.
    """
    path = Path(path)
    found = scan(path, progress)
    identified = _one_study(found, identify_scan(found))
    choices = choose(identified)
    if not choices:
        raise DicomError(
            f"{path} has no sequence of {FEWEST_SLICES} slices or more that is recognised surely enough; see "
            "what `liverlesionai identify` says."
        )
    segmentation, said = (None, []) if mask is not None else _inside(path, found.frames, identified, choices)
    images, warnings = _read_images(choices, identified, path, progress)
    reference = _reference(reference, images, segmentation, path)
    study = Study(
        id=pseudonym(identified[0].stack.first.study_uid),
        source=f"DICOM, {len({item.stack.first.series_uid for item in identified})} series",
        images=images,
        reference=reference,
        warnings=(*_scan_warnings(found), *_unknown_warnings(identified), *said, *warnings),
    )
    if mask is not None:
        return with_mask(study, mask)
    if segmentation is not None:
        return with_segmentation(study, segmentation)
    beside = next((path / name for name in MASK_FILES if (path / name).is_file()), None)
    return folder.with_mask(study, beside) if beside is not None else study


def with_mask(study: Study, mask: str | Path) -> Study:
    """Return the study with the lesions of a mask file or a DICOM segmentation.

    Raises
    ------
    StudyError
        If the mask cannot be used or lies outside the study.
    """
    if is_segmentation(Path(mask)):
        return with_segmentation(study, read_segmentation(Path(mask)))
    return folder.with_mask(study, mask)


def with_segmentation(study: Study, segmentation: Segmentation) -> Study:
    """Return the study with the lesions of a DICOM segmentation, on an image's grid where they fit one."""
    grids = [study.images[study.reference].image, *(image.image for image in study.images.values())]
    labels = on_grid_of(segmentation.labels, grids)
    study = replace(
        study,
        lesions=labels,
        outlines={},
        lesion_names=segmentation.names,
        warnings=(*study.warnings, *segmentation.warnings),
    )
    _check_meets_images(study, segmentation.file)
    return study


def _check_meets_images(study: Study, file: Path) -> None:
    lesions = study.outlined_lesions
    geometries = [lesion_geometry(lesions, lesion_id) for lesion_id in study.lesion_ids]
    if not any(covers_lesion(image, lesions, g) for g in geometries for image in study.images.values()):
        raise DicomError(f"{file} lies outside every sequence; check that it belongs to this study.")


def _one_study(found: Scan, identified: Sequence[Identified]) -> tuple[Identified, ...]:
    """The stacks of the one study that is meant; several are refused."""
    by_study: dict[str, list[Identified]] = defaultdict(list)
    for item in identified:
        by_study[item.stack.first.study_uid].append(item)
    useful = {uid: items for uid, items in by_study.items() if any(item.is_sequence for item in items)}
    if not useful:
        raise DicomError(
            f"{found.path} holds no series that is recognised as a sequence of a liver study; see what "
            "`liverlesionai identify` says, or name the images by their sequence in a study folder."
        )
    if len(useful) > 1:
        patients = {item.stack.first.identity for items in useful.values() for item in items}
        what = f"{len(patients)} patients" if len(patients) > 1 else f"{len(useful)} studies of one patient"
        folders = sorted({str(items[0].stack.first.file.parent) for items in useful.values()})
        where = f" (they begin in {', '.join(folders[:4])})" if len(folders) > 1 else ""
        raise DicomError(f"{found.path} holds {what}{where}; give a folder that holds one study.")
    return tuple(next(iter(useful.values())))


def _inside(
    path: Path, frames: Sequence[Frame], identified: Sequence[Identified], choices: Sequence[Choice]
) -> tuple[Segmentation | None, list[str]]:
    """The segmentation of this study's lesions, where the folder has one and no mask file, and warnings."""
    if path.is_dir() and any((path / name).is_file() for name in MASK_FILES):
        return None, []
    study_uid = identified[0].stack.first.study_uid
    files = segmentations_among([frame for frame in frames if frame.study_uid == study_uid])
    lesions: list[Segmentation] = []
    warnings: list[str] = []
    for file in files:
        try:
            lesions.append(read_segmentation(file))
        except NoLesionError:
            warnings.append(f"The segmentation {file.name} holds organs, no lesion, and was left out.")
    if len(lesions) > 1:
        chosen = {choice.best.stack.first.series_uid for choice in choices}
        lesions = [s for s in lesions if chosen & set(s.source_series)] or lesions
    if len(lesions) > 1:
        names = ", ".join(str(segmentation.file) for segmentation in lesions)
        raise DicomError(f"The lesions could be any of {names}; say which by --mask.")
    return (lesions[0] if lesions else None), warnings


def _read_images(
    choices: Sequence[Choice], identified: Sequence[Identified], path: Path, progress: Progress
) -> tuple[dict[str, SequenceImage], list[str]]:
    images: dict[str, SequenceImage] = {}
    warnings: list[str] = []
    for done, choice in enumerate(choices):
        progress("read", done / len(choices))
        volume = _first_readable(choice, path, warnings)
        if volume is not None:
            images[choice.sequence] = volume.image
            warnings += volume.warnings
    if "ADC" not in images and (computed := _computed_adc(identified)) is not None:
        images["ADC"], said = computed
        warnings.append(said)
    progress("read", 1.0)
    if not images:
        raise DicomError(f"{path} has no sequence that can be read: {' '.join(warnings)}")
    return {name: images[name] for name in SEQUENCES if name in images}, warnings


def _first_readable(choice: Choice, path: Path, warnings: list[str]) -> Volume | None:
    """The best candidate that can be read; the others are named in warnings, files relative to `path`."""
    for position, item in enumerate(choice.candidates):
        try:
            volume = volume_of(item.stack)
        except DicomError as error:
            why = str(error).replace(f"{path}{os.sep}", "")
            warnings.append(f"{choice.sequence}: {item.stack.name!r} cannot be used. {why}")
            continue
        passed_over = choice.candidates[position + 1 :]
        if passed_over:
            names = ", ".join(repr(other.stack.name) for other in passed_over)
            warnings.append(f"{choice.sequence}: {item.stack.name!r} was chosen; not used: {names}.")
        return volume
    return None


def _computed_adc(identified: Sequence[Identified]) -> tuple[SequenceImage, str] | None:
    stacks = series_for_adc(item for item in identified if item.sequence == "DWI")
    if not stacks:
        return None
    try:
        weighted = [(item.stack.first.b or 0.0, volume_of(item.stack).image.image) for item in stacks]
        image = adc_map(weighted)
    except DicomError:
        return None
    values = ", ".join(f"{b:g}" for b, _ in weighted)
    said = f"ADC: no map was delivered, it was computed from b = {values} s/mm² (mono-exponential fit)."
    return SequenceImage(image), said


def _reference(
    wanted: str | None, images: dict[str, SequenceImage], segmentation: Segmentation | None, path: Path
) -> str:
    if wanted is not None and wanted not in images:
        raise DicomError(f"{path} has no {wanted}, which was to be the reference sequence.")
    drawn_on = segmentation.source_series if segmentation is not None else ()
    outlined = [name for name, image in images.items() if image.dicom and image.dicom.series_uid in drawn_on]
    preferred = [wanted, "T2WI" if "T2WI" in outlined else None, *outlined, "T2WI", *images]
    return next(name for name in preferred if name in images)


def _scan_warnings(found: Scan) -> list[str]:
    warnings = []
    if found.unreadable:
        named = ", ".join(file.name for file in found.unreadable[:3])
        warnings.append(f"{len(found.unreadable)} damaged files were left out ({named}).")
    return warnings


def _unknown_warnings(identified: Sequence[Identified]) -> list[str]:
    unknown = list(dict.fromkeys(item.stack.name for item in identified if item.sequence is None))
    if not unknown:
        return []
    named = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
    return [f"{len(unknown)} series were not recognised and left out: {named}."]
