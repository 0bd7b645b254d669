"""Series are recognised from their headers and names, and stay unknown where these do not decide."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_frames import made_slice, made_volume, sequences
from typer.testing import CliRunner
from vocabulary_rows import Row, rows

from LiverLesionAI.cli import app
from LiverLesionAI.readers.dicom.choose import choose
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.identify import Identified, identify_stacks
from LiverLesionAI.readers.dicom.phase_images import window
from LiverLesionAI.readers.dicom.split import split
from LiverLesionAI.readers.dicom.vocabulary import read_words

RIGHT_SHARE = 0.95
KNOWN_WRONG = {"Ax LAVA-xv 5"}
"""A name that says nothing of contrast or delay is taken for unenhanced; this one may be either."""


@pytest.fixture(scope="module")
def vocabulary() -> list[Row]:
    return rows()


def test_the_vocabulary_is_large_and_its_sources_are_noted(vocabulary: list[Row]) -> None:
    assert len(vocabulary) >= 150 and all(row.source for row in vocabulary)
    assert {row.expected for row in vocabulary} >= {
        "T2WI", "DWI", "ADC", "T1WI", "LAP", "PVP", "DP", "HBP", "INPHASE", "OUTPHASE",
        "CT_PLAIN", "CT_ART", "CT_PORTAL", "CT_DELAY", "other", "unknown",
    }  # fmt: skip


def test_the_vocabulary_is_recognised(vocabulary: list[Row]) -> None:
    right = [row for row in vocabulary if row.is_right]
    missed = [(row.description, row.expected, row.found) for row in vocabulary if not row.is_right]
    assert len(right) >= RIGHT_SHARE * len(vocabulary), missed


def test_what_can_be_decided_is_decided(vocabulary: list[Row]) -> None:
    decidable = [row for row in vocabulary if row.expected != "unknown"]
    assert sum(row.is_right for row in decidable) >= RIGHT_SHARE * len(decidable)


def test_doubt_ends_in_unknown_and_not_in_a_guess(vocabulary: list[Row]) -> None:
    wrong = {row.description: (row.expected, row.found) for row in vocabulary if row.is_wrong}
    assert set(wrong) <= KNOWN_WRONG, wrong


def test_every_answer_has_its_reasons(vocabulary: list[Row]) -> None:
    assert all(row.reasons for row in vocabulary)


def _phases(*seconds: float, description: str = "eTHRIVE_dyn", **said: Any) -> list[Frame]:
    return [
        frame
        for number, second in enumerate(seconds, start=1)
        for frame in made_volume(
            description=description, temporal_position=number, acquired_s=36000.0 + second, **said
        )
    ]


def test_phases_of_one_series_are_ordered_in_time() -> None:
    found = sequences(*_phases(0, 60, 95, 210))
    assert found == ["T1WI", "LAP", "PVP", "DP"]


def test_a_series_without_its_mask_starts_with_the_arterial_phase() -> None:
    pre = made_volume(description="eTHRIVE_pre", series_uid="0", acquired_s=35900.0)
    assert sequences(*pre, *_phases(0, 35, 150)) == ["T1WI", "LAP", "PVP", "DP"]


def test_several_possible_answers_are_none() -> None:
    assert sequences(*_phases(0, 60, 95)) == [None, None, None]


def test_a_series_that_follows_the_bolus_has_no_phases() -> None:
    assert set(sequences(*_phases(*range(0, 60, 3)))) == {None}


def test_injection_time_places_phases_in_their_windows() -> None:
    found = sequences(*_phases(0, 60, 95, 210, injected_s=36030.0))
    assert found == ["T1WI", "LAP", "PVP", "DP"]
    assert sequences(*_phases(0, 60, 95, injected_s=36030.0)) == ["T1WI", "LAP", "PVP"]


def test_one_series_per_phase_is_ordered_too() -> None:
    frames = [
        frame
        for number, second in enumerate((0, 60, 95, 210), start=1)
        for frame in made_volume(
            description=f"t1_vibe_dyn_{number}",
            series_uid=str(number),
            series_number=number,
            acquired_s=36000.0 + second,
        )
    ]
    assert sequences(*frames) == ["T1WI", "LAP", "PVP", "DP"]


@pytest.mark.parametrize(
    ("seconds", "gadoxetic", "phase"),
    [(14, None, None), (15, None, "LAP"), (45, None, "LAP"), (46, None, "PVP"), (110, None, "PVP"),
     (111, None, "DP"), (480, None, "DP"), (599, True, None), (600, True, "HBP"), (1200, False, None)],
)  # fmt: skip
def test_windows(seconds: float, gadoxetic: bool | None, phase: str | None) -> None:
    assert window(seconds, gadoxetic) == phase


def test_the_hepatobiliary_phase_needs_its_agent() -> None:
    late = made_volume(description="Ax LAVA", series_uid="9", acquired_s=37230.0, injected_s=36030.0)
    assert sequences(*late) == [None]
    assert sequences(*(replace(frame, agent="Gadoxetate disodium") for frame in late)) == ["HBP"]


def test_words_that_contradict_the_order_are_doubted() -> None:
    first = made_volume(description="VIBE portal", series_uid="1", series_number=1, acquired_s=36000.0)
    second = made_volume(description="VIBE art", series_uid="2", series_number=2, acquired_s=36090.0)
    _, arterial = identify_stacks(split([*first, *second]))
    assert arterial.confidence <= 0.5 and "later phase" in arterial.reasons[-1]


def test_repeated_images_without_a_word_are_not_taken_for_unenhanced() -> None:
    frames = [
        frame
        for number, second in enumerate((0, 300), start=1)
        for frame in made_volume(description="Ax LAVA", series_uid=str(number), acquired_s=36000.0 + second)
    ]
    assert sequences(*frames) == [None, None]
    assert sequences(*frames[:4]) == ["T1WI"]


def test_seconds_of_a_breath_are_no_delay() -> None:
    assert sequences(*made_volume(description="VIBE portal 18s bh")) == ["PVP"]
    assert sequences(*made_volume(description="VIBE dynamic 30s")) == ["LAP"]


def test_b_values_of_one_series_become_stacks() -> None:
    frames = [
        frame
        for b in (50.0, 400.0, 800.0)
        for frame in made_volume(description="DWI", b=b, scanning_sequence=("EP",), te=60.0, tr=5000.0)
    ]
    found = identify_stacks(split(frames))
    assert [item.stack.part for item in found] == ["b = 50", "b = 400", "b = 800"]
    assert choose(found)[0].best.stack.first.b == 800


def test_acquisition_times_of_single_slices_make_no_phases() -> None:
    frames = [made_slice(5.0 * z, description="t2_tse", te=90.0, acquired_s=100.0 + z) for z in range(20)]
    (stack,) = split(frames)
    assert stack.phases == 1 and len(stack.frames) == 20


def test_phases_of_which_one_lacks_slices_stay_apart() -> None:
    lost = {(2, (0.0, 0.0, 3.0))}
    frames = [f for f in _phases(0, 60, 95, 210) if (f.temporal_position, f.position) not in lost]
    assert [len(stack.frames) for stack in split(frames)] == [4, 3, 4, 4]


def test_dual_echo_is_told_by_the_clock_of_fat_and_water() -> None:
    for field_t, opposed, in_phase in ((1.5, 2.3, 4.6), (3.0, 1.15, 2.3)):
        frames = [
            frame
            for te in (opposed, in_phase)
            for frame in made_volume(description="Ax Dual Echo", te=te, tr=150.0, field_t=field_t)
        ]
        assert sequences(*frames) == ["OUTPHASE", "INPHASE"]


def _candidates(*described: dict[str, Any]) -> tuple[Identified, ...]:
    frames = [
        frame
        for number, said in enumerate(described, start=1)
        for frame in made_volume(**{"series_uid": str(number), "series_number": number, **said})
    ]
    return identify_stacks(split(frames))


T2 = {"scanning_sequence": ("SE",), "te": 90.0, "tr": 3500.0}
T2_FS = {**T2, "description": "t2 fs"}
CORONAL = {"row": (1.0, 0.0, 0.0), "column": (0.0, 0.0, -1.0)}


@pytest.mark.parametrize(
    ("candidates", "best"),
    [
        ([{**T2, "description": "ax t2"}, {**T2, "description": "ax t2 fs"}], 2),
        ([{**T2, "description": "ax t2 fs", "slices": 3}, {**T2, "description": "ax t2", "slices": 12}], 2),
        ([{**T2_FS, "acquired_s": 9.0}, {**T2_FS, "acquired_s": 5.0}], 1),
    ],
    ids=["fat-suppressed", "full coverage", "latest repetition"],
)  # fmt: skip
def test_stated_rules_choose_among_candidates(candidates: list[dict[str, Any]], best: int) -> None:
    (choice,) = choose(_candidates(*candidates))
    assert choice.best.stack.first.series_uid == str(best)
    assert len(choice.others) == len(candidates) - 1


def test_dixon_images_of_a_spin_echo_are_t2_weighted() -> None:
    kinds = {"WATER": "T2WI", "IN_PHASE": "T2WI", "FAT": "other"}
    for kind, sequence in kinds.items():
        image_type = ("DERIVED", "PRIMARY", "DIXON", kind)
        assert sequences(*made_volume(**T2, description="t2_tse_dixon_tra", image_type=image_type)) == [
            sequence
        ]
    assert sequences(*made_volume(**T2, description="ax haste bh in exp")) == ["T2WI"]


def test_axial_images_are_chosen_before_coronal_ones() -> None:
    coronal = [
        made_slice(0.0, **T2, **CORONAL, description="t2 fs", position=(0.0, 3.0 * n, 0.0)) for n in range(4)
    ]
    axial = made_volume(**T2, description="ax t2", series_uid="2")
    (choice,) = choose(identify_stacks(split([*coronal, *axial])))
    assert choice.best.stack.first.plane == "axial" and len(choice.others) == 1


def test_words_have_boundaries() -> None:
    assert not read_words("artefact").says("LAP")
    assert not read_words("transversal").says("DP")
    assert read_words("t1_vibe_ART").says("LAP") and read_words("动脉期").says("LAP")
    assert read_words("InPhase: ax").says("in phase") and not read_words("InPhase: ax").says("dynamic")
    assert read_words("b50_400_800").b_values == (50, 400, 800)
    assert read_words("C-").says("pre") and read_words("LAVA +C").says("enhanced")


def test_the_table_and_the_json_tell_every_series(shared_data: Path) -> None:
    folder = shared_data / "imagedata_phantom"
    shown = CliRunner().invoke(app, ["identify", str(folder)])
    assert shown.exit_code == 0 and "b = 800" in shown.stdout and "DWI" in shown.stdout
    done = CliRunner().invoke(app, ["identify", str(folder), "--json"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(
        list(entry) == ["series_uid", "description", "sequence", "part", "confidence", "reasons", "files"]
        for entry in found
    )
    parts = {entry["part"]: entry for entry in found if entry["sequence"] == "DWI"}
    assert set(parts) == {"b = 50", "b = 400", "b = 800"} and parts["b = 800"]["files"] == 4
    dynamic = [entry for entry in found if entry["description"] == "fl3d_dynamic"]
    assert [entry["part"] for entry in dynamic] == [f"phase {n} of 3" for n in (1, 2, 3)]
    assert {entry["sequence"] for entry in dynamic} == {None}


def test_real_headers_of_three_vendors_give_their_b_values(shared_data: Path) -> None:
    done = CliRunner().invoke(app, ["identify", str(shared_data / "vendor_headers"), "--json"])
    found = {(e["description"], e["part"]): e["sequence"] for e in json.loads(done.stdout)}
    assert found == {
        ("Ax DWI TENSOR R2", "b = 0"): "DWI",
        ("Ax DWI TENSOR R2", "b = 1000"): "DWI",
        ("DTI_Biobank_2mm_MB3S2_EPI", "b = 0"): "DWI",
        ("DTI_Biobank_2mm_MB3S2_EPI", "b = 1000"): "DWI",
    }
