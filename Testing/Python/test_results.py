"""``results.json``: its JSON Schema, and files of the first schema."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from made_studies import made_result, made_study
from test_decisions import TIME

from LiverLesionAI import decisions, results_v1
from LiverLesionAI.analysis import settings_of
from LiverLesionAI.errors import StudyError
from LiverLesionAI.explanation.settings import Settings
from LiverLesionAI.reading import Decision
from LiverLesionAI.results import SCHEMA, StudyResult
from LiverLesionAI.results_schema import json_schema
from LiverLesionAI.stopwatch import Stopwatch

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "results.schema.json"

ACCEPTED: dict[str, Any] = {
    "reader": "Ada",
    "taxonomy": "W7",
    "diagnosis": "HCC",
    "malignant": True,
    "model_class": "HCC",
    "reason": "",
    "time": TIME,
}
OVERRIDDEN = {**ACCEPTED, "reader": "Ben", "diagnosis": "FNH", "malignant": False, "reason": "central scar"}
SETTLED = {**OVERRIDDEN, "reader": "Ada and Ben", "reason": "agreed"}
W7_ROW = {
    "cyst": 0.05,
    "FNH": 0.05,
    "haemangioma": 0.05,
    "abscess": 0.05,
    "HCC": 0.7,
    "ICC": 0.05,
    "metastasis": 0.05,
}
WEIGHTS = {"T2WI": {"share": None, "shapley": 1.0}, "LAP": {"share": None, "shapley": 2.5}}

FIRST: dict[str, Any] = {
    "schema": "liverlesionai.results.v1",
    "study": {
        "id": "S1",
        "source": "made up",
        "reference": "T2WI",
        "sequences": ["T2WI", "LAP"],
        "missing": ["DWI"],
    },
    "models": [
        {
            "name": "wang2021-phantom",
            "version": "0.1.0",
            "sha256": "ab" * 32,
            "intended_use": "phantom",
            "folds": 5,
        }
    ],
    "lesions": [
        {
            "id": 1,
            "name": "lesion 1",
            "diameter_mm": 28.0,
            "volume_ml": 11.5,
            "centroid_lps_mm": [-30.0, -10.0, 8.0],
            "crop_mm": 64.0,
            "tasks": {
                "malignancy": {
                    "taxonomy": "binary",
                    "probabilities": {"benign": 0.1, "malignant": 0.9},
                    "predicted": "malignant",
                    "fold_std": {"benign": 0.02, "malignant": 0.02},
                },
                "type": {
                    "taxonomy": "W7",
                    "probabilities": W7_ROW,
                    "predicted": "HCC",
                    "fold_std": dict.fromkeys(W7_ROW, 0.01),
                },
            },
            "explained": {"malignancy": "malignant", "type": "HCC"},
            "sequence_weights": {"type": WEIGHTS, "malignancy": WEIGHTS},
            "sequence_interactions": {"type": [["T2WI", "LAP", 1.0]], "malignancy": [["T2WI", "LAP", 0.5]]},
            "warnings": ["small"],
            "reader": {"decisions": [ACCEPTED, OVERRIDDEN], "settled": SETTLED},
        },
        {
            "id": 2,
            "name": "lesion 2",
            "diameter_mm": 9.0,
            "volume_ml": 0.4,
            "centroid_lps_mm": [25.0, 15.0, -12.0],
            "crop_mm": None,
            "tasks": {},
            "explained": {},
            "sequence_weights": {},
            "sequence_interactions": {},
            "warnings": ["The lesion lies at the edge."],
            "reader": None,
        },
    ],
    "provenance": {
        "software": "LiverLesionAI 0.1.0",
        "started": TIME,
        "seconds": {"classify": 0.5},
        "device": "cpu",
        "precision": "fp32",
        "parameters": {
            "patches": {"size": 64},
            "saliency": {
                "method": "smoothed-gradients",
                "stage": "stem",
                "task": None,
                "target": None,
                "seed": 3,
            },
        },
        "inputs": {"T2WI": {"series_uid": "1.2.3.4"}, "lesions": {"sha256": "cd" * 32}},
    },
    "study_tasks": {},
    "registration": {
        "LAP": {
            "transform": "rigid",
            "metric_before": 1.05,
            "metric_after": 1.1,
            "warnings": ["bspline refused"],
        }
    },
    "warnings": ["Sequence DWI is missing."],
}
"""As the first schema had it: an explained lesion that two readers settled on, and one without an answer."""


def test_a_file_of_the_first_schema_reads_as_the_second() -> None:
    result = StudyResult.from_dict(copy.deepcopy(FIRST))
    (model,), (lesion, other) = result.models, result.lesions
    assert (model.members, model.system, model.unit, result.unit) == (5, "wang2021", "lesion", "lesion")
    assert lesion.answer is lesion.tasks["type"] and not lesion.tasks["malignancy"].primary
    assert lesion.tasks["type"].std == dict.fromkeys(W7_ROW, 0.01)
    assert lesion.tasks["malignancy"].std == {"benign": 0.02, "malignant": 0.02}
    assert lesion.reading is not None and lesion.reading.final == Decision(**SETTLED)
    assert lesion.reading.decisions == (Decision(**ACCEPTED), Decision(**OVERRIDDEN))
    assert decisions.in_words(lesion.reading).endswith("; consensus FNH")
    assert other.answer is None and other.reading is None
    assert settings_of(result) == Settings(method="smoothgrad", stage="stem", seed=3)
    assert result.registration["LAP"].warnings == ("bspline refused",)
    written = json.loads(result.to_json())
    assert written["schema"] == SCHEMA and StudyResult.from_dict(written) == result
    text = json.dumps(written)
    assert not any(word in text for word in ('"folds"', '"fold_std"', '"settled"', '"smoothed-gradients"'))


def test_the_first_task_was_the_primary_one_where_there_was_no_type() -> None:
    content = copy.deepcopy(FIRST)
    del content["lesions"][0]["tasks"]["type"]
    (answer,) = StudyResult.from_dict(content).lesions[0].tasks.values()
    assert answer.primary and answer.predicted == "malignant"


def test_files_from_before_there_were_readers_are_read() -> None:
    content = copy.deepcopy(FIRST)
    for lesion in content["lesions"]:
        del lesion["reader"]
    assert [lesion.reading for lesion in StudyResult.from_dict(content).lesions] == [None, None]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.update(schema="liverlesionai.results.v9"),
        lambda content: content.pop("schema"),
        lambda content: content.pop("models"),
        lambda content: content.update(models=["one"]),
        lambda content: content.update(models=[]),
        lambda content: content["lesions"][0]["tasks"]["type"].update(predicted="lipoma"),
        lambda content: content["lesions"][0]["tasks"]["type"].update(taxonomy="X9"),
        lambda content: content["lesions"][0]["reader"].update(decisions=[]),
        lambda content: content.update(provenance="unknown"),
        lambda content: content["provenance"]["parameters"].update(saliency="on"),
        lambda content: content["provenance"]["parameters"].update(saliency={}),
        lambda content: content["lesions"][0].update(tasks=[1]),
        lambda content: content["lesions"][0].update(reader="Ada"),
        lambda content: content["lesions"][0].update(diameter_mm="large"),
    ],
)
def test_what_fits_no_schema_is_refused_in_one_sentence(spoil: Callable[[dict[str, Any]], None]) -> None:
    content = copy.deepcopy(FIRST)
    spoil(content)
    with pytest.raises(StudyError, match=r"schema|do not fit") as refusal:
        StudyResult.from_dict(content)
    assert "\n" not in str(refusal.value)
    assert results_v1.SCHEMA in str(refusal.value) or SCHEMA in str(refusal.value)


@pytest.mark.parametrize("content", [[], None, "results"])
def test_what_is_no_object_is_refused(content: Any) -> None:
    with pytest.raises(StudyError, match="no JSON object"):
        StudyResult.from_dict(content)


def test_time_is_added_to_the_steps_that_a_result_knows() -> None:
    stopwatch = Stopwatch({"read": 2.0})
    for step in ("read", "write"):
        with stopwatch.time(step):
            pass
    assert stopwatch.seconds["read"] >= 2.0 and 0 <= stopwatch.seconds["write"] < 2.0


@pytest.mark.skipif(
    tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 12), reason="older pydantic words it otherwise"
)
def test_the_schema_in_the_documentation_is_that_of_the_program() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json.dumps(json_schema(), indent=1) + "\n"


def test_the_page_describes_every_key_of_the_schema() -> None:
    page = SCHEMA_FILE.with_name("results.md").read_text(encoding="utf-8")

    def keys(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from part.get("properties", {})
            for each in part.values():
                yield from keys(each)
        elif isinstance(part, list):
            for each in part:
                yield from keys(each)

    named = {key for key in keys(json_schema()) if f"`{key}`" in page or f'"{key}"' in page}
    assert set(keys(json_schema())) - named == set()


def test_results_are_valid_by_the_schema_and_others_are_not() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    check.validate(json.loads(made_result(made_study(), ("HCC", None)).to_json()))
    check.validate(json.loads(StudyResult.from_dict(copy.deepcopy(FIRST)).to_json()))
    assert not check.is_valid(FIRST)
