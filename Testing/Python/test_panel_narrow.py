"""The panels of all modules in a narrow window with large letters, as on a reading room's side screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from panel_desktop import ROOT, quiet_desktop

NARROW, POINTS = 350, 16
FILES = (ROOT / "LiverLesionAI.py", *sorted((ROOT / "scripted_modules").glob("*.py")))


@pytest.fixture(scope="module")
def made_desktop() -> Iterator[Any]:
    """A desktop with all modules and large letters."""
    with quiet_desktop() as made:
        usual = made.application.font()
        large = made.application.font()
        large.setPointSize(POINTS)
        made.application.setFont(large)
        for file in FILES:
            made.load(file)
        yield made
        made.application.setFont(usual)


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_no_panel_needs_more_room(made_desktop: Any, name: str) -> None:
    made_desktop.enter(name)
    assert made_desktop._frames[name].minimumSizeHint().width() <= NARROW


def test_steps_and_notices_need_no_more_room(made_desktop: Any) -> None:
    import slicer

    name = "LiverLesionAI"
    frame, ui = made_desktop._frames[name], slicer.modules.LiverLesionAIWidget.ui
    made_desktop.enter(name)
    frame.resize(NARROW, 900)
    made_desktop.settle(50)
    area = frame.findChild(object, "stepsArea")
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
    banner = ui.bannerLabel
    assert banner.visible and banner.height >= banner.heightForWidth(banner.width)


def test_the_class_stays_readable_beside_long_sets(made_desktop: Any) -> None:
    """What does not fit is scrolled to, the table makes room for the bar, and both follow the panel."""
    import slicer

    from LiverLesionLib.controls import bars

    made_desktop.enter("LiverLesionAI")
    frame = made_desktop._frames["LiverLesionAI"]
    widget = slicer.modules.LiverLesionAIWidget
    table, column = widget.ui.resultsTable, widget.panel.classify._class_column
    chip, bar = bars.Chip("metastasis or haemangioma", (9, 9, 9)), bars.Bar(1.0, (9, 9, 9))
    letters = table.fontMetrics().horizontalAdvance("metastasis")

    def shown_in(width: int) -> tuple[int, int]:
        frame.resize(width, 900)
        made_desktop.settle(50)
        return table.columnWidth(1), table.height

    bars.fill(table, [("lesion 1", chip, bar, bar, "✓")])
    column.hold("metastasis")
    wide, low = shown_in(1200)
    narrow, high = shown_in(NARROW)
    assert letters < narrow < wide and low < high
    assert shown_in(1200) == (wide, low)
    column.hold("")
    bars.fill(table, ())


def test_what_is_hidden_while_its_step_is_folded_stays_hidden(made_desktop: Any) -> None:
    import slicer

    from LiverLesionLib.controls import bars

    made_desktop.enter("LiverLesionAI")
    ui = slicer.modules.LiverLesionAIWidget.ui
    bars.fill(ui.resultsTable, [("lesion 1", "HCC")])
    ui.classifyStep.collapsed = True
    bars.fill(ui.resultsTable, ())
    bars.fill(ui.classesTable, [("HCC",)])
    assert not ui.classesTable.visible
    ui.classifyStep.collapsed = False
    assert ui.classesTable.visible and not ui.resultsTable.visible and not ui.classifyProgress.visible
    bars.fill(ui.classesTable, ())


def test_letters_can_be_read_on_every_bar(made_desktop: Any) -> None:
    """In the light style and in the dark one, on the colour of every class and on what is behind it."""
    import slicer

    from LiverLesionAI.taxonomy import TAXONOMIES
    from LiverLesionLib.controls import bars
    from LiverLesionLib.controls.palette import contrast, under_text

    colours = {each.colour for taxonomy in TAXONOMIES.values() for each in taxonomy.classes}
    for dark, letters in ((False, (0, 0, 0)), (True, (255, 255, 255))):
        assert min(contrast(under_text(colour, dark), letters) for colour in colours) >= 4.5
    assert under_text((240, 228, 66), False) == (240, 228, 66)

    table = slicer.modules.LiverLesionAIWidget.ui.classesTable
    brown = (150, 75, 0)
    bars.fill(table, [("", bars.Bar(p, brown)) for p in (0.1, 0.6)])
    few, many = (table.cellWidget(row, 1).styleSheet for row in range(2))
    assert few == many and "color: black" in few and str(under_text(brown, False)) in few
    bars.fill(table, ())


def test_the_default_model_is_offered_first(made_desktop: Any) -> None:
    import slicer

    from LiverLesionAI.options import DEFAULT_MODEL

    for name in ("LiverLesionAI", "LiverLesionBatch"):
        made_desktop.enter(name)
        assert getattr(slicer.modules, f"{name}Widget").ui.modelCombo.itemText(0) == DEFAULT_MODEL


def test_candidates_without_a_segment_are_named() -> None:
    from LiverLesionAI.results import Candidate
    from LiverLesionLib.steps.candidates_step import segments_in_words

    ranks_and_segments = ((1, 1), (4, None))
    found = [
        Candidate(rank, 0.9, "HBP", (1, 2), (0.0, 0.0, 0.0), 1.0, lesion)
        for rank, lesion in ranks_and_segments
    ]
    assert segments_in_words(found[:1]) == "1 of 1 accepted candidates have a segment."
    assert segments_in_words(found).startswith("1 of 2 accepted candidates have a segment; without one: 4.")
