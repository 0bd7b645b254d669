"""Studies that no model here was trained for: brains, CT called MR, livers without a lesion, metal.

Each is made of a phantom with its own anatomy, outline, scanner and noise, so that nothing but what it is
about sets it apart from a study of the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.phantom import PhantomStudy, generate_lesion
from LiverLesionAI.phantom.acquisition import Scene, percentile_limits, sample, sample_positions
from LiverLesionAI.phantom.anatomy import LABELS
from LiverLesionAI.phantom.fields import Grid, Lattice, stream
from LiverLesionAI.phantom.generate import COARSE, Patient, draw_patient
from LiverLesionAI.phantom.kinetics import NO_UPTAKE
from LiverLesionAI.phantom.tissues import Tissue
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.study import SequenceImage, Study

MISALIGN_MM = (2.0, 1.0)
_WHITE, _GREY, _TUMOUR = "pancreas", "spleen", "bowel wall"
"""Labels of the abdomen that stand for tissues of the head."""
_HOUNSFIELD = {
    "air": -1000, "fat": -100, "muscle": 55, "lung": -800, "marrow": 180, "cortical bone": 700,
    "cerebrospinal fluid": 8, "spinal cord": 35, "liver": 58, "liver nodule": 56, "fibrosis": 52,
    "spleen": 48, "kidney cortex": 35, "kidney medulla": 32, "pancreas": 40, "artery": 42, "portal vein": 42,
    "hepatic vein": 42, "bile": 8, "bowel wall": 38, "bowel fluid": 12, "bowel content": 25, "ascites": 8,
}  # fmt: skip
_ENHANCED = {
    "LAP": {"artery": 260, "spleen": 70, "kidney cortex": 130, "liver": 12, "liver nodule": 12,
            "pancreas": 60},
    "PVP": {"artery": 110, "portal vein": 120, "hepatic vein": 110, "spleen": 70, "kidney cortex": 120,
            "kidney medulla": 80, "liver": 52, "liver nodule": 50, "pancreas": 45},
    "DP": {"artery": 70, "portal vein": 75, "hepatic vein": 75, "spleen": 45, "kidney cortex": 90,
           "kidney medulla": 110, "liver": 35, "liver nodule": 35, "pancreas": 30},
}  # fmt: skip
_CT_NOISE = 14.0
_VOID = {"T2WI": 0.7, "DWI": 1.5, "ADC": 1.5}
"""Size of a signal void relative to that of gradient echoes."""


@dataclass(frozen=True)
class _Made:
    """A phantom and the patient behind it."""

    phantom: PhantomStudy
    patient: Patient
    rng: np.random.Generator

    def with_arrays(
        self, arrays: Mapping[str, np.ndarray], limits: Mapping[str, tuple[float, float]] | None = None
    ) -> Study:
        """The phantom's study with other voxels."""
        grids, study = self.phantom.truth.grids, self.phantom.study
        images = {
            name: SequenceImage(
                grids[name].image(array),
                intensity_limits=(limits or {}).get(name, study.images[name].intensity_limits),
            )
            for name, array in arrays.items()
        }
        return replace(study, images=images)


def _made(seed: int, lesion_class: str) -> _Made:
    phantom = generate_lesion(seed, lesion_class, misalign_mm=MISALIGN_MM)
    patient = draw_patient(seed, (lesion_class,), None, MISALIGN_MM, W_SEQUENCES, None, None)
    return _Made(phantom, patient, stream(seed, "unlike"))


def empty_liver(seed: int, lesion_class: str) -> Study:
    """The outline of a lesion over liver that has none."""
    made = _made(seed, lesion_class)
    truth = made.phantom.truth
    scene, _ = replace(made.patient, lesions=()).scene(truth.scene.grid)
    return made.with_arrays(made.patient.scanner.acquire(scene, truth.grids, truth.displacements))


def brain(seed: int, lesion_class: str) -> Study:
    """A head in the same scanner, the outline in its brain; in every second there is a tumour under it."""
    made = _made(seed, lesion_class)
    truth, patient = made.phantom.truth, made.patient
    centre = np.array(truth.lesions[0].centre_lps_mm) + made.rng.uniform(-35, 35, 3)
    folds = Lattice.noise(made.rng, centre - 120, centre + 120, 14.0)
    tissues = _of_head(patient.tissues)

    def scene(grid: Grid) -> Scene:
        labels = _head(grid, centre, folds)
        return Scene(
            grid, labels, tissues, patient.mixture, patient.scene(grid)[0].texture, LABELS.index("liver")
        )

    fine, coarse = scene(truth.scene.grid), scene(COARSE)
    if seed % 2:
        fine.labels[truth.painted.masks > 0] = LABELS.index(_TUMOUR)
    arrays = patient.scanner.acquire(fine, truth.grids, truth.displacements)
    return made.with_arrays(arrays, patient.scanner.whole_volume_limits(coarse))


def _of_head(tissues: tuple[Tissue, ...]) -> tuple[Tissue, ...]:
    """Tissues of the abdomen, three of which are those of a brain (Stanisz 2005; de Bazelaire 2004)."""
    found = list(tissues)
    found[LABELS.index(_WHITE)] = Tissue(0.70, 980, 71, 0.75, NO_UPTAKE)
    found[LABELS.index(_GREY)] = Tissue(0.82, 1450, 97, 0.85, NO_UPTAKE)
    tumour = found[LABELS.index(_TUMOUR)]
    found[LABELS.index(_TUMOUR)] = replace(tumour, t2_ms=140.0, t1_ms=1400.0, adc=1.2)
    return tuple(found)


def _head(grid: Grid, centre: np.ndarray, folds: Lattice) -> np.ndarray:
    """Scalp, skull, fluid, grey and white matter, ventricles."""
    x, y, z = (axis - middle for axis, middle in zip(grid.axes(), centre, strict=True))
    radius = np.sqrt((x / 70) ** 2 + (y / 88) ** 2 + (z / 75) ** 2)
    depth = 76 * (1 - radius) + 3 * folds.on(grid)
    labels = np.full(grid.shape, LABELS.index("air"), np.uint8)
    for name, from_mm in (
        ("fat", -19), ("muscle", -14), ("cortical bone", -11), ("marrow", -9), ("cortical bone", -6),
        ("cerebrospinal fluid", -4), (_GREY, 0), (_WHITE, 5),
    ):  # fmt: skip
        inside = (76 * (1 - radius) if from_mm < 0 else depth) > from_mm
        labels[inside] = LABELS.index(name)
    for side in (-1, 1):
        ventricle = ((x - 14 * side) / 8) ** 2 + (y / 34) ** 2 + ((z - 5) / 14) ** 2 < 1
        labels[ventricle] = LABELS.index("cerebrospinal fluid")
    return labels


def ct_called_mr(seed: int, lesion_class: str) -> Study:
    """The same patient in a CT scanner, its phases under the names of MRI sequences."""
    made = _made(seed, lesion_class)
    truth = made.phantom.truth
    regions = made.rng.normal(10, 25, 256)
    arrays, limits = {}, {}
    coarse = made.patient.coarse_labels
    for name, grid in truth.grids.items():
        density = np.concatenate(
            [[_HOUNSFIELD[each] + _ENHANCED.get(name, {}).get(each, 0) for each in LABELS], 50 + regions]
        ).astype(np.float32)
        points = sample_positions(truth.scene.grid, grid, truth.displacements[name])
        image = sample(density[truth.scene.labels], points)
        arrays[name] = np.rint(image + made.rng.normal(0, _CT_NOISE, image.shape)).astype(np.int16)
        limits[name] = percentile_limits(density[coarse])
    return made.with_arrays(arrays, limits)


def metal(seed: int, lesion_class: str) -> Study:
    """A void that reaches into the lesion, with piled-up signal on its rim, largest in gradient echoes."""
    made = _made(seed, lesion_class)
    truth = made.phantom.truth
    way = made.rng.normal(size=3)
    radius = float(made.rng.uniform(14, 30))
    reach = truth.lesions[0].diameter_mm / 2 + radius * made.rng.uniform(0.1, 0.8)
    centre = np.array(truth.lesions[0].centre_lps_mm) + way / np.linalg.norm(way) * reach
    arrays = {}
    for name, grid in truth.grids.items():
        voxels = sitk.GetArrayFromImage(made.phantom.study.images[name].image).astype(np.float32)
        own = radius * _VOID.get(name, 1.0)
        x, y, z = (axis - middle for axis, middle in zip(grid.axes(), centre, strict=True))
        distance = np.sqrt(x**2 + y**2 + z**2)
        piled = np.exp(-(((distance - own - 2) / 2.5) ** 2)) * (1 + x / np.maximum(distance, 1))
        voxels = voxels * np.clip((distance - own) / 4, 0, 1) + np.float32(1.2) * piled * voxels
        arrays[name] = np.rint(voxels).astype(np.int16)
    return made.with_arrays(arrays)


KINDS: Mapping[str, Callable[[int, str], Study]] = {
    "brain": brain,
    "CT called MR": ct_called_mr,
    "empty liver": empty_liver,
    "metal artefact": metal,
}


def real_ct(file: Path, count: int, seed: int) -> Iterator[Study]:
    """Balls outlined at random places of a real CT, which stands for every sequence."""
    image = sitk.ReadImage(str(file), sitk.sitkFloat32)
    voxels = sitk.GetArrayViewFromImage(image)
    body = np.argwhere(voxels > 0)
    limits = percentile_limits(voxels)
    rng = np.random.default_rng(seed)
    for number in range(count):
        middle = body[rng.integers(len(body))]
        spacing = np.array(image.GetSpacing()[::-1])
        index = np.indices(voxels.shape).transpose(1, 2, 3, 0)
        ball = (((index - middle) * spacing) ** 2).sum(axis=3) < rng.uniform(6, 20) ** 2
        mask = sitk.GetImageFromArray(ball.astype(np.uint8))
        mask.CopyInformation(image)
        images = {name: SequenceImage(image, intensity_limits=limits) for name in W_SEQUENCES}
        yield Study(f"ct-{number}", "a real CT", images, lesions=mask, reference="T2WI")
