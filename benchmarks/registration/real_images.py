"""Error at landmarks of real images that were moved by known transforms, also with another contrast.

Usage: python benchmarks/registration/real_images.py [--pairs 2] [--elastix] [IMAGE …]

Each image is moved by a rigid transform (up to 12 mm and 3°) and a smooth deformation (up to 5 mm), and its
grey values are kept, inverted, or raised to a power. Landmarks are points of the body, 10 mm apart, which
both images show. With `--elastix` the same pairs go to itk-elastix's stock parameter maps, rigid and then
B-spline with mutual information, with one thread as ours.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.registration import register_study
from LiverLesionAI.registration.regions import body_mask, image_box
from LiverLesionAI.study import SequenceImage, Study

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "totalsegmentator"
IMAGES = ("example_mr_sm.nii.gz", "example_ct_sm.nii.gz")
CONTRASTS = ("same", "inverted", "gamma")
SHIFT_MM, TURN_DEG, SMOOTH_MM = 12.0, 3.0, 5.0
LANDMARK_SPACING_MM = 10.0


@dataclass(frozen=True)
class Pair:
    """An image, the same moved, and points that both show.

    Attributes
    ----------
    fixed, moving
        The images.
    truth
        Maps points of `fixed` to points of `moving`, LPS mm.
    landmarks
        Points of `fixed`, [n, 3], LPS mm.
    """

    fixed: sitk.Image
    moving: sitk.Image
    truth: sitk.Transform
    landmarks: NDArray[np.float64]


def make_pair(image: sitk.Image, contrast: str, rng: np.random.Generator) -> Pair:
    """Move an image by a random transform and change its contrast."""
    backward = _random_transform(image, rng)
    grey = sitk.Clamp(sitk.Cast(image, sitk.sitkFloat32), sitk.sitkFloat32, *_window(image))
    moving = sitk.Resample(grey, image, backward, sitk.sitkLinear, float(_window(image)[0]))
    low, high = _window(image)
    shares = sitk.Clamp((moving - low) / (high - low), sitk.sitkFloat32, 0.0, 1.0)
    if contrast == "inverted":
        shares = 1 - shares
    elif contrast == "gamma":
        shares = sitk.Pow(shares, 0.5)
    truth = _inverse(backward, image)
    body = body_mask(image, image_box(image, image))
    index = np.argwhere(sitk.GetArrayViewFromImage(body) > 0)[:, ::-1]
    every = max(1, round(LANDMARK_SPACING_MM / body.GetSpacing()[0]))
    chosen = index[(index % every == 0).all(axis=1)].tolist()
    points = np.array([body.TransformIndexToPhysicalPoint(i) for i in chosen])
    inside = [_covers(image, truth.TransformPoint(point)) for point in points.tolist()]
    return Pair(grey, shares * 1000, truth, points[inside])


def _window(image: sitk.Image) -> tuple[float, float]:
    low, high = np.percentile(sitk.GetArrayViewFromImage(image), (0.5, 99.5))
    return float(low), float(high)


def _random_transform(image: sitk.Image, rng: np.random.Generator) -> sitk.Transform:
    centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    heading = rng.normal(size=3)
    shift = heading / np.linalg.norm(heading) * rng.uniform(SHIFT_MM / 2, SHIFT_MM)
    angles = np.deg2rad(rng.uniform(-TURN_DEG, TURN_DEG, 3))
    rigid = sitk.Euler3DTransform(centre, *angles.tolist(), shift.tolist())
    extent = np.multiply(image.GetSize(), image.GetSpacing())
    mesh = np.maximum(np.round(extent / 70), 1).astype(int).tolist()
    spline = sitk.BSplineTransformInitializer(image, mesh, 3)
    moves = rng.normal(size=(3, len(spline.GetParameters()) // 3))
    moves *= SMOOTH_MM / np.linalg.norm(moves, axis=0).max()
    spline.SetParameters(moves.ravel().tolist())
    return sitk.CompositeTransform([rigid, spline])


def _inverse(transform: sitk.Transform, image: sitk.Image) -> sitk.Transform:
    from LiverLesionAI.registration.outlines import inverse_within

    box = image_box(image, image)
    corners = np.array([box.point(corner) for corner in (box.low, box.high)])
    return inverse_within(transform, corners.min(axis=0) - 20, corners.max(axis=0) + 20)


def _covers(image: sitk.Image, point: tuple[float, ...]) -> bool:
    index = np.asarray(image.TransformPhysicalPointToContinuousIndex(point))
    return bool(np.all(index >= 0) and np.all(index <= np.asarray(image.GetSize()) - 1))


def errors(pair: Pair, transform: sitk.Transform | None) -> NDArray[np.float64]:
    """Distance of each landmark from where it really is in the moving image, mm."""
    found = transform or sitk.Transform(3, sitk.sitkIdentity)
    points = pair.landmarks.tolist()
    there = np.array([pair.truth.TransformPoint(point) for point in points])
    return np.linalg.norm(np.array([found.TransformPoint(point) for point in points]) - there, axis=1)


def by_this_project(pair: Pair) -> sitk.Transform:
    """Register a pair as `register --scope volume` does, with one thread."""
    images = {"T2WI": SequenceImage(pair.fixed), "PVP": SequenceImage(pair.moving)}
    registered = register_study(Study("pair", "made", images), scope="volume", workers=1)
    print("   kept:", registered.sequences["PVP"])
    transform = registered.study.images["PVP"].transform
    assert transform is not None
    return transform


def by_elastix(pair: Pair) -> sitk.Transform:
    """Register a pair by itk-elastix's stock parameter maps; returns a displacement field transform."""
    import itk

    itk.set_nthreads(1)
    fixed, moving = (_to_itk(image) for image in (pair.fixed, pair.moving))
    parameters = itk.ParameterObject.New()
    for name in ("rigid", "bspline"):
        parameters.AddParameterMap(parameters.GetDefaultParameterMap(name))
    _, found = itk.elastix_registration_method(
        fixed, moving, parameter_object=parameters, number_of_threads=1, log_to_console=False
    )
    field = itk.transformix_deformation_field(fixed, found)
    image = sitk.GetImageFromArray(itk.array_from_image(field).astype(np.float64), isVector=True)
    image.CopyInformation(pair.fixed)
    return sitk.DisplacementFieldTransform(image)


def _to_itk(image: sitk.Image):  # type: ignore[no-untyped-def]
    import itk

    result = itk.image_from_array(sitk.GetArrayFromImage(image).astype(np.float32))
    result.SetOrigin(image.GetOrigin())
    result.SetSpacing(image.GetSpacing())
    result.SetDirection(np.reshape(image.GetDirection(), (3, 3)))
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, default=[DATA / name for name in IMAGES])
    parser.add_argument("--pairs", type=int, default=1, help="for each image and contrast")
    parser.add_argument("--contrasts", default=",".join(CONTRASTS))
    parser.add_argument("--elastix", action="store_true")
    arguments = parser.parse_args()
    methods = {"ours": by_this_project} | ({"elastix": by_elastix} if arguments.elastix else {})
    totals: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ("before", *methods)}
    seconds = dict.fromkeys(methods, 0.0)
    for path in arguments.images:
        image = sitk.ReadImage(path)
        for contrast in arguments.contrasts.split(","):
            for number in range(arguments.pairs):
                pair = make_pair(image, contrast, np.random.default_rng([number, CONTRASTS.index(contrast)]))
                found = {"before": errors(pair, None)}
                for name, method in methods.items():
                    start = time.process_time()
                    transform = method(pair)
                    seconds[name] += time.process_time() - start
                    found[name] = errors(pair, transform)
                for name, values in found.items():
                    totals[name].append(values)
                medians = ", ".join(f"{name} {np.median(values):.2f}" for name, values in found.items())
                print(f"{path.name} {contrast} {number}: median error in mm: {medians}", flush=True)
    for name, values in totals.items():
        together = np.concatenate(values)
        cost = f"; {seconds[name] / len(values):.1f} CPU s a pair" if name in seconds else ""
        tail = np.percentile(together, 95)
        print(f"{name}: median {np.median(together):.2f}, 95th percentile {tail:.2f} mm{cost}")


if __name__ == "__main__":
    main()
