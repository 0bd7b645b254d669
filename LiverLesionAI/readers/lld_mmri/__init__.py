"""The public dataset LLD-MMRI (CC BY-NC 4.0): every layout that it is found in, and the traps in it.

:mod:`annotation` reads the file of boxes, :mod:`files` finds the images of each phase in the three layouts,
:mod:`traps` finds what is wrong with a volume and mends what can be proven, :mod:`patient` puts eight phases
together into a study and says what was done. Facts are those of the challenge's own code
(LMMMEng/LLD-MMRI2023) and of its users; nothing is taken from the data themselves.
"""

from LiverLesionAI.readers.lld_mmri.files import Layout, LldFolder, find_layout
from LiverLesionAI.readers.lld_mmri.patient import Finding, LldPatient, read_patient

LICENCE = "CC BY-NC 4.0"
ATTRIBUTION = "LLD-MMRI dataset (Lou et al., https://github.com/LMMMEng/LLD-MMRI-Dataset), CC BY-NC 4.0"

__all__ = [
    "ATTRIBUTION",
    "LICENCE",
    "Finding",
    "Layout",
    "LldFolder",
    "LldPatient",
    "find_layout",
    "read_patient",
]
