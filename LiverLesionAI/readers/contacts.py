"""Where labels touch: tells lesions from the grey values of an image, and the liver from what lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

FEWEST_LEVELS = 4
"""Fewer labels are never taken for the levels of an image: a liver, its lesions and their cores are three."""

FOREIGN_SHARE = 0.5
"""Labelled neighbours of a lesion's voxels are hardly ever another's, those of a grey value's mostly are."""

ENCLOSED_SHARE = 0.5
"""A label that has this part of another one's surface encloses it, as a liver does a lesion at its edge."""


def labels_of(voxels: np.ndarray) -> list[int]:
    """Labels of a label array, ascending, without the background."""
    return [int(label) for label in np.unique(voxels[voxels > 0])]


@dataclass(frozen=True)
class Contacts:
    """How often voxels of two labels share a face.

    Attributes
    ----------
    labels
        Ascending, without the background.
    sizes
        Voxels of each label.
    faces
        ``[label, label]``, symmetric; the background comes first, faces within a label stand on the diagonal.
    """

    labels: tuple[int, ...]
    sizes: np.ndarray
    faces: np.ndarray

    @classmethod
    def of(cls, voxels: np.ndarray) -> Contacts:
        """Count the faces of a label array, [z, y, x], in which something is labelled."""
        labels = labels_of(voxels)
        place = np.zeros(labels[-1] + 1, np.uint16)
        place[labels] = np.arange(1, len(labels) + 1)
        (box,) = ndimage.find_objects((voxels > 0).astype(np.uint8))
        ranks = place[np.pad(voxels[box], 1)]
        count = len(labels) + 1
        sizes, faces = np.zeros(count), np.zeros(count * count)
        for below, plane in pairwise(ranks):
            sizes += np.bincount(plane.ravel(), minlength=count)
            for a, b in ((below, plane), (plane[:-1], plane[1:]), (plane[:, :-1], plane[:, 1:])):
                faces += np.bincount((a * count + b).ravel(), minlength=count * count)
        square = faces.reshape(count, count)
        return cls(tuple(labels), sizes[1:], square + square.T - np.diag(square.diagonal()))

    def look_like_levels(self) -> bool:
        """Whether labels are mixed, or nested over and over, as grey values of an image or a map are."""
        if len(self.labels) < FEWEST_LEVELS:
            return False
        within = self.faces[1:, 1:]
        total = within.sum(axis=1)
        foreign = (total - within.diagonal()) / np.maximum(total, 1)
        encloses = self.encloses()
        nested = encloses.any(axis=0) & encloses.any(axis=1)
        return bool(np.median(foreign) > FOREIGN_SHARE or nested.sum() > 1)

    def encloses(self, share: float = ENCLOSED_SHARE) -> np.ndarray:
        """``[label, label]``: whether the first has this share of the second's surface but not vice versa."""
        outside = self.faces - np.diag(self.faces.diagonal())
        had = outside[1:, 1:] / np.maximum(outside[1:].sum(axis=1), 1)[:, None]
        enough = had >= share
        return enough.T & ~enough
