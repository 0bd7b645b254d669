"""What a mask is called in warnings, which end up in results: a file's name can hold a patient's."""

from __future__ import annotations

import re
from pathlib import Path

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
