"""What a saved scene with an explanation looks like, rendered as Slicer renders it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_explanations import made_explanation
from made_studies import made_result, made_study, rigid

from LiverLesionAI.scenes.show import write_scene

pytest.importorskip("trame_slicer", reason="trame-slicer[standalone] is not installed")

SIZE = 480
FIELD_OF_VIEW_MM = 150.0
STORED = Path(__file__).with_name("pictures") / "scene_saliency.png"
"""Axial, sagittal and coronal view, to look at and to compare with; a third of the rendered size."""
TOLERANCE = 4.0
"""Mean difference in grey levels of 255; fonts and smoothing differ between machines."""


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The three views side by side, [row, column, RGB]."""
    folder = tmp_path_factory.mktemp("views")
    study = made_study(transform=rigid((0.1, -0.05, 0.15), (4.0, -3.0, 2.0)))
    write_scene(study, made_result(study), folder / "scene.mrb", [made_explanation(study)])
    script = Path(__file__).with_name("render_scene.py")
    command = [sys.executable, str(script), str(folder / "scene.mrb"), str(folder / "views.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if "libOSMesa not found" in done.stderr:
        pytest.skip("There is no OpenGL for off-screen rendering (Debian: libegl1 libgl1 libgl1-mesa-dri).")
    assert done.returncode == 0, done.stderr[-2000:]
    return sitk.GetArrayFromImage(sitk.ReadImage(folder / "views.png")).astype(float)


def smaller(picture: np.ndarray) -> np.ndarray:
    rows, columns, _ = picture.shape
    return picture.reshape(rows // 3, 3, columns // 3, 3, 3).mean(axis=(1, 3))


def redness(view: np.ndarray) -> np.ndarray:
    return view[..., 0] - view[..., 2]


def test_the_views_look_as_they_are_stored(picture: np.ndarray) -> None:
    stored = sitk.GetArrayFromImage(sitk.ReadImage(STORED)).astype(float)
    assert np.abs(smaller(picture) - stored).mean() <= TOLERANCE


def test_saliency_shows_red_at_its_place_and_nothing_far_from_it(picture: np.ndarray) -> None:
    """The ball of saliency lies off the lesion's centre, to the patient's left and to the front."""
    explanation = made_explanation(made_study())
    grid = explanation.lesion.grid
    index = (18.0, 14.0, float(explanation.largest_slice))
    image = explanation.image("LAP")
    place = np.array(image.TransformContinuousIndexToPhysicalPoint(index))
    middle = np.array(explanation.slice_centre_lps_mm(explanation.largest_slice))
    pixels_per_mm = SIZE / FIELD_OF_VIEW_MM
    column, row = SIZE / 2 + (place - middle)[:2] * pixels_per_mm
    axial = redness(picture[:, :SIZE])
    rows, columns = np.indices(axial.shape)
    distance = np.hypot(rows - row, columns - column) / pixels_per_mm
    reach = 8 * grid.spacing_mm
    assert axial[distance < 0.3 * reach].mean() > 40
    beyond = (distance > 2.5 * reach) & (columns < 0.75 * SIZE) & (rows > 0.1 * SIZE) & (rows < 0.9 * SIZE)
    assert np.abs(axial[beyond]).mean() < 5
