"""Assemble the study of a DICOM folder: sequences chosen, ADC computed, a segmentation as lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from LiverLesionAI.errors import DicomError
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.readers import folder
from LiverLesionAI.readers.dicom.choose import FEWEST_SLICES, Choice, choose
from LiverLesionAI.readers.dicom.diffusion import adc_map, series_for_adc
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.identify import Identified, identify_scan
from LiverLesionAI.readers.dicom.instances import dicom_source
from LiverLesionAI.readers.dicom.left_out import file_warnings, series_warnings
from LiverLesionAI.readers.dicom.outlines import (
    check_same_study,
    doubts,
    outlines_inside,
    read_outlines,
    sources_of,
    with_source_series,
)
from LiverLesionAI.readers.dicom.places import show_same_place
from LiverLesionAI.readers.dicom.regions import check_shows_liver
from LiverLesionAI.readers.dicom.scan import Scan, is_dicom, scan
from LiverLesionAI.readers.dicom.segmentations import Segmentation, on_grid_of
from LiverLesionAI.readers.dicom.split import series_of
from LiverLesionAI.readers.dicom.studies import (
    basis_warnings,
    frame_warnings,
    only_study,
    pseudonym_of,
    studies_of,
)
from LiverLesionAI.readers.dicom.volumes import Volume, volume_of
from LiverLesionAI.readers.images import IMAGE_SUFFIXES
from LiverLesionAI.readers.masks import judged, with_lesions
from LiverLesionAI.readers.naming import without_paths
from LiverLesionAI.sequences import SEQUENCES, usual_reference
from LiverLesionAI.study import DicomSource, SequenceImage, Study

MASK_FILES = tuple(f"{folder.MASK_STEM}{suffix}" for suffix in IMAGE_SUFFIXES)
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
        Lesion mask: a NIfTI, NRRD or MetaImage file, a DICOM segmentation or an RT structure set. By default
        a mask file named ``lesions`` in the folder, else a segmentation or structure set of lesions inside.
    reference
        The reference sequence; by default the one that the segmentation was drawn on, else the one
        that :func:`~LiverLesionAI.sequences.usual_reference` chooses.
    progress
        Told how far the work is; may cancel by raising.

    Returns
    -------
    Study
        Its identifier is a pseudonym made from StudyInstanceUID. Warnings say which series were chosen among
        several, what was repaired or left out, that an ADC map was computed, what joins series without a
        StudyInstanceUID, and which sequences lie in another frame of reference.

    Raises
    ------
    DicomError
        If no sequence can be read, the folder holds several patients or studies, or its headers say that it
        shows another part of the body than the liver.
    StudyError
        If the mask cannot be used.
    """
    path = Path(path)
    found = scan(path, progress)
    identified = _one_study(found, identify_scan(found))
    check_shows_liver(path, _image_slices(identified))
    choices = choose(identified)
    if not choices:
        raise DicomError(
            f"{path} has no sequence of {FEWEST_SLICES} slices or more that is recognised surely enough; see "
            "what `liverlesionai identify` says."
        )
    images, warnings = _read_images(choices, identified, path, progress)
    mask = mask if mask is not None else _mask_beside(path)
    sources = [dicom_source(item.stack.frames) for item in identified]
    segmentation, said = _segmentation(mask, found, images, sources)
    reference = _reference(reference, images, segmentation, path)
    first_slices = [item.stack.first for item in identified]
    masks = [Path(mask)] if mask is not None else [segmentation.file] if segmentation is not None else []
    study = Study(
        id=pseudonym_of([frame for frame in first_slices if frame.is_image]),
        source=f"DICOM, {len(set(map(series_of, first_slices)))} series",
        images=images,
        reference=reference,
        warnings=(
            *basis_warnings([frame for frame in first_slices if frame.is_image]),
            *file_warnings(found, masks),
            *series_warnings(identified),
            *said,
            *warnings,
            *frame_warnings(images, reference),
        ),
    )
    if segmentation is not None:
        return with_segmentation(study, segmentation)
    return study if mask is None else folder.with_mask(study, mask)


def with_mask(study: Study, mask: str | Path) -> Study:
    """Return the study with the lesions of a mask file, a DICOM segmentation or an RT structure set.

    Raises
    ------
    StudyError
        If the mask cannot be used, lies outside the study or belongs to another one.
    """
    if is_dicom(Path(mask)):
        return with_segmentation(study, read_outlines(Path(mask), study.images))
    return folder.with_mask(study, mask)


def with_segmentation(study: Study, segmentation: Segmentation) -> Study:
    """Return the study with the lesions of a DICOM object, on an image's grid where they fit one.

    Raises
    ------
    StudyError
        If it outlines no lesions, lies outside the study or belongs to another one.
    """
    check_same_study(segmentation, sources_of(study.images))
    grids = [study.images[study.reference].image, *(image.image for image in study.images.values())]
    labels = on_grid_of(segmentation.lesions.labels, grids)
    said = (*segmentation.lesions.warnings, *doubts(segmentation, study.images, study.reference))
    given = replace(segmentation.lesions, labels=labels, warnings=said)
    return with_lesions(study, judged(given, segmentation.file, split=True), segmentation.file)


def _one_study(found: Scan, identified: Sequence[Identified]) -> tuple[Identified, ...]:
    """The stacks of the one study that is meant; several studies or patients are refused."""
    studies = studies_of(identified, lambda item: item.stack.first)
    useful = [items for items in studies if any(item.is_sequence for item in items)]
    if not useful:
        raise DicomError(
            f"{found.path} holds no series that is recognised as a sequence of a liver study"
            f"{_why(identified)}; see what `liverlesionai identify` says, or name the images by their "
            "sequence in a study folder."
        )
    only_study(
        found.path, [[f for item in items for f in item.stack.frames if f.is_image] for items in useful]
    )
    return useful[0]


def _why(identified: Sequence[Identified]) -> str:
    """The reason of the first series that is unknown, in brackets."""
    reasons = (item.reasons[-1] for item in identified if item.sequence is None and item.reasons)
    return next((f" (the first one is unknown: {reason})" for reason in reasons), "")


def _image_slices(items: Sequence[Identified]) -> list[Frame]:
    return [frame for item in items for frame in item.stack.frames if frame.is_image]


def _mask_beside(path: Path) -> Path | None:
    """The mask file in a folder of DICOM files."""
    masks = [path / name for name in MASK_FILES if (path / name).is_file()]
    if len(masks) > 1:
        raise DicomError(f"{masks[0]} and {masks[1].name} are both lesion masks; keep one of them.")
    return masks[0] if masks else None


def _segmentation(
    mask: str | Path | None,
    found: Scan,
    images: dict[str, SequenceImage],
    sources: Sequence[DicomSource],
) -> tuple[Segmentation | None, tuple[str, ...]]:
    """The DICOM object that outlines the lesions, where no mask file does, and warnings."""
    if mask is None:
        return outlines_inside(found, images, sources)
    if not is_dicom(Path(mask)):
        return None, ()
    segmentation = read_outlines(Path(mask), images)
    check_same_study(segmentation, sources)
    return with_source_series(segmentation, found.frames), ()


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
    """The best candidate that can be read; the others are named in warnings."""
    for position, item in enumerate(choice.candidates):
        try:
            volume = volume_of(item.stack)
        except DicomError as error:
            why = without_paths(str(error), [frame.file for frame in item.stack.frames])
            warnings.append(f"{choice.sequence}: {item.stack.name!r} cannot be used. {why}")
            continue
        if item.stack.first.directional:
            warnings.append(f"{choice.sequence}: {item.stack.name!r} shows one direction only.")
        passed_over = choice.candidates[position + 1 :]
        if passed_over:
            names = ", ".join(repr(other.stack.name) for other in passed_over)
            apart = [other for other in passed_over if not show_same_place(item.stack, other.stack)]
            where = f", {len(apart)} of them at other places of the body" if apart else ""
            warnings.append(f"{choice.sequence}: {item.stack.name!r} was chosen; not used: {names}{where}.")
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
    values = ", ".join(f"{b:g}" for b in dict.fromkeys(b for b, _ in weighted))
    said = f"ADC: no map was delivered, it was computed from b = {values} s/mm² (mono-exponential fit)."
    return SequenceImage(image), said


def _reference(
    wanted: str | None, images: dict[str, SequenceImage], segmentation: Segmentation | None, path: Path
) -> str:
    if wanted is not None and wanted not in images:
        raise DicomError(f"{path} has no {wanted}, which was to be the reference sequence.")
    preferred = [wanted, *_drawn_on(segmentation, images), usual_reference(images)]
    return next(name for name in preferred if name in images)


def _drawn_on(segmentation: Segmentation | None, images: dict[str, SequenceImage]) -> list[str]:
    """Sequences that a segmentation was drawn on, then those in its frame of reference; T2WI leads both."""
    if segmentation is None:
        return []
    series, frame = segmentation.source_series, segmentation.dicom.frame_of_reference
    sources = {name: image.dicom for name, image in images.items() if image.dicom is not None}
    drawn_on = [name for name, source in sources.items() if source.series_uid in series]
    same_frame = [name for name, source in sources.items() if frame and source.frame_of_reference == frame]
    return [*sorted(drawn_on, key=_is_not_t2), *sorted(same_frame, key=_is_not_t2)]


def _is_not_t2(name: str) -> bool:
    return name != "T2WI"
