"""The report: one file, no network, everything said that must be said."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_explanations import weights_of
from made_studies import made_result, made_study

from LiverLesionAI.answers import OutOfDistribution
from LiverLesionAI.errors import StudyError
from LiverLesionAI.results import SequenceRegistration, StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.writers.cohort_report import (
    CohortEntry,
    cohort_entry,
    mean_sequence_weights,
    write_cohort_report,
)
from LiverLesionAI.writers.report import LIMITS, write_report

pytest.importorskip("jinja2", reason="jinja2 is not installed")

PLAYERS = ("T2WI", "T1WI", "LAP")
PICTURE = b"\x89PNG picture of a lesion"
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Text, links and sources of a page; fails where tags do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self._open

    def handle_starttag(self, tag, attributes) -> None:
        found = dict(attributes)
        self.addresses += [found[key] for key in ("src", "href", "srcset", "data") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self._open.pop() == tag

    def handle_data(self, text) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(text)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def explained_result(study: Study | None = None) -> StudyResult:
    """A result of two lesions, HCC explained, the other not classified."""
    result = made_result(study or made_study(), ("HCC", None))
    weights = {
        "type": weights_of(PLAYERS, "type", "HCC"),
        "malignancy": weights_of(PLAYERS, "malignancy", "malignant", scale=0.5),
    }
    lesion = replace(
        result.lesions[0],
        explained={task: each.target for task, each in weights.items()},
        sequence_weights={task: each.to_dict() for task, each in weights.items()},
        sequence_interactions={task: each.pairs() for task, each in weights.items()},
    )
    provenance = replace(
        result.provenance,
        parameters={"patches": {"size": 64, "percentiles": [0.5, 99.5]}},
        inputs={"LAP": {"series_uid": "1.2.3.4"}, "lesions": {"sha256": "cd" * 32}},
    )
    registration = {"LAP": SequenceRegistration("rigid", 1.0512, 1.1034, ("bspline refused",))}
    return replace(
        result, lesions=(lesion, result.lesions[1]), provenance=provenance, registration=registration
    )


@pytest.fixture
def page(tmp_path: Path) -> Page:
    picture = tmp_path / "lesion_1.png"
    picture.write_bytes(PICTURE)
    return Page(write_report(explained_result(), tmp_path / "report.html", {1: picture}))


def test_one_file_that_needs_no_network(page: Page, tmp_path: Path) -> None:
    assert page.addresses == [f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"]
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|<script", source)


def test_pictures_come_first_then_numbers_then_provenance_and_limits(tmp_path: Path, page: Page) -> None:
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    places = [source.index(mark) for mark in ("<img", "Probabilities", "How this came about", "Limits</h2>")]
    assert places == sorted(places)


def test_the_answer_is_said_in_words_and_numbers(page: Page) -> None:
    text = page.text
    assert "Lesion 1: Hepatocellular carcinoma" in text
    assert re.search(
        r"Type: Hepatocellular carcinoma \(p = 0.70\) · Malignancy: Malignant \(p = 0.90\)", text
    )
    assert re.search(r"class p SD .*Hepatocellular carcinoma 0\.700 0\.010", text)
    assert "mean of 5 networks" in text
    assert re.search(r"LAP \+2\.50 \+1\.25", text), "weights of both tasks"
    assert re.search(r"all together \+3\.10 \+1\.55", text)
    assert re.search(r"T2WI and LAP type \+1\.00", text)
    assert page.ids == ["lesion-1", "lesion-2"]


def test_a_lesion_without_an_answer_says_why(page: Page) -> None:
    assert "Not classified" in page.text and "The lesion lies at the edge." in page.text


def test_notice_warnings_provenance_and_limits_stand_there(page: Page) -> None:
    text = page.text
    assert text.count("Phantom-trained: not for clinical use") == 2
    assert "Sequence DWI is missing." in text
    assert "ab" * 32 in text and "1.2.3.4" in text and "cd" * 32 in text
    assert "percentiles [0.5, 99.5]" in text
    assert re.search(r"LAP rigid 1\.051 1\.103 bspline refused", text)
    assert all(limit in text for limit in LIMITS)
    assert not re.search(r"average lesion|A map is as coarse", text), "not true of every system"


def test_a_model_trained_on_patients_is_research_software(tmp_path: Path) -> None:
    result = explained_result()
    result = replace(result, models=(replace(result.models[0], intended_use="research"),))
    text = Page(write_report(result, tmp_path / "report.html")).text
    assert "Research software: not for clinical use." in text and "hantom-trained" not in text
    assert "No pictures: the answer was not explained." in text


def test_one_network_has_no_spread(tmp_path: Path) -> None:
    result = explained_result()
    result = replace(result, models=(replace(result.models[0], members=1),))
    text = Page(write_report(result, tmp_path / "report.html")).text
    assert re.search(r"Hepatocellular carcinoma 0\.700 –", text) and "one network" in text


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ICC", "as was asked, not for the predicted class."),
        (None, "the class of the study as a whole, not for this lesion's own."),
    ],
)
def test_a_class_that_is_not_the_lesion_s_is_explained_for_a_reason(
    tmp_path: Path, target: str | None, said: str
) -> None:
    result = explained_result()
    lesion = replace(result.lesions[0], explained={"type": "ICC"})
    of_study = replace(
        result,
        unit="slice",
        lesions=(lesion,),
        study_tasks={"type": replace(lesion.tasks["type"], predicted="ICC")},
        provenance=replace(result.provenance, parameters={"saliency": {"target": target}}),
    )
    text = Page(write_report(of_study, tmp_path / "report.html")).text
    assert re.search(rf"speaks for Intrahepatic cholangiocarcinoma \(p = 0\.\d\d\), {said}", text)
    assert ("as was asked" in text) is (target is not None)


def test_names_cannot_smuggle_markup_in(tmp_path: Path) -> None:
    study = replace(made_study(), lesion_names={1: "<script>alert(1)</script>"})
    write_report(explained_result(study), tmp_path / "report.html")
    assert "<script" not in (tmp_path / "report.html").read_text(encoding="utf-8").lower()


def test_the_same_result_gives_the_same_page(tmp_path: Path) -> None:
    first, again = (write_report(explained_result(), tmp_path / name) for name in ("a.html", "b.html"))
    assert first.read_bytes() == again.read_bytes()


def test_a_cohort_page_links_the_studies(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    result = explained_result()
    entries = [CohortEntry(result, "S1/report.html"), CohortEntry(result)]
    page = Page(write_cohort_report(entries, tmp_path / "cohort.html", "our cohort"))
    links = [address for address in page.addresses if not address.startswith("data:")]
    assert links == ["S1/report.html#lesion-1", "S1/report.html#lesion-2"]
    assert base64.b64decode(page.addresses[0].partition(",")[2]).startswith(b"\x89PNG")
    assert "our cohort" in page.text and "2 studies · 4 lesions" in page.text
    assert "Phantom-trained: not for clinical use" in page.text


def test_a_cohort_page_tells_sets_and_what_is_unlike_the_training(tmp_path: Path) -> None:
    """The filter still finds a row by the class that was predicted."""
    result = explained_result()
    lesion = result.lesions[0]
    kind = lesion.tasks["type"]
    unsure = replace(
        kind, calibrated=dict(kind.probabilities), prediction_set=("HCC", "metastasis"), coverage=0.9
    )
    doubted = replace(
        lesion, tasks={**lesion.tasks, "type": unsure}, out_of_distribution=OutOfDistribution(3.0, 1.2)
    )
    entry = CohortEntry(replace(result, lesions=(doubted,)))
    text = write_cohort_report([entry], tmp_path / "page.html").read_text(encoding="utf-8")
    assert f'data-class="{kind.predicted}">HCC or metastasis (90%)</td>' in text
    assert "unlike what the model was trained on" in text
    assert "1 study · 1 lesion<" in text and "Hepatocellular carcinoma" in text and ">Abscess<" in text


def test_mean_weights_are_per_explained_class() -> None:
    result = explained_result()
    lesion = result.lesions[0]
    doubled = {"type": {"LAP": {"share": None, "shapley": 4.5}}}
    second = replace(lesion, sequence_weights=doubled)
    means = mean_sequence_weights([result, replace(result, lesions=(second,))])
    assert list(means) == ["HCC"]
    assert means["HCC"] == pytest.approx({"T2WI": 1.0, "T1WI": -0.4, "LAP": 3.5})


def test_a_study_that_is_answered_as_a_whole_counts_by_its_own_weights() -> None:
    result = explained_result()
    lesion = result.lesions[0]
    whole = replace(
        result,
        unit="study",
        study_tasks=lesion.tasks,
        explained=lesion.explained,
        sequence_weights={"type": {"LAP": {"share": None, "shapley": 3.0}}},
    )
    assert mean_sequence_weights([whole]) == {"HCC": {"LAP": 3.0}}


def test_a_cohort_is_read_from_output_folders(tmp_path: Path) -> None:
    result = explained_result()
    for name in ("first study", "second"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "results.json").write_text(result.to_json(), encoding="utf-8")
    (tmp_path / "out" / "first study" / "report.html").write_text("a report")
    page = tmp_path / "pages" / "cohort.html"
    first, second = (cohort_entry(tmp_path / "out" / name, page) for name in ("first study", "second"))
    assert (first.link, second.link) == ("../out/first%20study/report.html", "")
    assert first.result.to_json() == second.result.to_json() == result.to_json()
    assert mean_sequence_weights([first.result]) == mean_sequence_weights([result])
    with pytest.raises(StudyError, match=r"results\.json cannot be read"):
        cohort_entry(tmp_path, page)
