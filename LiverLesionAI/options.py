"""What a run is asked for: one value from every front to every step of the road."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from LiverLesionAI.explanation.settings import Settings

DEFAULT_MODEL = "wang2021-phantom"
DEFAULT_DETECTOR = "kim2020-phantom"


@dataclass(frozen=True)
class Options:
    """How a study is read, registered, classified, explained and written.

    Attributes
    ----------
    model
        Name or folder of a bundle, or name of a system whose models answer together.
    mask
        Lesion mask to use instead of the study's own: an image file, a DICOM segmentation or an RT
        structure set.
    clinical
        File of clinical data to use instead of the study's ``clinical.json``.
    register
        Register the sequences to the reference around each lesion first.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    precision
        ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
    engine
        ``"auto"``, ``"torch"`` or ``"openvino"``: what runs the network.
    explain
        Explain the answers: saliency maps, sequence weights, interactions. A model whose system offers no
        explanations answers without.
    explanation
        What to explain and how; by default the predicted classes.
    parametric_maps
        Write the saliency maps of a study that came from DICOM as DICOM Parametric Maps as well.
    """

    model: str | Path = DEFAULT_MODEL
    mask: str | Path | None = None
    clinical: str | Path | None = None
    register: bool = True
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    explain: bool = True
    explanation: Settings = field(default_factory=Settings)
    parametric_maps: bool = False


DEFAULTS = Options()


@dataclass(frozen=True)
class DetectOptions:
    """How a study is searched for lesions that nobody has outlined.

    Attributes
    ----------
    model
        Name or folder of a bundle that answers for slices.
    sequence
        The series to look at; by default the one that the model was trained on.
    liver_mask
        Image file that is not 0 in the liver, in the space of that series; candidates outside it are left
        out.
    operating_point
        Probability from which a slice, and a candidate, counts; by default the bundle's.
    classify
        Segment every candidate by one click at its centre, and classify the segments.
    then
        How they are classified; the sequences are registered as whole volumes first.
    device, precision, engine
        As those of :class:`Options`.
    """

    model: str | Path = DEFAULT_DETECTOR
    sequence: str | None = None
    liver_mask: Path | None = None
    operating_point: float | None = None
    classify: bool = False
    then: Options = DEFAULTS
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"


DETECT_DEFAULTS = DetectOptions()


@dataclass(frozen=True)
class RegisterOptions:
    """How a study is read and registered.

    Attributes
    ----------
    mask
        Lesion mask to use instead of the study's own.
    reference
        The sequence to register to instead of the study's reference.
    transform
        The last stage to try: ``"rigid"``, ``"affine"`` or ``"bspline"``.
    scope
        ``"lesion"``: look around the lesions only. ``"volume"``: at the whole reference image.
    """

    mask: str | Path | None = None
    reference: str | None = None
    transform: Literal["rigid", "affine", "bspline"] = "bspline"
    scope: Literal["lesion", "volume"] = "lesion"


REGISTER_DEFAULTS = RegisterOptions()
