"""Phantom studies as DICOM, in the styles of three vendors' scanners."""

from __future__ import annotations

from .examination import Examination, Series, Volume
from .plan import LAYOUTS, VENDORS, plan_examination
from .writer import write_dicom_study

__all__ = [
    "LAYOUTS",
    "VENDORS",
    "Examination",
    "Series",
    "Volume",
    "plan_examination",
    "write_dicom_study",
]
