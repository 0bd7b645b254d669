"""The node attributes by which our own nodes are known in a scene."""

from __future__ import annotations

STUDY = "LiverLesionAI.study"
"""Identifier of the study that a node or a subject-hierarchy folder belongs to."""

SEQUENCE = "LiverLesionAI.sequence"
"""The sequence that a volume is, or that segments were corrected on."""

ROLE = "LiverLesionAI.role"
"""What a node is for: one of the values below. Scenes keep these texts, so that they never change."""

REFERENCE = "reference"
LESIONS = "lesions"
OUTLINE = "outline"
CLASSES = "classes"
SALIENCY = "saliency"
ANSWERS = "answers"
REGISTRATION = "registration"
MANUAL_OFFSET = "nudge"
COMPARISON = "comparison"
RESAMPLED = "resampled"
PATCH = "patch"
CANDIDATES = "candidates"
EVIDENCE = "evidence"

SOURCES = (None, REFERENCE)
"""Roles of volumes that may be sequences; all other roles are of volumes that were computed."""

LESION = "LiverLesionAI.lesion"
"""Label of the lesion that a map, table or chart is about."""

MAP = "LiverLesionAI.map"
"""The sequence that a saliency map lies over, followed by ``weighted`` where it is scaled by the weights."""

PLACE = "LiverLesionAI.place"
"""Middle of the slice of a lesion's largest area, LPS mm in the reference frame, separated by blanks."""

INTENSITY_LIMITS = "LiverLesionAI.intensity_limits"
"""Lowest and highest intensity of the volume that an image was cut from, separated by a blank."""

CLINICAL = "LiverLesionAI.clinical"
"""On a sequence's volume: the patient's clinical data as a JSON object, field to value."""

SIMILARITY = "LiverLesionAI.agreement"
"""On a registration's transform: its last stage, then the similarity to the reference before and after."""

CUT_FROM = "LiverLesionAI.cut_from"
"""Identifier of the study that a patch was cut from; the patch is not one of the study's own nodes."""
