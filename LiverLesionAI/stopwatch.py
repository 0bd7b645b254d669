"""How long each step of the road takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stopwatch:
    """Seconds spent in each step of the road."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "register", "classify", "explain", "write"), 0.0)
    )

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Add the time of the block to a step."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - start, 3)
