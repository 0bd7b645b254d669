"""Which phase of the dynamic series a T1-weighted or CT image belongs to: order first, then time windows.

Words that name a phase are believed, unless they contradict the order of acquisition. Where words are
missing, an injection time places the image in a window; else the order of the images of one protocol and the
times between them do, as far as only one answer is possible (:mod:`LiverLesionAI.readers.dicom.phase_order`).
The windows are those of the project's design notes, in seconds after injection: LAP 15–45, PVP 46–110, DP
111–480, HBP from 600 and only with gadoxetic acid or words that say so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from LiverLesionAI.readers.dicom.clock import since
from LiverLesionAI.readers.dicom.phase_images import (
    HBP_UNTIL_S,
    TYPICAL_S,
    WINDOWS_S,
    PhaseImage,
    may_be_phases,
    show_one_moment,
    window,
    without_contrast,
)
from LiverLesionAI.readers.dicom.phase_order import alone, by_order
from LiverLesionAI.readers.dicom.rules import (
    CLEAR,
    CT,
    LIKELY,
    OTHER,
    SAID,
    T1,
    WEAK,
    Answer,
    reading_of,
)
from LiverLesionAI.readers.dicom.split import Stack
from LiverLesionAI.readers.dicom.vocabulary import read_words

HBP_SAID_FROM_MIN = 15
"""A delay that is only used for the hepatobiliary phase, so that naming it says so."""

NEARER = 0.1
"""Taken from the confidence of a time point where another one is nearer to the usual time of their phase."""

_RANK = {"T1WI": 0, "LAP": 1, "PVP": 2, "DP": 3, "HBP": 4}
_GADOXETIC = ("gadoxet", "eovist", "primovist", "eob", "普美显", "プリモビスト")


def assign_phases(stacks: Sequence[Stack], answers: Mapping[int, Answer]) -> dict[int, Answer]:
    """Give every image of one study that is still :data:`T1` or :data:`CT` its phase.

    Parameters
    ----------
    stacks
        All stacks of one study.
    answers
        Index of the stack to what the rules found so far.

    Returns
    -------
    dict
        The answers with phases; an image whose phase cannot be told becomes unknown.
    """
    gadoxetic = _uses_gadoxetic_acid(stacks)
    result = dict(answers)
    for family, finish in ((T1, _t1_answer), (CT, _ct_answer)):
        images = [
            PhaseImage(index, stacks[index], reading_of(stacks[index].first), answer)
            for index, answer in answers.items()
            if answer.sequence == family
        ]
        if family == CT:
            images = without_contrast(images)
        for image in _solved(images, gadoxetic):
            result[image.index] = finish(image)
    return result


def _uses_gadoxetic_acid(stacks: Sequence[Stack]) -> bool | None:
    """True or False where an agent is named, None where nothing is said."""
    agents = [stack.first.agent.casefold() for stack in stacks if stack.first.agent]
    words = {f"{s.first.description} {s.first.study_description} {s.first.protocol}" for s in stacks}
    if any(name in agent for agent in agents for name in _GADOXETIC):
        return True
    if any(read_words(said).says("liver agent") for said in words):
        return True
    named = [agent for agent in agents if any(letter.isalpha() for letter in agent)]
    anonymous = ("applied", "yes", "ja", "oui", "contrast", "gd", "gad", "gadolinium", "km", "iv")
    return False if any(agent.strip() not in anonymous for agent in named) else None


def _solved(images: list[PhaseImage], gadoxetic: bool | None) -> list[PhaseImage]:
    named = _told_apart([_named_phase(image, gadoxetic) if image.is_open else image for image in images])
    enhanced_from = min(
        (image.order[0] for image in named if image.label in ("LAP", "PVP", "DP", "HBP")),
        default=float("inf"),
    )
    groups: dict[Hashable, list[PhaseImage]] = defaultdict(list)
    for image in named:
        groups[_protocol(image.stack)].append(image)
    solved = []
    for group in groups.values():
        ordered = sorted(group, key=lambda image: image.order)
        solved += _checked_order(_solve_group(ordered, enhanced_from, gadoxetic))
    return solved


def _told_apart(images: list[PhaseImage]) -> list[PhaseImage]:
    """Leave images of one moment unknown: which of them is the image of its phase is not said."""
    same = [sum(show_one_moment(image, other) for other in images) for image in images]
    return [
        image.labelled(None, 0.0, f"one of {n} images of one time and place, and nothing says which it is")
        if n > 1
        else image
        for image, n in zip(images, same, strict=True)
    ]


def _protocol(stack: Stack) -> Hashable:
    """Images that share this may be phases of one dynamic series."""
    first = stack.first
    te, tr = (None if value is None else round(value, 1) for value in (first.te, first.tr))
    return first.plane, stack.kind, te, tr


def _named_phase(image: PhaseImage, gadoxetic: bool | None) -> PhaseImage:
    """Label an image whose words name its phase."""
    said, stack = image.said, image.stack
    named = [phase for phase in ("LAP", "PVP", "DP", "HBP") if said.says(phase)]
    quote = ", ".join(repr(said.word(phase)) for phase in named)
    if said.says("early arterial"):
        return image.labelled(
            OTHER, SAID, f"early arterial phase: {said.word('early arterial')!r} in its name"
        )
    if said.says("pre") and not named:
        if said.word("enhanced", "pre").startswith("post") or (said.says("dynamic") and stack.phases > 1):
            return image
        return image.labelled("T1WI", CLEAR, f"{said.word('pre')!r} in its name")
    if "HBP" in named:
        return image.labelled("HBP", CLEAR, f"{said.word('HBP')!r} in its name")
    delay = _named_delay(image, named, gadoxetic)
    if delay is not None:
        return delay
    if said.says("pre") and named == ["LAP"] and stack.phases == 1:
        return image.labelled(None, 0.0, f"{said.word('pre')!r} and {quote} in one name")
    if said.says("pre") and named == ["LAP"]:
        phase = "T1WI" if stack.phase == 1 else "LAP"
        return image.labelled(phase, LIKELY, f"{said.word('pre')!r} and {quote} in its name, in this order")
    if len(named) == 1:
        return image.labelled(named[0], SAID, f"{quote} in its name")
    if len(named) > 1 and len(named) == stack.phases:
        return image.labelled(named[stack.phase - 1], SAID, f"{quote} in its name, in this order")
    if said.phase_number == 1 and said.says("enhanced") and not stack.first.agent:
        return image.labelled(
            "LAP", LIKELY, f"first phase after contrast ({said.word('enhanced')!r} in its name)"
        )
    return image


def _named_delay(image: PhaseImage, named: list[str], gadoxetic: bool | None) -> PhaseImage | None:
    """Label an image whose name gives a delay; seconds beside a named phase are those of a breath."""
    said = image.said
    if said.minutes and set(named) <= {"DP"}:
        minutes = max(said.minutes)
        phase = window(minutes * 60.0, gadoxetic)
        if phase is None and minutes >= HBP_SAID_FROM_MIN and gadoxetic is None:
            phase = "HBP"
        reason, confidence = f"{minutes} min in its name", SAID
        if phase is None:
            return image.labelled(None, 0.0, f"{reason} is in no window of a phase")
    elif said.seconds and not named and image.speaks_of_contrast:
        phase, reason = window(max(said.seconds), gadoxetic), f"{max(said.seconds)} s in its name"
        confidence = SAID
    else:
        return None
    if phase is None:
        return None
    return image.labelled(phase, confidence, reason)


def _solve_group(images: list[PhaseImage], enhanced_from: float, gadoxetic: bool | None) -> list[PhaseImage]:
    """Label the images of one protocol, in order of acquisition, that no word has labelled."""
    open_ones = [image for image in images if image.is_open]
    if not open_ones:
        return images
    start = _injection(images)
    if start is not None:
        solved = _nearest_first([_by_time(image, *start, gadoxetic) for image in open_ones], start[0])
    elif len(images) == 1:
        solved = [alone(images[0], enhanced_from)]
    elif any(image.label in WINDOWS_S for image in images):
        solved = [_beside_named_ones(image, images) for image in open_ones]
    else:
        solved = by_order(
            [image for image in images if image.label == "T1WI" or image in open_ones],
            enhanced_from,
            gadoxetic,
        )
    labelled = {image.index: image for image in solved}
    return [labelled.get(image.index, image) for image in images]


def _injection(images: Sequence[PhaseImage]) -> tuple[float, float, str] | None:
    """When the agent was injected, on the clock of the images, how sure it is, and where that is from."""
    for image in images:
        injected, acquired = image.stack.first.injected_s, image.stack.acquired_s
        if injected is not None and acquired is not None:
            return acquired - since(acquired, injected), SAID, "injection time in the header"
    for phase in ("LAP", "PVP"):
        typical = TYPICAL_S[phase]
        for image in images:
            if image.label == phase and image.stack.acquired_s is not None:
                return image.stack.acquired_s - typical, LIKELY, f"distance to the {phase}"
    return None


def _by_time(
    image: PhaseImage, injected: float, confidence: float, source: str, gadoxetic: bool | None
) -> PhaseImage:
    start = image.stack.acquired_s
    if start is None:
        return image.labelled(None, 0.0, "its acquisition time is missing")
    seconds = start - injected
    if seconds < -HBP_UNTIL_S:
        return image.labelled(
            None, 0.0, f"acquired hours before the injection ({source}), which may be wrong"
        )
    if seconds < 0:
        return image.labelled(
            "T1WI", confidence, f"acquired {-seconds:.0f} s before the injection ({source})"
        )
    phase = window(seconds, gadoxetic)
    where = f"acquired {seconds:.0f} s after the injection ({source})"
    return image.labelled(phase, confidence if phase else 0.0, where if phase else f"{where}: in no window")


def _nearest_first(images: list[PhaseImage], injected: float) -> list[PhaseImage]:
    """Doubt the time points of a phase a little but for the one that is nearest to its usual time."""

    def away(image: PhaseImage) -> float:
        return abs((image.stack.acquired_s or 0.0) - injected - TYPICAL_S[image.label or ""])

    nearest = {
        phase: min(group, key=away)
        for phase in TYPICAL_S
        if (group := [image for image in images if image.label == phase])
    }
    return [
        replace(
            image,
            confidence=image.confidence - NEARER,
            reasons=(*image.reasons, f"another time point is nearer to {TYPICAL_S[image.label]:.0f} s"),
        )
        if image.label in nearest and nearest[image.label] is not image
        else image
        for image in images
    ]


def _beside_named_ones(image: PhaseImage, images: Sequence[PhaseImage]) -> PhaseImage:
    """An image without times beside ones whose words name the phase."""
    if not any(may_be_phases(image, other) for other in images if other.label in _RANK):
        return image.labelled(
            None, 0.0, "another place, flip angle or fat treatment than the phases beside it"
        )
    ranks = [(_RANK[i.label], i.order) for i in images if i.label in _RANK]
    before = max((rank for rank, order in ranks if order < image.order), default=-1)
    after = min((rank for rank, order in ranks if order > image.order), default=5)
    free = [name for name, rank in _RANK.items() if before < rank < after]
    if len(free) == 1:
        return image.labelled(
            free[0], LIKELY, f"the only phase between its neighbours in the series is {free[0]}"
        )
    return image.labelled(None, 0.0, "its neighbours do not tell its phase")


def _checked_order(images: list[PhaseImage]) -> list[PhaseImage]:
    """Doubt words that contradict the order of acquisition."""
    checked = []
    for position, image in enumerate(images):
        rank = _RANK.get(image.label or "")
        earlier = [
            r
            for other in images[:position]
            if other.order[0] < image.order[0] and (r := _RANK.get(other.label or "")) is not None
        ]
        if rank is not None and earlier and rank < max(earlier) and image.order[0] != float("inf"):
            reasons = (*image.reasons, "but it was acquired after a later phase")
            image = replace(image, confidence=min(image.confidence, 0.5), reasons=reasons)
        checked.append(image)
    return checked


def _t1_answer(image: PhaseImage) -> Answer:
    confidence = min(image.confidence, image.evidence.confidence) if image.label else 0.0
    return Answer(image.label, round(confidence, 2), (*image.evidence.reasons, *image.reasons))


def _ct_answer(image: PhaseImage) -> Answer:
    """The phase in the words of CT, which has no hepatobiliary one."""
    names = {"T1WI": "CT_PLAIN", "LAP": "CT_ART", "PVP": "CT_PORTAL", "DP": "CT_DELAY"}
    reasons = (*image.evidence.reasons, *image.reasons)
    if image.label == "T1WI" and image.confidence <= WEAK:
        return Answer(None, 0.0, ("nothing tells whether contrast was given",))
    if image.label == OTHER:
        return Answer(OTHER, image.confidence, reasons)
    sequence = names.get(image.label or "")
    return Answer(sequence, image.confidence if sequence else 0.0, reasons)
