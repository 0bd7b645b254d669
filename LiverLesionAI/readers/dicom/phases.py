"""Which phase of the dynamic series a T1-weighted or CT image belongs to: order first, then time windows.

Words that name a phase are believed, unless they contradict the order of acquisition. Where words are
missing, an injection time places the image in a window; else the order of the images of one protocol and the
times between them do, as far as only one answer is possible. The windows are those of the project's design
notes, in seconds after injection: LAP 15–45, PVP 46–110, DP 111–480, HBP from 600 and only with gadoxetic
acid or words that say so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

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
from LiverLesionAI.readers.dicom.vocabulary import Reading, read_words

WINDOWS_S: dict[str, tuple[float, float]] = {"LAP": (15, 46), "PVP": (46, 111), "DP": (111, 481)}
HBP_FROM_S, HBP_UNTIL_S = 600.0, 7200.0
HBP_SAID_FROM_MIN = 15
"""A delay that is only used for the hepatobiliary phase, so that naming it says so."""

TYPICAL_S = {"LAP": 30.0, "PVP": 70.0}
"""Where a phase is taken to lie when only the distances between phases are known."""

FASTEST_PHASE_S = 8.0
"""Below this distance a series follows the bolus, and its single images are no phases."""

_RANK = {"T1WI": 0, "LAP": 1, "PVP": 2, "DP": 3, "HBP": 4}
_GADOXETIC = ("gadoxet", "eovist", "primovist", "eob", "普美显", "プリモビスト")


@dataclass(frozen=True)
class _Image:
    """A T1-weighted image on the way to its phase."""

    index: int
    stack: Stack
    said: Reading
    evidence: Answer
    label: str | None = None
    confidence: float = 0.0
    reasons: tuple[str, ...] = ()

    def labelled(self, label: str | None, confidence: float, *reasons: str) -> _Image:
        return replace(self, label=label, confidence=confidence, reasons=reasons)

    @property
    def order(self) -> tuple[float, int, int]:
        start = self.stack.acquired_s
        number = self.stack.first.series_number or 0
        return (float("inf") if start is None else start, number, self.stack.phase)

    @property
    def speaks_of_contrast(self) -> bool:
        said = self.said.says("enhanced", "dynamic", "liver agent", "early arterial", *WINDOWS_S, "HBP")
        return said or bool(self.stack.first.agent)


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
            _Image(index, stacks[index], reading_of(stacks[index].first), answer)
            for index, answer in answers.items()
            if answer.sequence == family
        ]
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


def _solved(images: list[_Image], gadoxetic: bool | None) -> list[_Image]:
    named = [_named_phase(image, gadoxetic) for image in images]
    enhanced_from = min(
        (image.order[0] for image in named if image.label in ("LAP", "PVP", "DP", "HBP")),
        default=float("inf"),
    )
    groups: dict[Hashable, list[_Image]] = defaultdict(list)
    for image in named:
        groups[_protocol(image.stack)].append(image)
    solved = []
    for group in groups.values():
        ordered = sorted(group, key=lambda image: image.order)
        solved += _checked_order(_solve_group(ordered, enhanced_from, gadoxetic))
    return solved


def _protocol(stack: Stack) -> Hashable:
    """Images that share this may be phases of one dynamic series."""
    first = stack.first
    te, tr = (None if value is None else round(value, 1) for value in (first.te, first.tr))
    return first.plane, stack.kind, te, tr


def _named_phase(image: _Image, gadoxetic: bool | None) -> _Image:
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


def _named_delay(image: _Image, named: list[str], gadoxetic: bool | None) -> _Image | None:
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


def window(seconds: float, gadoxetic: bool | None) -> str | None:
    """Return the phase that lies at a time after injection (s), if any.

    Examples
    --------
    >>> window(35, None), window(1200, True), window(1200, None)
    ('LAP', 'HBP', None)
    """
    found = next((phase for phase, (start, end) in WINDOWS_S.items() if start <= seconds < end), None)
    if found is None and gadoxetic and HBP_FROM_S <= seconds <= HBP_UNTIL_S:
        return "HBP"
    return found


def _solve_group(images: list[_Image], enhanced_from: float, gadoxetic: bool | None) -> list[_Image]:
    """Label the images of one protocol, in order of acquisition, that no word has labelled."""
    open_ones = [image for image in images if image.label is None and not image.reasons]
    if not open_ones:
        return images
    start = _injection(images)
    if start is not None:
        solved = [_by_time(image, *start, gadoxetic) for image in open_ones]
    elif len(images) == 1:
        solved = [_alone(images[0], enhanced_from)]
    elif any(image.label in WINDOWS_S for image in images):
        solved = [_beside_named_ones(image, images) for image in open_ones]
    else:
        solved = _by_order(
            [image for image in images if image.label == "T1WI" or image in open_ones],
            enhanced_from,
            gadoxetic,
        )
    labelled = {image.index: image for image in solved}
    return [labelled.get(image.index, image) for image in images]


def _injection(images: Sequence[_Image]) -> tuple[float, float, str] | None:
    """Second of the day of the injection, how sure it is, and where that is from."""
    for image in images:
        injected = image.stack.first.injected_s
        if injected is not None and image.stack.acquired_s is not None:
            return injected, SAID, "injection time in the header"
    for phase, typical in TYPICAL_S.items():
        for image in images:
            if image.label == phase and image.stack.acquired_s is not None:
                return image.stack.acquired_s - typical, LIKELY, f"distance to the {phase}"
    return None


def _by_time(
    image: _Image, injected: float, confidence: float, source: str, gadoxetic: bool | None
) -> _Image:
    start = image.stack.acquired_s
    if start is None:
        return image.labelled(None, 0.0, "its acquisition time is missing")
    seconds = start - injected
    if seconds < 0:
        return image.labelled(
            "T1WI", confidence, f"acquired {-seconds:.0f} s before the injection ({source})"
        )
    phase = window(seconds, gadoxetic)
    where = f"acquired {seconds:.0f} s after the injection ({source})"
    return image.labelled(phase, confidence if phase else 0.0, where if phase else f"{where}: in no window")


def _alone(image: _Image, enhanced_from: float) -> _Image:
    if image.speaks_of_contrast or image.stack.phases > 1:
        return image.labelled(None, 0.0, "contrast-enhanced or dynamic, but nothing tells the phase")
    if image.order[0] > enhanced_from and enhanced_from != float("inf"):
        return image.labelled(None, 0.0, "acquired after contrast was given, and nothing tells the phase")
    return _unenhanced_by_silence(image)


def _unenhanced_by_silence(image: _Image) -> _Image:
    """Other planes than axial are mostly acquired after contrast, so that silence says nothing there."""
    plane = image.stack.first.plane
    if plane in ("coronal", "sagittal") or (not plane and image.said.says("coronal", "sagittal")):
        return image.labelled(None, 0.0, "not axial, and nothing tells whether contrast was given")
    return image.labelled("T1WI", WEAK, "nothing speaks of contrast")


def _beside_named_ones(image: _Image, images: Sequence[_Image]) -> _Image:
    """An image without times beside ones whose words name the phase."""
    ranks = [(_RANK[i.label], i.order) for i in images if i.label in _RANK]
    before = max((rank for rank, order in ranks if order < image.order), default=-1)
    after = min((rank for rank, order in ranks if order > image.order), default=5)
    free = [name for name, rank in _RANK.items() if before < rank < after]
    if len(free) == 1:
        return image.labelled(
            free[0], LIKELY, f"the only phase between its neighbours in the series is {free[0]}"
        )
    return image.labelled(None, 0.0, "its neighbours do not tell its phase")


def _by_order(images: list[_Image], enhanced_from: float, gadoxetic: bool | None) -> list[_Image]:
    """Phases of a dynamic series without words: unenhanced first, then by the distances in time."""
    agents = [bool(image.stack.first.agent) for image in images]
    unenhanced = sum(1 for image in images if image.label == "T1WI")
    if not unenhanced and any(agents) and not agents[0]:
        unenhanced = agents.index(True)
    times = [image.stack.acquired_s for image in images]
    hypotheses = (unenhanced,) if unenhanced else (1, 0)
    fits = [found for n in hypotheses if (found := _phases_after(times, n, gadoxetic)) is not None]
    sure = len(fits) == 1
    if not fits or (not sure and len(images) < 4):
        return [_undecided(image, images, enhanced_from) for image in images]
    confidence = LIKELY if sure else WEAK
    why = "order and distances in time within the series"
    return [
        image if image.label else image.labelled(phase, confidence if phase else 0.0, why)
        for image, phase in zip(images, fits[0], strict=True)
    ]


def _undecided(image: _Image, images: Sequence[_Image], enhanced_from: float) -> _Image:
    """An image that neither words nor times place; repeated images are probably unenhanced *and* enhanced."""
    if image.label:
        return image
    repeated = any(other is not image and _lie_together(image.stack, other.stack) for other in images)
    if repeated or image.speaks_of_contrast:
        return image.labelled(None, 0.0, "order and times within its protocol allow several answers")
    return _alone(image, enhanced_from)


def _lie_together(a: Stack, b: Stack) -> bool:
    """Whether two stacks show the same part of the body."""
    ends = [(s.frames[0].along, s.frames[-1].along) for s in (a, b)]
    (a_start, a_end), (b_start, b_end) = ends
    if a_start is None or a_end is None or b_start is None or b_end is None:
        return True
    overlap = min(a_end, b_end) - max(a_start, b_start)
    return overlap > 0.5 * min(a_end - a_start, b_end - b_start)


def _phases_after(
    times: Sequence[float | None], unenhanced: int, gadoxetic: bool | None
) -> list[str | None] | None:
    """Phases if the first images are unenhanced; None where that is not possible."""
    after = times[unenhanced:]
    if len(after) < 2:
        return None
    before: list[str | None] = ["T1WI"] * unenhanced
    if None in times or len(set(times)) < len(times):
        return [*before, "LAP", "PVP", "DP"] if unenhanced and len(after) == 3 else None
    known = [time for time in after if time is not None]
    gaps = [b - a for a, b in pairwise(known)]
    if min(gaps) < FASTEST_PHASE_S:
        return None
    phases = [window(TYPICAL_S["LAP"] + time - known[0], gadoxetic) for time in known]
    needed = {"LAP", "PVP", "DP"} if len(known) > 2 else {"LAP", "PVP"}
    return [*before, *phases] if needed <= set(phases) else None


def _checked_order(images: list[_Image]) -> list[_Image]:
    """Doubt words that contradict the order of acquisition."""
    checked = []
    for position, image in enumerate(images):
        rank = _RANK.get(image.label or "")
        earlier = [r for other in images[:position] if (r := _RANK.get(other.label or "")) is not None]
        if rank is not None and earlier and rank < max(earlier) and image.order[0] != float("inf"):
            reasons = (*image.reasons, "but it was acquired after a later phase")
            image = replace(image, confidence=min(image.confidence, 0.5), reasons=reasons)
        checked.append(image)
    return checked


def _t1_answer(image: _Image) -> Answer:
    confidence = min(image.confidence, image.evidence.confidence) if image.label else 0.0
    return Answer(image.label, round(confidence, 2), (*image.evidence.reasons, *image.reasons))


def _ct_answer(image: _Image) -> Answer:
    """CT has three phases in this project: unenhanced, arterial, delayed."""
    names = {"T1WI": "CT_PLAIN", "LAP": "CT_ART", "DP": "CT_DELAY"}
    reasons = (*image.evidence.reasons, *image.reasons)
    if image.label == "PVP" and image.said.says("PVP"):
        return Answer(OTHER, image.confidence, (*reasons, "no model uses the portal venous phase of CT"))
    if image.label == "T1WI" and image.confidence <= WEAK:
        return Answer(None, 0.0, ("nothing tells whether contrast was given",))
    if image.label == OTHER:
        return Answer(OTHER, image.confidence, reasons)
    sequence = names.get(image.label or "")
    return Answer(sequence, image.confidence if sequence else 0.0, reasons)
