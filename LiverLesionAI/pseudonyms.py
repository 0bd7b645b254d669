"""Names that may stand in results: texts that can hold a patient's name are cleaned or replaced.

Series descriptions, names of folders, scenes and volumes come from archives and people, who put names of
patients into them. What is not known to be harmless does not leave the program, but for paths in messages to
the one who gave them, and for `identify`, which is there to show descriptions.
"""

from __future__ import annotations

import hashlib
import re

LONGEST_PART = 2
"""Letters that stand together and are no more than these are no name by themselves."""

HIDDEN = "…"

_HEXADECIMAL = r"(?<![^\W_])(?=[a-f]*\d)[0-9a-f]{8,}(?![^\W_])"
_WORD = re.compile(rf"{_HEXADECIMAL}|[^\W\d_]+")
_BARCODE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}")
_HARMLESS = frozenset(
    """
    study studies case cases patient subject participant ses session visit baseline follow followup exam
    examination scan scene series data dataset cohort demo example sample test train training validation
    phantom phantoms pseudonym anonym anonymous anonymized anonymised deidentified export input inputs
    output outputs out folder image images volume volumes mask masks label labels labelmap map maps
    segmentation segmentations segment segments seg lesion lesions tumor tumour nodule liver hepatic
    abdomen abdominal upper dicom nifti mri mrt irm magnetic resonance one two three four five first
    second third left right old new raw copy cyst fnh haemangioma hemangioma abscess hcc icc ihcc
    metastasis metastases met mets benign malignant adc dwi trace diffusion perfusion lap pvp hbp
    inphase outphase phase phases pre post native plain contrast enhanced unenhanced dynamic dyn
    arterial art late early portal venous ven delayed delay equilibrium hepatobiliary transitional
    multiphase gad gadolinium gadoxetate primovist eovist subtraction sub mip dixon water fat opp
    opposed tse fse ssfse haste vibe lava flex thrive mdixon spair stir spir blade propeller flash fspgr
    spgr ffe tfe gre epi ssh trufi fiesta bffe mrcp loc localizer localiser survey scout axial axi
    coronal cor sagittal sag tra transverse breath hold trig nav free fs fatsat nofs corrected
    registered flair dce swi star angio cine pdff mre elastography lld mmri tcga lihc tcia ct mr pt us id
    no nr dp ip op outline outlines notes readme
    """.split()  # noqa: SIM905
)


def pseudonym(text: str) -> str:
    """Return a short name that does not show the text it is made from, and is always the same for it."""
    return f"study-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:10]}"


def study_code(name: str) -> str:
    """Return what a study in a folder or file is called: by its name where that reads as a code.

    Else it gets a pseudonym.

    Examples
    --------
    >>> study_code("phantom-000001"), study_code("HCC_17"), study_code("MR182931")
    ('phantom-000001', 'HCC_17', 'MR182931')
    >>> study_code("Doe_Jane_19540312")
    'study-8d3432339d'
    """
    reads_as_code = cleaned(name) == name and not _may_be_short_names(name)
    return name if reads_as_code or _BARCODE.fullmatch(name) else pseudonym(name)


def _may_be_short_names(name: str) -> bool:
    """Whether two letters stand by themselves, as those of ``Li_Wu``, neither known nor joined to a digit."""
    return any(
        len(word) == LONGEST_PART and word.casefold() not in _HARMLESS
        for word in re.findall(r"(?<![^\W_])[^\W\d_]+(?![^\W_])", name)
    )


def cleaned(text: str) -> str:
    """Return a text whose words are hidden but for those that say nothing of a person.

    Examples
    --------
    >>> cleaned("t2_tse_fs_tra Doe^Jane"), cleaned("C+A")
    ('t2_tse_fs_tra …^…', 'C+A')
    """
    return _WORD.sub(lambda found: found[0] if _is_harmless(found[0]) else HIDDEN, text)


def _is_harmless(word: str) -> bool:
    short = len(word) <= LONGEST_PART and word.isascii()
    return short or not word.isalpha() or word.casefold() in _HARMLESS
