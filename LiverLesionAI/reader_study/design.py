"""Who reads which case when, and whether the model's answer is shown: blinded, balanced, by a seed.

A crossover (Obuchowski and Bullen 2022, doi:10.1148/radiol.211593): every reader reads every case twice, in
two sessions some weeks apart, once without and once with the model's answer; half of the patients with it
first, which half changes from reader to reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Design = Literal["crossover", "sequential", "alone"]
DESIGNS: tuple[Design, ...] = ("crossover", "sequential", "alone")

WITHOUT, WITH = "without", "with"


@dataclass(frozen=True)
class Case:
    """A lesion, or a study, that is read.

    Attributes
    ----------
    study_id, lesion
        What it is; `lesion` is empty where the study is judged as a whole.
    patient
        Whose; lesions of one patient are read one after another.
    truth
        Its class.
    path, mask
        Where the study and, if it is not the study's own, its lesion mask are; absolute.
    answer
        The model's class.
    probabilities
        The model's probability of each class; may be empty.
    """

    study_id: str
    lesion: str
    patient: str
    truth: str
    path: str
    mask: str
    answer: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Item:
    """One case in the hands of one reader.

    Attributes
    ----------
    number
        Its place in the reader's list, from 1 on.
    session
        From 1 on.
    way
        ``"without"`` or ``"with"`` the model's answer.
    code
        Name of the case that says nothing of it; the same for all readers.
    """

    number: int
    session: int
    way: str
    code: str


def case_codes(cases: Sequence[Case], seed: int) -> tuple[str, ...]:
    """Give each case a code, ``C001`` and so on, in an order that says nothing of it."""
    order = _random(seed, "codes").permutation(len(cases))
    width = max(3, len(str(len(cases))))
    codes = [""] * len(cases)
    for place, case in enumerate(order, start=1):
        codes[case] = f"C{place:0{width}d}"
    return tuple(codes)


def reading_lists(
    cases: Sequence[Case], readers: Sequence[str], design: Design, seed: int
) -> dict[str, tuple[Item, ...]]:
    """Make each reader's list.

    Parameters
    ----------
    cases
        What is read.
    readers
        Names, all different.
    design
        ``"crossover"``: two sessions, in each half of the patients with the model's answer, in an order of
        the reader's own; ``"sequential"``: each case without and right after it with the answer;
        ``"alone"``: each case once, without.
    seed
        Same seed, same lists.

    Returns
    -------
    dict
        Reader to items in order.
    """
    codes = case_codes(cases, seed)
    first_half = _first_half(cases, seed)
    turns = {name: bool(place % 2) for place, name in enumerate(_shuffled(readers, seed, "readers"))}
    return {
        reader: _numbered(_items(cases, codes, first_half, design, (reader, turns[reader], seed)))
        for reader in readers
    }


Turn = tuple[str, bool, int]
"""Reader, whether the second half has the answer first, seed."""


def _items(
    cases: Sequence[Case], codes: Sequence[str], first_half: frozenset[str], design: Design, turn: Turn
) -> list[tuple[int, str, str]]:
    """Session, way and code of each item, in order."""
    reader, swapped, seed = turn
    if design != "crossover":
        ways = (WITHOUT, WITH) if design == "sequential" else (WITHOUT,)
        order = _order(cases, seed, f"{reader} 1")
        return [(1, way, codes[case]) for case in order for way in ways]
    items = []
    for session in (1, 2):
        for case in _order(cases, seed, f"{reader} {session}"):
            has_answer = (cases[case].patient in first_half) ^ swapped ^ (session == 2)
            items.append((session, WITH if has_answer else WITHOUT, codes[case]))
    return items


def _numbered(items: Sequence[tuple[int, str, str]]) -> tuple[Item, ...]:
    return tuple(Item(number, *item) for number, item in enumerate(items, start=1))


def _first_half(cases: Sequence[Case], seed: int) -> frozenset[str]:
    """Every second patient, when patients of one class follow each other in an order by chance."""
    classes: dict[str, list[str]] = {}
    for patient, truth in {case.patient: case.truth for case in reversed(cases)}.items():
        classes.setdefault(truth, []).append(patient)
    drawn = [p for truth in sorted(classes) for p in _shuffled(sorted(classes[truth]), seed, f"half {truth}")]
    return frozenset(drawn[::2])


def _order(cases: Sequence[Case], seed: int, purpose: str) -> list[int]:
    """Places of the cases, patients in an order by chance, their lesions in that of the table."""
    patients = list(dict.fromkeys(case.patient for case in cases))
    rank = {patient: place for place, patient in enumerate(_shuffled(patients, seed, purpose))}
    return sorted(range(len(cases)), key=lambda case: rank[cases[case].patient])


def _shuffled(names: Sequence[str], seed: int, purpose: str) -> list[str]:
    return [names[place] for place in _random(seed, purpose).permutation(len(names))]


def _random(seed: int, purpose: str) -> np.random.Generator:
    """Draws for one purpose, so that a further reader changes no other reader's list."""
    return np.random.default_rng([seed, *purpose.encode()])
