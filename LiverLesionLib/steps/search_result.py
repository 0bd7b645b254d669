"""The last search for lesions, as the scene remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from LiverLesionLib.steps.result_text import result_from_text

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult


def shown_result(parameters: Any) -> StudyResult | None:
    """Return the last search; None before the first, and where it cannot be read."""
    return result_from_text(parameters.result)[0]
