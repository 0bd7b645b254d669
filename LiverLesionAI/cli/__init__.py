"""The command line: ``liverlesionai`` or ``python -m LiverLesionAI``."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
"""Read by NumPy's and SciPy's OpenBLAS when they are loaded: matrices here are small, and threads that wait
for the next one take more time of the cores than the products."""

from LiverLesionAI.cli.commands import app, main  # noqa: E402

__all__ = ["app", "main"]
