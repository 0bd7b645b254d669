"""Files that a study leaves behind: volumes, tables, and the folder that holds them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_studies import CENTRES, RADIUS_MM, ball, directions, made_result, made_study, misplacement, rigid

from LiverLesionAI.errors import OutputError
from LiverLesionAI.files import output_folder
from LiverLesionAI.results import SCHEMA, StudyResult
from LiverLesionAI.study import SequenceImage
from LiverLesionAI.writers.tables import (
    lesion_table,
    prediction_table,
    task_classes,
    write_csv,
    write_results,
)
from LiverLesionAI.writers.volumes import lesion_classes, registered, write_lesions, write_volumes

NIFTI_TOLERANCE_MM = 1e-3


# --- volumes


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(directions(), st.tuples(*[st.floats(-500, 500)] * 3))
def test_label_images_lie_on_the_mask_s_grid(tmp_path_factory, direction, centre):
    folder = tmp_path_factory.mktemp("out")
    study = made_study(direction)
    moved = study.lesions.__copy__()
    moved.SetOrigin((np.array(moved.GetOrigin()) + centre).tolist())
    study = replace(study, lesions=moved)
    paths = write_lesions(study, made_result(study, ("metastasis", "cyst")), folder)
    assert [path.name for path in paths] == ["lesions.nii.gz", "lesion_classes.nii.gz"]
    for path, values in zip(paths, ([0, 1, 2], [0, 7, 1]), strict=True):
        written = sitk.ReadImage(path)
        assert misplacement(written, moved) <= NIFTI_TOLERANCE_MM
        assert written.GetPixelID() == sitk.sitkUInt8
        expected = np.array(values)[sitk.GetArrayViewFromImage(moved)]
        assert np.array_equal(sitk.GetArrayViewFromImage(written), expected)


@settings(max_examples=10)
@given(directions())
def test_a_mask_that_came_from_nifti_is_written_where_it_was_read(tmp_path_factory, direction):
    folder = tmp_path_factory.mktemp("out")
    study = made_study(direction)
    sitk.WriteImage(study.lesions, folder / "mask.nii.gz")
    study = replace(study, lesions=sitk.ReadImage(folder / "mask.nii.gz"))
    write_lesions(study, made_result(study), folder)
    written = sitk.ReadImage(folder / "lesions.nii.gz")
    assert misplacement(written, study.lesions) <= 5e-5


def test_many_lesions_take_16_bits_and_unanswered_ones_are_background(tmp_path):
    study = made_study()
    study = replace(study, lesions=study.lesions * 200)
    result = made_result(study, (None, "ICC"))
    assert study.lesion_ids == (200, 400)
    classes = sitk.GetArrayFromImage(lesion_classes(study, result))
    labels = sitk.GetArrayFromImage(study.lesions)
    assert set(classes[labels == 200]) == {0} and set(classes[labels == 400]) == {6}
    lesions, _ = write_lesions(study, result, tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(lesions)), labels)


def test_no_class_map_where_nothing_was_answered_and_no_labels_without_lesions(tmp_path):
    study = made_study()
    assert [p.name for p in write_lesions(study, made_result(study, (None, None)), tmp_path)] == [
        "lesions.nii.gz"
    ]
    bare = replace(study, lesions=None)
    assert write_lesions(bare, made_result(bare, ()), tmp_path) == ()


@pytest.mark.parametrize("oblique", [False, True])
def test_registered_sequences_show_the_lesions_where_they_were_outlined(oblique):
    direction = np.reshape(rigid((0.3, -0.2, 0.5), (0, 0, 0)).GetMatrix(), (3, 3)) if oblique else None
    study = made_study(direction, transform=rigid((0.2, 0.1, -0.3), (12.0, -9.0, 7.0)))
    frame = study.images["T2WI"].image
    for name in study.images:
        image = registered(study, name)
        assert misplacement(image, frame) <= 1e-9
        bright = sitk.GetArrayFromImage(image) > 150
        inside = ball(frame, CENTRES[0]) | ball(frame, CENTRES[1])
        dice = 2 * (bright & inside).sum() / (bright.sum() + inside.sum())
        assert dice > 0.85
    untouched = replace(study, images={**study.images, "LAP": SequenceImage(study.images["LAP"].image)})
    bright = sitk.GetArrayFromImage(registered(untouched, "LAP")) > 150
    assert (bright & ball(frame, CENTRES[0])).sum() < 0.7 * ball(frame, CENTRES[0]).sum()


def test_outside_of_its_field_of_view_a_registered_sequence_has_its_lowest_value():
    study = made_study(transform=sitk.TranslationTransform(3, (500.0, 0.0, 0.0)))
    image = sitk.GetArrayViewFromImage(study.images["LAP"].image)
    assert np.allclose(sitk.GetArrayFromImage(registered(study, "LAP")), image.min())


def test_all_volumes_and_transforms_are_written_and_read_back(tmp_path):
    way = rigid((0.2, 0.1, -0.3), (12.0, -9.0, 7.0))
    study = made_study(transform=way)
    paths = write_volumes(study, made_result(study), tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    registered_names = [f"registered/{name}.nii.gz" for name in ("T2WI", "T1WI", "LAP")]
    assert names == ["lesions.nii.gz", "lesion_classes.nii.gz", *registered_names, "transforms/LAP.tfm"]
    read = sitk.ReadTransform(tmp_path / "transforms" / "LAP.tfm")
    for point in CENTRES:
        assert np.allclose(read.TransformPoint(point), way.TransformPoint(point), rtol=0, atol=1e-6)
    bare = tmp_path / "bare"
    bare.mkdir()
    write_volumes(made_study(), made_result(made_study()), bare)
    assert not (bare / "transforms").exists()


def test_a_volume_that_cannot_be_written_is_an_output_error(tmp_path):
    study = made_study(transform=rigid((0.1, 0, 0), (0, 0, 0)))
    with pytest.raises(OutputError, match=r"lesions\.nii\.gz could not be written"):
        write_lesions(study, made_result(study), tmp_path / "none")


# --- tables


def test_predictions_have_a_row_a_lesion_and_stable_columns():
    study = made_study()
    result = made_result(study, (None, "HCC"))
    table = prediction_table(result, patient_id="P7", truth={2: "ICC"})
    assert table.columns[:6] == (
        "study_id",
        "patient_id",
        "lesion",
        "truth",
        "pred_malignancy",
        "prob_malignancy_benign",
    )
    assert (
        table.columns[7:9] == ("pred_type", "prob_type_cyst") and len(table.columns) == 4 + 3 + 8 + 3 + 8 + 2
    )
    assert table.columns[15:19] == ("cal_malignancy_benign", "cal_malignancy_malignant", "set_malignancy",
                                    "cal_type_cyst")  # fmt: skip
    assert table.columns[-3:] == ("set_type", "unlike_score", "unlike_threshold")
    assert table.rows[0] == ("S1", "P7", 1, None, *[None] * 24)
    second = dict(zip(table.columns, table.rows[1], strict=True))
    assert (second["truth"], second["pred_type"], second["pred_malignancy"]) == ("ICC", "HCC", "malignant")
    assert second["prob_type_HCC"] == pytest.approx(0.7)
    assert sum(second[f"prob_type_{name}"] for name in task_classes(result)["type"]) == pytest.approx(1)


def test_studies_without_an_answer_fit_into_a_shared_table():
    study = made_study()
    tasks = task_classes(made_result(study))
    none, some = (
        prediction_table(made_result(study, c), tasks=tasks) for c in ((None, None), ("FNH", "ICC"))
    )
    assert none.columns == some.columns


def test_the_table_for_people_names_lesions_and_sizes():
    table = lesion_table(made_result(made_study()))
    assert table.columns[:5] == ("lesion", "name", "diameter (mm)", "volume (ml)", "malignancy")
    assert [row[1] for row in table.rows] == ["lesion 1", "lesion 2"]
    assert table.rows[0][2] == pytest.approx(2 * RADIUS_MM, abs=4)


def test_results_are_written_and_read_back(tmp_path):
    study = replace(made_study(), lesion_names={1: "big, near the vein"})
    result = made_result(study, (None, "HCC"))
    json_path, csv_path = write_results(result, tmp_path, truth={1: "cyst"})
    content = json.loads(json_path.read_text(encoding="utf-8"))
    assert content["schema"] == SCHEMA
    assert StudyResult.from_dict(content) == result
    with csv_path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["truth"] for row in rows] == ["cyst", ""]
    assert rows[0]["pred_type"] == "" and rows[1]["prob_type_HCC"] == "0.700000"
    assert (
        write_csv(lesion_table(result), tmp_path / "people.csv").read_text(encoding="utf-8").count("\n") == 3
    )


# --- the output folder


def fill(folder, text="new"):
    write_results(made_result(made_study()), folder)
    (folder / "report.html").write_text(text)


def siblings(target):
    return sorted(path.name for path in target.parent.iterdir())


@pytest.fixture
def target(tmp_path):
    return tmp_path / "sub" / "out"


@pytest.fixture
def earlier(target):
    with output_folder(target) as folder:
        fill(folder, "old")
    return target


def test_the_folder_appears_only_when_complete(target):
    with output_folder(target) as folder:
        fill(folder)
        assert not target.exists() and folder.parent == target.parent
    assert (target / "report.html").read_text(encoding="utf-8") == "new"
    assert siblings(target) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_or_interrupt_everything_is_as_before(earlier, error):
    with pytest.raises(error), output_folder(earlier) as folder:
        fill(folder)
        raise error
    assert (earlier / "report.html").read_text(encoding="utf-8") == "old"
    assert siblings(earlier) == ["out"]
    fresh = earlier.with_name("fresh")
    with pytest.raises(error), output_folder(fresh) as folder:
        raise error
    assert siblings(earlier) == ["out"]


def test_an_earlier_output_is_replaced_and_kept_until_then(earlier):
    (earlier / "figures").mkdir()
    with output_folder(earlier) as folder:
        assert (earlier / "report.html").read_text(encoding="utf-8") == "old"
        fill(folder)
    assert (earlier / "report.html").read_text(encoding="utf-8") == "new"
    assert not (earlier / "figures").exists()


def test_an_empty_folder_may_become_the_output(target):
    target.mkdir(parents=True)
    with output_folder(target) as folder:
        fill(folder)
    assert (target / "results.json").is_file() and siblings(target) == ["out"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.txt", "years of work"),
        ("results.json", "{}"),
        ("results.json", "[]"),
        ("results.json", "not json"),
    ],
)
def test_a_folder_of_somebody_else_is_refused(target, name, text):
    target.mkdir(parents=True)
    (target / name).write_text(text)
    with pytest.raises(OutputError, match="no earlier output"), output_folder(target):
        pytest.fail("the block must not run")
    assert (target / name).read_text(encoding="utf-8") == text and siblings(target) == ["out"]


def test_somebody_s_own_file_in_an_earlier_output_is_not_thrown_away(earlier):
    (earlier / "my notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"my notes\.txt is no earlier output"), output_folder(earlier):
        pytest.fail("the block must not run")
    names = {"results.json", "results.csv", "report.html", "my notes.txt"}
    with pytest.raises(OutputError, match=r"my notes\.txt is no earlier output"):
        output_folder(earlier, names).__enter__()
    assert (earlier / "my notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_file_or_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"), output_folder(tmp_path / "file"):
        pytest.fail("the block must not run")
    with pytest.raises(OutputError, match="cannot be written"), output_folder(tmp_path / "file" / "out"):
        pytest.fail("the block must not run")
    with pytest.raises(OutputError, match="cannot be an output folder"), output_folder("/"):
        pytest.fail("the block must not run")


def test_errors_of_the_disk_while_writing_are_output_errors_and_others_are_not(target):
    with pytest.raises(OutputError, match="No space left"), output_folder(target):
        raise OSError(28, "No space left on device")
    with pytest.raises(OutputError, match="cannot be written"), output_folder(target) as folder:
        (folder / "none" / "file").touch()
    with pytest.raises(FileNotFoundError), output_folder(target):
        (target / "of the model").read_text(encoding="utf-8")
    assert siblings(target) == []


HOLDER = """
import sys, time
from LiverLesionAI.files import output_folder
with output_folder(sys.argv[1]) as folder:
    (folder / "half").write_text("half")
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(earlier):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(earlier)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.wait()


def test_one_process_at_a_time(earlier, holder):
    with pytest.raises(OutputError, match="in use by another run"), output_folder(earlier):
        pytest.fail("the block must not run")
    holder.send_signal(signal.SIGINT)
    holder.wait(20)
    assert siblings(earlier) == ["out"]
    with output_folder(earlier) as folder:
        fill(folder)


def test_a_killed_run_frees_the_folder_and_its_rest_goes(earlier, holder):
    holder.kill()
    holder.wait(20)
    assert (earlier / "report.html").read_text(encoding="utf-8") == "old"
    with output_folder(earlier) as folder:
        assert not (folder / "half").exists()
        fill(folder)
    assert siblings(earlier) == ["out"] and (earlier / "report.html").read_text(encoding="utf-8") == "new"


def test_a_run_killed_between_two_renames_loses_nothing(earlier):
    earlier.rename(earlier.with_name(".out.old"))
    with pytest.raises(ValueError), output_folder(earlier):
        raise ValueError
    assert (earlier / "report.html").read_text(encoding="utf-8") == "old" and siblings(earlier) == ["out"]
