"""How a step stands: the mark beside its title."""

from __future__ import annotations

DONE, TODO, WRONG = "✓", "", "!"

COLOURS = {DONE: "", TODO: "", WRONG: "color: #c0392b;"}
"""Mark to the style of the words below the title."""
