"""Clinical data become codes: units, bounds, words, and what cannot be used in a sentence without values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from LiverLesionAI.errors import StudyError
from LiverLesionAI.inputs.clinical import CODE_LENGTH, FIELDS, Measure, code_places, coded_patient

MEASURES = [each for each in FIELDS if isinstance(each, Measure)]


def code_of(name: str, **clinical: Any) -> str:
    """Title of the code that a field got."""
    codes = coded_patient(clinical).codes[code_places()[name]]
    (place,) = np.flatnonzero(codes)
    known = next(each for each in FIELDS if each.name == name).codes
    return (*known, "unknown")[place]


def test_a_patient_of_whom_nothing_is_known_has_codes_too() -> None:
    patient = coded_patient({})
    assert patient.known == () and patient.codes.shape == (CODE_LENGTH,) and patient.codes.dtype == np.float32
    assert all(
        patient.codes[place][-1] == 1 and patient.codes[place].sum() == 1 for place in code_places().values()
    )
    assert len(FIELDS) == 15


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("age", 63, "50–69"),
        ("age", "29 years", "< 30"),
        ("age", "70", "≥ 70"),
        ("sex", "F", "female"),
        ("sex", "male", "male"),
        ("cirrhosis_history", True, "yes"),
        ("other_cancer", "no", "no"),
        ("afp", 12, "normal"),
        ("afp", "0.9 µg/ml", "high"),
        ("afp", "0.9 μg/mL", "high"),
        ("afp", "19 IU/ml", "raised"),
        ("afp", "> 1210 ng/mL", "high"),
        ("afp", "<20", "normal"),
        ("afp", "<= 19", "normal"),
        ("afp", "1.210,5", None),
        ("cea", "5 mcg/l", "raised"),
        ("ca125", "34.9 kU/l", "normal"),
        ("ca19_9", 37.0, "raised"),
        ("albumin", "4,1 g/dl", "≥ 35 g/l"),
        ("albumin", 28, "28–35 g/l"),
        ("total_bilirubin", "1.2 mg/dL", "< 34 µmol/l"),
        ("total_bilirubin", "3 mg/dl", "≥ 51 µmol/l"),
        ("total_bilirubin", "40 umol/l", "34–51 µmol/l"),
        ("prothrombin_prolongation", -0.5, "< 4 s"),
        ("encephalopathy", 0, "none"),
        ("encephalopathy", "Grade 3", "grade 3–4"),
        ("ascites", False, "none"),
        ("ascites", "moderate", "marked"),
        ("ascites", "unknown", "unknown"),
        ("psa", "", "unknown"),
    ],
)
def test_values_are_understood(name: str, value: Any, code: str | None) -> None:
    if code is None:
        with pytest.raises(StudyError, match=f"{name} is no number"):
            coded_patient({name: value})
    else:
        assert code_of(name, **{name: value}) == code


def test_limits_may_depend_on_the_sex() -> None:
    assert code_of("ferritin", ferritin=250, sex="f") == "raised"
    assert code_of("ferritin", ferritin=250, sex="m") == "normal"
    assert code_of("ferritin", ferritin=250) == "unknown"
    assert code_of("ferritin", ferritin=150) == "normal"
    assert code_of("ferritin", ferritin=301) == "raised"


@pytest.mark.parametrize(
    ("clinical", "said"),
    [
        ({"albumin": 4.1}, r"albumin, taken in g/l, lies outside of 8 to 80 g/l; was g/dl meant\?"),
        ({"total_bilirubin": "1.2e9"}, "total_bilirubin, taken in µmol/l, lies outside of .* correct it"),
        ({"age": 640}, r"age, taken in years, lies outside of 0 to 120 years; was months meant\?"),
        ({"afp": "nan"}, "afp is no number; give it in ng/ml"),
        ({"afp": "1,200 ng/ml"}, "afp has a comma before three digits"),
        ({"afp": "5 mg"}, "afp is given in 'mg'; its units are ng/ml, µg/l"),
        ({"afp": "<400"}, "afp is a bound that leaves open on which side of 20, 400 ng/ml"),
        ({"afp": ">300"}, "afp is a bound that leaves open"),
        ({"cea": True}, "cea is no number"),
        ({"sex": 1}, "sex is none of female, male"),
        ({"ascites": "perhaps"}, "ascites is none of none, mild, marked"),
        ({"psa": 3, "sex": "f"}, "psa is given for a patient whose sex is female"),
        ({"Albumn": 40}, r"no clinical field 'Albumn'; was albumin meant\?"),
        ({"shoe size": 42}, "no clinical field 'shoe size'; the fields are age, sex"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_value(clinical: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said) as caught:
        coded_patient(clinical)
    for name, value in clinical.items():
        if not isinstance(value, bool) and len(str(value)) > 2 and "bound" not in said:
            assert f" {value} " not in str(caught.value).replace(name, "")


def test_names_may_be_written_as_people_write_them() -> None:
    assert coded_patient({"Total bilirubin": 10, "CA19-9": 3, " SEX ": "w"}).known == (
        "sex",
        "ca19_9",
        "total_bilirubin",
    )


@given(st.data())
def test_units_of_a_field_say_the_same(data: st.DataObject) -> None:
    """A value in any unit has the code of the same amount in the field's own unit."""
    measure = data.draw(st.sampled_from([each for each in MEASURES if not each.limits_by_sex]))
    lowest, highest = measure.plausible
    value = data.draw(st.floats(max(lowest, 0.01), min(highest, 2000.0)))
    unit, factor = data.draw(st.sampled_from(sorted(measure.factors.items())))
    away = min(abs(value - limit) for limit in measure.limits)
    if away < 1e-6 * value or not lowest <= value <= highest:
        return
    assert code_of(measure.name, **{measure.name: f"{value / factor!r} {unit}"}) == code_of(
        measure.name, **{measure.name: value}
    )


@given(
    st.dictionaries(
        st.sampled_from([each.name for each in FIELDS]), st.text(max_size=8) | st.floats() | st.booleans()
    )
)
def test_anything_is_coded_or_refused(clinical: dict[str, Any]) -> None:
    try:
        patient = coded_patient(clinical)
    except StudyError:
        return
    assert patient.codes.sum() == len(FIELDS) and set(np.unique(patient.codes)) <= {0.0, 1.0}
