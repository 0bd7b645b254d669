"""What files are called in warnings, which end up in results: a file's name can hold a patient's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from LiverLesionAI.pseudonyms import cleaned

_NAME_BY_RULE = re.compile(r"lesions(_[A-Za-z0-9]+)?(\.[a-z]+){1,2}")


def name_in_results(what: Path | str) -> str:
    """Return the name of a mask's file where the rules of study folders give it, else ``"the mask"``.

    Examples
    --------
    >>> name_in_results(Path("Doe/lesions_LAP.nii.gz")), name_in_results(Path("Doe.nii.gz"))
    ('lesions_LAP.nii.gz', 'the mask')
    """
    name = what.name if isinstance(what, Path) else what
    return name if _NAME_BY_RULE.fullmatch(name) else "the mask"


def file_in_results(file: Path) -> str:
    """Return the name of a file without what may be a person's.

    Examples
    --------
    >>> file_in_results(Path("archive/Doe_Jane_0001.dcm"))
    '…_…_0001.dcm'
    """
    return cleaned(file.stem) + file.suffix


def without_paths(text: str, files: Iterable[Path]) -> str:
    """Return a text in which paths of files, as they were given, are their names for results.

    Examples
    --------
    >>> without_paths("a/Doe/2.dcm is damaged.", [Path("a/Doe/2.dcm")])
    '2.dcm is damaged.'
    """
    for file in sorted(set(files), key=lambda each: -len(str(each))):
        text = text.replace(str(file), file_in_results(file))
    return text
