"""Eight phases of a patient of LLD-MMRI as one study; whatever was mended or doubted is noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.readers.images import labels_of, read_sequence_image, read_voxels
from LiverLesionAI.readers.lld_mmri import traps
from LiverLesionAI.readers.lld_mmri.annotation import CLASSES, Box, PhaseRecord
from LiverLesionAI.readers.lld_mmri.files import LldFolder, PhaseFiles
from LiverLesionAI.study import SequenceImage, Study

Verdict = Literal["mended", "doubted"]
REFERENCE_ORDER = ("T2WI", "PVP", "DP", "LAP", "T1WI", "DWI", "INPHASE", "OUTPHASE")
CROP_MARGIN = (16, 16, 2)
"""Voxels that the challenge's script leaves around a box, (x, y, z)."""

_SPACING_TOLERANCE = 1e-3
_STANDS_OUT = 1.5
"""So many times better must boxes fit upside down in most phases for the whole patient to be doubted."""


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong, or may be.

    Attributes
    ----------
    sequence
        Where; empty for the patient as a whole.
    trap
        Which, in a word: spacing, repeats, shift, direction, crop, mask, box, phase, thickness.
    verdict
        ``"mended"`` where it could be proven, else ``"doubted"``.
    words
        What was found and done.
    """

    sequence: str
    trap: str
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class LldPatient:
    """A case of the dataset.

    Attributes
    ----------
    case, patient
        Names; pseudonyms of the dataset.
    study
        Every phase on its own grid, the lesion outlined on each; the reference is T2WI where there is one.
    truth
        Class of W7; empty where hidden.
    fold
        Official fold that it is validated in; None where the copy does not say.
    is_test
        Whether it belongs to the official test part.
    findings
        What was mended and what was doubted.
    """

    case: str
    patient: str
    study: Study
    truth: str
    fold: int | None
    is_test: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Phase:
    """A phase on its way: voxels ``[z, y, x]``, where they are, the lesion's box or mask in them."""

    sequence: str
    voxels: np.ndarray
    spacing: np.ndarray
    origin: np.ndarray
    box: Box | None
    mask: np.ndarray | None
    findings: list[Finding] = field(default_factory=list)

    def note(self, trap: str, verdict: Verdict, words: str) -> None:
        self.findings.append(Finding(self.sequence, trap, verdict, words))


def read_patient(folder: LldFolder, case: str) -> LldPatient:
    """Read a case, mend what can be proven, note what cannot.

    Phases get the geometry that ``Annotation.json`` states, whatever their headers say, and stay on grids of
    their own. They are aligned by a shift from the middle of the lesion's box to that of its box in the
    reference, since the patient breathed between them. The inscribed ellipsoid of a box, or the copy's own
    mask, is the outline on each.

    Raises
    ------
    StudyError
        If no phase of the case can be used.
    ConfigError
        If its files contradict each other.
    """
    patient = folder.patient(case)
    records = folder.records.get(patient, {})
    findings: list[Finding] = []
    phases: dict[str, _Phase] = {}
    for sequence in REFERENCE_ORDER:
        files = folder.files[case].get(sequence)
        if files is None:
            findings.append(Finding(sequence, "phase", "doubted", "the phase is missing"))
            continue
        try:
            phases[sequence] = _phase(folder, sequence, files, records.get(sequence))
        except StudyError as error:
            findings.append(Finding(sequence, "phase", "doubted", f"the phase cannot be read: {error}"))
    usable = {name: phase for name, phase in phases.items() if phase.box or phase.mask is not None}
    if not usable:
        raise StudyError(f"{folder.path}: case {case} has no phase that can be used.")
    reference = next(name for name in REFERENCE_ORDER if name in usable)
    usable = _turned(usable, reference)
    findings += [each for phase in phases.values() for each in phase.findings]
    findings += _doubts_of_all(usable)
    category = folder.category(case)
    return LldPatient(
        case,
        patient,
        _study(case, usable, reference),
        CLASSES[category] if category >= 0 else "",
        folder.folds.get(case, folder.folds.get(patient)),
        case in folder.test or patient in folder.test,
        tuple(findings),
    )


def _phase(folder: LldFolder, sequence: str, files: PhaseFiles, record: PhaseRecord | None) -> _Phase:
    image = read_sequence_image(files.image)
    voxels = sitk.GetArrayFromImage(image)
    mask = _mask(files, voxels.shape)
    header = np.array(image.GetSpacing())
    if record is None:
        phase = _Phase(sequence, voxels, header, np.zeros(3), None, mask)
        if np.allclose(header, 1):
            phase.note("spacing", "doubted", "the header says 1 × 1 × 1 mm and no Annotation.json says more")
    else:
        spacing, origin = np.array(record.spacing_mm), np.array(record.origin_mm)
        phase = _Phase(sequence, voxels, spacing, origin, record.box, mask)
        if not np.allclose(header, spacing, rtol=_SPACING_TOLERANCE):
            said, true = (" × ".join(f"{side:.4g}" for side in each) for each in (header, spacing))
            phase.note("spacing", "mended", f"the header says {said} mm, Annotation.json {true} mm")
    if folder.layout == "cropped":
        return _uncropped(phase, record)
    return _whole(_in_place(phase))


def _mask(files: PhaseFiles, shape: tuple[int, ...]) -> np.ndarray | None:
    if files.mask is None:
        return None
    mask = sitk.GetArrayFromImage(labels_of(read_voxels(files.mask), files.mask)) > 0
    if mask.shape != shape:
        raise StudyError(f"{files.mask} has another size than its image.")
    return mask


def _whole(phase: _Phase) -> _Phase:
    """Without repeated slices."""
    found = traps.without_repeats(phase.voxels)
    if not found.dropped:
        return phase
    phase.note(
        "repeats", "mended", f"{found.dropped} of {len(phase.voxels)} slices repeat others to the voxel"
    )
    box = phase.box
    if box is not None:
        last = len(found.place) - 1
        ends = [int(np.clip(round(z), 0, last)) for z in (box.low[2], box.high[2])]
        low, high = sorted(float(found.place[z]) for z in ends)
        box = Box((*box.low[:2], low), (*box.high[:2], high))
    mask = phase.mask
    if mask is not None:
        kept = np.zeros(found.voxels.shape, bool)
        for slice_before, slice_now in enumerate(found.place):
            kept[slice_now] |= mask[slice_before]
        mask = kept
    return replace(phase, voxels=found.voxels, box=box, mask=mask)


def _in_place(phase: _Phase) -> _Phase:
    """Without slices that lie beside their place."""
    found = traps.shifted_slices(phase.voxels)
    for each in found:
        words = (
            f"slice {each.index} lies {each.shift[1]}, {each.shift[0]} voxels (x, y) beside its neighbours"
        )
        phase.note("shift", "mended" if each.is_proven else "doubted", words)
    return replace(phase, voxels=traps.rolled_back(phase.voxels, found)) if found else phase


def _uncropped(phase: _Phase, record: PhaseRecord | None) -> _Phase:
    """Place a cropped volume, and find the box in it."""
    size = np.array(phase.voxels.shape[::-1])
    if record is None:
        margin = np.minimum(CROP_MARGIN, (size - 1) // 2)
        low, high = margin.astype(float), (size - 1 - margin).astype(float)
        phase.note("box", "doubted", "the box is taken to lie 16 and 2 voxels within the cropped volume")
        return replace(phase, box=Box(_corner(low), _corner(high)), origin=-(low + high) / 2 * phase.spacing)
    first = np.maximum(np.floor(record.box.low) - CROP_MARGIN, 0)
    low, high = np.array(record.box.low) - first, np.array(record.box.high) - first
    wanted = np.ceil(record.box.high) + CROP_MARGIN - first
    missing = np.maximum(wanted - size, 0)
    cut = np.maximum(high - (size - 1), 0)
    if cut[:2].max() >= 1:
        phase.note(
            "crop",
            "doubted",
            f"{cut[0]:.0f} columns and {cut[1]:.0f} rows of the lesion's box were cut off: the crop was "
            "clamped to the wrong side of the image; crop again from the raw volumes",
        )
    elif missing[0] > 1 or missing[1] > 1:
        phase.note(
            "crop",
            "doubted",
            f"the margin lacks {missing[0]:.0f} columns and {missing[1]:.0f} rows: the lesion lies at the "
            "image's border, or the crop was clamped to the wrong side",
        )
    high = np.minimum(high, size - 1)
    return replace(phase, box=Box(_corner(low), _corner(high)), origin=phase.origin + first * phase.spacing)


def _corner(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _turned(phases: Mapping[str, _Phase], reference: str) -> dict[str, _Phase]:
    """Phases that run against the rest of them, turned."""
    if len(phases) < 3:
        return dict(phases)
    fixed = phases[reference]
    comparisons = {
        name: traps.upside_down(_placed(fixed), _placed(phase), _placed(phase, turned=True))
        for name, phase in phases.items()
        if name != reference
    }
    turned, reference_is_odd = traps.turned_phases(comparisons)
    odd = frozenset({reference}) if reference_is_odd else turned
    result = {}
    for name, phase in phases.items():
        if name not in odd:
            result[name] = phase
            continue
        told = comparisons.get(name) or max(comparisons.values(), key=lambda each: each.turned)
        phase.note(
            "direction",
            "mended",
            "its slices run against those of the other phases: upside down it correlates "
            f"{told.turned:.2f} with them around the lesion, as stored {told.straight:.2f}",
        )
        mask = None if phase.mask is None else phase.mask[::-1]
        result[name] = replace(phase, voxels=phase.voxels[::-1], mask=mask)
    return result


def _placed(phase: _Phase, *, turned: bool = False) -> traps.Placed:
    """A phase and its lesion, as stored or upside down; a mask turns with its voxels, a box stays."""
    voxels = phase.voxels[::-1] if turned else phase.voxels
    box = phase.box
    if box is None:
        assert phase.mask is not None
        box = traps.box_of(phase.mask[::-1] if turned else phase.mask)
    return traps.Placed(voxels, box, phase.spacing)


def _doubts_of_all(phases: Mapping[str, _Phase]) -> list[Finding]:
    """Whether all phases together may run the other way; the images alone cannot prove it."""
    boxed = [phase for phase in phases.values() if phase.box is not None]
    better = 0
    for phase in boxed:
        assert phase.box is not None
        straight = traps.box_stands_out(phase.voxels, phase.box)
        mirrored = traps.mirrored_box(phase.box, len(phase.voxels))
        better += traps.box_stands_out(phase.voxels, mirrored) > _STANDS_OUT * max(straight, 0.1)
    if better <= len(boxed) / 2 or not boxed:
        return []
    words = (
        f"in {better} of {len(boxed)} phases the box fits the image better with the slices in the other "
        "order: all may run from head to feet; look at the pictures"
    )
    return [Finding("", "direction", "doubted", words)]


def _study(case: str, phases: Mapping[str, _Phase], reference: str) -> Study:
    outlines = {name: _label_image(phase) for name, phase in phases.items()}
    fixed = _middle(outlines[reference])
    images = {}
    for name, phase in phases.items():
        shift = _middle(outlines[name]) - fixed
        transform = None
        if name != reference:
            transform = sitk.TranslationTransform(3, [float(part) for part in shift])
        images[name] = SequenceImage(_image(phase, phase.voxels), transform)
    return Study(
        case,
        f"LLD-MMRI {case}",
        images,
        lesions=outlines[reference],
        outlines={name: image for name, image in outlines.items() if name != reference},
        reference=reference,
    )


def _label_image(phase: _Phase) -> sitk.Image:
    """The lesion of a phase, label 1, on its own grid."""
    if phase.mask is not None:
        return _image(phase, phase.mask.astype(np.uint8))
    assert phase.box is not None
    return _image(phase, traps.ellipsoid(phase.voxels.shape, phase.box).astype(np.uint8))


def _image(phase: _Phase, voxels: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetSpacing([float(side) for side in phase.spacing])
    image.SetOrigin([float(part) for part in phase.origin])
    return image


def _middle(labels: sitk.Image) -> np.ndarray:
    """Middle of the box around a label image's lesion, LPS mm."""
    voxels = np.argwhere(sitk.GetArrayViewFromImage(labels) > 0)
    middle = (voxels.min(axis=0) + voxels.max(axis=0)) / 2
    return np.array(labels.TransformContinuousIndexToPhysicalPoint([float(part) for part in middle[::-1]]))
