"""A name that is no UTF-8, and where there can be one."""

from __future__ import annotations

import os
import sys

import pytest

LATIN_1 = os.fsdecode("Zürich".encode("latin-1"))
posix = pytest.mark.skipif(sys.platform == "win32", reason="names are bytes, and address space has a limit")
