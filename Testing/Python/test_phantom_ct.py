"""The CT phantom: attenuation, categories, noise, and the files of three vendors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from LiverLesionAI.cli.commands import app
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.phantom import PhantomStudy, generate_lesion
from LiverLesionAI.phantom.anatomy import LABELS
from LiverLesionAI.phantom.ct import CTScanner, kernel_noise
from LiverLesionAI.phantom.dicom import write_dicom_study
from LiverLesionAI.phantom.fields import Grid
from LiverLesionAI.phantom.generate import draw_patient
from LiverLesionAI.phantom.modality import CT
from LiverLesionAI.readers.dicom.identify import identify
from LiverLesionAI.readers.dicom.study import read_dicom_study
from LiverLesionAI.readers.folder import read_study_folder

SEED = 852_000


@pytest.fixture(scope="module")
def phantom() -> PhantomStudy:
    return generate_lesion(SEED, "cyst", atypical=False, sequences=CT.sequences)


def attenuation(seed: int, name: str) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """HU of every label in each phase, the share of each label in the lesion's bulk, the liver's label."""
    patient = draw_patient(seed, (name,), False, (0.0, 0.0), CT.sequences, None, None)
    lesion = patient.lesions[0]
    scene, painted = patient.scene(Grid.covering(*lesion.box, max(lesion.shape.radius / 10, 0.8)))
    assert isinstance(patient.scanner, CTScanner)
    hu = {phase: patient.scanner.attenuation(scene, phase) for phase in CT.sequences}
    bulk = [i for i, region in enumerate(painted.region_names) if region in ("core", "nodules")]
    inside = np.bincount(scene.labels[np.isin(painted.regions, bulk)], minlength=len(hu["CT_ART"]))
    return hu, inside / inside.sum(), scene.liver


def test_organs_measure_what_ct_measures_of_them() -> None:
    hu, _, _ = attenuation(SEED, "cyst")
    of = {name: [hu[phase][LABELS.index(name)] for phase in CT.sequences] for name in LABELS}
    assert of["air"][1] == -1000 and -120 < of["fat"][1] < -80
    plain, arterial, portal, delayed = of["artery"]
    assert plain < 50 and 250 < arterial < 400 and arterial > portal > delayed > 110
    assert of["portal vein"][1] < of["artery"][1] and of["portal vein"][2] > of["portal vein"][1]
    plain, arterial, portal, delayed = of["liver"]
    assert 40 < plain < 75 and plain < arterial < portal and 80 < delayed < portal < 160
    assert of["ascites"][0] == of["ascites"][2] < 20


@pytest.mark.parametrize("number", range(3))
def test_the_categories_show_the_signs_that_define_them(number: int) -> None:
    """Criteria of Yasaka et al. 2018, Reference Standard, on the bulk of the lesion without noise."""

    def above_liver(name: str, phase: str) -> float:
        hu, share, liver = attenuation(SEED + number, name)
        return float(hu[phase] @ share - hu[phase][liver])

    early = above_liver("HCC", "CT_ART")
    assert early > 15 and early > above_liver("HCC", "CT_DELAY") + 15
    assert above_liver("haemangioma", "CT_DELAY") > above_liver("haemangioma", "CT_ART")
    hu, share, _ = attenuation(SEED + number, "cyst")
    measured = [float(values @ share) for values in hu.values()]
    assert np.ptp(measured) < 1 and measured[0] < 35


def test_noise_has_the_texture_of_a_kernel() -> None:
    noise = kernel_noise(np.random.default_rng(0), Grid((0, 0, 0), (0.75, 0.75, 3.0), (256, 256, 6)), 0.25)
    assert noise.std() == pytest.approx(1, abs=1e-3) and abs(noise.mean()) < 0.01
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256, 0.75)] * 2))
    steps = np.arange(0.05, 0.65, 0.05)
    rings = [power[np.abs(frequency - step) < 0.02].mean() for step in steps]
    assert steps[int(np.argmax(rings))] == pytest.approx(0.25, abs=0.051)


def test_a_cyst_measures_its_noise_and_a_phase_is_the_same_in_every_protocol(phantom: PhantomStudy) -> None:
    study, truth = phantom.study, phantom.truth
    inside = sitk.GetArrayFromImage(sitk.BinaryErode(study.outlined_lesions == 1, [3, 3, 0])) > 0
    voxels = sitk.GetArrayFromImage(study.images["CT_ART"].image)[inside]
    asked = truth.protocol.acquisitions["CT_ART"].noise_hu
    assert voxels.std() == pytest.approx(asked, rel=0.35) and study.reference == "CT_ART"
    fewer = generate_lesion(SEED, "cyst", atypical=False, sequences=("CT_ART", "CT_DELAY")).study
    assert input_equal(fewer.images["CT_DELAY"].image, study.images["CT_DELAY"].image)


def input_equal(one: sitk.Image, other: sitk.Image) -> bool:
    return bool(np.array_equal(sitk.GetArrayViewFromImage(one), sitk.GetArrayViewFromImage(other)))


def test_modalities_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="no sequence 'T2WI'"):
        generate_lesion(1, "HCC", sequences=("CT_ART", "T2WI"))
    with pytest.raises(ConfigError, match="no lesion class 'FNH'"):
        generate_lesion(1, "FNH", sequences=CT.sequences)
    with pytest.raises(ConfigError, match="needs CT_ART"):
        generate_lesion(1, "HCC", sequences=("CT_PLAIN",))


def test_the_command_writes_ct_studies(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path / "P"), "--modality", "ct", "--lesion-centred", "--seed", str(SEED)]
    done = CliRunner().invoke(app, ["phantom", *arguments, "--classes", "cyst", "--omit", "CT_PORTAL"])
    assert done.exit_code == 0, done.output
    study = read_study_folder(tmp_path / "P" / f"phantom-{SEED}")
    assert set(study.images) == {"CT_PLAIN", "CT_ART", "CT_DELAY"} and study.reference == "CT_ART"
    assert sitk.GetArrayViewFromImage(study.images["CT_PLAIN"].image).min() < 0
    odd = CliRunner().invoke(app, ["phantom", *arguments, "--misalign", "3,1,2"])
    assert odd.exit_code == 3 and "--misalign '3,1,2' is not of the form RIGID_MM" in odd.output
    assert '"kvp": 120' in (tmp_path / "P" / "truth" / f"phantom-{SEED}" / "truth.json").read_text()


@pytest.mark.parametrize(
    ("vendor", "told_by"),
    [("siemens", "nativ"), ("ge", "names no contrast agent"), ("philips", "after the injection")],
)
def test_phases_are_told_by_words_by_dose_and_by_time(
    phantom: PhantomStudy, tmp_path: Path, vendor: str, told_by: str
) -> None:
    write_dicom_study(phantom, tmp_path, vendor=vendor, layout="separate")
    found = {item.sequence: item for item in identify(tmp_path)}
    assert set(found) == {*CT.sequences, "other"}
    assert any(told_by in reason for item in found.values() for reason in item.reasons)
    study = read_dicom_study(tmp_path)
    assert study.reference == "CT_ART" and set(study.images) == set(CT.sequences)
    for name, image in study.images.items():
        assert input_equal(image.image, phantom.study.images[name].image), name
