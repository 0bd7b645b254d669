"""Slices for training: packed as bytes, unpacked into batches, augmented online.

:func:`packed` and :func:`batch` are those of Zhen et al. 2020, with clinical codes; :func:`packed_images` and
:func:`batch_of_images` those of Yasaka et al. 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from LiverLesionAI.inputs.augmentation import (
    Augmentation,
    Draw,
    add_noise,
    drop_sequences,
    lighting_tables,
    look_up,
    random_flips,
)
from LiverLesionAI.inputs.clinical import CODE_LENGTH, code_places

_IN_PLANE = 2


class SliceAugmentation(Augmentation, Protocol):
    """How far slices are varied; see :class:`LiverLesionAI.systems.zhen2020.Augmentation`."""

    @property
    def field_dropout(self) -> float: ...
    @property
    def clinical_dropout(self) -> float: ...


def packed(images: Sequence[np.ndarray], clinical: np.ndarray) -> np.ndarray:
    """Pack the variants of a slice.

    Parameters
    ----------
    images
        float32 ``[sequence, y, x]`` in [0, 1] of each variant.
    clinical
        The patient's codes, zeros and ones, ``[CODE_LENGTH]``.

    Returns
    -------
    numpy.ndarray
        uint8 ``[variant, n]``: the image, 255 for 1, then the codes.
    """
    codes = clinical.astype(np.uint8)
    return np.stack(
        [np.concatenate([np.rint(255 * image).astype(np.uint8).ravel(), codes]) for image in images]
    )


def batch(
    cases: Sequence[np.ndarray],
    present: Sequence[tuple[bool, ...]],
    draws: Sequence[Draw],
    augmentation: SliceAugmentation | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Unpack and augment slices.

    Parameters
    ----------
    cases
        Of :func:`packed`.
    present
        Which sequences each has.
    draws
        Variant and augmentation of each.
    augmentation
        How far they are varied; None where nothing is.

    Returns
    -------
    images : Tensor
        float32 ``[B, sequence, y, x]`` in [0, 1].
    present : Tensor
        bool ``[B, sequence]``.
    clinical : Tensor
        float32 ``[B, CODE_LENGTH]``.
    """
    channels = len(present[0])
    side = round(((cases[0].shape[1] - CODE_LENGTH) / channels) ** 0.5)
    images = torch.empty(len(cases), channels, side, side)
    codes = torch.empty(len(cases), CODE_LENGTH)
    there = torch.tensor(list(present))
    for i, (case, draw) in enumerate(zip(cases, draws, strict=True)):
        row = np.array(case[draw.variant])
        image = row[:-CODE_LENGTH].reshape(channels, side, side)
        if draw.rng is None or augmentation is None:
            images[i] = torch.from_numpy(image) / 255
        else:
            images[i] = _augmented(image, there[i], augmentation, draw.rng)
            row[-CODE_LENGTH:] = _forgotten(row[-CODE_LENGTH:], augmentation, draw.rng)
        codes[i] = torch.from_numpy(row[-CODE_LENGTH:])
    return images, there, codes


class NoiseAugmentation(Protocol):
    """How far images are varied; see :class:`LiverLesionAI.systems.yasaka2018.Augmentation`."""

    @property
    def noise(self) -> float: ...
    @property
    def phase_dropout(self) -> float: ...


def packed_images(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pack the variants of a slice, float32 ``[phase, y, x]`` each, to uint8 ``[variant, phase, y, x]``."""
    return np.stack([np.rint(255 * image).astype(np.uint8) for image in images])


def batch_of_images(
    cases: Sequence[np.ndarray],
    present: Sequence[tuple[bool, ...]],
    draws: Sequence[Draw],
    augmentation: NoiseAugmentation | None,
) -> tuple[Tensor, Tensor]:
    """Unpack slices, add noise, leave out phases.

    Parameters
    ----------
    cases
        Of :func:`packed_images`.
    present, draws, augmentation
        See :func:`batch`.

    Returns
    -------
    images : Tensor
        float32 ``[B, phase, y, x]`` in [0, 1].
    present : Tensor
        bool ``[B, phase]``.
    """
    chosen = np.stack([case[draw.variant] for case, draw in zip(cases, draws, strict=True)])
    images, there = torch.from_numpy(chosen) / 255, torch.tensor(list(present))
    for image, shown, draw in zip(images, there, draws, strict=True):
        if draw.rng is not None and augmentation is not None:
            add_noise(image, augmentation.noise, draw.rng)
            drop_sequences(shown, augmentation.phase_dropout, draw.rng)
    return images, there


def _augmented(
    image: np.ndarray, there: Tensor, augmentation: SliceAugmentation, rng: np.random.Generator
) -> Tensor:
    """Flips, lighting and noise; marks sequences as absent, in place."""
    flipped = image[random_flips(rng, augmentation.flip, _IN_PLANE)]
    tables = lighting_tables(len(image), augmentation, rng)
    lit = np.stack([look_up(channel, table) for channel, table in zip(flipped, tables, strict=True)])
    varied = torch.from_numpy(lit) / 255
    add_noise(varied, augmentation.noise, rng)
    drop_sequences(there, augmentation.sequence_dropout, rng)
    return varied


def _forgotten(codes: np.ndarray, augmentation: SliceAugmentation, rng: np.random.Generator) -> np.ndarray:
    """Clinical codes with some fields, or all of them, unknown."""
    changed = codes.copy()
    everything = rng.random() < augmentation.clinical_dropout
    for place in code_places().values():
        if rng.random() < augmentation.field_dropout or everything:
            changed[place] = 0
            changed[place.stop - 1] = 1
    return changed
