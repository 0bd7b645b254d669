"""What nodes are called, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable

Translate = Callable[[str], str]
"""Gives a text in the reader's language; placeholders in braces stay."""


def in_english(text: str) -> str:
    """Leave a text as it is written here."""
    return text
