"""What a lesion mask is and which lesions it outlines, told from its labels and from the images under it.

An image, a probability map or the outline of the whole liver is a label image too, and would be answered for
without a word. What surely is no lesion mask is refused, what surely is no lesion (a stray speck, the liver
around the lesions) is left out with a warning, and what is seldom right gets a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from LiverLesionAI.errors import StudyError
from LiverLesionAI.geometry import covers_lesion, lesion_geometry
from LiverLesionAI.readers.contacts import Contacts, labels_of
from LiverLesionAI.readers.naming import name_in_results
from LiverLesionAI.readers.parts import parts_of
from LiverLesionAI.readers.segments import Nature, Segment, nature_of
from LiverLesionAI.study import SequenceImage, Study, labels_in

MOST_LESIONS = 100
"""Nobody outlines more lesions one by one; images and maps have hundreds of values."""

MOST_ML = 5000.0
"""All labels together: more than any liver holds, less than the smallest body that is imaged."""

ADJOINED_SHARE = 0.1
"""A label of a litre encloses another one from here on: lesions bulge out of the liver."""

MOST_FILLED = 0.7
"""A mask of over a litre that fills more of its grid is the background; an ellipsoid fills half its box."""

LIVER_ML = 300.0
"""A label that encloses others is the liver from here on: an adult's measures 600 ml at least, what surgery
left or a child has less. A tumour whose core is outlined apart is seldom so large."""

ASKED_ML = 600.0
"""A lesion of this size (a ball of 10.5 cm) may be one, but is as often the liver."""

LITRE_ML = 1000.0
"""So large a label is the liver if it adjoins others, and the background if it fills its grid."""

FEWEST_VOXELS = 4
"""Below, neither shape nor texture can be seen."""

AIR_SHARE = 0.1
"""What is darker than this part of an image's range, and not surrounded by what is brighter, is air."""


@dataclass(frozen=True)
class Outlined:
    """The lesions of a mask.

    Attributes
    ----------
    labels
        Label image.
    names
        Label to name, where there is one.
    warnings
        What was left out or is seldom right, in words.
    """

    labels: sitk.Image
    names: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()


def judged(given: Outlined, what: Path | str, *, split: bool) -> Outlined:
    """Tell whether a label image is a lesion mask, and which of its labels and voxels are lesions.

    Parameters
    ----------
    given
        Labels as they were read; labels are unsigned 16-bit integers.
    what
        The mask's file, or what it is called in messages.
    split
        Whether parts of one label that lie apart become lesions of their own. The largest part then keeps the
        label and the others are numbered on after the highest one, so that no label changes its meaning.

    Returns
    -------
    Outlined
        An ordinary mask comes back as it is.

    Raises
    ------
    StudyError
        If it is empty, an image, a map, noise, or larger than any liver.
    """
    voxels = sitk.GetArrayFromImage(given.labels)
    spacing_mm = np.asarray(given.labels.GetSpacing())[::-1]
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    names = dict(given.names)
    contacts = _check_labels(voxels, voxel_ml, what)
    name = name_in_results(what)
    said = [
        *_without_liver(voxels, contacts, voxel_ml, names, name),
        *_in_parts(voxels, spacing_mm, names, what, split=split),
    ]
    _check_count(voxels, what)
    said += _odd_sizes(voxels, voxel_ml, names, name)
    left = set(labels_of(voxels))
    return Outlined(
        labels=_like(given.labels, voxels),
        names={label: name for label, name in names.items() if label in left},
        warnings=(*given.warnings, *said),
    )


def with_lesions(
    study: Study, outlined: Outlined, what: Path | str, outlines: Mapping[str, sitk.Image] | None = None
) -> Study:
    """Return the study with the lesions of a mask.

    Parameters
    ----------
    study
        The study; lesions and outlines that it had are forgotten.
    outlined
        The lesions, in the reference frame.
    what
        The mask's file, or what it is called in messages.
    outlines
        As in :class:`~LiverLesionAI.study.Study`.

    Raises
    ------
    StudyError
        If all lesions lie outside of every sequence, or in the air around the body.
    """
    study = replace(
        study,
        lesions=outlined.labels,
        outlines=outlines or {},
        lesion_names=outlined.names,
        warnings=(*study.warnings, *outlined.warnings),
    )
    geometries = [lesion_geometry(outlined.labels, lesion_id) for lesion_id in study.lesion_ids]
    images = study.images.values()
    if not any(covers_lesion(image, outlined.labels, each) for each in geometries for image in images):
        raise StudyError(
            f"{what} lies outside every sequence of the study; check that mask and images belong together."
        )
    in_air = _lesions_in_air(study)
    if in_air and len(in_air) == len(study.lesion_ids):
        raise StudyError(
            f"{what} lies in the air around the body; check that mask and images belong together and lie in "
            "the same place."
        )
    where = f"of {name_in_results(what)} lies in the air around the body."
    air = tuple(f"{study.lesion_name(label)} {where}" for label in in_air)
    return replace(study, warnings=(*study.warnings, *air))


def _like(labels: sitk.Image, voxels: np.ndarray) -> sitk.Image:
    """The label image itself, or one with other voxels where they are others."""
    if np.array_equal(sitk.GetArrayViewFromImage(labels), voxels):
        return labels
    image = sitk.GetImageFromArray(voxels)
    image.CopyInformation(labels)
    return image


def _check_labels(voxels: np.ndarray, voxel_ml: float, what: Path | str) -> Contacts:
    if not voxels.any():
        raise StudyError(f"{what} is empty, no voxel is labelled; segment a lesion.")
    _check_count(voxels, what)
    contacts = Contacts.of(voxels)
    if contacts.look_like_levels():
        raise StudyError(
            f"{what} is no lesion mask: its {len(contacts.labels)} values lie in and beside one another like "
            "those of an image or a probability map; give a mask with one number per lesion."
        )
    labelled_ml = np.count_nonzero(voxels) * voxel_ml
    fills = labelled_ml > LITRE_ML and np.count_nonzero(voxels) > MOST_FILLED * voxels.size
    if fills or labelled_ml > MOST_ML:
        raise StudyError(
            f"{what} is no lesion mask: its labels take up {labelled_ml / 1000:.1f} litres "
            f"({np.mean(voxels > 0):.0%} of its voxels); give a mask of the lesions alone."
        )
    return contacts


def _check_count(voxels: np.ndarray, what: Path | str) -> None:
    count = len(labels_of(voxels))
    if count > MOST_LESIONS:
        raise StudyError(
            f"{what} is no lesion mask: it outlines {count} lesions where {MOST_LESIONS} are the most that "
            "are taken; give a mask with one number per lesion."
        )


def _without_liver(
    voxels: np.ndarray, contacts: Contacts, voxel_ml: float, names: Mapping[int, str], what: str
) -> Iterator[str]:
    """Take out the label of the liver around the lesions; labels that enclose others are told of."""
    litres = contacts.sizes * voxel_ml >= LITRE_ML
    encloses = np.where(litres[:, None], contacts.encloses(ADJOINED_SHARE), contacts.encloses())
    for index, label in enumerate(contacts.labels):
        inside = [contacts.labels[other] for other in np.flatnonzero(encloses[index])]
        if not inside:
            continue
        ml, name = contacts.sizes[index] * voxel_ml, names.get(label, f"label {label}")
        found = f"{name} of {what} ({ml:.0f} ml) encloses {_listed(inside, names)}"
        is_lesion = nature_of(Segment(label, names.get(label, ""))) is Nature.LESION
        if ml >= LIVER_ML and not is_lesion and not encloses[:, index].any():
            voxels[voxels == label] = 0
            yield f"{found}: it was taken for the liver and left out; if it is none, mask it by itself."
        else:
            yield f"{found}: each is answered for; outline as one what is one lesion."


def _in_parts(
    voxels: np.ndarray, spacing_mm: np.ndarray, names: dict[int, str], what: Path | str, *, split: bool
) -> Iterator[str]:
    """Take out stray specks, and number parts of a label that lie apart by themselves."""
    for label, box in enumerate(ndimage.find_objects(voxels), start=1):
        if box is None:
            continue
        name, short = _named(label, names), name_in_results(what)
        parts = parts_of(voxels, label, box, spacing_mm)
        if parts is None:
            raise StudyError(
                f"{what} is no lesion mask: {name} lies scattered like noise; outline its lesions again."
            )
        view = voxels[parts.box]
        if parts.specks:
            stray = np.isin(parts.numbers, parts.specks)
            view[stray] = 0
            count = np.count_nonzero(stray)
            yield f"{name} of {short}: stray voxels far from the rest were left out ({count})."
        if len(parts.groups) == 1:
            continue
        apart = f"{name} of {short} has {len(parts.groups)} parts that lie apart"
        if not split:
            yield f"{apart}: they are answered for as one lesion; outline each as a lesion of its own."
            continue
        first = int(voxels.max()) + 1
        if first + len(parts.groups) > np.iinfo(voxels.dtype).max:
            raise StudyError(f"{apart}, and there is no number left for them; number the lesions from 1.")
        for number, group in enumerate(parts.groups[1:], start=first):
            view[np.isin(parts.numbers, group)] = number
            if label in names:
                names[number] = f"{name} ({number})"
        others = _listed(range(first, first + len(parts.groups) - 1), {})
        yield f"{apart}: the largest stays {name}, the others were read as {others}."


def _odd_sizes(voxels: np.ndarray, voxel_ml: float, names: Mapping[int, str], what: str) -> Iterator[str]:
    labels, counts = np.unique(voxels[voxels > 0], return_counts=True)
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        if count < FEWEST_VOXELS:
            size = _counted(count, "voxel")
            yield f"{_named(label, names)} of {what} has only {size}: its answer says little."
        elif count * voxel_ml >= ASKED_ML:
            litres = count * voxel_ml / 1000
            yield f"{_named(label, names)} of {what} measures {litres:.1f} litres: is it the liver?"
    together = float(counts.sum()) * voxel_ml
    if together >= LITRE_ML and counts.max() * voxel_ml < ASKED_ML:
        litres = together / 1000
        yield f"The lesions of {what} measure {litres:.1f} litres together: are they parts of the liver?"


def _named(label: int, names: Mapping[int, str]) -> str:
    return names.get(label, f"lesion {label}")


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _listed(labels: range | list[int], names: Mapping[int, str]) -> str:
    shown = ", ".join(_named(label, names) for label in labels[:5])
    return f"{shown} …" if len(labels) > 5 else shown


def _lesions_in_air(study: Study) -> list[int]:
    """Lesions within the field of view of some sequence that have no voxel in the body in any of them."""
    lesions, labels = _without_margins(study.outlined_lesions), set(study.lesion_ids)
    seen: set[int] = set()
    shown: set[int] = set()
    names = (study.reference, *(name for name in study.images if name != study.reference))
    for image in (study.images[name] for name in names):
        seen |= _labels_under(lesions, image, np.ones(image.image.GetSize()[::-1], np.uint8))
        bright = _brighter_than_air(image.image)
        shown |= _labels_under(lesions, image, bright)
        if not seen <= shown:
            shown |= _labels_under(lesions, image, _filled(bright))
        if shown == labels:
            break
    return sorted(seen - shown)


def _without_margins(labels: sitk.Image) -> sitk.Image:
    """Labels cut to the box that holds them all."""
    box = sitk.LabelShapeStatisticsImageFilter()
    box.Execute(labels != 0)
    x, y, z, width, height, depth = box.GetBoundingBox(1)
    return labels[x : x + width, y : y + height, z : z + depth]


def _brighter_than_air(image: sitk.Image) -> np.ndarray:
    voxels = sitk.GetArrayViewFromImage(image)
    low, high = np.percentile(voxels[::2, ::2, ::2], (1, 99))
    return (voxels >= low + AIR_SHARE * (high - low)).astype(np.uint8)


def _filled(bright: np.ndarray) -> np.ndarray:
    """What is bright, with what it surrounds in a slice."""
    slices = [ndimage.binary_fill_holes(ndimage.binary_closing(each, iterations=2)) for each in bright]
    return np.stack(slices).astype(np.uint8)


def _labels_under(lesions: sitk.Image, image: SequenceImage, where: np.ndarray) -> set[int]:
    """Labels with a voxel where an array on an image's grid is set."""
    marked = sitk.GetImageFromArray(where)
    marked.CopyInformation(image.image)
    transform = image.transform or sitk.Transform()
    there = sitk.Resample(marked, lesions, transform, sitk.sitkNearestNeighbor)
    return set(labels_in(sitk.Mask(lesions, there)))
