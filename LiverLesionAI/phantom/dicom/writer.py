"""An examination on disk, as hospitals export it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from LiverLesionAI.phantom.ct import CTProtocol
from LiverLesionAI.phantom.generate import PhantomStudy

from .classic import slices
from .ct import write_ct_study
from .enhanced import multi_frame
from .examination import Examination, Series
from .files import save
from .plan import checked_vendor, plan_examination

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def write_dicom_study(
    phantom: PhantomStudy, folder: Path, *, vendor: str, layout: str, distractors: bool = True
) -> Path:
    """Write a phantom as the DICOM files of a scanner.

    The same phantom, vendor and layout give the same UIDs and bytes.

    Parameters
    ----------
    phantom
        The study; the truth is used only for what a scanner knows (protocol, times, other images of the same
        patient), and no class or outline of a lesion enters the files.
    folder
        Folder to write into; created if needed.
    vendor
        ``"siemens"``, ``"ge"`` or ``"philips"``.
    layout
        ``"separate"``, ``"dynamic"``, ``"multi_b"`` or ``"enhanced"``, see :data:`plan.Layout`. CT has one
        series for each phase whatever is asked for.
    distractors
        Whether to write what else a hospital delivers: localiser, MRCP, Dixon images, subtraction, reformat.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ConfigError
        If vendor or layout is not known.
    """
    if isinstance(phantom.truth.protocol, CTProtocol):
        return write_ct_study(phantom, folder, vendor=checked_vendor(vendor), distractors=distractors)
    examination = plan_examination(phantom, vendor, layout, distractors=distractors)
    count = 0
    for series in examination.series:
        for ds in _objects(examination, series):
            count += 1
            path = folder / _file_name(examination, series, int(ds.InstanceNumber), count)
            path.parent.mkdir(parents=True, exist_ok=True)
            save(ds, path, implicit_vr=examination.style.implicit_vr and not examination.multi_frame)
    return folder


def _objects(examination: Examination, series: Series) -> Iterator[Dataset]:
    if examination.multi_frame:
        yield multi_frame(examination, series)
    else:
        yield from slices(examination, series)


def _file_name(examination: Examination, series: Series, instance: int, count: int) -> PurePosixPath:
    """Name and nesting of files in the vendors' exports; only Siemens' carry a suffix."""
    if examination.vendor == "siemens":
        name = f"PHANTOM.MR.ABDOMEN.{series.number:04d}.{instance:04d}.2000.01.01.IMA"
        return PurePosixPath(f"SERIES_{series.number:04d}") / name
    if examination.vendor == "ge":
        return PurePosixPath(f"S{series.number:03d}") / f"i{count:06d}.MRDC.{instance}"
    return PurePosixPath("DICOM") / f"IM_{count:04d}"
