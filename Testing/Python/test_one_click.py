"""One-click lesion: from a point to a mask, on made-up lesions, phantoms and real images."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from made_studies import bspline, centres, directions, filled, grid, points_of, rigid, same_image

from LiverLesionAI.errors import ConfigError, StudyError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.one_click import NoLesionError, find_lesion, outline_lesion, ray_directions
from LiverLesionAI.one_click.rays import centroid_mm, radii_mm, rasterised, seen_from, steps_of
from LiverLesionAI.phantom import generate_lesion
from LiverLesionAI.study import SequenceImage, Study

GRIDS = {
    "T2WI": ((96, 96, 24), (1.5, 1.5, 7.0)),
    "DWI": ((48, 48, 24), (3.0, 3.0, 7.0)),
    "LAP": ((110, 110, 48), (1.3, 1.3, 3.5)),
}
Point = tuple[float, float, float]


def made(
    centre: Point = (0.0, 0.0, 0.0),
    radius_mm: float = 14.0,
    shells: tuple[tuple[float, float], ...] = ((1.0, 60.0),),
    direction: np.ndarray | None = None,
    transforms: dict[str, sitk.Transform] | None = None,
    noise: float = 8.0,
) -> Study:
    """A ball of shells (relative radius, contrast; the inner ones last) in even tissue, on three grids."""
    rng = np.random.default_rng(1)
    images = {}
    for name, (size, spacing) in GRIDS.items():
        frame = grid(size, spacing, np.eye(3) if direction is None else direction, centre)
        transform = (transforms or {}).get(name)
        middle = centre if transform is None else transform.TransformPoint(centre)
        away = np.linalg.norm(points_of(frame) - np.asarray(middle), axis=-1)
        voxels = rng.normal(100, noise, away.shape)
        last = np.zeros_like(away)
        for relative, contrast in shells:
            last = np.where(away <= relative * radius_mm, contrast, last)
        images[name] = SequenceImage(filled(frame, (voxels + last).astype(np.float32)), transform)
    return Study("made", "made up", images)


def truth(study: Study, centre: Point, radius_mm: float) -> np.ndarray:
    """Voxels of the reference sequence in the ball."""
    image = study.images[study.reference].image
    return np.linalg.norm(points_of(image) - np.asarray(centre), axis=-1) <= radius_mm


def dice(mask: sitk.Image, expected: np.ndarray) -> float:
    found = sitk.GetArrayViewFromImage(mask) > 0
    return float(2 * (found & expected).sum() / (found.sum() + expected.sum()))


def clicked(rng: np.random.Generator, centre: Point, radius_mm: float) -> Point:
    away = rng.normal(size=3)
    x, y, z = np.asarray(centre) + away / np.linalg.norm(away) * 0.3 * radius_mm
    return float(x), float(y), float(z)


TARGETS = {
    "even": ((1.0, 60.0),),
    "dark": ((1.0, -50.0),),
    "rim": ((1.0, 60.0), (0.75, 0.0)),
    "target": ((1.0, -45.0), (0.6, 70.0)),
    "scar": ((1.0, 45.0), (0.3, -40.0)),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("radius_mm", [10.0, 16.0, 35.0])
def test_balls_rims_and_targets(kind: str, radius_mm: float) -> None:
    study = made(radius_mm=radius_mm, shells=TARGETS[kind])
    point = clicked(np.random.default_rng(int(radius_mm)), (0.0, 0.0, 0.0), radius_mm)
    found = outline_lesion(study, point)
    assert dice(found.mask, truth(study, (0.0, 0.0, 0.0), radius_mm)) > 0.8
    assert set(found.surface.sequences) == set(GRIDS)


@given(directions(), centres)
@settings(max_examples=5)
def test_oblique_and_flipped_grids(direction: np.ndarray, centre: Point) -> None:
    study = made(centre, 16.0, direction=direction)
    found = outline_lesion(study, centre)
    assert dice(found.mask, truth(study, centre, 16.0)) > 0.85
    measured = np.asarray(lesion_geometry(found.mask, 1).centroid_lps_mm)
    assert np.linalg.norm(measured - centre) < 2.5


@pytest.mark.parametrize("transform", [rigid((0.2, 0.1, -0.3), (14.0, -9.0, 6.0)), bspline()])
def test_transforms_are_honoured(transform: sitk.Transform) -> None:
    study = made(radius_mm=14.0, transforms={"LAP": transform, "DWI": transform})
    expected = truth(study, (0.0, 0.0, 0.0), 14.0)
    found = outline_lesion(study, (2.0, -2.0, 1.0), sequences=["LAP", "DWI"])
    assert dice(found.mask, expected) > 0.8
    unmoved = {name: replace(image, transform=None) for name, image in study.images.items()}
    if isinstance(transform, sitk.Euler3DTransform):
        with pytest.raises(NoLesionError):
            outline_lesion(replace(study, images=unmoved), (2.0, -2.0, 1.0), sequences=["LAP", "DWI"])


def test_sequences_that_do_not_show_the_lesion_do_no_harm() -> None:
    study = made(radius_mm=12.0)
    rng = np.random.default_rng(2)
    for name in ("DWI", "LAP"):
        image = study.images[name].image
        blank = filled(image, rng.normal(100, 8, image.GetSize()[::-1]).astype(np.float32))
        study = replace(study, images={**study.images, name: SequenceImage(blank)})
    found = outline_lesion(study, (2.0, 1.0, -2.0))
    assert found.surface.sequences[0] == "T2WI"
    assert dice(found.mask, truth(study, (0.0, 0.0, 0.0), 12.0)) > 0.8
    with pytest.raises(NoLesionError):
        outline_lesion(study, (2.0, 1.0, -2.0), sequences=["DWI", "LAP"])


def test_even_tissue_is_refused_and_not_flooded() -> None:
    study = made(radius_mm=12.0)
    even = made(shells=())
    for where in ((0.0, 0.0, 0.0), (20.0, -15.0, 10.0)):
        with pytest.raises(NoLesionError, match="click nearer to its centre"):
            outline_lesion(even, where)
    with pytest.raises(NoLesionError):
        outline_lesion(study, (45.0, -40.0, 20.0))


def test_wrong_input_is_named() -> None:
    study = made()
    with pytest.raises(StudyError, match="HBP"):
        outline_lesion(study, (0.0, 0.0, 0.0), sequences=["HBP"])
    with pytest.raises(StudyError, match="no sequence"):
        outline_lesion(study, (0.0, 0.0, 0.0), sequences=[])
    with pytest.raises(StudyError, match="outside every image"):
        outline_lesion(study, (0.0, 0.0, 900.0))
    with pytest.raises(ConfigError, match="three numbers"):
        outline_lesion(study, (0.0, float("nan"), 0.0))
    with pytest.raises(ConfigError, match="looseness"):
        outline_lesion(study, (0.0, 0.0, 0.0), looseness=1.5)


def test_the_slider_gives_nested_masks() -> None:
    study = made(radius_mm=16.0)
    surface = find_lesion(study, (2.0, -3.0, 1.0))
    frame = study.images["LAP"].image
    masks = [sitk.GetArrayFromImage(surface.mask(frame, at / 4)) > 0 for at in range(-4, 5)]
    volumes = [int(mask.sum()) for mask in masks]
    assert all((looser | tighter == looser).all() for tighter, looser in pairwise(masks))
    assert volumes[0] < 0.75 * volumes[4] and volumes[-1] > 1.3 * volumes[4]
    assert same_image(surface.mask(frame), outline_lesion(study, (2.0, -3.0, 1.0), grid=frame).mask)


def test_the_same_click_gives_the_same_mask() -> None:
    study = made(radius_mm=11.0)
    code = (
        "from test_one_click import made; from LiverLesionAI.one_click import find_lesion; import hashlib; "
        "s = find_lesion(made(radius_mm=11.0), (1.0, 2.0, -1.0)); "
        "print(hashlib.sha256(s.steps.tobytes()).hexdigest())"
    )
    here = find_lesion(study, (1.0, 2.0, -1.0)).steps
    again = find_lesion(study, (1.0, 2.0, -1.0)).steps
    assert np.array_equal(here, again)
    command = [sys.executable, "-c", code]
    runs = {
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent).stdout
        for _ in range(2)
    }
    assert len(runs) == 1 and len(runs.pop().strip()) == 64


@given(st.floats(4, 30), st.tuples(*[st.floats(-0.4, 0.4)] * 3))
@settings(max_examples=15)
def test_a_ball_seen_from_elsewhere(radius_mm: float, away: Point) -> None:
    shift = np.asarray(away) * radius_mm
    ball = steps_of(np.full(len(ray_directions()), radius_mm))
    moved = seen_from(ball, shift)
    points = ray_directions() * radii_mm(moved)[:, None] + shift
    assert np.abs(np.linalg.norm(points, axis=1) - radius_mm).max() < 0.1 * radius_mm
    assert np.abs(centroid_mm(moved) + shift).max() < 0.1 * radius_mm


@given(st.floats(8, 30), directions(), centres)
@settings(max_examples=10)
def test_a_rasterised_ball_has_its_volume(radius_mm: float, direction: np.ndarray, centre: Point) -> None:
    frame = grid((60, 60, 24), (1.4, 1.6, 4.0), direction, centre)
    voxels = rasterised(centre, steps_of(np.full(len(ray_directions()), radius_mm)), frame)
    assert voxels is not None
    volume = voxels.sum() * 1.4 * 1.6 * 4.0
    assert volume == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.15)


def test_a_lesion_smaller_than_half_a_voxel_gets_one() -> None:
    frame = grid((9, 9, 5), (3.0, 3.0, 7.0), np.eye(3), (0.0, 0.0, 0.0))
    voxels = rasterised((0.5, 0.2, 1.0), steps_of(np.full(len(ray_directions()), 1.8)), frame)
    assert voxels is not None and voxels.sum() == 1 and voxels[2, 4, 4] == 1
    assert rasterised((500.0, 0.0, 0.0), steps_of(np.full(len(ray_directions()), 9.0)), frame) is None


@pytest.mark.parametrize(("seed", "lesion_class"), [(700004, "HCC"), (700013, "metastasis")])
def test_phantoms(seed: int, lesion_class: str) -> None:
    study = generate_lesion(seed, lesion_class).study
    geometry = lesion_geometry(study.outlined_lesions, 1)
    radius = (geometry.volume_ml * 750 / np.pi) ** (1 / 3)
    point = clicked(np.random.default_rng(seed), geometry.centroid_lps_mm, radius)
    outline_lesion(study, point)
    start = time.thread_time()
    found = outline_lesion(study, point)
    assert time.thread_time() - start < 1.0
    assert dice(found.mask, sitk.GetArrayFromImage(study.outlined_lesions) > 0) > 0.8
