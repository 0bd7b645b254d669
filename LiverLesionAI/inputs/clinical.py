"""What a hospital knows of a patient beside the images, as numbers for a network (Zhen et al. 2020).

Every field is one-hot coded, *unknown* being a code of its own: the paper used complete cases only, hospitals
have few. The paper's coding table is not published with it; cut-offs here are those of laboratories and of
guidelines, named beside each field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

import numpy as np

from LiverLesionAI.errors import StudyError
from LiverLesionAI.study import ClinicalValue, is_finite

SEX = "sex"
YES, NO = ("yes", "true", "1", "positive", "present"), ("no", "false", "0", "negative", "absent", "none")

_NUMBER = re.compile(
    r"\s*(<=?|>=?|≤|≥)?\s*([-+]?\d+(?:[.,]\d+)?(?:e[-+]?\d+)?)\s*([^\W\d_].*)?", re.IGNORECASE
)
_OF_THOUSANDS = re.compile(r"[-+]?0*[1-9]\d{0,2},\d{3}")
_MASS = {"ng/ml": 1.0, "µg/l": 1.0, "µg/ml": 1000.0, "ng/dl": 0.01, "µg/dl": 10.0}
_ACTIVITY = {"u/ml": 1.0, "ku/l": 1.0, "iu/ml": 1.0, "u/l": 0.001}


@dataclass(frozen=True)
class Choice:
    """A field with named values.

    Attributes
    ----------
    name
        In ``clinical.json`` and, after ``clinical_``, in ``cohort.csv``.
    title
        For people.
    options
        Code to the words that mean it, in the order of the codes.
    """

    name: str
    title: str
    options: Mapping[str, tuple[str, ...]]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes in order, without *unknown*."""
        return tuple(self.options)

    @property
    def unit(self) -> str:
        """Empty: there is none."""
        return ""

    def code(self, value: ClinicalValue, sex: str | None) -> str:
        """Return the code of a value.

        Raises
        ------
        StudyError
            If the value is none of the words.
        """
        said = _word(value)
        found = next((code for code, words in self.options.items() if said in (code, *words)), None)
        if found is None:
            known = ", ".join(self.options)
            raise StudyError(f"{self.name} is none of {known}; give one of them, or leave it out.")
        return found


@dataclass(frozen=True)
class Measure:
    """A field with a number.

    Attributes
    ----------
    name, title
        See :class:`Choice`.
    unit
        The unit of a number without one.
    limits
        Lowest value of the second, third, … code.
    codes
        One more than there are limits.
    source
        Where the limits come from.
    factors
        Unit to what a value in it is multiplied with to be in :attr:`unit`.
    plausible
        Lowest and highest value that a patient can have.
    limits_by_sex
        Limits of a sex (``"female"``, ``"male"``) where they differ.
    of_sex
        The sex that the field is about; None for both.
    """

    name: str
    title: str
    unit: str
    limits: tuple[float, ...]
    codes: tuple[str, ...]
    source: str
    factors: Mapping[str, float]
    plausible: tuple[float, float]
    limits_by_sex: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    of_sex: str | None = None

    def code(self, value: ClinicalValue, sex: str | None) -> str | None:
        """Return the code of a value; None where the limits of both sexes part it and the sex is not known.

        Raises
        ------
        StudyError
            If the value is no number, has an unknown unit, is impossible, or is a bound such as ``<300`` that
            leaves open on which side of a limit it lies.
        """
        bound, number = self._number(value)
        if self.of_sex is not None and sex is not None and sex != self.of_sex:
            raise StudyError(f"{self.name} is given for a patient whose sex is {sex}; correct one of them.")
        limits = {
            self.limits_by_sex.get(each, self.limits) for each in ([sex] if sex else ["female", "male"])
        }
        found = {self._coded(bound, number, each) for each in limits}
        return found.pop() if len(found) == 1 else None

    def _coded(self, bound: str, number: float, limits: Sequence[float]) -> str:
        """The code of a number; of a bound, where everything beyond it has the same one."""
        reached = sum(number >= limit for limit in limits)
        if bound == "<":
            reached = sum(number > limit for limit in limits)
        undecided = (bound in ("<", "≤") and reached > 0) or (bound in (">", "≥") and reached < len(limits))
        if undecided:
            known = ", ".join(f"{limit:g}" for limit in limits)
            raise StudyError(
                f"{self.name} is a bound that leaves open on which side of {known} {self.unit} it lies; give "
                "a number, or leave it out."
            )
        return self.codes[reached]

    def _number(self, value: ClinicalValue) -> tuple[str, float]:
        """Bound and number in the field's unit."""
        match = _NUMBER.fullmatch(str(value)) if not isinstance(value, bool) else None
        if match is None:
            raise StudyError(f"{self.name} is no number; give it in {self.unit}, or leave it out.")
        bound, digits, unit = (part or "" for part in match.groups())
        if _OF_THOUSANDS.fullmatch(digits):
            raise StudyError(
                f"{self.name} has a comma before three digits, which may mean thousands or a decimal point; "
                "write it without a comma."
            )
        unit = _unit(unit or self.unit)
        if unit not in self.factors:
            known = ", ".join(self.factors)
            raise StudyError(f"{self.name} is given in {unit[:20]!r}; its units are {known}.")
        given = float(digits.replace(",", "."))
        number = given * self.factors[unit]
        if not self._is_plausible(number):
            raise StudyError(self._impossible(given, unit))
        return bound.replace("<=", "≤").replace(">=", "≥"), number

    def _is_plausible(self, number: float) -> bool:
        lowest, highest = self.plausible
        return is_finite(number) and lowest <= number <= highest

    def _impossible(self, given: float, unit: str) -> str:
        lowest, highest = self.plausible
        said = f"{self.name}, taken in {unit}, lies outside of {lowest:g} to {highest:g} {self.unit}"
        fitting = [other for other, factor in self.factors.items() if self._is_plausible(given * factor)]
        return f"{said}; was {fitting[0]} meant?" if fitting else f"{said}; correct it, or leave it out."


Field = Choice | Measure

_TWO, _THREE = ("normal", "raised"), ("normal", "raised", "high")
_CHILD_PUGH = "Pugh et al. 1973, doi:10.1002/bjs.1800600817"
_LABORATORY = "upper limit of normal of most laboratories"
_YES_NO = MappingProxyType({"no": NO, "yes": YES})

FIELDS: tuple[Field, ...] = (
    Measure(
        "age", "Age", "years", (30.0, 50.0, 70.0), ("< 30", "30–49", "50–69", "≥ 70"), "groups of ours",
        {"years": 1.0, "year": 1.0, "y": 1.0, "months": 1 / 12}, (0.0, 120.0),
    ),
    Choice(SEX, "Sex", {"female": ("f", "w", "woman"), "male": ("m", "man")}),
    Choice("cirrhosis_history", "Cirrhosis, hepatitis B or C, or alcohol abuse", _YES_NO),
    Choice("other_cancer", "Cancer elsewhere, now or before", _YES_NO),
    Measure(
        "afp", "Alpha-fetoprotein", "ng/ml", (20.0, 400.0), _THREE,
        "20 and 400 ng/ml of guidelines (EASL 2018, doi:10.1016/j.jhep.2018.03.019)",
        {**_MASS, "iu/ml": 1.21, "ku/l": 1.21}, (0.0, 1e7),
    ),
    Measure("cea", "Carcinoembryonic antigen", "ng/ml", (5.0,), _TWO, _LABORATORY, _MASS, (0.0, 1e6)),
    Measure("ca125", "CA-125", "U/ml", (35.0,), _TWO, _LABORATORY, _ACTIVITY, (0.0, 1e6)),
    Measure("ca19_9", "CA 19-9", "U/ml", (37.0,), _TWO, _LABORATORY, _ACTIVITY, (0.0, 1e7)),
    Measure(
        "psa", "Prostate-specific antigen", "ng/ml", (4.0,), _TWO, _LABORATORY, _MASS, (0.0, 1e5),
        of_sex="male",
    ),
    Measure(
        "ferritin", "Ferritin", "ng/ml", (300.0,), _TWO, "WHO 2020, ISBN 978-92-4-000012-4", _MASS,
        (0.0, 1e6), {"female": (200.0,), "male": (300.0,)},
    ),
    Measure(
        "albumin", "Albumin", "g/l", (28.0, 35.0), ("< 28 g/l", "28–35 g/l", "≥ 35 g/l"), _CHILD_PUGH,
        {"g/l": 1.0, "g/dl": 10.0, "mg/dl": 0.01}, (8.0, 80.0),
    ),
    Measure(
        "total_bilirubin", "Total bilirubin", "µmol/l", (34.0, 51.0),
        ("< 34 µmol/l", "34–51 µmol/l", "≥ 51 µmol/l"), _CHILD_PUGH,
        {"µmol/l": 1.0, "mg/dl": 17.104, "mg/l": 1.7104}, (0.5, 1500.0),
    ),
    Measure(
        "prothrombin_prolongation", "Prothrombin time beyond the control", "s", (4.0, 6.0),
        ("< 4 s", "4–6 s", "≥ 6 s"), _CHILD_PUGH, {"s": 1.0, "sec": 1.0, "seconds": 1.0}, (-10.0, 120.0),
    ),
    Choice(
        "encephalopathy", "Hepatic encephalopathy",
        {"none": ("no", "0", "false", "absent"), "grade 1–2": ("1", "2", "grade 1", "grade 2", "1-2", "mild"),
         "grade 3–4": ("3", "4", "grade 3", "grade 4", "3-4", "severe")},
    ),
    Choice(
        "ascites", "Ascites",
        {"none": ("no", "0", "false", "absent"), "mild": ("slight", "little", "1"),
         "marked": ("moderate", "severe", "massive", "2", "3")},
    ),
)  # fmt: skip
"""The fields of Zhen et al. 2020, in the order of their codes."""

UNKNOWN = "unknown"
CODE_LENGTH = sum(len(each.codes) + 1 for each in FIELDS)
"""Numbers of a coded patient."""


@dataclass(frozen=True)
class CodedPatient:
    """Clinical data as a network reads them.

    Attributes
    ----------
    codes
        float32 ``[CODE_LENGTH]``: for each field a 1 at its code, the last place being *unknown*.
    known
        Names of the fields that are not unknown.
    """

    codes: np.ndarray
    known: tuple[str, ...]


def coded_patient(clinical: Mapping[str, ClinicalValue]) -> CodedPatient:
    """Code the clinical data of a patient.

    Parameters
    ----------
    clinical
        Field to a number in the field's unit, a text with a unit (``"12.3 mg/dl"``) or a bound (``"<2"``), or
        a word. Fields that are left out, None or empty are unknown.

    Raises
    ------
    StudyError
        If a field is not known, or has a value that cannot be used. Values are not told, since messages end
        in logs.

    Examples
    --------
    >>> patient = coded_patient({"sex": "F", "afp": "0.9 µg/ml", "albumin": None})
    >>> patient.known, int(patient.codes.sum()) == len(FIELDS)
    (('sex', 'afp'), True)
    """
    given = {_field_name(name): value for name, value in clinical.items() if not _is_missing(value)}
    sexes = next(each for each in FIELDS if each.name == SEX)
    sex = sexes.code(given[SEX], None) if SEX in given else None
    codes, known = [], []
    for each in FIELDS:
        code = each.code(given[each.name], sex) if each.name in given else None
        if code is not None:
            known.append(each.name)
        codes += [float(code == other) for other in each.codes]
        codes.append(float(code is None))
    return CodedPatient(np.array(codes, np.float32), tuple(known))


@cache
def code_places() -> Mapping[str, slice]:
    """Field to the places of its codes."""
    places, start = {}, 0
    for each in FIELDS:
        places[each.name] = slice(start, start + len(each.codes) + 1)
        start = places[each.name].stop
    return MappingProxyType(places)


def _field_name(name: str) -> str:
    names = [each.name for each in FIELDS]
    wanted = re.sub(r"[\s\-]+", "_", name.strip().casefold())
    if wanted in names:
        return wanted
    close = get_close_matches(wanted, names, n=1)
    hint = f"was {close[0]} meant?" if close else f"the fields are {', '.join(names)}."
    raise StudyError(f"There is no clinical field {name[:40]!r}; {hint}")


def _is_missing(value: ClinicalValue) -> bool:
    return value is None or (isinstance(value, str) and value.strip().casefold() in ("", UNKNOWN))


def _word(value: ClinicalValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()


def _unit(text: str) -> str:
    """A unit as it stands in the tables: small letters but for none, micro as one sign, no spaces."""
    joined = "".join(text.split()).casefold()
    return joined.replace("μ", "µ").replace("mcg", "µg").replace("ug", "µg").replace("umol", "µmol")
