"""A cohort of phantoms as DICOM, with the truth in a place of its own.

The layout is that of :mod:`LiverLesionAI.phantom.writer`, but for the studies themselves::

    cohort.csv
    <study>/dicom/…  <study>/lesions.nii.gz
    truth/<study>/…
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import output_folder
from LiverLesionAI.phantom.fields import stream
from LiverLesionAI.phantom.generate import PhantomStudy
from LiverLesionAI.phantom.modality import MR, Modality
from LiverLesionAI.phantom.writer import TRUTH_FOLDER, write_cohort, write_truth
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.readers.folder import MASK_STEM
from LiverLesionAI.writers.volumes import write_image

from .plan import LAYOUTS
from .writer import write_dicom_study

DICOM_FOLDER, MASK_FILE = "dicom", f"{MASK_STEM}.nii.gz"


def write_dicom_phantom(phantom: PhantomStudy, out_dir: Path, *, layout: str | None = None) -> Path:
    """Write one phantom as DICOM into `out_dir`, its outline beside it and its truth apart.

    Parameters
    ----------
    phantom
        To write; the scanner's vendor is that of its protocol.
    out_dir
        Folder of studies; created if needed, may hold other studies.
    layout
        One of :data:`plan.LAYOUTS`; drawn from the phantom's seed when omitted.

    Returns
    -------
    Path
        The study folder, which is read as a study by itself: its images from ``dicom``, its outline beside.

    Raises
    ------
    OutputError
        If the study's folder holds something already, or cannot be written.
    """
    truth, name = phantom.truth, phantom.study.id
    if layout is None:
        layout = LAYOUTS[int(stream(truth.seed, "DICOM layout").integers(len(LAYOUTS)))]
    with output_folder(out_dir / TRUTH_FOLDER / name, ()) as folder:
        write_truth(truth, folder)
    with output_folder(out_dir / name, ()) as folder:
        write_dicom_study(phantom, folder / DICOM_FOLDER, vendor=truth.protocol.vendor, layout=layout)
        write_image(phantom.study.outlined_lesions, folder / MASK_FILE)
    return out_dir / name


def write_dicom_cohort(
    out: str | Path,
    n: int,
    seed: int = 0,
    *,
    classes: Sequence[str] | None = None,
    misalign_mm: tuple[float, float] = (0.0, 0.0),
    omit: Sequence[str] = (),
    vendor: str | None = None,
    lesion_centred: bool = False,
    modality: Modality = MR,
    progress: Progress = silent,
) -> Path:
    """Write `n` phantom studies as DICOM, in layouts drawn from their seeds, and their cohort table.

    More than six parameters: each is a choice of its own, as for a single phantom.

    Parameters and return value are those of :func:`LiverLesionAI.phantom.writer.write_cohort`.

    Raises
    ------
    OutputError
        If the folder holds something already, or cannot be written.
    ConfigError
        If an argument is not known or not possible; among them `lesion_centred`, because DICOM has no place
        for the intensity limits of the whole volume that such a study carries.
    """
    if lesion_centred:
        raise ConfigError("Lesion-centred phantoms cannot be written as DICOM; write whole studies or NIfTI.")
    return write_cohort(
        out,
        n,
        seed,
        classes=classes,
        misalign_mm=misalign_mm,
        omit=omit,
        vendor=vendor,
        modality=modality,
        write=write_dicom_phantom,
        progress=progress,
    )
