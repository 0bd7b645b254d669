"""Small made copies of LLD-MMRI in every layout, with and without its traps; the images are a phantom's."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.phantom import generate_lesion
from LiverLesionAI.readers.lld_mmri.annotation import NAMES, PHASES
from LiverLesionAI.registration.outlines import outline_on_sequence
from LiverLesionAI.study import SequenceImage

DIXON_PARTS = {"INPHASE": 7, "OUTPHASE": 6}
"""Eighths of T1WI that stand for them."""

ROLLED = (7, 11)
"""Voxels, (y, x), by which a slice of PVP lies beside its place."""


@dataclass(frozen=True)
class MadePhase:
    """A phase: voxels ``[z, y, x]``, spacing and origin (x, y, z), box (low and high, x, y, z), its mask."""

    voxels: np.ndarray
    spacing: np.ndarray
    origin: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mask: np.ndarray


@cache
def phases(seed: int = 850_201, name: str = "HCC") -> dict[str, MadePhase]:
    """Eight phases of a phantom whose sequences are displaced; in- and out-phase are made of T1WI."""
    phantom = generate_lesion(seed, name, misalign_mm=(5.0, 0.0))
    study, (lesion,) = phantom.study, phantom.truth.lesions
    found = {}
    for phase, sequence in PHASES.items():
        image = study.images[{"INPHASE": "T1WI", "OUTPHASE": "T1WI"}.get(sequence, sequence)].image
        if sequence in DIXON_PARTS:
            image = sitk.Cast(image * DIXON_PARTS[sequence] // 8, image.GetPixelID())
        moved = sitk.TranslationTransform(3, list(lesion.displacement_mm.get(sequence, (0.0, 0.0, 0.0))))
        outline = outline_on_sequence(study.outlined_lesions, SequenceImage(image, moved))
        mask = sitk.GetArrayFromImage(outline) > 0
        voxels = np.argwhere(mask)[:, ::-1]
        found[phase] = MadePhase(
            sitk.GetArrayFromImage(image),
            np.round(image.GetSpacing(), 4),
            np.round(image.GetOrigin(), 3),
            voxels.min(axis=0).astype(float),
            voxels.max(axis=0).astype(float),
            mask,
        )
    return found


TRAPS = frozenset({"spacing", "direction", "repeats", "shift"})


def raw_copy(folder: Path, planted: Collection[str] = (), patients: Collection[str] = ("MR-1",)) -> Path:
    """The raw layout: volumes by UID and ``Annotation.json``; one phantom, a little brighter each time."""
    info = {}
    for number, patient in enumerate(patients):
        records = []
        for phase, made in phases().items():
            stored, box = _planted(phase, made, planted)
            place = folder / "images" / patient / f"1.2.{number}"
            spacing = np.ones(3) if "spacing" in planted else made.spacing
            _write(place / f"{phase.replace(' ', '')}.7.nii.gz", stored + number, spacing, made.origin)
            records.append(_record(phase, f"1.2.{number}", made, box))
        info[patient] = records
    return _annotation(folder, info)


def masked_copy(folder: Path, *, turned: str = "") -> Path:
    """MedSAM2's layout: images with masks."""
    for phase, made in phases().items():
        stem = f"MR-1_6_{phase.replace(' ', '')}"
        flip = slice(None, None, -1) if phase == turned else slice(None)
        _write(folder / "images" / f"{stem}_0000.nii.gz", made.voxels[flip], made.spacing, made.origin)
        mask = made.mask[flip].astype(np.uint8)
        _write(folder / "labels" / f"{stem}.nii.gz", mask, made.spacing, made.origin)
    return folder


def cropped_copy(folder: Path, *, swapped: bool, annotated: bool = True) -> Path:
    """The layout of the challenge's script, which exchanges the sides when it clamps.

    The lesion is brought to the right border of an image that is wider than high.
    """
    info = {}
    records = []
    for phase, made in phases().items():
        wide = _wide(made)
        rows, columns = wide.voxels.shape[1:]
        first = np.maximum(np.floor(wide.low) - (16, 16, 2), 0).astype(int)
        last = np.add(np.ceil(wide.high).astype(int), (16, 16, 2))
        sides = (rows, columns) if swapped else (columns, rows)
        last = np.minimum(last, (*sides, len(wide.voxels)))
        crop = wide.voxels[first[2] : last[2], first[1] : last[1], first[0] : last[0]]
        place = folder / "classification_dataset" / "images" / "MR-1"
        _write(place / f"{phase}.nii.gz", crop, wide.spacing, np.zeros(3))
        records.append(_record(phase, "1.2", wide, (wide.low, wide.high)))
    info["MR-1"] = records
    labels = folder / "classification_dataset" / "labels"
    labels.mkdir()
    (labels / "labels.txt").write_text("MR-1 6\n")
    (labels / "val_fold3.txt").write_text("MR-1 6\n")
    return _annotation(folder, info) if annotated else folder


def _wide(made: MadePhase) -> MadePhase:
    """The image continued to the left until its lesion's middle lies as far right as there are rows."""
    rows = made.voxels.shape[1]
    added, cut = rows - int(made.low[0] + made.high[0]) // 2, int(made.high[0]) + 8
    voxels = np.concatenate([made.voxels[:, :, :added][:, :, ::-1], made.voxels[:, :, :cut]], axis=2)
    move = np.array([added, 0, 0], float)
    return MadePhase(voxels, made.spacing, made.origin, made.low + move, made.high + move, made.mask)


def _planted(
    phase: str, made: MadePhase, planted: Collection[str]
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The voxels as they are stored, and the box in them."""
    voxels, low, high = made.voxels, made.low.copy(), made.high.copy()
    if "repeats" in planted and phase == "In Phase":
        voxels = np.repeat(voxels, 2, axis=0)
        low[2], high[2] = 2 * low[2], 2 * high[2] + 1
    if "repeats" in planted and phase == "Out Phase":
        voxels = np.concatenate([voxels, voxels])
    if "shift" in planted and phase == "C+V":
        voxels = voxels.copy()
        place = int(made.high[2])
        voxels[place] = np.roll(voxels[place], ROLLED, axis=(0, 1))
    if "direction" in planted and phase == "DWI":
        voxels = voxels[::-1]
    return voxels, (low, high)


def _record(phase: str, study: str, made: MadePhase, box: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    ends = {
        f"{axis}_{end}": float(box[end == "max"][place])
        for place, axis in enumerate("xyz")
        for end in ("min", "max")
    }
    return {
        "studyUID": study,
        "seriesUID": f"{phase.replace(' ', '')}.7",
        "phase": phase,
        "pixel_spacing": [float(made.spacing[0]), float(made.spacing[1])],
        "slice_thickness": 9.9,
        "slice_spacing": float(made.spacing[2]),
        "origin": [float(part) for part in made.origin],
        "annotation": {
            "num_targets": 1,
            "lesion": {"0": {"category": 6, "bbox": {"2D_box": [], "3D_box": ends}}},
        },
    }


def _annotation(folder: Path, info: dict[str, Any]) -> Path:
    (folder / "labels").mkdir(exist_ok=True)
    content = {
        "Annotation_info": info,
        "Category_info": {**NAMES, "Benign": [0, 2, 4, 5], "Inaccessible": -1},
    }
    (folder / "labels" / "Annotation.json").write_text(json.dumps(content))
    return folder


def _write(file: Path, voxels: np.ndarray, spacing: np.ndarray, origin: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetSpacing([float(side) for side in spacing])
    image.SetOrigin([float(part) for part in origin])
    sitk.WriteImage(image, str(file))
