"""Which part of the body a study shows, as far as its headers say.

A single series that names another region says little: technologists start wrong protocols, and
BodyPartExamined (DICOM PS3.16 annex L) is often missing or that of the first series. The whole study is
judged: it shows no liver if no series speaks of the liver or what lies around it, and more than half of them
speak of another region.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.split import series_of
from LiverLesionAI.readers.dicom.vocabulary import line_of

LIVER = "liver"

_WORDS: dict[str, str] = {
    LIVER: (
        r"\w*liver\w*|leber\w*|foie|fegato|[hf][ií]gado|hepa\w*|hépa\w*|epat\w*|hcc|\w*abd(o\w*)?|addom\w*|"
        r"\w*abd(omen)?pelvis|ober ?bauch\w*|bauch\w*|belly|v(i?)entre|\w*mrcp\w*|pan[ck]r\w*|"
        r"gall ?(bladder|blase)|bil(iary|e)|kidneys?|renal|nieren?|adrenals?|spleen|milz|trunk|torso|"
        r"(whole|partial)? ?body|ganz ?k(ö|oe)rper|eob|eovist|primovist|gadoxet\w*|hbp"
    ),
    "head": (
        r"brain|head|skull|neuro|neurocranium|crani\w*|crâni\w*|c[eé]rebr\w*|cervello|hirn|gehirn|kopf|"
        r"sch(ä|ae)del|cerveau|cr(â|a)ne|encephal\w*|encefal\w*|pituitary|sella|orbits?|iac"
    ),
    "neck": r"neck|hals|larynx|thyroid",
    "spine": (
        r"\w?spine|spinal|[hbl]ws|wirbel\w*|rachis|\w*vertebra\w*|lumb\w*|lombaire|sacrum|columna|colonna|"
        r"coluna"
    ),
    "breast": r"breasts?|mamm[ae]\w*|brust|sein|seno",
    "chest": (
        r"chest|thorax|tórax|torax|torace|lungs?|lungen?|poumons?|pulmon\w*|heart|cardiac|cardio|herz|"
        r"c(œ|oe)ur|mediastin\w*"
    ),
    "pelvis": (
        r"pelvi[sc]|pelvien|prostat\w*|uterus|cervix|bladder|rect(um|al)|becken|bassin|bacino|testi\w*|scrotum"
    ),
    "limbs": (
        r"knees?|knie\w*|genoux?|ginocchio|rodilla|joelho|shoulders?|schulter\w*|(é|e)paule|hips?|h(ü|ue)ft\w*|"
        r"hanche|ankles?|feet|foot|fu(ss|ß)|wrist|elbow|ellenbogen|\w+gelenk|hand|arm|leg|thigh|femur|tibia|"
        r"calf|\w*extremity"
    ),
}
_CHARACTERS: dict[str, str] = {
    LIVER: "肝|腹|胰|胆|肾|腎|脾|膵",
    "head": "头|脑|颅|脳|頭|垂体",
    "neck": "颈部|頸部",
    "spine": "颈椎|腰椎|胸椎|脊",
    "breast": "乳",
    "chest": "胸|肺|心脏|心臓",
    "pelvis": "盆|前列腺|前立腺|子宫|子宮|直肠|直腸",
    "limbs": "膝|肩|踝|髋|腕关节|肘",
}
_COMPILED = {
    region: re.compile(rf"(?<= )(?:{words})(?= )|{_CHARACTERS[region]}") for region, words in _WORDS.items()
}


def region_of(*said: str) -> str | None:
    """Return the region that texts of a header speak of: ``"liver"`` if any does, else the first other one.

    Examples
    --------
    >>> region_of("CHEST", "t2_haste_abdomen"), region_of("LSPINE"), region_of("t2_haste")
    ('liver', 'spine', None)
    """
    line = f" {' '.join(line_of(text).strip() for text in said)} "
    return next((region for region, words in _COMPILED.items() if words.search(line)), None)


def check_shows_liver(path: Path, frames: Iterable[Frame]) -> None:
    """Refuse a study of another part of the body.

    Parameters
    ----------
    path
        Where it lies.
    frames
        One slice of each image at least.

    Raises
    ------
    DicomError
        If its headers say that the liver is not in it.
    """
    series = {series_of(frame): frame for frame in frames}
    regions = Counter(
        region_of(frame.body_part, frame.description, frame.protocol, frame.study_description)
        for frame in series.values()
    )
    elsewhere = regions.total() - regions[LIVER] - regions[None]
    if regions[LIVER] or elsewhere * 2 <= regions.total():
        return
    named = " and ".join(region for region, _ in regions.most_common() if region is not None)
    raise DicomError(
        f"{path} is not a liver study: {elsewhere} of its {regions.total()} series are called {named} in "
        "their headers, and none speaks of liver or abdomen; if the liver is in them all the same, name the "
        "images by their sequence in a study folder."
    )
