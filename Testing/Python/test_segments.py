"""Which segments are lesions: by code, then by name, and never lost without a word."""

from __future__ import annotations

import pytest

from LiverLesionAI.readers.segments import (
    Nature,
    NoLesionError,
    Segment,
    lesions_among,
    nature_of,
    terminology,
)

ANATOMY, ABNORMAL, TISSUE, NEOPLASM = "123037004", "49755003", "85756007", "108369006"


@pytest.mark.parametrize(
    ("name", "codes", "kind", "nature"),
    [
        ("stomach", {ANATOMY}, "Stomach", Nature.OTHER),
        ("HCC", {ANATOMY}, "Liver", Nature.OTHER),
        ("Segment_1", {ANATOMY}, "Hepatic cyst", Nature.UNKNOWN),
        ("Segment_1", {ABNORMAL}, "", Nature.LESION),
        ("liver", {ABNORMAL, NEOPLASM}, "Neoplasm", Nature.LESION),
        ("Segment_1", {TISSUE}, "Tissue", Nature.UNKNOWN),
        ("Segment_1", {TISSUE}, "Hepatocellular carcinoma", Nature.LESION),
        ("Segment_1", {TISSUE}, "Spleen", Nature.OTHER),
        ("HCC in S6", {TISSUE}, "Liver", Nature.UNKNOWN),
        ("liver lesion", set(), "", Nature.LESION),
        ("mass_1", set(), "", Nature.LESION),
        ("GTV1", set(), "", Nature.LESION),
        ("PTV 1", set(), "", Nature.OTHER),
        ("leber", set(), "", Nature.OTHER),
        ("adrenal_gland_left", set(), "", Nature.OTHER),
        ("kidney_cyst_left", set(), "", Nature.UNKNOWN),
        ("portal vein thrombus", set(), "", Nature.OTHER),
        ("S6", set(), "", Nature.UNKNOWN),
        ("S5 near gallbladder", set(), "", Nature.UNKNOWN),
        ("Segment VII | at the vein", set(), "", Nature.UNKNOWN),
        ("vertebrae_L5", set(), "", Nature.OTHER),
        ("", {"GTV"}, "", Nature.LESION),
        ("", {"ORGAN"}, "", Nature.OTHER),
    ],
)
def test_codes_come_before_names(name: str, codes: set[str], kind: str, nature: Nature) -> None:
    assert nature_of(Segment(1, name, frozenset(codes), kind)) is nature


def _segments(*names: str) -> list[Segment]:
    return [Segment(number, name) for number, name in enumerate(names, start=1)]


def test_unnamed_segments_beside_named_lesions_are_read_and_named() -> None:
    chosen, warnings = lesions_among(_segments("HCC", "Segment_2", "Segment_3", "Liver"), "seg.dcm")
    assert [segment.number for segment in chosen] == [1, 2, 3]
    assert warnings == (
        "Nothing in seg.dcm tells whether these segments are lesions, they were read as lesions: "
        "'Segment_2', 'Segment_3'.",
        "Segments of seg.dcm that are no lesions were left out: 'Liver'.",
    )


def test_segments_that_nobody_named_are_lesions_and_others_are_asked_about() -> None:
    assert lesions_among(_segments("Segment_1", "Segment_2", ""), "seg.dcm")[1] == ()
    chosen, (said,) = lesions_among(_segments("thing", "Segment_2"), "seg.dcm")
    assert len(chosen) == 2 and "'thing', 'Segment_2'" in said
    assert lesions_among(_segments("HCC", "cyst"), "seg.dcm")[1] == ()


def test_organs_alone_are_no_lesions() -> None:
    organs = _segments(
        "stomach", "pancreas", "aorta", "colon", "vertebrae", "liver", "duodenum", "heart", "rib_4"
    )
    with pytest.raises(NoLesionError, match=r"seg.dcm holds organs, no lesion \('stomach', .* 'heart' …\)"):
        lesions_among(organs, "seg.dcm")


def test_terminology_of_slicer_is_read() -> None:
    entry = "list~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~^^~Anatomic codes~^^~^^"
    assert terminology(entry) == ({"49755003", "4147007"}, "Mass")
    assert terminology("") == (frozenset(), "") and terminology("~~~~") == (frozenset(), "")
