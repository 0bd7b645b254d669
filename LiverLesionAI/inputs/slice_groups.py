"""One cross-section of a lesion on all sequences, with what is known of the patient (Zhen et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from LiverLesionAI.geometry import LesionGeometry
from LiverLesionAI.inputs.clinical import CodedPatient, coded_patient
from LiverLesionAI.inputs.slices import LesionSlices
from LiverLesionAI.study import ClinicalValue


@dataclass(frozen=True)
class SliceGroup:
    """One cross-section of a lesion on all sequences, and what is known of the patient.

    Attributes
    ----------
    slices
        The lesion's cross-sections.
    index
        Which of them.
    lesion_name
        The lesion, for people.
    known_of_patient
        Clinical data by field; see :mod:`LiverLesionAI.inputs.clinical`.
    reads_clinical
        Whether the network reads them.
    """

    slices: LesionSlices
    index: int
    lesion_name: str
    known_of_patient: Mapping[str, ClinicalValue] = field(default_factory=dict, repr=False)
    reads_clinical: bool = False

    @cached_property
    def patient(self) -> CodedPatient:
        """The clinical data as a network reads them.

        Raises
        ------
        StudyError
            If they cannot be used.
        """
        return coded_patient(self.known_of_patient)

    @property
    def name(self) -> str:
        """The slice, for people, counted from 1 at the feet."""
        return f"{self.lesion_name}, slice {self.index + 1} of {self.slices.stack.count}"

    @property
    def lesion_id(self) -> int:
        """The lesion that is shown."""
        return self.slices.lesion_id

    @property
    def slice_number(self) -> int:
        """Number of the slice, counted from 1 at the feet."""
        return self.index + 1

    @property
    def centre_lps_mm(self) -> tuple[float, float, float]:
        """Middle of the slice."""
        return self.slices.stack.slice_centre_lps_mm(self.index)

    @property
    def sequences(self) -> tuple[str, ...]:
        """Names, in the order of the channels."""
        return self.slices.sequences

    @property
    def present(self) -> tuple[bool, ...]:
        """Which of them are at hand and show the lesion."""
        return self.slices.present

    @property
    def geometry(self) -> LesionGeometry:
        """The lesion's size and place."""
        return self.slices.geometry

    @property
    def crop_mm(self) -> float:
        """Side of the square that was cut out."""
        return self.slices.stack.side_mm

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was noticed about the lesion."""
        return self.slices.warnings

    @property
    def clinical(self) -> tuple[str, ...]:
        """Names of the clinical fields that the network reads of this patient."""
        return self.patient.known if self.reads_clinical else ()

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Image ``[sequence, y, x]``, which sequences are present, and where they are read clinical codes."""
        image, present = self.slices.images[self.index], np.array(self.present)
        return (image, present, self.patient.codes) if self.reads_clinical else (image, present)
