"""The MRI sequences and CT phases that a liver study is made of, and their names in files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Sequence:
    """One sequence (MRI) or phase (CT) of a liver study.

    Attributes
    ----------
    name
        The name used in files, tables and bundles, for example ``"LAP"``.
    title
        The name for people.
    modality
        ``"MR"`` or ``"CT"``.
    dynamic
        True for the phases of the contrast-enhanced T1-weighted series and its unenhanced start.
    aliases
        Other file names in use, among them those of the public LLD-MMRI dataset.
    """

    name: str
    title: str
    modality: Literal["MR", "CT"]
    dynamic: bool = False
    aliases: tuple[str, ...] = ()


_ALL = (
    Sequence("T2WI", "T2-weighted", "MR", aliases=("T2",)),
    Sequence("DWI", "diffusion-weighted", "MR", aliases=("DWI800",)),
    Sequence("ADC", "apparent diffusion coefficient", "MR", aliases=("ADC-map",)),
    Sequence("T1WI", "T1-weighted, unenhanced", "MR", True, ("T1", "pre", "C-pre")),
    Sequence("LAP", "late arterial phase", "MR", True, ("C+A", "arterial")),
    Sequence("PVP", "portal venous phase", "MR", True, ("C+V", "portal-venous")),
    Sequence("DP", "delayed phase", "MR", True, ("C+Delay", "delayed")),
    Sequence("HBP", "hepatobiliary phase", "MR", True, ("hepatobiliary",)),
    Sequence("INPHASE", "T1-weighted in phase", "MR", aliases=("InPhase", "in-phase")),
    Sequence("OUTPHASE", "T1-weighted opposed phase", "MR", aliases=("OutPhase", "out-of-phase")),
    Sequence("CT_PLAIN", "CT, unenhanced", "CT", aliases=("CT-unenhanced",)),
    Sequence("CT_ART", "CT, arterial phase", "CT", True, ("CT-arterial",)),
    Sequence("CT_DELAY", "CT, delayed phase", "CT", True, ("CT-delayed",)),
)

SEQUENCES: dict[str, Sequence] = {sequence.name: sequence for sequence in _ALL}

W_SEQUENCES: tuple[str, ...] = ("T2WI", "DWI", "ADC", "T1WI", "LAP", "PVP", "DP")
"""The seven sequences of Wang et al. 2021 in the paper's order."""


def _key(name: str) -> str:
    return re.sub(r"[\s_\-.]", "", name).casefold()


_BY_KEY = {_key(name): s.name for s in _ALL for name in (s.name, *s.aliases)}


def sequence_named(name: str) -> str | None:
    """Return the sequence that a file stem or column name means.

    Upper and lower case, blanks, hyphens, dots and underscores do not count.

    Parameters
    ----------
    name
        For example ``"T2WI"``, ``"lap"``, ``"C+Delay"``.

    Returns
    -------
    str or None
        The sequence's name, or None where the name means none.

    Examples
    --------
    >>> sequence_named("c+v"), sequence_named("in_phase"), sequence_named("FLAIR")
    ('PVP', 'INPHASE', None)
    """
    return _BY_KEY.get(_key(name))
