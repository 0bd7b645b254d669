"""That images are repeated is no evidence that they are phases; times are compared across midnight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_frames import identified, made_slice, made_volume, sequences

from LiverLesionAI.readers.dicom.choose import choose
from LiverLesionAI.readers.dicom.clock import DAY_S, LONGEST_EXAMINATION_S, on_one_clock, since
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.phase_order import MOST_PHASES

TEN = 36000.0


def _series(*seconds: float | None, **said: Any) -> list[Frame]:
    """A series for each time; values that are lists are those of the series one by one."""
    return [
        frame
        for number, second in enumerate(seconds)
        for frame in made_volume(
            series_uid=str(number + 1),
            series_number=number + 1,
            acquired_s=None if second is None else TEN + second,
            **{name: value[number] if isinstance(value, list) else value for name, value in said.items()},
        )
    ]


FOUR = (0.0, 60.0, 95.0, 210.0)
DYNAMIC = "t1_vibe_fs_dyn"


def test_four_images_of_a_dynamic_are_its_phases() -> None:
    assert sequences(*_series(*FOUR, description=DYNAMIC)) == ["T1WI", "LAP", "PVP", "DP"]
    assert sequences(*_series(*FOUR, description="t1_vibe", agent="Gadovist")) == ["T1WI", "LAP", "PVP", "DP"]


@pytest.mark.parametrize(
    "said",
    [
        {"description": "t1_vibe_fs_tra_bh"},
        {"description": DYNAMIC, "flip": [2.0, 5.0, 10.0, 15.0]},
        {"description": DYNAMIC, "start": [0.0, 12.0, 24.0, 36.0]},
        {"description": "t1_vibe_dyn", "fat_suppressed": [False, True, False, True]},
        {"description": ["t1_vibe_dyn", "t1_vibe_dyn_W"] * 2},
    ],
    ids=["no word of contrast", "flip angles", "places", "fat suppression", "water images"],
)
def test_repeats_that_are_no_phases_are_unknown(said: dict[str, Any]) -> None:
    assert set(sequences(*_series(*FOUR, **said))) == {None}


def test_what_is_called_enhanced_is_not_counted_as_unenhanced() -> None:
    assert sequences(*_series(*FOUR, description="t1_vibe_post")) == ["LAP", "PVP", "DP", "DP"]


@pytest.mark.parametrize("description", [DYNAMIC, "Ax LAVA-Flex +C", "t1_vibe"])
@pytest.mark.parametrize("second", [None, 0.0])
def test_images_of_one_time_or_none_are_no_phases(description: str, second: float | None) -> None:
    assert set(sequences(*_series(*[second] * 4, description=description))) == {None}
    in_one = [
        made_slice(3.0 * z, description=description, instance=4 * z + n, acquired_s=second)
        for n in range(4)
        for z in range(4)
    ]
    assert sequences(*in_one) == [None] * 4


def test_trigger_times_tell_time_points_of_one_acquisition_time_apart() -> None:
    frames = [
        frame
        for second in FOUR
        for frame in made_volume(description=DYNAMIC, acquired_s=TEN, trigger_ms=1000 * second)
    ]
    assert sequences(*frames) == ["T1WI", "LAP", "PVP", "DP"]


def test_one_time_written_over_all_is_no_order() -> None:
    names = ["VIBE portal", "VIBE art"]
    found = identified(*_series(0.0, 0.0, description=names))
    assert [item.sequence for item in found] == ["PVP", "LAP"]
    assert all(item.confidence > 0.5 for item in found)


def test_a_name_does_not_tell_four_images_of_one_moment_apart() -> None:
    frames = [
        made_slice(3.0 * z, description="LAVA-Flex art", instance=4 * z + n, acquired_s=TEN)
        for n in range(4)
        for z in range(4)
    ]
    found = identified(*frames)
    assert [item.sequence for item in found] == [None] * 4 and "nothing says which" in found[0].reasons[-1]


def test_a_dixon_series_that_does_not_say_which_image_is_water_is_unknown() -> None:
    t2 = {"scanning_sequence": ("SE",), "te": 90.0, "tr": 3500.0, "description": "t2_tse_dixon"}
    frames = [frame for number in range(4) for frame in made_volume(**t2, instance=number)]
    assert sequences(*frames) == [None] * 4
    assert sequences(*made_volume(**t2)) == ["T2WI"]


def test_stations_are_no_unenhanced_image_of_the_liver() -> None:
    frames = _series(*FOUR, description="t1_vibe_dixon_W", start=[0.0, -40.0, -80.0, -120.0])
    found = identified(*frames)
    assert {item.sequence for item in found} == {None}
    assert all("other places" in item.reasons[-1] for item in found)


def test_other_flip_angles_do_not_keep_a_dynamic_from_its_phases() -> None:
    flips = [2.0, 12.0, 12.0, 12.0, 12.0]
    frames = _series(-300.0, *FOUR, description=DYNAMIC, flip=flips)
    assert sequences(*frames) == [None, "T1WI", "LAP", "PVP", "DP"]


def _time_points(count: int, every: float, **said: Any) -> list[Frame]:
    return [
        frame
        for n in range(count)
        for frame in made_volume(description="t1_twist_dyn", acquired_s=TEN + n * every, agent="Gd", **said)
    ]


@pytest.mark.parametrize(("count", "every"), [(20, 9.0), (24, 5.0), (12, 15.0), (6, 9.0), (40, 2.0)])
def test_an_ultrafast_dynamic_is_unknown_without_an_injection_time(count: int, every: float) -> None:
    found = identified(*_time_points(count, every))
    assert {item.sequence for item in found} == {None}
    assert ("no time of injection" in found[0].reasons[-1]) == (count > MOST_PHASES)


def test_an_injection_time_picks_one_time_point_of_an_ultrafast_dynamic_for_each_phase() -> None:
    found = identified(*_time_points(24, 9.0, injected_s=TEN + 30.0))
    taken = {choice.sequence: choice.best.stack.acquired_s - TEN - 30.0 for choice in choose(found)}
    assert taken["LAP"] == pytest.approx(30.0, abs=4.5) and taken["PVP"] == pytest.approx(70.0, abs=4.5)
    assert taken["DP"] == pytest.approx(177.0) and taken["T1WI"] < 0


@given(begin=st.floats(0, 86399), between=st.floats(31, 5000))
def test_phases_do_not_depend_on_the_time_of_day(begin: float, between: float) -> None:
    frames = [
        frame
        for number, after in enumerate((-between, 30.0, 70.0, 185.0))
        for frame in made_volume(
            description="Ax LAVA",
            series_uid=str(number),
            acquired_s=(begin + after) % DAY_S,
            injected_s=begin,
        )
    ]
    by_series = {item.stack.first.series_uid: item.sequence for item in identified(*frames)}
    assert by_series == {"0": "T1WI", "1": "LAP", "2": "PVP", "3": "DP"}


@given(
    begin=st.floats(0, 86399),
    times=st.lists(st.floats(0, LONGEST_EXAMINATION_S - 1), min_size=2, max_size=8, unique=True),
    dated=st.booleans(),
)
def test_one_clock_keeps_the_order_across_midnight(begin: float, times: list[float], dated: bool) -> None:
    frames = [
        made_slice(
            acquired_s=(begin + time) % DAY_S,
            day=int((begin + time) // DAY_S) + 1 if dated else None,
        )
        for time in times
    ]
    placed = [frame.acquired_s or 0.0 for frame in on_one_clock(frames)]
    for one, other in zip(sorted(times)[:-1], sorted(times)[1:], strict=True):
        apart = placed[times.index(other)] - placed[times.index(one)]
        assert apart == pytest.approx(other - one, abs=1e-6)


def test_a_date_that_was_written_over_all_does_not_hide_midnight() -> None:
    frames = [made_slice(acquired_s=second, day=730000) for second in (DAY_S - 60, 30.0)]
    assert [frame.acquired_s for frame in on_one_clock(frames)] == [DAY_S - 60, DAY_S + 30]


def test_two_sessions_of_one_day_stay_in_order() -> None:
    frames = [made_slice(acquired_s=hour * 3600.0) for hour in (8.0, 21.0)]
    assert [frame.acquired_s for frame in on_one_clock(frames)] == [8 * 3600.0, 21 * 3600.0]


def test_the_day_before_is_the_day_before() -> None:
    frames = [made_slice(acquired_s=TEN, day=day) for day in (730001, 730000)]
    assert [frame.acquired_s for frame in on_one_clock(frames)] == [TEN + DAY_S, TEN]


@pytest.mark.parametrize(
    ("moment", "second", "seconds"),
    [(25.0, DAY_S - 5, 30.0), (DAY_S + 25, DAY_S - 5, 30.0), (DAY_S - 30, 10.0, -40.0), (40.0, 10.0, 30.0)],
)
def test_time_since_a_time_of_day(moment: float, second: float, seconds: float) -> None:
    assert since(moment, second) == pytest.approx(seconds)


def test_phases_of_ct_without_words_are_told_by_dose_and_time() -> None:
    given_at = {"agent": ["", "Iomeron", "Iomeron", "Iomeron"], "injected_s": [None, *[TEN + 300.0] * 3]}
    ct: dict[str, Any] = {"modality": "CT", "description": "Abdomen 3.0"}
    four = _series(0.0, 337.0, 370.0, 480.0, **ct, **given_at)
    assert sequences(*four) == ["CT_PLAIN", "CT_ART", "CT_PORTAL", "CT_DELAY"]
    silent = _series(0.0, 337.0, 370.0, 480.0, **ct)
    assert set(sequences(*silent)) == {None}, "that images are repeated tells no dose"
    nothing = _series(0.0, 337.0, **ct, agent="Iomeron", agent_ml=[0.0, 90.0])
    assert sequences(*nothing) == ["CT_PLAIN", None]


def test_a_soft_kernel_and_slices_of_2_mm_come_first() -> None:
    ct: dict[str, Any] = {"modality": "CT", "description": "Leber art"}
    three = _series(0.0, 0.0, 0.0, **ct, kernel=["B70F", "B30F", "B30F"], thickness=[3.0, 1.0, 3.0])
    (choice,) = choose(identified(*three))
    assert [item.stack.first.series_number for item in choice.candidates] == [3, 2, 1]
