"""Where the files are that come with the library and are no Python.

In a checkout and in Slicer they lie beside the library, where Slicer wants them; in an installed wheel they
lie inside.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSIDE, _BESIDE = _PACKAGE / "Resources", _PACKAGE.parent / "Resources"

RESOURCES = _INSIDE if _INSIDE.is_dir() else _BESIDE
BUNDLES = RESOURCES / "Bundles"
"""The model bundles that come with the software, a folder each."""
LICENCE = BUNDLES / "wang2021-phantom" / "LICENSE"
"""The project's licence, as every bundle holds it; the file at the top of a checkout is not installed."""
