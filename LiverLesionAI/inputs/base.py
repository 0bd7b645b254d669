"""What a network is given: the least that every kind of input tells about itself."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from LiverLesionAI.geometry import LesionGeometry


class NetworkInput(Protocol):
    """What a network reads of one lesion, of one slice, or of a whole study.

    Attributes
    ----------
    name
        For people, for example ``"lesion 1"``.
    lesion_id, slice_number
        Label of the lesion and number of the slice that it shows; None where it shows no single one.
    centre_lps_mm
        Middle of what it shows, in the reference frame; None where that is not known.
    sequences, present
        Names in the network's order, and which of them are at hand.
    geometry
        Size and place of the lesion; None where it shows none.
    crop_mm
        Side of the cube or square that was cropped; None where nothing was.
    warnings
        What was noticed while it was made.
    clinical
        Names of the clinical fields that it holds beside images.
    """

    @property
    def name(self) -> str: ...
    @property
    def slice_number(self) -> int | None: ...
    @property
    def lesion_id(self) -> int | None: ...
    @property
    def centre_lps_mm(self) -> tuple[float, float, float] | None: ...
    @property
    def sequences(self) -> tuple[str, ...]: ...
    @property
    def present(self) -> tuple[bool, ...]: ...
    @property
    def geometry(self) -> LesionGeometry | None: ...
    @property
    def crop_mm(self) -> float | None: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def clinical(self) -> tuple[str, ...]: ...

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arguments of the network's ``features``, each without its batch axis."""
