"""What JSON and YAML can say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def all_finite(content: Any) -> bool:
    """Whether every number in what JSON or YAML can say is finite."""
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, list | tuple):
            left.extend(value)
        elif isinstance(value, float) and not math.isfinite(value):
            return False
    return True
