"""Figures of explanations: what stands on them, at what size, and that they come out the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_explanations import made_explanation
from made_studies import made_result, made_study

from LiverLesionAI.explanation.palette import CUT, DENSE, OPACITY, THRESHOLD, colours, density, overlay
from LiverLesionAI.results import PHANTOM_NOTICE

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from LiverLesionAI.writers.figures import (
    HEIGHT_MM,
    RESOLUTION_DPI,
    WIDTH_MM,
    cohort_figure,
    lesion_figure,
    save_png,
    write_figures,
)
from LiverLesionAI.writers.panels import SequencePanels, rows_of
from LiverLesionAI.writers.picture import Picture


@pytest.fixture(scope="module")
def figure():
    study = made_study()
    result = made_result(study)
    return lesion_figure(made_explanation(study), result.lesions[0], phantom=True)


def texts(figure) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


SEQUENCES = ["T2WI", "DWI", "T1WI", "LAP"]


def shown(figure) -> tuple:
    """Axes of the panels and their picture as columns, ``[column][row]``: the middle of each panel."""
    axes = next(axes for axes in figure.axes if {"absent", *SEQUENCES} <= {t.get_text() for t in axes.texts})
    (picture,) = (each.colours for each in axes.artists if isinstance(each, Picture))
    height, width, _ = picture.shape
    middles = [
        [picture[int((row + 0.5) * height / 4), int((column + 0.5) * width / 4)] for row in range(4)]
        for column in range(4)
    ]
    return axes, middles


def test_every_sequence_is_shown_four_times_and_absent_ones_say_so(figure) -> None:
    axes, middles = shown(figure)
    titles = [text for text in axes.texts if text.get_text() in SEQUENCES]
    assert [text.get_text() for text in titles] == SEQUENCES
    assert np.all(np.diff([text.get_position()[0] for text in titles]) > 0)
    assert [text.get_text() for text in axes.texts].count("absent") == 4
    assert np.all(middles[1] == np.zeros(3)), "DWI is absent: black"
    assert all(middle.any() for column in (0, 2, 3) for middle in middles[column])
    (outlines,) = axes.collections
    right = axes.get_xlim()[1] * 3 / 4
    assert sum(path.vertices[:, 0].min() > right for path in outlines.get_paths()) >= 3, "the outline in LAP"


def test_overlays_are_feature_map_weighted_map_and_strongest_slice() -> None:
    explanation = made_explanation(made_study())
    rows = rows_of(explanation)
    largest, strongest = explanation.largest_slice, explanation.strongest_slice
    assert [row.index for row in rows] == [largest, largest, largest, strongest]
    panels = SequencePanels(explanation, "T2WI")
    lower, upper = panels.window
    patch = explanation.lesion.patches[0, 0]
    maps = [None, explanation.feature_map("T2WI"), *[explanation.weighted_map("T2WI")] * 2]
    size = explanation.lesion.grid.size
    for row, saliency in zip(rows, maps, strict=True):
        grey = np.clip((patch[row.index] - lower) / (upper - lower), 0, 1)[..., None]
        rgba = np.zeros((size, size, 4)) if saliency is None else overlay(saliency[row.index])
        expected = 255 * (grey + rgba[..., 3:] * (rgba[..., :3] - grey))
        np.testing.assert_allclose(panels.picture(row, size), expected, atol=1.5)


def test_panels_are_enlarged_about_the_middle_of_their_voxels() -> None:
    panels = SequencePanels(made_explanation(made_study()), "T2WI")
    row = rows_of(panels.explanation)[1]
    size = panels.explanation.lesion.grid.size
    large = panels.picture(row, 3 * size).astype(int)
    blocks = large.reshape(size, 3, size, 3, 3)
    assert np.abs(blocks.mean(axis=(1, 3)) - panels.picture(row, size)).mean() < 4


def test_the_outline_lies_on_the_border_of_the_lesion() -> None:
    explanation = made_explanation(made_study())
    index = explanation.largest_slice
    line = max(SequencePanels(explanation, "T2WI").outline(index), key=len)
    inside = np.argwhere(explanation.outline[index])
    low, high = inside.min(axis=0)[::-1], inside.max(axis=0)[::-1]
    assert np.all(np.abs(line.min(axis=0) - low) <= 1) and np.all(np.abs(line.max(axis=0) - high) <= 1)


def test_numbers_are_those_of_the_explanation(figure) -> None:
    said = texts(figure)
    for number in ("+1.0", "−0.4", "+2.5"):
        assert number in said
    assert any(re.fullmatch(r"Lesion 1 · \d+ mm · HCC, p = 0.70", text) for text in said)
    assert {"interactions, type: HCC", "interactions, malignancy: malignant"} <= set(said)
    bars = next(axes for axes in figure.axes if axes.get_ylabel().startswith("weight"))
    heights = [bar.get_height() for bar in bars.patches[:3]]
    np.testing.assert_allclose(heights, made_explanation(made_study()).weights["type"].shapley)


def test_the_phantom_notice_stands_only_where_it_must(figure) -> None:
    study = made_study()
    other = lesion_figure(made_explanation(study), made_result(study).lesions[0], phantom=False)
    assert PHANTOM_NOTICE in texts(figure)
    assert PHANTOM_NOTICE not in texts(other)


def test_a_class_that_was_not_predicted_is_asked_about() -> None:
    study = made_study()
    explanation = made_explanation(study, target="ICC")
    said = " ".join(texts(lesion_figure(explanation, made_result(study).lesions[0], phantom=True)))
    assert "why ICC, p = 0.05? (predicted: HCC)" in said


def test_files_are_fit_for_print_and_the_same_each_time(tmp_path: Path) -> None:
    study = made_study()
    result, explanation = made_result(study), made_explanation(study)
    first = write_figures([explanation], result, tmp_path / "a")
    again = write_figures([explanation], result, tmp_path / "b")
    assert list(first) == [1] and first[1].name == "lesion_1.png"
    assert first[1].read_bytes() == again[1].read_bytes()
    width, height = sitk.ReadImage(first[1]).GetSize()
    assert (width, height) == pytest.approx(
        (WIDTH_MM / 25.4 * RESOLUTION_DPI, HEIGHT_MM / 25.4 * RESOLUTION_DPI), abs=1
    )


def test_a_lesion_without_weights_for_its_class_can_be_drawn(tmp_path: Path) -> None:
    study = made_study()
    explanation = made_explanation(study)
    against = replace(explanation.weights["type"], worth=-np.arange(8.0))
    flat = replace(explanation, weights={"type": against}, maps=np.zeros_like(explanation.maps))
    save_png(lesion_figure(flat, made_result(study).lesions[0], phantom=True), tmp_path / "flat.png")
    assert (tmp_path / "flat.png").stat().st_size > 10_000


def test_one_colour_scale_from_clear_to_red() -> None:
    values = np.linspace(0, 1, 101)
    rgba = overlay(values)
    assert (rgba[values < THRESHOLD, 3] == 0).all()
    rising = np.diff(rgba[:, 3])
    assert (rising >= 0).all() and rising.max() < 0.04 * OPACITY, "it fades in, without an edge"
    assert (rgba[values >= DENSE, 3] == pytest.approx(OPACITY)) and density(CUT) == pytest.approx(0.216)
    red, green, blue = colours(1.0)
    assert red > 0.7 and green < 0.1 and blue < 0.2
    assert (np.diff(colours(values) @ (0.30, 0.59, 0.11)) < 0).all(), "ordered in grey print"


def test_cohort_figure_has_a_row_a_class() -> None:
    means = {"HCC": {"LAP": 1.26, "DP": -0.3}, "cyst": {"LAP": 0.0}}
    figure = cohort_figure(means, ["LAP", "DP"], "cohort")
    table = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(np.ma.filled(table, np.nan), [[1.26, -0.3], [0.0, np.nan]])
    assert {"+1.3", "−0.3", "0.0"} <= set(texts(figure))
