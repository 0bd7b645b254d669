"""Small bundles of random weights for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.training.export import untrained_bundle

TINY: dict[str, Any] = {
    "name": "tiny",
    "sequences": ("T2WI", "DWI", "LAP"),
    "network": {"width": 1, "head_hidden": 4},
    "patches": {"size": 32},
    "phantom": {"first_seed": 0, "lesions": 1},
    "fold_count": 2,
}


def tiny_bundle(folder: Path, **changes: Any) -> Path:
    """Write a bundle of two folds for three sequences and patches of 32 voxels."""
    return untrained_bundle(TrainingConfig.model_validate({**TINY, **changes}), folder)
