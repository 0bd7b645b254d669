"""Settings of inputs within what they can be."""

from __future__ import annotations

from collections.abc import Mapping


def refuse_outside(wrong: Mapping[str, bool], what: str) -> None:
    """Refuse settings.

    Parameters
    ----------
    wrong
        Each setting's name and whether its value is out of bounds.
    what
        What is set, with its article: ``"a slice"``.

    Raises
    ------
    ValueError
        Naming the first that is.
    """
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"{name} is outside of what {what} can have")
