"""Digital phantom of the liver: MR studies with focal lesions whose truth is known."""

from __future__ import annotations

from .generate import CLASSES, PhantomStudy, generate_lesion, generate_study
from .truth import LesionTruth, Truth
from .writer import write_cohort, write_phantom

__all__ = [
    "CLASSES",
    "LesionTruth",
    "PhantomStudy",
    "Truth",
    "generate_lesion",
    "generate_study",
    "write_cohort",
    "write_phantom",
]
