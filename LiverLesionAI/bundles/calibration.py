"""A bundle's calibration on disk: ``configs/calibration.json`` and ``models/familiar.safetensors``.

Both are listed with their hashes in the bundle's metadata, as every file of it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError

from LiverLesionAI.bundles.metadata import LiverLesion
from LiverLesionAI.errors import BundleError, ConfigError
from LiverLesionAI.systems.spec import Part
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.uncertainty.calibrated import Calibration, TaskCalibration
from LiverLesionAI.uncertainty.conformal import FoldPredictionSets, PredictionSets, sets_from_dict
from LiverLesionAI.uncertainty.out_of_distribution import SEQUENCES, TOGETHER, WHOLE, Familiar, Familiarity

CALIBRATION, FAMILIAR = "configs/calibration.json", "models/familiar.safetensors"
SCHEMA = "liverlesionai.calibration.v2"
_ARRAYS = ("mean", "scale", "directions", "spread")


class _Usual(Part):
    """The usual squared distance of a part, and the variance that its directions leave."""

    distance: PositiveFloat
    rest: PositiveFloat


class _Task(Part):
    cases: PositiveInt
    temperature: Annotated[float, Field(ge=0.01, le=100)]
    ece: Annotated[float, Field(ge=0, le=1)]
    ece_calibrated: Annotated[float, Field(ge=0, le=1)]
    sets: Mapping[str, Any]


class _Familiarity(Part):
    usual: Mapping[str, _Usual] = Field(min_length=1)
    thresholds: Mapping[str, PositiveFloat]


class _Record(Part):
    """Content of ``calibration.json``."""

    schema_name: Literal["liverlesionai.calibration.v2"] = Field(alias="schema")
    cohort: str
    tasks: Mapping[str, _Task] = Field(min_length=1)
    familiarity: _Familiarity | None = None


def calibration_text(calibration: Calibration) -> str:
    """The text of ``calibration.json``."""
    known = calibration.familiarity
    content = {
        "schema": SCHEMA,
        "cohort": calibration.cohort,
        "tasks": {
            name: {
                "cases": task.cases,
                "temperature": task.temperature,
                "ece": task.ece,
                "ece_calibrated": task.ece_calibrated,
                "sets": task.sets.to_dict(),
            }
            for name, task in calibration.tasks.items()
        },
        "familiarity": known
        and {
            "usual": {
                name: {"distance": part.usual, "rest": part.rest} for name, part in known.parts.items()
            },
            "thresholds": dict(known.thresholds),
        },
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def write_familiar(familiarity: Familiarity, path: Path) -> None:
    """Write where features lie, in single precision."""
    from safetensors.numpy import save_file

    tensors = {
        f"{name}.{array}": np.ascontiguousarray(getattr(part, array), np.float32)
        for name, part in familiarity.parts.items()
        for array in _ARRAYS
    }
    save_file(tensors, path)


def read_calibration(folder: Path, spec: LiverLesion, check: Callable[[str], None]) -> Calibration | None:
    """Read a bundle's calibration; None where it has none.

    Parameters
    ----------
    folder
        The bundle's.
    spec
        Its part of the metadata.
    check
        Compares a file of the bundle with its hash.

    Raises
    ------
    BundleError
        If a file is damaged, does not fit the bundle, or holds numbers that cannot be.
    """
    if CALIBRATION not in spec.files:
        return None
    check(CALIBRATION)
    path = folder / CALIBRATION
    try:
        record = _Record.model_validate_json(path.read_bytes())
        tasks = {name: _task(task) for name, task in record.tasks.items()}
    except (ValidationError, ConfigError, OSError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BundleError(f"{path} is no calibration ({first.rstrip('.')}); get the bundle again.") from None
    for name, task in tasks.items():
        if name not in spec.tasks or not _fits(task.sets, spec, name):
            raise BundleError(f"{path}: the sets of {name!r} do not fit the bundle; get the bundle again.")
    familiarity = None
    if record.familiarity is not None:
        check(FAMILIAR)
        familiarity = _familiarity(folder / FAMILIAR, record.familiarity)
    return Calibration(record.cohort, tasks, familiarity)


def _task(record: _Task) -> TaskCalibration:
    given = {**record.model_dump(exclude={"sets"}), "sets": sets_from_dict(record.sets)}
    return TaskCalibration(**given)


def _fits(sets: PredictionSets | FoldPredictionSets, spec: LiverLesion, task: str) -> bool:
    """Whether sets are of the classes and networks of a bundle, and hold nothing but probabilities."""
    classes = len(TAXONOMIES[spec.tasks[task].taxonomy].classes)
    if isinstance(sets, PredictionSets):
        fits, values = len(sets.thresholds) == classes, list(sets.thresholds)
    else:
        fits = len(sets.truths) == len(spec.members) and all(len(fold) == classes for fold in sets.truths)
        values = [value for fold in sets.truths for of in fold for value in of]
    return fits and 0 < sets.coverage < 1 and all(0 <= value <= 1 for value in values)


def _familiarity(path: Path, record: _Familiarity) -> Familiarity:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        parts = {
            name: Familiar(
                **{array: tensors[f"{name}.{array}"].astype(np.float64) for array in _ARRAYS},
                rest=usual.rest,
                usual=usual.distance,
            )
            for name, usual in record.usual.items()
        }
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BundleError(f"{path} is damaged ({error}); get the bundle again.") from None
    judged = {*parts, TOGETHER, *([SEQUENCES] if set(parts) - set(WHOLE) else [])}
    if not all(map(_is_sound, parts.values())) or judged != set(record.thresholds):
        raise BundleError(f"{path} does not fit {CALIBRATION}; get the bundle again.")
    return Familiarity(parts, record.thresholds)


def _is_sound(part: Familiar) -> bool:
    """Whether shapes fit each other and every number can be divided by where it has to be."""
    count = part.mean.shape
    fits = (
        len(count) == 1
        and part.scale.shape == count
        and part.directions.shape == (*part.spread.shape, *count)
    )
    return (
        fits
        and all(np.isfinite(getattr(part, array)).all() for array in _ARRAYS)
        and bool((part.scale > 0).all() and (part.spread > 0).all())
    )
