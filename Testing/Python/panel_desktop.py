"""The desktop harness for the tests of the panels; skips where PySide6 is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

from desktop_harness.api import NotImitated, NotInSlicer, api_class  # noqa: E402
from desktop_harness.desktop import desktop  # noqa: E402
from desktop_harness.ui import check_ui  # noqa: E402
from desktop_harness.widgets import STAND_INS  # noqa: E402

__all__ = ["ROOT", "STAND_INS", "NotImitated", "NotInSlicer", "api_class", "check_ui", "quiet_desktop"]


@contextmanager
def quiet_desktop() -> Iterator[Any]:
    """Put up the desktop; slots that raised make the test fail."""
    with desktop() as made:
        yield made
        errors = made.taken_slot_errors()
        if errors:
            raise errors[0]
