"""The command line: ``liverlesionai`` or ``python -m LiverLesionAI``."""

from LiverLesionAI.cli.commands import app, main

__all__ = ["app", "main"]
