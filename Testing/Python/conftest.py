"""Made-up studies shared by the tests."""

from __future__ import annotations

import locale
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import settings

from LiverLesionAI.study import SequenceImage, Study

if TYPE_CHECKING:
    from LiverLesionAI.training.cache import CaseCache
    from LiverLesionAI.training.config import TrainingConfig

# What a shell starts in the background is deaf to Ctrl-C, and so would be the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("free", deadline=None)
settings.load_profile("fixed")

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the graphs of the tests' models out of the user's cache folder, also in other processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVERLESIONAI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def kept_library() -> Iterator[None]:
    """Put the library's modules back after a test that reads them anew, as a module's Reload does."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("LiverLesionAI.")}
    yield
    for name in [name for name in sys.modules if name.startswith("LiverLesionAI.")]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture(autouse=True, scope="module")
def locale_kept() -> Iterator[None]:
    """Desktop libraries set the process's locale, by which later tests would read what programs say."""
    before = locale.setlocale(locale.LC_CTYPE)
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture
def shared_data() -> Path:
    """Real images, where the machine has them."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real images are not at hand (no folder shared/data beside the project)")
    return SHARED_DATA


def ball_image(
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
    centre_lps_mm: tuple[float, float, float],
    radius_mm: float,
    *,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    inside: float = 100.0,
    outside: float = 20.0,
) -> sitk.Image:
    """Image of a ball given in physical space; grid ``[x, y, z]``."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    axes = np.asarray(direction).reshape(3, 3)
    points = (indices * np.asarray(spacing)) @ axes.T + np.asarray(origin)
    distance = np.linalg.norm(points - np.asarray(centre_lps_mm), axis=-1)
    voxels = np.where(distance <= radius_mm, inside, outside).astype(np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


@pytest.fixture
def ball_study() -> Callable[..., Study]:
    """Return a maker of studies with one ball-shaped lesion, each sequence on its own anisotropic grid."""

    def make(radius_mm: float = 10.0, sequences: tuple[str, ...] = ("T2WI", "DWI", "LAP")) -> Study:
        centre = (60.0, 70.0, 50.0)
        grids = [
            ((100, 100, 18), (1.4, 1.4, 6.0)),
            ((56, 56, 16), (2.6, 2.6, 7.0)),
            ((120, 120, 34), (1.2, 1.2, 3.0)),
        ]
        images = {
            name: SequenceImage(ball_image(*grids[i % 3], centre, radius_mm))
            for i, name in enumerate(sequences)
        }
        lesions = sitk.Cast(images[sequences[0]].image > 50, sitk.sitkUInt16)
        return Study("ball", "made up", images, lesions=lesions, reference=sequences[0])

    return make


@pytest.fixture
def study_folder(tmp_path: Path, ball_study: Callable[..., Study]) -> Path:
    """A study folder on disk."""
    folder = tmp_path / "S1"
    folder.mkdir()
    study = ball_study()
    for name, image in study.images.items():
        sitk.WriteImage(image.image, folder / f"{name}.nii.gz")
    sitk.WriteImage(study.lesions, folder / "lesions.nii.gz")
    return folder


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of a cohort to train on, its studies beside it; tests may put more tables there."""
    from made_training import write_cohort

    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def config(cohort: Path) -> TrainingConfig:
    """A configuration that trains one small fold on the cohort."""
    from made_training import settings as training_settings

    from LiverLesionAI.training.config import TrainingConfig

    return TrainingConfig.model_validate(training_settings(cohort))


@pytest.fixture(scope="session")
def cache(config: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> CaseCache:
    """The cohort's cached patches."""
    from LiverLesionAI.training.cache import build_cache

    return build_cache(config, tmp_path_factory.mktemp("patches"), workers=2)
