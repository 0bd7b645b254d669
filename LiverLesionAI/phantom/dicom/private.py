"""What each vendor keeps in places of its own: b-values, phases of a dynamic series, pulse sequence names.

The private elements are those that public readers know: Siemens ``SIEMENS MR HEADER`` (0019,xx0C), GE
``GEMS_PARM_01`` (0043,xx39) whose first number is the b-value, in series of several b-values plus 10⁹, and
``GEMS_ACQU_01`` (0019,xx9C), Philips ``Philips Imaging DD 001`` (2001,xx03) and (2001,xx20).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .examination import Examination, Series, Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GE_OFFSET = 1_000_000_000


def vendor_attributes(ds: Dataset, examination: Examination, series: Series, volume: Volume) -> None:
    """Add diffusion, timing and naming as the examination's vendor does."""
    write = {"siemens": _siemens, "ge": _ge, "philips": _philips}[examination.vendor]
    part = examination.style.parts[volume.part]
    write(ds, examination.style.techniques[part.kind].sequence_name, series, volume)


def _siemens(ds: Dataset, name: str, _: Series, volume: Volume) -> None:
    b = volume.b_value
    ds.SequenceName = name.format(b="50_800" if b is None else f"{b:g}")
    block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    if b is not None:
        block.add_new(0x0C, "IS", str(round(b)))
        block.add_new(0x0D, "CS", "ISOTROPIC")


def _ge(ds: Dataset, name: str, series: Series, volume: Volume) -> None:
    ds.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x9C, "LO", name)
    if volume.b_value is not None:
        coded = round(volume.b_value) + (_GE_OFFSET if len(series.volumes) > 1 else 0)
        block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x39, "IS", [str(coded), "8", "0", "0"])
    if volume.part in ("T1WI", "LAP", "PVP", "DP") and len(series.volumes) > 1:
        elapsed_ms = 1000 * (volume.start_s - series.volumes[0].start_s)
        ds.TriggerTime = f"{elapsed_ms:.0f}"
        ds.TemporalPositionIdentifier = volume.position
        ds.NumberOfTemporalPositions = len(series.volumes)


def _philips(ds: Dataset, name: str, series: Series, volume: Volume) -> None:
    block = ds.private_block(0x2001, "Philips Imaging DD 001", create=True)
    block.add_new(0x20, "LO", name)
    if volume.b_value is not None:
        block.add_new(0x03, "FL", volume.b_value)
        block.add_new(0x04, "CS", "I")
        ds.DiffusionBValue = volume.b_value
    dynamic = volume.part in ("T1WI", "LAP", "PVP", "DP") and len(series.volumes) > 1
    ds.TemporalPositionIdentifier = volume.position if dynamic else 1
    ds.NumberOfTemporalPositions = len(series.volumes) if dynamic else 1
