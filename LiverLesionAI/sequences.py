"""The MRI sequences and CT phases that a liver study is made of, and their names in files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Acquisition:
    """What a liver study is made of: an MRI sequence or a CT phase.

    Attributes
    ----------
    name
        The name used in files, tables and bundles, for example ``"LAP"``.
    title
        The name for people.
    dynamic
        True for the phases of the contrast-enhanced T1-weighted series and its unenhanced start.
    aliases
        Other file names in use, among them those of the public LLD-MMRI dataset.
    """

    modality: ClassVar[Literal["MR", "CT"]]
    name: str
    title: str
    dynamic: bool = False
    aliases: tuple[str, ...] = ()


class MRSequence(Acquisition):
    """An MRI sequence, or a phase of the dynamic one."""

    modality = "MR"


class CTPhase(Acquisition):
    """A phase of contrast-enhanced CT, or the unenhanced scan."""

    modality = "CT"


_ALL = (
    MRSequence("T2WI", "T2-weighted", aliases=("T2",)),
    MRSequence("DWI", "diffusion-weighted", aliases=("DWI800",)),
    MRSequence("ADC", "apparent diffusion coefficient", aliases=("ADC-map",)),
    MRSequence("T1WI", "T1-weighted, unenhanced", True, ("T1", "pre", "C-pre")),
    MRSequence("LAP", "late arterial phase", True, ("C+A", "arterial")),
    MRSequence("PVP", "portal venous phase", True, ("C+V", "portal-venous")),
    MRSequence("DP", "delayed phase", True, ("C+Delay", "delayed")),
    MRSequence("HBP", "hepatobiliary phase", True, ("hepatobiliary",)),
    MRSequence("INPHASE", "T1-weighted in phase", aliases=("InPhase", "in-phase")),
    MRSequence("OUTPHASE", "T1-weighted opposed phase", aliases=("OutPhase", "out-of-phase")),
    CTPhase("CT_PLAIN", "CT, unenhanced", aliases=("CT-unenhanced",)),
    CTPhase("CT_ART", "CT, arterial phase", True, ("CT-arterial",)),
    CTPhase("CT_PORTAL", "CT, portal venous phase", True, ("CT-portal", "CT-portal-venous")),
    CTPhase("CT_DELAY", "CT, delayed phase", True, ("CT-delayed",)),
)

SEQUENCES: dict[str, Acquisition] = {sequence.name: sequence for sequence in _ALL}

SIGNS: Mapping[str, str] = {
    "T2WI": "fluid and oedema",
    "DWI": "restricted diffusion",
    "ADC": "restricted diffusion apart from T2 shine-through",
    "T1WI": "the signal before contrast agent",
    "LAP": "arterial enhancement",
    "PVP": "portal venous enhancement and washout",
    "DP": "late enhancement, washout and capsule",
    "HBP": "uptake by hepatocytes",
    "INPHASE": "iron, by comparison with the opposed phase",
    "OUTPHASE": "fat, by comparison with the in-phase image",
    "CT_PLAIN": "calcification, blood and the density before contrast agent",
    "CT_ART": "arterial enhancement",
    "CT_PORTAL": "portal venous enhancement and washout",
    "CT_DELAY": "late enhancement and washout",
}
"""What readers look at each for, and do not see where it is missing (after LI-RADS v2018)."""

W_SEQUENCES: tuple[str, ...] = ("T2WI", "DWI", "ADC", "T1WI", "LAP", "PVP", "DP")
"""The seven sequences of Wang et al. 2021 in the paper's order."""

CT_PHASES: tuple[str, ...] = tuple(name for name, each in SEQUENCES.items() if each.modality == "CT")


def modality_of(names: Iterable[str]) -> Literal["MR", "CT"]:
    """Modality of a study's sequences: CT where all of them are; MRI also where there are none.

    Examples
    --------
    >>> modality_of(["CT_ART", "CT_DELAY"]), modality_of([])
    ('CT', 'MR')
    """
    at_hand = list(names)
    return "CT" if at_hand and all(name in CT_PHASES for name in at_hand) else "MR"


REFERENCE_ORDER = ("T2WI", "CT_ART", "CT_PORTAL", "CT_DELAY")
"""Which sequence is the reference where none is named: the first of these, else the first at hand."""


def _key(name: str) -> str:
    return re.sub(r"[\s_\-.]", "", name).casefold()


_BY_KEY = {_key(name): s.name for s in _ALL for name in (s.name, *s.aliases)}


def usual_reference(names: Iterable[str]) -> str:
    """Choose the reference among sequences.

    Examples
    --------
    >>> usual_reference(["DWI", "T2WI"]), usual_reference(["CT_PLAIN", "CT_ART"])
    ('T2WI', 'CT_ART')
    """
    at_hand = list(names)
    return next(name for name in (*REFERENCE_ORDER, *at_hand) if name in at_hand)


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
