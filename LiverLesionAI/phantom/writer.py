"""Phantoms on disk: study folders, a cohort table, and the truth in a place of its own.

The layout is that of every study folder and cohort of this program::

    cohort.csv
    <study>/T2WI.nii.gz … lesions.nii.gz [acquisition.json]
    truth/<study>/truth.json kinetics.json regions.nii.gz masks/<SEQ>.nii.gz displacement/<SEQ>.nii.gz
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from LiverLesionAI.cohort import COHORT_FILE, CohortRow, write_rows
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import output_folder, write_json
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.writers.study_folder import write_study_folder
from LiverLesionAI.writers.volumes import write_image

from .fields import stream
from .generate import PhantomStudy, generate_lesion, generate_study
from .modality import MR, Modality
from .truth import Truth

TRUTH_FOLDER = "truth"
KINETICS_TIMES_S = np.arange(0.0, 361.0, 5.0)


def write_phantom(phantom: PhantomStudy, out_dir: str | Path, *, with_truth: bool = True) -> Path:
    """Write one phantom into `out_dir`: ``<study>/`` and, apart from it, ``truth/<study>/``.

    Parameters
    ----------
    phantom : to write.
    out_dir : folder of studies; created if needed, may hold other studies.
    with_truth : whether to write the truth as well.

    Returns
    -------
    Path
        The study folder, named by the study's id.

    Raises
    ------
    OutputError
        If the study's folder holds something already, or cannot be written.
    """
    out_dir, name = Path(out_dir), phantom.study.id
    if with_truth:
        with output_folder(out_dir / TRUTH_FOLDER / name, ()) as folder:
            write_truth(phantom.truth, folder)
    with output_folder(out_dir / name, ()) as folder:
        for _file in write_study_folder(phantom.study, folder):
            pass
    return out_dir / name


def write_cohort(
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
    write: Callable[[PhantomStudy, Path], Path] = write_phantom,
    progress: Progress = silent,
) -> Path:
    """Write `n` phantom studies of the seeds `seed`, `seed` + 1 … and their cohort table.

    More than six parameters: each is a choice of its own, as for a single phantom.

    Parameters
    ----------
    out : folder that does not exist or is empty; it appears only when everything is written.
    n : number of studies.
    seed : of the first study.
    classes : lesion classes to draw from, one for each patient; all when omitted.
    misalign_mm : bounds of the rigid and of the smooth displacement between sequences, mm.
    omit : sequences to leave out.
    vendor : siemens, ge or philips; drawn for each study when omitted.
    lesion_centred : only the surroundings of one lesion, much faster.
    modality : MRI, or CT of the categories of Yasaka et al. 2018.
    write : what writes one phantom into the folder.
    progress : told how far the work is.

    Returns
    -------
    Path
        The cohort table.

    Raises
    ------
    OutputError
        If the folder holds something already, or cannot be written.
    ConfigError
        If an argument is not known or not possible.
    """
    out = Path(out)
    with output_folder(out, ()) as folder:
        rows: list[CohortRow] = []
        for index in range(n):
            progress("make phantoms", index / n)
            phantom = _make_phantom(
                seed + index, modality, classes or modality.classes, misalign_mm, omit, vendor, lesion_centred
            )
            write(phantom, folder)
            rows += _cohort_rows(phantom)
        write_rows(folder / COHORT_FILE, rows)
        progress("make phantoms", 1.0)
    return out / COHORT_FILE


def _make_phantom(
    seed: int,
    modality: Modality,
    classes: Sequence[str],
    misalign_mm: tuple[float, float],
    omit: Sequence[str],
    vendor: str | None,
    lesion_centred: bool,
) -> PhantomStudy:
    """Make the phantom of a cohort's seed; its class is drawn from the seed. See :func:`write_cohort`.

    Raises
    ------
    ConfigError
        If an argument is not known or not possible.
    """
    name = classes[int(stream(seed, "class").integers(len(classes)))]
    if not lesion_centred:
        return generate_study(
            seed,
            classes=(name,),
            misalign_mm=misalign_mm,
            sequences=modality.usual,
            omit=omit,
            vendor=vendor,
        )
    if unknown := sorted(set(omit) - set(modality.usual)):
        raise ConfigError(f"The phantom has no sequence {', '.join(unknown)} to omit.")
    sequences = tuple(s for s in modality.usual if s not in omit)
    return generate_lesion(seed, name, misalign_mm=misalign_mm, sequences=sequences, vendor=vendor)


def _cohort_rows(phantom: PhantomStudy) -> Iterator[CohortRow]:
    """Rows of the cohort table, one for each lesion."""
    name = phantom.study.id
    for lesion in phantom.truth.lesions:
        groups = {"group_atypical": str(lesion.atypical), "group_background": phantom.truth.background}
        yield CohortRow(name, name, name, lesion=lesion.id, truth=lesion.lesion_class, free=groups)


def write_truth(truth: Truth, folder: Path) -> None:
    """Write the truth of one study into an empty folder."""
    for part in ("masks", "displacement"):
        (folder / part).mkdir()
    for sequence in truth.grids:
        write_image(truth.mask(sequence), folder / "masks" / f"{sequence}.nii.gz")
        write_image(truth.displacement_field(sequence), folder / "displacement" / f"{sequence}.nii.gz")
    write_image(truth.regions(), folder / "regions.nii.gz")
    write_json(folder / "truth.json", _truth_summary(truth))
    curves = {name: curve.tolist() for name, curve in truth.concentrations(KINETICS_TIMES_S).items()}
    write_json(folder / "kinetics.json", {"time_s": KINETICS_TIMES_S.tolist(), "concentration_mM": curves})


def _truth_summary(truth: Truth) -> dict[str, object]:
    lesions = [
        {
            "id": lesion.id,
            "class": lesion.lesion_class,
            "atypical": lesion.atypical,
            "variant": lesion.variant,
            "centre_lps_mm": list(lesion.centre_lps_mm),
            "diameter_mm": lesion.diameter_mm,
            "displacement_mm": {s: list(d) for s, d in lesion.displacement_mm.items()},
        }
        for lesion in truth.lesions
    ]
    return {
        "lesions": lesions,
        "seed": truth.seed,
        "background": truth.background,
        **truth.protocol.facts,
        "regions": {index: name for index, name in enumerate(truth.region_names) if index},
    }
