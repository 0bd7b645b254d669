"""``evaluate``: from a table of answers to figures, pictures and a page."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from LiverLesionAI.cli import app
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.evaluate import evaluate_file
from LiverLesionAI.evaluation.figures import TaskEvaluation
from LiverLesionAI.evaluation.predictions import read_predictions
from LiverLesionAI.taxonomy import TAXONOMIES

NAMES = TAXONOMIES["W7"].names
CASES = (16, 11, 22, 21, 15, 11, 17)

Change = Callable[[list[dict[str, str]]], None]


def _answers(sharpness: float, seed: int) -> list[dict[str, str]]:
    """Rows like those of ``classify``, with truth, two readers and a subgroup; two lesions a patient."""
    random, rows = np.random.default_rng(seed), []
    for label, count in enumerate(CASES):
        for _ in range(count):
            number = len(rows)
            scores = random.normal(size=len(NAMES))
            scores[label] += sharpness
            p = np.exp(scores) / np.exp(scores).sum()
            malignant = float(p[4:].sum())
            rows.append(
                {
                    "study_id": f"S{number // 2}",
                    "patient_id": f"P{number // 2}",
                    "lesion": str(number % 2 + 1),
                    "truth": NAMES[label],
                    "pred_type": NAMES[int(p.argmax())],
                    **{f"prob_type_{name}": f"{value:.6f}" for name, value in zip(NAMES, p, strict=True)},
                    "pred_malignancy": "malignant" if malignant > 0.5 else "benign",
                    "prob_malignancy_benign": f"{1 - malignant:.6f}",
                    "prob_malignancy_malignant": f"{malignant:.6f}",
                    "group_cirrhosis": "yes" if number % 3 else "no",
                    "reader_A": NAMES[label] if number % 4 else "cyst",
                    "reader_B": NAMES[label] if number % 5 else "HCC",
                }
            )
    return rows


def _write(file: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return _write(tmp_path / "answers.csv", _answers(2.2, 3))


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_answers_without_probabilities_do_not_take_them_from_the_others(tmp_path: Path) -> None:
    rows = _answers(2.2, 3)
    for name in NAMES:
        rows[5][f"prob_type_{name}"] = ""
    table = _write(tmp_path / "answers.csv", rows)
    found = evaluate_file(table).tasks["type"]
    whole = evaluate_file(_write(tmp_path / "whole.csv", _answers(2.2, 3))).tasks["type"]
    assert (found.n, found.scored, whole.scored) == (113, 112, 113)
    assert found.accuracy == whole.accuracy and found.calibration is not None
    area, other = found.classes["HCC"].auc, whole.classes["HCC"].auc
    assert area is not None and other is not None and abs(area.value - other.value) < 0.02
    for point in ("youden", str(tmp_path / "t.json")):
        (tmp_path / "t.json").write_text('{"HCC": 0.3}')
        with pytest.raises(ConfigError, match="1 answers to type have no probabilities"):
            evaluate_file(table, operating_point=point)


def test_tables_of_one_name_are_compared_both(table: Path, tmp_path: Path) -> None:
    others = []
    for name, sharpness in (("a", 1.2), ("b", 0.4)):
        (tmp_path / name).mkdir()
        others.append(_write(tmp_path / name / "predictions.csv", _answers(sharpness, 4)))
    of_reader = _write(tmp_path / "A.csv", _answers(1.0, 5))
    found = evaluate_file(table, [*others, of_reader]).comparisons["type"]
    assert set(found) == {"A", "B", str(of_reader), *map(str, others)}


def test_a_table_is_judged_and_compared(table: Path, tmp_path: Path) -> None:
    other = _write(tmp_path / "other.csv", _answers(1.2, 4))
    done = _run(table, "--out", tmp_path / "out", "--compare", other)
    assert done.exit_code == 0, done.output
    assert "Against other: McNemar p" in done.stdout and "type, 113 cases" in done.stdout
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert content["schema"] == "liverlesionai.evaluation.v1"
    assert (content["task"], content["n"], list(content["classes"])) == ("type", 113, list(NAMES))
    confusion = np.array(content["confusion"])
    assert confusion.sum(axis=1).tolist() == list(CASES)
    assert content["accuracy"]["value"] == np.trace(confusion) / 113
    hcc = content["classes"]["HCC"]
    assert hcc["tp"] == confusion[4, 4] and hcc["fp"] == confusion[:, 4].sum() - confusion[4, 4]
    assert set(hcc["sensitivity"]) >= {"value", "modified_wilson", "wilson", "clopper_pearson"}
    assert hcc["auc"]["delong"][0] < hcc["auc"]["value"] < 1
    assert set(content["comparisons"]) == {"A", "B", "other"}
    against = content["comparisons"]["other"]
    assert against["mcnemar_exact_p"] < 0.01 and set(against["delong_p"]) == set(NAMES)
    assert content["comparisons"]["A"]["delong_p"] == {}
    assert list(content["tasks"]) == ["type", "malignancy"]
    assert content["tasks"]["malignancy"]["readers"]["A"]["accuracy"]["n"] == 113
    assert content["subgroups"]["cirrhosis"]["accuracy"]["yes"]["n"] == 75
    assert "A – B" in content["agreement"]
    names = {file.name for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert {"evaluation.html", "type_roc.png", "type_classes.csv", "malignancy_confusion.png"} <= names
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "not for clinical use" in page and "<script" not in page and "http" not in page


def test_json_is_all_that_is_printed_and_the_folder_may_be_replaced(table: Path, tmp_path: Path) -> None:
    first = _run(table, "--out", tmp_path / "out", "--json")
    second = _run(table, "--out", tmp_path / "out", "--json")
    assert first.exit_code == second.exit_code == 0, second.output
    assert json.loads(first.stdout) == json.loads(second.stdout)


def test_a_single_question_needs_no_name(tmp_path: Path) -> None:
    rows = [
        {"study_id": f"S{n}", "truth": truth, "pred": answer}
        for n, (truth, answer) in enumerate([("HCC", "HCC"), ("cyst", "HCC"), ("cyst", "cyst")] * 3)
    ]
    evaluation = evaluate_file(_write(tmp_path / "plain.csv", rows))
    task = evaluation.primary
    assert (task.task, tuple(task.classes), task.confusion) == ("", ("HCC", "cyst"), ((3, 0), (3, 3)))
    assert task.calibration is None and task.classes["HCC"].auc is None
    assert json.loads(evaluation.to_json())["classes"]["HCC"]["plr"]["value"] == 2


def test_the_most_probable_class_answers_where_nothing_else_does(table: Path, tmp_path: Path) -> None:
    rows = _answers(2.2, 3)
    for row in rows:
        del row["pred_malignancy"], row["prob_malignancy_benign"], row["prob_malignancy_malignant"]
        row.update({f"prob_{name}": row.pop(f"prob_type_{name}") for name in NAMES})
        del row["pred_type"]
    found = evaluate_file(_write(tmp_path / "bare.csv", rows)).primary
    assert found.confusion == evaluate_file(table).primary.confusion


def test_thresholds_decide_about_classes_but_not_about_accuracy(table: Path, tmp_path: Path) -> None:
    at_most, youden = evaluate_file(table).primary, evaluate_file(table, (), "youden").primary
    file = tmp_path / "points.json"
    file.write_text(json.dumps({"type": {"HCC": 0.0}}), encoding="utf-8")
    given = evaluate_file(table, (), str(file)).primary
    assert given.classes["HCC"].counts.sensitivity.value == 1
    assert given.classes["HCC"].counts.specificity.value == 0
    assert given.classes["ICC"].counts == at_most.classes["ICC"].counts
    assert at_most.accuracy == youden.accuracy == given.accuracy
    file.write_text(json.dumps(dict.fromkeys(NAMES, 0.5)), encoding="utf-8")
    half = evaluate_file(table, (), str(file)).primary
    assert all(_youden_index(youden, name) >= _youden_index(half, name) for name in NAMES)


def _youden_index(task: TaskEvaluation, name: str) -> float:
    counts = task.classes[name].counts
    return counts.tp / (counts.tp + counts.fn) + counts.tn / (counts.tn + counts.fp) - 1


def test_cases_without_truth_or_answer_are_counted_not_judged(tmp_path: Path) -> None:
    rows = _answers(2.2, 3)
    rows[0]["truth"] = ""
    for name in list(rows[1]):
        if name.startswith(("pred_", "prob_")):
            rows[1][name] = ""
    task = evaluate_file(_write(tmp_path / "gaps.csv", rows)).primary
    assert (task.n, task.left_out) == (111, 2)
    assert task.classes["HCC"].auc is not None


def test_truth_may_stand_in_the_first_table_alone(table: Path, tmp_path: Path) -> None:
    rows = _answers(1.2, 4)[::-1]
    for row in rows:
        del row["truth"]
    found = evaluate_file(table, [_write(tmp_path / "other.csv", rows[:50])])
    with_truth = evaluate_file(table, [_write(tmp_path / "other.csv", _answers(1.2, 4)[::-1][:50])])
    assert found.comparisons["type"]["other"] == with_truth.comparisons["type"]["other"]
    assert found.comparisons["type"]["other"].n == 50


def test_the_order_of_classes_does_not_matter(table: Path, tmp_path: Path) -> None:
    rows = [dict(sorted(row.items(), reverse=True)) for row in _answers(1.2, 4)]
    shuffled = evaluate_file(table, [_write(tmp_path / "other.csv", rows)])
    plain = evaluate_file(table, [_write(tmp_path / "other.csv", _answers(1.2, 4))])
    assert shuffled.comparisons == plain.comparisons


def test_indeterminate_lesions_are_neither_benign_nor_malignant(tmp_path: Path) -> None:
    rows = [
        {"study_id": f"S{n}", "truth": truth, "pred_malignancy": "benign", "prob_malignancy_benign": "0.6",
         "prob_malignancy_malignant": "0.4"}
        for n, truth in enumerate(["indeterminate", "cyst", "HCC", "malignant"])
    ]  # fmt: skip
    task = evaluate_file(_write(tmp_path / "y.csv", rows)).primary
    assert (task.n, task.left_out, task.accuracy.successes) == (3, 1, 1)


def _set(column: str, value: str) -> Change:
    def change(rows: list[dict[str, str]]) -> None:
        rows[2][column] = value

    return change


def _drop(*columns: str) -> Change:
    def change(rows: list[dict[str, str]]) -> None:
        for row in rows:
            for name in columns:
                del row[name]

    return change


def _empty_truth(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["truth"] = ""


def _double(rows: list[dict[str, str]]) -> None:
    rows[3].update(study_id=rows[2]["study_id"], lesion=rows[2]["lesion"])


ALL_ANSWERS = [name for name in _answers(1, 1)[0] if name.startswith(("pred_", "prob_"))]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("prob_type_HCC", "1.2"), "line 4: prob_type_HCC is '1.2', no probability"),
        (_set("prob_type_HCC", "nan"), "line 4: prob_type_HCC is 'nan', no probability"),
        (_set("truth", "HC"), "line 4: truth 'HC' is none of the classes cyst, FNH"),
        (_set("pred_type", "liver"), "line 4: pred_type 'liver' is none of the classes"),
        (_drop("study_id"), "lacks the column study_id"),
        (_drop(*ALL_ANSWERS), "has no answers"),
        (_drop("truth"), "says no truth"),
        (_empty_truth, "says no truth"),
        (_double, "line 5: the same case stands in line 4"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path: Path, change: Change, said: str) -> None:
    rows = _answers(2.2, 3)
    change(rows)
    done = _run(_write(tmp_path / "bad.csv", rows), "--out", tmp_path / "out")
    assert done.exit_code == 3 and said in done.stderr and "bad.csv" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_truth_is_told_the_classes_of_the_finest_question(tmp_path: Path) -> None:
    """Whichever question comes first in the table."""
    rows = _answers(2.2, 3)
    rows[2]["truth"] = "Zyste"
    last = [name for name in rows[0] if "_type" in name]
    rows = [{**{k: v for k, v in row.items() if k not in last}, **{k: row[k] for k in last}} for row in rows]
    with pytest.raises(ConfigError, match="truth 'Zyste' is none of the classes cyst, FNH"):
        read_predictions(_write(tmp_path / "bad.csv", rows))


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("S2,1,HC,HCC,0.5", "line 5: truth 'HC'"),
        ("S2,1,HCC,HC,0.5", "line 5: pred 'HC'"),
        ("S2,1,HCC,HCC,2", "line 5: prob_HCC is '2'"),
        ("S1,1,HCC,HCC,0.5", "line 5: the same case stands in line 2"),
        ("S2,1,HCC,HCC,0.5,0.5", "line 5: there is a value without a column"),
    ],
)
def test_blank_lines_are_counted(tmp_path: Path, last: str, said: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(f"study_id,lesion,truth,pred,prob_HCC\nS1,1,HCC,HCC,0.5\n\n\n{last}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"bad\.csv, {said}"):
        read_predictions(file)


@pytest.mark.parametrize("content", ["", "\x00\x00", '"study_id', "study_id,truth,pred\n"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "odd.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"odd\.csv"):
        read_predictions(file)


def test_tables_of_different_cases_or_truths_are_not_compared(table: Path, tmp_path: Path) -> None:
    rows = _answers(1.2, 4)
    for row in rows:
        row["study_id"] += "x"
    with pytest.raises(ConfigError, match="no case in common"):
        evaluate_file(table, [_write(tmp_path / "other.csv", rows)])
    rows = _answers(1.2, 4)
    rows[0]["truth"] = "HCC"
    with pytest.raises(ConfigError, match="case S0 1 different truths"):
        evaluate_file(table, [_write(tmp_path / "other.csv", rows)])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("[]", "no JSON object of thresholds"),
        ('{"HCC": 2}', "gives HCC no threshold"),
        ('{"HCC": NaN}', "gives HCC no threshold"),
        ('{"hcc": 0.5}', "names 'hcc'"),
    ],
)
def test_bad_thresholds_are_refused(table: Path, tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "points.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        evaluate_file(table, (), str(file))
