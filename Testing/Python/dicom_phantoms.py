"""A small phantom for tests of DICOM: the surroundings of a lesion, few slices, every sequence."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.phantom import PhantomStudy, generate_lesion
from LiverLesionAI.phantom.dicom import Series, plan_examination
from LiverLesionAI.phantom.fields import Grid
from LiverLesionAI.phantom.protocol import MR_SEQUENCES
from LiverLesionAI.study import DicomSource, SequenceImage, Study

SLICES = 3


@lru_cache(maxsize=1)
def phantom() -> PhantomStudy:
    """A lesion's surroundings with every sequence, only the middle slices."""
    whole = generate_lesion(5, "HCC", sequences=MR_SEQUENCES, misalign_mm=(3.0, 1.0))
    grids = {name: _middle(grid) for name, grid in whole.truth.grids.items()}
    images = {
        name: SequenceImage(grids[name].image(_middle_slices(image.image)))
        for name, image in whole.study.images.items()
    }
    lesions = grids["T2WI"].image(_middle_slices(whole.study.outlined_lesions))
    study = replace(whole.study, images=images, lesions=lesions)
    return PhantomStudy(study, replace(whole.truth, grids=grids))


@lru_cache(maxsize=16)
def planned(vendor: str, layout: str) -> tuple[Series, ...]:
    """The series of the phantom as one vendor and layout has them."""
    return plan_examination(phantom(), vendor, layout).series


def study_from_dicom(folder: Path, vendor: str, layout: str) -> Study:
    """The phantom's study with the places of its slices in a folder that it was written into."""
    import pydicom

    files: dict[str, list[tuple[float, Path]]] = {}
    for file in folder.rglob("*"):
        if file.is_file():
            ds = pydicom.dcmread(file, stop_before_pixels=True)
            height = float(ds.get("ImagePositionPatient", (0, 0, 0))[2])
            files.setdefault(ds.SeriesInstanceUID, []).append((height, file))
    images = dict(phantom().study.images)
    for series in planned(vendor, layout):
        single = len(series.volumes) == 1 and series.b_values in ((), (800.0,))
        if single and series.sequences and series.uid in files:
            images[series.sequences[0]] = _with_source(series, [f for _, f in sorted(files[series.uid])])
    return replace(phantom().study, images={n: i for n, i in images.items() if n in MR_SEQUENCES})


def _with_source(series: Series, files: list[Path]) -> SequenceImage:
    image = series.volumes[0].image
    depth = image.GetSize()[2]
    single = len(files) == depth
    frames = (1,) * depth if single else tuple(range(1, depth + 1))
    return SequenceImage(
        image, dicom=DicomSource(series.uid, tuple(files) if single else (files[0],) * depth, frames)
    )


def _middle(grid: Grid) -> Grid:
    first = (grid.size[2] - SLICES) // 2
    return grid.cropped((slice(first, first + SLICES), slice(0, grid.size[1]), slice(0, grid.size[0])))


def _middle_slices(image: sitk.Image) -> np.ndarray:
    array = sitk.GetArrayFromImage(image)
    first = (len(array) - SLICES) // 2
    return array[first : first + SLICES]
