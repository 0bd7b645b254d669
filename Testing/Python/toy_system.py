"""A system of its own in one file: whole studies, benign or malignant, one slice of two sequences, the age.

It is no paper's and answers nothing of use; it shows that a system needs no line of the library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from pydantic import NonNegativeFloat, PositiveInt

from LiverLesionAI.errors import StudyError
from LiverLesionAI.geometry import LesionGeometry, lesion_geometry
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.results import Unit
from LiverLesionAI.study import Study
from LiverLesionAI.systems.base import System, Words
from LiverLesionAI.systems.recipe import Draw, Recipe
from LiverLesionAI.systems.spec import ModelSpec, Part, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

OLDEST = 100.0


class Cut(Part):
    """A square of `size` pixels of `spacing_mm`."""

    size: PositiveInt = 16
    spacing_mm: NonNegativeFloat = 2.0


class Size(Part):
    """Channels of the one convolution."""

    width: PositiveInt = 4


class Noise(Part):
    """Largest standard deviation of the noise, in units of a slice's own."""

    noise: NonNegativeFloat = 0.1


@dataclass(frozen=True)
class SliceInput:
    """One slice of every sequence, and what is known of the patient's age.

    `images` are float32 ``[sequence, y, x]`` of mean 0 and SD 1, zeros where a sequence is absent; `age` is
    the age over :data:`OLDEST` and 1, or 0 and 0 where it is not known.
    """

    sequences: tuple[str, ...]
    present: tuple[bool, ...]
    images: np.ndarray
    age: tuple[float, float]
    slice_number: int
    warnings: tuple[str, ...] = ()
    name: str = "the study"
    lesion_id: int | None = None
    geometry: LesionGeometry | None = None
    clinical: tuple[str, ...] = ()
    crop_mm: float | None = None
    centre_lps_mm: tuple[float, float, float] | None = None

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Images and age."""
        return self.images, np.array(self.age, np.float32)


class ToyRecipe(Recipe):
    """The slice as it is, with noise."""

    truths = "W7"
    augmentation_settings = Noise

    def poses(self, rng: np.random.Generator, variants: Any, patches: Cut) -> list[float]:
        """Shifts of the square to the patient's left, in mm."""
        return (rng.uniform(-1, 1, variants.count) * variants.shift_mm).tolist()

    def packed(self, variants: Sequence[NetworkInput]) -> np.ndarray:
        """All numbers of a variant in a row: the slices, then the age."""
        return np.stack([np.concatenate([part.ravel() for part in given.arrays()]) for given in variants])

    def batch(
        self,
        cases: Sequence[np.ndarray],
        present: Sequence[tuple[bool, ...]],
        draws: Sequence[Draw],
        augmentation: Noise,
    ) -> tuple[Tensor, ...]:
        """Slices ``[B, S, y, x]`` and ages ``[B, 2]``."""
        import torch

        rows = np.stack([case[draw.variant] for case, draw in zip(cases, draws, strict=True)])
        side = round(((rows.shape[1] - 2) / len(present[0])) ** 0.5)
        images = rows[:, :-2].reshape(len(rows), -1, side, side).copy()
        for image, draw in zip(images, draws, strict=True):
            if draw.rng is not None:
                image += draw.rng.normal(0, augmentation.noise, image.shape)
        return torch.from_numpy(images), torch.from_numpy(rows[:, -2:].copy())


class Toy(System):
    """Is anything malignant in this study?"""

    name = "toy2027"
    unit: Unit = "study"
    sequences = ("T2WI", "LAP")
    primary_task = "malignancy"
    patch_settings = Cut
    network_settings = Size
    recipe = ToyRecipe()
    words = Words(
        title="a toy",
        task="Telling studies with malignant lesions from others",
        description="One convolution over one slice of two sequences, and the age.",
        references=("none",),
    )

    def tasks(self, sequences: tuple[str, ...], network: Size) -> dict[str, Task]:
        """Malignancy alone."""
        return {"malignancy": Task(taxonomy="binary")}

    def inputs(
        self, study: Study, lesion_id: int | None, spec: ModelSpec, pose: float | None = None
    ) -> tuple[NetworkInput, ...]:
        """Cut the slice through the first lesion, else through the middle of the reference."""
        present = tuple(name in study.images for name in spec.sequences)
        if not any(present):
            raise StudyError(f"Study {study.id} has none of {', '.join(spec.sequences)}; add one.")
        plane, level = _plane(study, spec.patches, pose or 0.0)
        images = np.stack([_cut(study, name, plane) for name in spec.sequences])
        age = study.clinical.get("age")
        known = isinstance(age, int | float)
        said = (float(age) / OLDEST, 1.0) if known else (0.0, 0.0)  # type: ignore[arg-type]
        warnings = () if known else ("the patient's age is not known",)
        return (SliceInput(spec.sequences, present, images, said, level, warnings),)

    def network(self, spec: ModelSpec, *, device: str = "cpu") -> nn.Module:
        """Build the network."""
        import torch
        from toy_network import ToyNetwork

        with torch.device(device):
            return ToyNetwork(len(spec.sequences), spec.network.width)

    def input_format(self, spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """The slices and the age."""
        side = spec.patches.size
        return {
            "slices": {
                "type": "image",
                "format": "magnitude",
                "modality": "MR",
                "num_channels": len(spec.sequences),
                "spatial_shape": [side, side],
                "dtype": "float32",
                "value_range": [-10, 10],
                "is_patch_data": True,
                "channel_def": {str(i): name for i, name in enumerate(spec.sequences)},
            }
        }


def _plane(study: Study, cut: Cut, shift_mm: float) -> tuple[sitk.Image, int]:
    """Empty square in the plane of the reference's slices, and the number of the slice."""
    reference = study.images[study.reference].image
    if study.lesion_ids:
        centre = lesion_geometry(study.outlined_lesions, study.lesion_ids[0]).centroid_lps_mm
    else:
        middle = [(n - 1) / 2 for n in reference.GetSize()]
        centre = reference.TransformContinuousIndexToPhysicalPoint(middle)
    axes = np.reshape(reference.GetDirection(), (3, 3))
    half = (cut.size - 1) / 2 * cut.spacing_mm
    plane = sitk.Image([cut.size, cut.size, 1], sitk.sitkFloat32)
    plane.SetSpacing([cut.spacing_mm] * 3)
    plane.SetDirection(reference.GetDirection())
    plane.SetOrigin((np.asarray(centre) + axes @ (shift_mm - half, -half, 0.0)).tolist())
    return plane, round(reference.TransformPhysicalPointToContinuousIndex(centre)[2])


def _cut(study: Study, name: str, plane: sitk.Image) -> np.ndarray:
    sequence = study.images.get(name)
    if sequence is None:
        return np.zeros(plane.GetSize()[1::-1], np.float32)
    way = sequence.transform or sitk.Transform(3, sitk.sitkIdentity)
    pixels = sitk.GetArrayFromImage(sitk.Resample(sequence.image, plane, way, sitk.sitkLinear))[0]
    return ((pixels - pixels.mean()) / max(float(pixels.std()), 1e-6)).astype(np.float32)


SYSTEM = Toy()


def install(folder: Any, environment: Mapping[str, str]) -> dict[str, str]:
    """Make the toy a system of an installed package, as pip would, for this process' children.

    Parameters
    ----------
    folder
        Where the package's description is written.
    environment
        Of the process.

    Returns
    -------
    dict
        The environment that children find the system with.
    """
    import os
    from pathlib import Path

    described = Path(folder) / "toy2027-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: toy2027\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[liverlesionai.systems]\ntoy2027 = toy_system:SYSTEM\n")
    paths = [str(folder), str(Path(__file__).parent), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
