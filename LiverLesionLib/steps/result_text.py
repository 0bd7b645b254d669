"""The result that a scene remembers as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult


def result_from_text(text: str) -> tuple[StudyResult | None, str]:
    """Read a result, if there is any; where it cannot be read, say why in one sentence."""
    from LiverLesionAI.errors import LiverLesionError

    if not text:
        return None, ""
    try:
        from LiverLesionAI.results import StudyResult

        return StudyResult.from_dict(json.loads(text)), ""
    except LiverLesionError as error:
        return None, str(error)
    except ImportError as error:
        words = _(
            "The scene's result needs the Python package {name}; install it, then open the scene again."
        )
        return None, words.format(name=error.name)
    except ValueError:
        return None, _("The scene's result is damaged and cannot be read; classify the study again.")
