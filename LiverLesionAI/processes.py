"""Other processes of this Python: how they are started so that they find this library."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def python_executable() -> str:
    """Return this Python; inside Slicer, whose own executable is none, PythonSlicer beside it."""
    executable = Path(sys.executable)
    if not executable.stem.lower().startswith("python"):
        beside = shutil.which("PythonSlicer", path=str(executable.parent))
        executable = Path(beside or shutil.which("PythonSlicer") or executable)
    return str(executable)


def library_environment() -> dict[str, str]:
    """Return the environment for a Python process that finds this library whatever the current folder."""
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}
