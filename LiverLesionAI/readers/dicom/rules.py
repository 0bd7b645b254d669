"""What one stack is, from its header first and the words of its description second.

Each rule is a function that either answers or passes on; the first answer counts. Where header and words
contradict each other, or neither decides, the answer is *unknown*. Which phase of the dynamic series an image
belongs to is asked afterwards (:mod:`LiverLesionAI.readers.dicom.phases`), because it depends on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from LiverLesionAI.readers.dicom.headers import SEGMENTATION, Frame
from LiverLesionAI.readers.dicom.split import Stack
from LiverLesionAI.readers.dicom.vocabulary import Reading, read_words

OTHER = "other"
"""The answer for what is surely none of the sequences."""

T1 = "T1"
"""A T1-weighted image whose phase is still to be found."""

CT = "CT"
"""A CT image whose phase is still to be found."""

SURE, CLEAR, SAID, LIKELY, WEAK = 0.98, 0.95, 0.85, 0.75, 0.6
"""Header beyond doubt; header and words; words alone; indirect evidence; nothing speaks against it."""

T2_TE_MS = (60.0, 250.0)
HEAVY_T2_TE_MS = 400.0
SHORT_TE_MS = 25.0
FAT_WATER_KHZ_PER_TESLA = 0.1468
"""Chemical shift of fat and water, 3.45 ppm of 42.577 MHz/T: in phase at 2.3 ms (3 T) and 4.6 ms (1.5 T)."""

_UNSAID_DIXON = "a Dixon series that does not say which of its images this is"

_SURELY_NONE = {
    "localiser": "localiser",
    "timing": "bolus timing or calibration",
    "subtracted": "subtraction",
    "mrcp": "MRCP",
    "susceptibility": "susceptibility-weighted image",
    "spectroscopy": "spectroscopy",
    "note": "report, key image or picture of the screen",
    "angiography": "angiography",
    "perfusion": "perfusion image",
    "ssfp": "balanced steady-state sequence",
    "reformatted": "reformatted or projected image",
}
_KINDS_OF_NONE = {
    "localiser": "localiser",
    "note": "picture of the screen",
    "subtracted": "subtraction",
    "reformatted": "reformatted or projected image",
    "map": "map",
    "fat": "fat image of a Dixon series",
    "not magnitude": "phase, real or imaginary image",
}
_PHASES = ("LAP", "PVP", "DP", "HBP", "early arterial")
_CONTRASTS = ("t1", "t1 volume", "t2", "dwi", "adc", "pd", *_PHASES, "dynamic", "in phase", "opposed phase",
              "both phases", *_SURELY_NONE)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a stack is.

    Attributes
    ----------
    sequence
        Name of a sequence, :data:`OTHER`, :data:`T1` or :data:`CT` (phase still open), or None for unknown.
    confidence
        0 to 1.
    reasons
        In words.
    """

    sequence: str | None
    confidence: float
    reasons: tuple[str, ...]


Rule = Callable[[Stack, Reading], "Answer | None"]


def recognise(stack: Stack) -> Answer:
    """Decide what a stack is, but for the phase of contrast-enhanced series."""
    said = reading_of(stack.first)
    rules = _MR_RULES if stack.first.modality == "MR" else _CT_RULES
    if not stack.first.is_image:
        rules = (_not_an_image,)
    answers = (rule(stack, said) for rule in rules)
    why = "neither header nor words decide"
    if said.unreadable:
        why = "the header does not decide, and its name is in no known character set"
    unsaid = Answer(None, 0.0, (why,))
    return next((answer for answer in answers if answer is not None), unsaid)


def reading_of(frame: Frame) -> Reading:
    """Words of the description; of the protocol too where the description says nothing of the contrast.

    GE's protocol name is that of the whole examination and says nothing of one series.
    """
    said = read_words(frame.description)
    if said.says(*_CONTRASTS) or frame.manufacturer.upper().startswith("GE"):
        return said
    return read_words(f"{frame.description} {frame.protocol}")


def is_computed_b(stack: Stack) -> bool:
    """Whether a diffusion-weighted image was computed for a b-value that was not acquired."""
    return stack.kind == "computed b" or reading_of(stack.first).says("computed b")


def is_fat_suppressed(stack: Stack) -> bool:
    """Whether header or words say that fat is suppressed, or this is a Dixon series' water image."""
    words = reading_of(stack.first).says("fat suppressed", "water")
    return words or stack.first.fat_suppressed or stack.kind == "water"


def _not_an_image(stack: Stack, said: Reading) -> Answer:
    if stack.first.sop_class == SEGMENTATION:
        return Answer(OTHER, SURE, ("a DICOM segmentation, no image",))
    return Answer(OTHER, SURE, (f"no slice of MR or CT (modality {stack.first.modality or 'not said'})",))


def _unplaced(stack: Stack, said: Reading) -> Answer | None:
    if stack.first.frames == 1:
        return None
    return Answer(None, 0.0, (f"{stack.first.frames} frames in one file that does not say where they lie",))


def _coloured(stack: Stack, said: Reading) -> Answer | None:
    if stack.first.samples == 1 and not stack.first.photometric.startswith("PALETTE"):
        return None
    return Answer(OTHER, SURE, ("a colour image",))


def _derived_kind(stack: Stack, said: Reading) -> Answer | None:
    if stack.kind == "derived":
        return Answer(None, 0.0, ("computed from other images of its series, and nothing says how",))
    kind = _KINDS_OF_NONE.get(stack.kind)
    return Answer(OTHER, SURE, (f"ImageType: {kind}",)) if kind else None


def _surely_none(stack: Stack, said: Reading) -> Answer | None:
    found = next((meaning for meaning in _SURELY_NONE if said.says(meaning)), None)
    if found is None:
        return None
    return Answer(OTHER, CLEAR, (f"{_SURELY_NONE[found]}: {said.word(found)!r} in its name",))


def _map(stack: Stack, said: Reading) -> Answer | None:
    if not said.says("map"):
        return None
    return Answer(OTHER, CLEAR, (f"computed map: {said.word('map')!r} in its name",))


def _adc(stack: Stack, said: Reading) -> Answer | None:
    if stack.kind == "adc":
        return Answer("ADC", SURE, ("ImageType says ADC",))
    if said.says("adc") and stack.first.b in (None, 0.0):
        return Answer("ADC", SAID, (f"{said.word('adc')!r} in its name",))
    return None


def _dwi(stack: Stack, said: Reading) -> Answer | None:
    first = stack.first
    named = f"{said.word('dwi')!r} in its name" if said.says("dwi") else ""
    if is_computed_b(stack):
        word = f"{said.word('computed b')!r} in its name" if said.says("computed b") else "ImageType"
        return Answer("DWI", LIKELY, (f"a computed b-value: {word}",))
    if stack.kind == "dwi" or (first.b or 0) > 0:
        where = "ImageType says diffusion"
        if first.b is not None:
            where = f"b = {first.b:g} s/mm² ({first.b_source})"
        return Answer("DWI", SURE if named or stack.kind else CLEAR, tuple(filter(None, (where, named))))
    if not named:
        return None
    if said.says("t2") and not said.b_values and first.b is None:
        both = f"{said.word('dwi')!r} and {said.word('t2')!r}"
        return Answer(None, 0.0, (f"its name says both {both}, and there is no b-value",))
    b = f", b = {said.b_values[0]}" if len(said.b_values) == 1 else ""
    known = f", b = {first.b:g} s/mm² ({first.b_source})" if first.b is not None else b
    return Answer("DWI", SAID, (named + known,))


def _t2(stack: Stack, said: Reading) -> Answer | None:
    first = stack.first
    says_t2 = said.says("t2") or (said.says("long te fast spin echo") and not said.says("t1"))
    says_t1 = said.says("t1", "t1 volume") and not said.says("t2")
    spin_echo = "SE" in first.scanning_sequence
    word = f"{said.word('t2', 'long te fast spin echo')!r} in its name" if says_t2 else ""
    if "GR" in first.scanning_sequence and not {"SE", "EP"} & set(first.scanning_sequence):
        return _gradient_echo_called_t2(first, word) if says_t2 else None
    if stack.phases > 1 and said.says("dixon") and stack.kind == "" and (spin_echo or says_t2):
        return Answer(None, 0.0, (_UNSAID_DIXON,))
    if first.te is not None and (spin_echo or says_t2):
        return _by_echo_time(first, spin_echo, word, says_t1)
    if says_t2 and said.says("t1"):
        return Answer(None, 0.0, ("its name says both T1 and T2",))
    if says_t2 and said.says("pd"):
        return Answer(None, 0.0, ("its name says both T2 and proton density",))
    return Answer("T2WI", SAID, (word,)) if says_t2 else None


def _gradient_echo_called_t2(first: Frame, word: str) -> Answer:
    return Answer(None, 0.0, (f"{word}, but it is a gradient echo",))


def _by_echo_time(first: Frame, spin_echo: bool, word: str, says_t1: bool) -> Answer | None:
    te = first.te or 0.0
    echo = f"spin echo with TE {te:.3g} ms" if spin_echo else f"TE {te:.3g} ms"
    if te > HEAVY_T2_TE_MS:
        return Answer(OTHER, SAID, (f"{echo}: so heavily T2-weighted that only fluid is seen (MRCP)",))
    if te >= T2_TE_MS[0] and says_t1:
        return Answer(None, 0.0, (f"{echo}, but its name says T1",))
    if T2_TE_MS[0] <= te <= T2_TE_MS[1]:
        return Answer("T2WI", SURE if word else LIKELY, tuple(filter(None, (echo, word))))
    if te < SHORT_TE_MS and not word:
        return None
    return Answer(None, 0.0, (f"{echo} is no clear T2 weighting", *filter(None, (word,))))


def _phase_of_fat_and_water(stack: Stack, said: Reading) -> Answer | None:
    if said.says("t2", "pd") or (stack.first.te or 0.0) > SHORT_TE_MS:
        return None
    if stack.kind in ("in phase", "opposed phase"):
        sequence = "INPHASE" if stack.kind == "in phase" else "OUTPHASE"
        return Answer(sequence, SURE, (f"ImageType says {stack.kind}",))
    if stack.kind == "water":
        return None
    in_phase, opposed = said.says("in phase"), said.says("opposed phase")
    several_echoes = said.says("both phases") or "echo " in stack.part
    if several_echoes or (in_phase and opposed):
        return _by_fat_water_clock(stack.first)
    if in_phase:
        return Answer("INPHASE", SAID, (f"{said.word('in phase')!r} in its name",))
    if opposed:
        return Answer("OUTPHASE", SAID, (f"{said.word('opposed phase')!r} in its name",))
    return None


def _by_fat_water_clock(first: Frame) -> Answer:
    """Which echo of a dual-echo series this is, from echo time and field strength."""
    if first.te is None or first.field_t is None:
        return Answer(
            None, 0.0, ("in and opposed phase in one name; echo time or field strength is missing",)
        )
    turns = first.te * first.field_t * FAT_WATER_KHZ_PER_TESLA
    off = abs(turns - round(turns))
    when = f"TE {first.te:.3g} ms at {first.field_t:g} T"
    if first.te > 8 or 0.2 < off < 0.3:
        return Answer(None, 0.0, (f"{when} is neither in nor opposed phase",))
    sequence, said = ("INPHASE", "in phase") if off <= 0.2 else ("OUTPHASE", "opposed")
    return Answer(sequence, CLEAR, (f"{when}: fat and water are {said}",))


def _fat_image(stack: Stack, said: Reading) -> Answer | None:
    if not said.says("fat") or said.says("water", "in phase", "opposed phase", "fat suppressed", "t2"):
        return None
    return Answer(OTHER, SAID, (f"fat image of a Dixon series: {said.word('fat')!r} in its name",))


def _t1(stack: Stack, said: Reading) -> Answer | None:
    first = stack.first
    phases = said.says(*_PHASES)
    named = said.says("t1", "t1 volume")
    gradient_echo = "GR" in first.scanning_sequence
    short = first.te is not None and first.te < 8 and (first.tr or 0) < 500
    if not (named or phases or (gradient_echo and short)):
        return None
    if first.te is not None and first.te > SHORT_TE_MS:
        return Answer(None, 0.0, (f"TE {first.te:.3g} ms is no T1 weighting",))
    if said.says("quantitative"):
        return Answer(None, 0.0, (f"{said.word('quantitative')!r} in its name: its weighting is not known",))
    says_which = phases or said.says("water", "fat suppressed", "pre", "dynamic", "enhanced")
    if said.says("dixon") and stack.kind == "" and not says_which:
        return Answer(None, 0.0, (_UNSAID_DIXON,))
    reasons = []
    if gradient_echo and short:
        reasons.append(f"gradient echo with TE {first.te:.3g} ms")
    if named:
        reasons.append(f"{said.word('t1 volume', 't1')!r} in its name")
    return Answer(T1, CLEAR if len(reasons) > 1 else SAID, tuple(reasons))


def _ct(stack: Stack, said: Reading) -> Answer | None:
    if said.says("lung or bone"):
        return Answer(OTHER, SAID, (f"lung or bone images: {said.word('lung or bone')!r} in its name",))
    return Answer(CT, CLEAR, ("CT",))


_MR_RULES: tuple[Rule, ...] = (
    _unplaced,
    _coloured,
    _derived_kind,
    _surely_none,
    _map,
    _adc,
    _dwi,
    _phase_of_fat_and_water,
    _fat_image,
    _t2,
    _t1,
)
_CT_RULES: tuple[Rule, ...] = (_unplaced, _coloured, _derived_kind, _surely_none, _ct)
