"""Reading a transform file of ITK, looked at before ITK reads it.

ITK's reader trusts the file: a transform with too few parameters is read from memory that is not its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.limits import MAX_TRANSFORM_BYTES, MAX_VOXELS
from LiverLesionAI.readers.native import native_messages_logged, native_path, refuse_memory_short

_HEADER = "#Insight Transform File V1.0"
_COMPOSITE, _SPLINE, _FIELD = "CompositeTransform", "BSplineTransform", "DisplacementFieldTransform"
_GRID_PARAMETERS = 18

_LINEAR: dict[str, tuple[int, tuple[int, ...]]] = {
    "IdentityTransform": (0, (0,)),
    "TranslationTransform": (3, (0,)),
    "ScaleTransform": (3, (3,)),
    "ScaleLogarithmicTransform": (3, (3,)),
    "AffineTransform": (12, (3,)),
    "MatrixOffsetTransformBase": (12, (3,)),
    "Euler3DTransform": (6, (3, 4)),
    "VersorTransform": (3, (3,)),
    "VersorRigid3DTransform": (6, (3,)),
    "QuaternionRigidTransform": (7, (3,)),
    "Rigid3DTransform": (12, (3,)),
    "Similarity3DTransform": (7, (3,)),
    "ScaleVersor3DTransform": (9, (3,)),
    "ScaleSkewVersor3DTransform": (15, (3,)),
    "ComposeScaleSkewVersor3DTransform": (12, (3,)),
}
"""Numbers of parameters and of fixed parameters of ITK's linear transforms in three dimensions."""


@dataclass(frozen=True)
class _Block:
    """One transform of a file: its class, dimensions and numbers."""

    name: str
    dimensions: str
    parameters: Sequence[float]
    fixed: Sequence[float]


def read_transform(file: Path) -> sitk.Transform:
    """Read a transform of three dimensions.

    Parameters
    ----------
    file
        ITK's text format (``.tfm``, ``.txt``), of one transform or a composite one.

    Returns
    -------
    SimpleITK.Transform

    Raises
    ------
    StudyError
        If the file is no such transform, lacks parameters, or holds numbers that are not finite.
    """
    try:
        if file.stat().st_size > MAX_TRANSFORM_BYTES:
            raise StudyError(f"{file} is larger than a transform may be ({MAX_TRANSFORM_BYTES >> 20} MiB).")
        text = file.read_text(encoding="ascii")
    except OSError as error:
        raise StudyError(f"{file} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise _unusable(file, "it is no text file of ITK") from None
    _check_blocks(file, list(_blocks(file, text)))
    try:
        with native_path(file) as path, native_messages_logged():
            return sitk.ReadTransform(path)
    except (RuntimeError, TypeError, KeyError) as error:
        refuse_memory_short(error, file)
        raise _unusable(file, "SimpleITK does not know its kind") from None


def _blocks(file: Path, text: str) -> Iterator[_Block]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != _HEADER:
        raise _unusable(file, f"it does not begin with {_HEADER!r}")
    name, dimensions = "", ""
    numbers: dict[str, Sequence[float]] = {}
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if key == "Transform":
            if name:
                yield _block(file, name, dimensions, numbers)
            name, _, dimensions = value.strip().partition("_")
            numbers = {}
        elif key in ("Parameters", "FixedParameters"):
            if not name or key in numbers:
                raise _unusable(file, f"its line {key} stands in a wrong place")
            numbers[key] = _numbers(file, value)
        elif not line.startswith("#"):
            raise _unusable(file, f"it has a line that is none of ITK's ({line[:40]!r})")
    if not name:
        raise _unusable(file, "it holds no transform")
    yield _block(file, name, dimensions, numbers)


def _block(file: Path, name: str, dimensions: str, numbers: dict[str, Sequence[float]]) -> _Block:
    if name != _COMPOSITE and len(numbers) != 2:
        raise _unusable(file, f"its {name} lacks parameters or fixed parameters")
    return _Block(name, dimensions, numbers.get("Parameters", ()), numbers.get("FixedParameters", ()))


def _numbers(file: Path, text: str) -> Sequence[float]:
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError:
        raise _unusable(file, "its parameters are not all numbers") from None
    if not np.isfinite(values).all():
        raise _unusable(file, "its parameters are not all finite")
    return values.tolist()


def _check_blocks(file: Path, blocks: Sequence[_Block]) -> None:
    for block in blocks:
        precision, *dimensions = block.dimensions.split("_")
        if precision not in ("double", "float") or len(dimensions) != 2:
            raise _unusable(file, f"its kind {block.name}_{block.dimensions} is none of ITK's")
        if dimensions != ["3", "3"]:
            raise _unusable(file, f"it has {dimensions[0]} dimensions, and a study has 3")
    composites = [block for block in blocks if block.name == _COMPOSITE]
    if len(composites) != (len(blocks) > 1) or (composites and blocks[0].name != _COMPOSITE):
        raise _unusable(file, "it holds several transforms that are not one composite transform")
    for block in blocks[1:] if composites else blocks:
        _check_counts(file, block)


def _check_counts(file: Path, block: _Block) -> None:
    """Compare the numbers at hand with those of the class; a grid's follow from its size."""
    found, fixed = len(block.parameters), len(block.fixed)
    fixed_wanted: tuple[int, ...]
    if block.name in (_SPLINE, _FIELD):
        wanted, fixed_wanted = _grid_parameters(file, block), (_GRID_PARAMETERS,)
    elif block.name in _LINEAR:
        wanted, fixed_wanted = _LINEAR[block.name]
    else:
        raise _unusable(file, f"transforms of the kind {block.name!r} are not read here")
    if found != wanted or fixed not in fixed_wanted:
        raise _unusable(
            file,
            f"its {block.name} has {found} parameters and {fixed} fixed ones instead of {wanted} and "
            f"{fixed_wanted[0]}",
        )


def _grid_parameters(file: Path, block: _Block) -> int:
    """Number of parameters of a grid: fixed are its size, origin, spacing and direction."""
    size, spacing = block.fixed[:3], block.fixed[6:9]
    whole = len(block.fixed) == _GRID_PARAMETERS and all(n >= 1 and n == int(n) for n in size)
    if not whole or math.prod(map(int, size)) > MAX_VOXELS or min(spacing) <= 0:
        raise _unusable(file, f"the grid of its {block.name} has no possible size or spacing")
    if abs(np.linalg.det(np.reshape(block.fixed[9:], (3, 3)))) < 1e-6:
        raise _unusable(file, f"the grid of its {block.name} has no direction")
    return 3 * math.prod(map(int, size))


def _unusable(file: Path, reason: str) -> StudyError:
    return StudyError(f"{file} cannot be read as a transform: {reason}; write it again or remove it.")
