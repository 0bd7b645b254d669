"""Registration of every sequence to the reference, and outlines carried through it."""

from __future__ import annotations

from LiverLesionAI.registration.engine import LastStage, RegisteredStudy, Scope, register_study
from LiverLesionAI.registration.outlines import outline_on_reference, outline_on_sequence

__all__ = [
    "LastStage",
    "RegisteredStudy",
    "Scope",
    "outline_on_reference",
    "outline_on_sequence",
    "register_study",
]
