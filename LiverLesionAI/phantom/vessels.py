"""Random portal and hepatic venous trees in body coordinates (LPS mm)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHRINK = 0.76
"""Ratio of a daughter's radius to its parent's (Murray's law for equal daughters: 2^(−1/3) = 0.79)."""


@dataclass(frozen=True)
class Branch:
    """Chain of vessel segments.

    Attributes
    ----------
    label : tissue of the lumen.
    points : [n, 3], LPS mm.
    radii : [n], mm.
    extrahepatic : whether the branch also runs outside the liver.
    """

    label: str
    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    extrahepatic: bool = False


def portal_tree(rng: np.random.Generator) -> list[Branch]:
    """Portal trunk, its right and left branch and their ramification."""
    hilum = np.array([-28.0, -6.0, 0.0]) + rng.normal(0, 3, 3)
    trunk = np.array([[4.0, 4.0, -58.0], [-8.0, -4.0, -28.0], hilum])
    right = hilum + np.array([-30.0, 8.0, 8.0]) + rng.normal(0, 4, 3)
    left = hilum + np.array([28.0, -26.0, 20.0]) + rng.normal(0, 4, 3)
    tree = [Branch("portal vein", trunk, np.array([7.5, 7.0, 6.5]), extrahepatic=True)]
    for end, radius in ((right, 5.6), (left, 4.8)):
        tree.append(Branch("portal vein", np.stack([hilum, end]), np.array([6.0, radius])))
        tree += _ramify(rng, "portal vein", end, end - hilum, length=44, radius=radius, depth=4)
    return tree


def hepatic_veins(rng: np.random.Generator) -> list[Branch]:
    """Right, middle and left hepatic vein, from the cava below the diaphragm to the periphery."""
    root = np.array([-18.0, 16.0, 62.0])
    tree = []
    for target in ((-96.0, 22.0, 18.0), (-52.0, -34.0, 10.0), (16.0, -36.0, 34.0)):
        end = np.array(target) + rng.normal(0, 8, 3)
        middle = (root + end) / 2 + np.array([0.0, 0.0, 8.0]) + rng.normal(0, 3, 3)
        tree.append(Branch("hepatic vein", np.stack([root, middle, end]), np.array([5.4, 4.4, 2.8])))
        for start, heading in ((middle, end - root), (end, end - middle)):
            tree += _ramify(rng, "hepatic vein", start, heading, length=32, radius=2.8, depth=3)
    return tree


def _ramify(
    rng: np.random.Generator,
    label: str,
    start: NDArray,
    heading: NDArray,
    *,
    length: float,
    radius: float,
    depth: int,
) -> list[Branch]:
    """Let a vessel branch out, again and again. More than six parameters: the state of the recursion."""
    if depth == 0:
        return []
    forward = heading / np.linalg.norm(heading)
    sideways = np.cross(forward, rng.normal(size=3))
    sideways /= np.linalg.norm(sideways)
    tree = []
    for side in (-1, 1):
        direction = forward + side * rng.uniform(0.45, 0.85) * sideways + rng.normal(0, 0.12, 3)
        direction /= np.linalg.norm(direction)
        end = start + direction * length * rng.uniform(0.7, 1.2)
        bend = (start + end) / 2 + rng.normal(0, 0.06 * length, 3)
        tip = radius * SHRINK
        tree.append(Branch(label, np.stack([start, bend, end]), np.array([radius, (radius + tip) / 2, tip])))
        tree += _ramify(rng, label, end, direction, length=length * 0.72, radius=tip, depth=depth - 1)
    return tree
