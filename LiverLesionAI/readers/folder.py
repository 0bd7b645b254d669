"""Read a study folder: one image file per sequence and the lesion mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.finite import checked_transform, usable_limits
from LiverLesionAI.limits import check_text_size
from LiverLesionAI.pseudonyms import study_code
from LiverLesionAI.readers.images import UNREAD_SUFFIXES, image_stem, read_sequence_image
from LiverLesionAI.readers.mask_files import read_mask
from LiverLesionAI.readers.masks import Outlined, judged, with_lesions
from LiverLesionAI.readers.placement import placed, without_place
from LiverLesionAI.readers.transforms import read_transform
from LiverLesionAI.sequences import SEQUENCES, sequence_named, usual_reference
from LiverLesionAI.study import ClinicalValue, SequenceImage, Study, is_finite, labels_in

MASK_STEM = "lesions"
OUTLINE_PREFIX = f"{MASK_STEM}_"
ACQUISITION_FILE = "acquisition.json"
TRANSFORMS_FOLDER = "transforms"
CLINICAL_FILE = "clinical.json"


def read_study_folder(
    path: str | Path,
    mask: str | Path | None = None,
    reference: str | None = None,
    *,
    written_here: bool = False,
) -> Study:
    """Read a study folder.

    The folder holds a file per sequence, named by the sequence or one of its aliases
    (:mod:`LiverLesionAI.sequences`), and ``lesions.nii.gz`` (0 = background, 1…N = lesions) on any of their
    grids, or ``lesions_<SEQ>.nii.gz`` where sequences were outlined by themselves. A file
    ``acquisition.json`` may give ``{"<SEQ>": {"intensity_limits": [lower, upper]}}`` for sequences that are
    only a part of their volume, and ``transforms/<SEQ>.tfm`` the transforms of sequences that are registered
    already (reference frame to sequence, LPS mm), and ``clinical.json`` clinical data.

    Parameters
    ----------
    path
        The folder.
    mask
        Lesion mask to use instead of the folder's.
    reference
        The sequence in whose frame the lesions are outlined. By default T2WI where the folder has it, else
        the first sequence at hand; of those that are outlined where there are outlines of sequences only.
    written_here
        Whether this program wrote the folder for itself: its labels are taken as they are.

    Returns
    -------
    Study
        Named after the folder where its name reads as a code (:mod:`LiverLesionAI.pseudonyms`). Its `lesions`
        are None where there is no mask.

    Raises
    ------
    StudyError
        If the folder holds no sequence, a file that means no sequence, two files for the same sequence, or
        an image or mask that cannot be used.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise StudyError(f"{folder} is no folder; give the folder that holds the study's sequences.")
    image_files, outline_files, mask_file = _sort_files(folder)
    if not image_files:
        known = ", ".join(SEQUENCES)
        raise StudyError(f"{folder} holds no sequence; name the image files by their sequence ({known}).")
    outlined = [] if mask or mask_file else [name for name in image_files if name in outline_files]
    reference = reference or usual_reference(outlined or image_files)
    if reference not in image_files:
        raise StudyError(f"{folder} has no {reference}, which was to be the reference sequence.")
    limits = _read_intensity_limits(folder / ACQUISITION_FILE)
    images = {
        name: SequenceImage(read_sequence_image(file), _transform(folder, name), limits.get(name))
        for name, file in image_files.items()
    }
    clinical = read_clinical(folder / CLINICAL_FILE) if (folder / CLINICAL_FILE).is_file() else {}
    name = study_code(folder.resolve().name)
    study = Study(
        name,
        f"study folder {name}",
        images,
        reference=reference,
        clinical=clinical,
        warnings=without_place(images),
    )
    if mask is not None:
        return with_mask(study, mask)
    return _with_lesions(study, mask_file, outline_files, written_here=written_here)


def read_clinical(file: Path) -> dict[str, ClinicalValue]:
    """Read clinical data: a JSON object of finite numbers, texts, ``true``, ``false`` and ``null`` by field.

    Raises
    ------
    StudyError
        If the file cannot be read or is none.
    """
    try:
        check_text_size(file)
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StudyError(f"{file} cannot be read ({error.strerror}); give a file of clinical data.") from None
    except (ValueError, RecursionError):
        content = None
    return checked_clinical(content, str(file))


def checked_clinical(content: object, where: str) -> dict[str, ClinicalValue]:
    """Check that what was read as clinical data is an object of finite numbers, texts and truth values.

    Parameters
    ----------
    content
        What was read.
    where
        Where from, for messages.

    Raises
    ------
    StudyError
        If it is something else.
    """
    if not isinstance(content, dict) or not all(
        value is None or isinstance(value, str | float | int) for value in content.values()
    ):
        raise StudyError(
            f'{where} is no JSON object of clinical data by field, such as {{"age": 63}}; mend it.'
        )
    for name, value in content.items():
        if isinstance(value, float | int) and not is_finite(value):
            raise StudyError(f"{where} gives {name!r} no finite number; give a number or null.")
    return content


def with_mask(study: Study, mask: str | Path) -> Study:
    """Return the study with the lesions of a mask file instead of its own.

    Raises
    ------
    StudyError
        If the mask cannot be used or lies outside the study.
    """
    return _with_lesions(study, Path(mask), {}, written_here=False)


def _sort_files(folder: Path) -> tuple[dict[str, Path], dict[str, Path], Path | None]:
    images: dict[str, Path] = {}
    outlines: dict[str, Path] = {}
    mask = None
    for file in sorted(folder.iterdir()):
        stem = image_stem(file)
        if stem is None:
            _check_is_no_image(file)
            continue
        if stem.startswith("."):
            continue
        if stem.casefold() == MASK_STEM:
            if mask is not None:
                raise StudyError(f"{file} and {mask.name} are both lesion masks; keep one of them.")
            mask = file
        elif stem.casefold().startswith(OUTLINE_PREFIX):
            _put(outlines, stem[len(OUTLINE_PREFIX) :], file)
        else:
            _put(images, stem, file)
    order = list(SEQUENCES)
    return dict(sorted(images.items(), key=lambda item: order.index(item[0]))), outlines, mask


def _check_is_no_image(file: Path) -> None:
    """Refuse an image in a format that is not read; other files may lie in the folder."""
    stem = file.name.split(".")[0]
    is_meant = stem.casefold() == MASK_STEM or sequence_named(stem) is not None
    if is_meant and file.name.lower().endswith(UNREAD_SUFFIXES):
        raise StudyError(f"{file} is in a format that is not read; convert it to NIfTI (.nii.gz).")


def _put(files: dict[str, Path], name: str, file: Path) -> None:
    sequence = sequence_named(name)
    if sequence is None:
        known = ", ".join(SEQUENCES)
        raise StudyError(f"{file} is named after no sequence; rename it to one of {known}, or move it away.")
    if sequence in files:
        raise StudyError(f"{file} and {files[sequence].name} are both {sequence}; keep one of them.")
    files[sequence] = file


def _transform(folder: Path, name: str) -> sitk.Transform | None:
    file = folder / TRANSFORMS_FOLDER / f"{name}.tfm"
    return checked_transform(read_transform(file), str(file)) if file.is_file() else None


def _read_intensity_limits(file: Path) -> dict[str, tuple[float, float]]:
    if not file.is_file():
        return {}
    check_text_size(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {name: usable_limits(entry["intensity_limits"]) for name, entry in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        form = '{"T2WI": {"intensity_limits": [lower, upper]}} with lower < upper'
        raise StudyError(f"{file} is not of the form {form}; mend or remove it.") from None


def _with_lesions(
    study: Study, mask_file: Path | None, outline_files: dict[str, Path], *, written_here: bool
) -> Study:
    def lesions_in(file: Path) -> Outlined:
        found = read_mask(file)
        if written_here:
            return found
        return judged(placed(found, study, file), file, split=not outline_files)

    outlines = {name: lesions_in(file) for name, file in outline_files.items()}
    if mask_file is not None:
        lesions = lesions_in(mask_file)
    elif study.reference in outlines:
        mask_file, lesions = outline_files[study.reference], outlines[study.reference]
    elif outlines:
        first = next(iter(outlines))
        mask_file, lesions = outline_files[first], outlines[first]
    else:
        return study
    drawn = {name: outline.labels for name, outline in outlines.items()}
    study = with_lesions(study, lesions, mask_file, drawn)
    _check_outlines_are_complete(study, outline_files)
    others = tuple(
        said for outline in outlines.values() if outline is not lesions for said in outline.warnings
    )
    return replace(study, warnings=(*study.warnings, *others))


def _check_outlines_are_complete(study: Study, outline_files: dict[str, Path]) -> None:
    for name, outline in study.outlines.items():
        missing = sorted(set(study.lesion_ids) - set(labels_in(outline)))
        if missing:
            lacking = ", ".join(map(str, missing))
            raise StudyError(
                f"{outline_files[name]} lacks lesion {lacking}; segment it there or remove the file."
            )


def is_study_folder(path: Path) -> bool:
    """Whether a folder holds an image file named after a sequence."""
    return path.is_dir() and any(
        (stem := image_stem(file)) is not None and sequence_named(stem) is not None for file in path.iterdir()
    )
