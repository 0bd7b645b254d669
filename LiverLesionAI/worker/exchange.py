"""How a study comes to the worker: as a front end sent it, or as any other that can be read."""

from __future__ import annotations

from pathlib import Path

from LiverLesionAI.scenes.exchange import DESCRIPTION, is_sent_study, read_sent_study, send_study
from LiverLesionAI.study import Study

__all__ = ["DESCRIPTION", "receive_study", "send_study"]


def receive_study(path: str | Path, mask: str | Path | None = None) -> Study:
    """Read a study that a front end sent, or any other that :func:`LiverLesionAI.pipeline.read_study` reads.

    Parameters
    ----------
    path
        What to read.
    mask
        Lesion mask to use instead of the study's own.

    Raises
    ------
    StudyError
        If there is nothing usable at `path`.
    """
    from LiverLesionAI import pipeline

    path = Path(path)
    return read_sent_study(path, mask) if is_sent_study(path) else pipeline.read_study(path, mask)
