"""The last search for lesions, as the scene remembers it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult


def shown_result(parameters: Any) -> StudyResult | None:
    """Return the last search; None before the first."""
    from LiverLesionAI.results import StudyResult

    return StudyResult.from_dict(json.loads(parameters.result)) if parameters.result else None
