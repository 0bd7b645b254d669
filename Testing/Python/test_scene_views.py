"""What a saved scene looks like, rendered as Slicer renders it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_studies import RADIUS_MM, filled, made_result, made_study, points_of, rigid

from LiverLesionAI.scenes.show import write_scene
from LiverLesionAI.study import SequenceImage
from LiverLesionAI.taxonomy import HCC

pytest.importorskip("trame_slicer", reason="trame-slicer[standalone] is not installed")

SIZE = 480
FIELD_OF_VIEW_MM = 250.0


@pytest.fixture(scope="module")
def views(tmp_path_factory) -> dict[str, np.ndarray]:
    """The three views of a study that brightens towards the patient's left, front and head."""
    folder = tmp_path_factory.mktemp("views")
    study = made_study(transform=rigid((0.1, -0.05, 0.15), (12.0, -9.0, 7.0)))
    lap = study.images["LAP"]
    slope = points_of(lap.image) @ (0.4, -0.4, 0.4)
    image = filled(lap.image, sitk.GetArrayFromImage(lap.image) + slope.astype(np.float32))
    study = replace(study, images={**study.images, "LAP": SequenceImage(image, lap.transform)})
    write_scene(study, made_result(study, ("HCC", "cyst")), folder / "scene.mrb")
    script = Path(__file__).with_name("render_scene.py")
    command = [sys.executable, str(script), str(folder / "scene.mrb"), str(folder / "views.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "libOSMesa not found" in done.stderr:
        pytest.skip("There is no OpenGL for off-screen rendering (Debian: libegl1 libgl1 libgl1-mesa-dri).")
    assert done.returncode == 0, done.stderr[-2000:]
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(folder / "views.png")).astype(float)
    return {
        name: pixels[:, i * SIZE : (i + 1) * SIZE] for i, name in enumerate(("axial", "sagittal", "coronal"))
    }


def outline(view: np.ndarray) -> np.ndarray:
    """Pixels [row, column] of the colour of HCC."""
    return np.argwhere(np.abs(view - HCC.colour).max(axis=-1) < 30)


@pytest.mark.parametrize("name", ["axial", "sagittal", "coronal"])
def test_the_outline_is_drawn_around_the_lesion_in_the_middle_of_each_view(views, name):
    pixels = outline(views[name])
    expected = 2 * RADIUS_MM * SIZE / FIELD_OF_VIEW_MM
    assert np.allclose(np.ptp(pixels, axis=0), expected, atol=14)
    assert np.allclose((pixels.min(axis=0) + pixels.max(axis=0)) / 2, SIZE / 2, atol=8)
    grey = views[name].mean(axis=-1)
    rows, columns = np.indices(grey.shape) - SIZE / 2
    distance = np.hypot(rows, columns)
    inside, around = (
        grey[distance < 0.35 * expected],
        grey[(distance > 0.8 * expected) & (distance < expected)],
    )
    assert np.median(inside) > np.median(around) + 60


@pytest.mark.parametrize(
    ("name", "brighter_side"), [("axial", "right"), ("coronal", "right"), ("sagittal", "left")]
)
def test_views_are_oriented_as_radiologists_read(views, name, brighter_side):
    """Patient's left on the right of the screen, front up in axial and left in sagittal views, head up."""
    grey = views[name].mean(axis=-1)
    lit = grey > 0
    rows, columns = np.indices(grey.shape)
    slopes = np.linalg.lstsq(
        np.stack([rows[lit], columns[lit], np.ones(lit.sum())], axis=1), grey[lit], rcond=None
    )[0]
    assert slopes[0] < 0, "brighter at the top"
    assert (slopes[1] > 0) == (brighter_side == "right")
