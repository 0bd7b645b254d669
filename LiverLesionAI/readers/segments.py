"""Which segments of a segmentation are lesions: told by their codes first, then by their names.

Codes are those of DICOM PS3.16, CID 7150 and 7159, in SNOMED CT and in the older SRT, and the interpreted
types of RT structure sets (PS3.3, C.8.8.8.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from LiverLesionAI.errors import StudyError

_ABNORMAL = {
    *("49755003", "M-01000", "4147007", "M-03000", "108369006", "M-8000/1", "M-80000", "52988006", "M-01100"),
    *("86049000", "14799000", "25370001", "70179006", "93870000", "GTV"),
}
"""Morphologically abnormal structure, mass, neoplasm, lesion, primary and secondary neoplasm, HCC, ICC,
malignant neoplasm of liver; gross tumour volume."""

_NO_LESION = {
    *("123037004", "T-D000A", "260787004", "A-00004", "105590001", "309825002", "R-42018"),
    *(
        "ORGAN",
        "EXTERNAL",
        "AVOIDANCE",
        "PTV",
        "CTV",
        "BOLUS",
        "SUPPORT",
        "FIXATION",
        "DOSE_REGION",
        "CONTROL",
    ),
    *("MARKER", "ISOCENTER", "REGISTRATION", "CONTRAST_AGENT", "TREATED_VOLUME", "IRRAD_VOLUME"),
}
"""Categories anatomical structure, physical object, substance, spatial concept; what radiotherapy plans."""

_LESION_WORDS = re.compile(
    r"lesi|l[aä]sion|tumou?r|neoplas|carcinom|karzinom|(?<![a-z])mass(?![a-z])|hcc|(?<![a-z])icc(?![a-z])|metast|"
    r"cyst|zyste|kyste|h[ae]*mangiom|fnh|adenom|abs[cz]e|nodul|knoten|malignan|gtv|病灶|肿瘤|腫瘍",
    re.IGNORECASE,
)
_LIVER_WORDS = re.compile(r"liver|leber|foie|hepa|hígado|fegato|肝", re.IGNORECASE)
_ORGAN_WORDS = re.compile(
    r"spleen|milz|kidney|renal|niere|vessel|gefäß|vein|vena|artery|arteria|aort|gall|bile|(?<![a-z])duct|stomach|"
    r"magen|pancrea|pankrea|adrenal|duoden|bowel|colon|intestin|darm|esophag|oesophag|(?<![a-z])lung|heart|herz|"
    r"vertebra|spine|(?<![a-z])rib(?![a-z]{2})|bone|sternum|muscle|(?<![a-z])fat(?![a-z])|(?<![a-z])skin|"
    r"(?<![a-z])body(?![a-z])|bladder|prostat|uter|ovar|ascites|(?<![a-z])[pci]tv(?![a-z])|脾|肾|腎|胆|血管",
    re.IGNORECASE,
)
_PLACE_WORDS = re.compile(
    r"(?<![a-z])(near|next|beside|close|adjacent|above|below|under|behind|between|at|in|bei|neben|nahe|am|unter|"
    r"(s|seg|segment)[ ._-]?([1-8]|i{1,3}|iv|vi{0,3}))(?![a-z0-9])",
    re.IGNORECASE,
)
"""What says where something lies, so that the organ in its name is not what it is."""

_NO_NAME = re.compile(r"(segment|label|roi|lesion)?[ _-]*\d*", re.IGNORECASE)
"""What programs call a segment that nobody named."""


class NoLesionError(StudyError):
    """A segmentation outlines no lesion."""


class Nature(Enum):
    """What a segment outlines."""

    LESION = "lesion"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Segment:
    """One segment as its file describes it.

    Attributes
    ----------
    number
        As the file counts it.
    name
        SegmentLabel, ROIName, Slicer's name; may be empty.
    codes
        Code values of its category and type.
    kind
        Meaning of its type's code, in words.
    """

    number: int
    name: str
    codes: frozenset[str] = frozenset()
    kind: str = ""

    @property
    def title(self) -> str:
        """The segment, for people."""
        return repr(self.name) if self.name else f"number {self.number}"


def terminology(entry: str) -> tuple[frozenset[str], str]:
    """Codes of category and type, and the type in words, of a terminology entry as Slicer keeps it.

    Its parts are divided by ``~``: the context, the category, the type and more; each is scheme, code and
    meaning divided by ``^`` (``vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry``).
    """
    coded = [part.split("^") for part in entry.split("~")[1:3]]
    codes = frozenset(part[1] for part in coded if len(part) == 3 and part[1])
    return codes, coded[1][2] if len(coded) == 2 and len(coded[1]) == 3 else ""


def nature_of(segment: Segment) -> Nature:
    """Tell what a segment outlines; codes and words that contradict each other leave it unknown."""
    if segment.codes & _ABNORMAL:
        return Nature.LESION
    kind, name = _nature_in_words(segment.kind), _nature_in_words(segment.name)
    if segment.codes & _NO_LESION:
        return Nature.UNKNOWN if kind is Nature.LESION else Nature.OTHER
    if kind is Nature.UNKNOWN or kind is name:
        return name
    return kind if name is Nature.UNKNOWN else Nature.UNKNOWN


def lesions_among(segments: Sequence[Segment], what: str) -> tuple[list[Segment], tuple[str, ...]]:
    """Choose the segments that are lesions.

    Parameters
    ----------
    segments
        All segments of a file.
    what
        The file, for messages.

    Returns
    -------
    chosen : list of Segment
        Those that are lesions, and those of which nothing tells what they are.
    warnings : tuple of str
        Which segments of neither kind were taken or left out.

    Raises
    ------
    NoLesionError
        If all are something else.
    """
    natures = {segment.number: nature_of(segment) for segment in segments}
    chosen = [segment for segment in segments if natures[segment.number] is not Nature.OTHER]
    others = [segment for segment in segments if natures[segment.number] is Nature.OTHER]
    if not chosen:
        raise NoLesionError(
            f"{what} holds organs, no lesion ({_listed(others)}); segment the lesions or give --mask."
        )
    unknown = [segment for segment in chosen if natures[segment.number] is Nature.UNKNOWN]
    nameless = all(_NO_NAME.fullmatch(segment.name) for segment in unknown)
    warnings = []
    if unknown and not (nameless and len(unknown) == len(segments)):
        warnings.append(
            f"Nothing in {what} tells whether these segments are lesions, they were read as lesions: "
            f"{_listed(unknown)}."
        )
    if others:
        warnings.append(f"Segments of {what} that are no lesions were left out: {_listed(others)}.")
    return chosen, tuple(warnings)


def _nature_in_words(words: str) -> Nature:
    organ = _ORGAN_WORDS.search(words)
    if _LESION_WORDS.search(words):
        return Nature.UNKNOWN if organ else Nature.LESION
    is_organ = (organ or _LIVER_WORDS.search(words)) and not _PLACE_WORDS.search(words)
    return Nature.OTHER if is_organ else Nature.UNKNOWN


def _listed(segments: Sequence[Segment]) -> str:
    shown = ", ".join(segment.title for segment in segments[:8])
    return f"{shown} …" if len(segments) > 8 else shown
