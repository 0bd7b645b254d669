"""The command line as a user meets it: exit codes, one sentence for an error, nothing half-written."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_bundles import tiny_bundle
from typer.testing import CliRunner, Result

from LiverLesionAI.cli import app
from LiverLesionAI.results import SCHEMA
from LiverLesionAI.sequences import W_SEQUENCES

SEQUENCES = ("T2WI", "DWI", "LAP")
PLAIN = ("--no-register", "--no-saliency")
"""What most tests do without, because it takes most of the time."""


def run(*arguments: str | Path, check: int | None = 0) -> Result:
    """Run the command line, in this process because the tests have imported torch already."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert check is None or done.exit_code == check, done.stderr
    return done


def run_alone(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "LiverLesionAI", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def refused(arguments: Sequence[str | Path], *said: str) -> None:
    """Check for exit code 3 with one sentence on stderr that says all of `said`, and no traceback."""
    done = run(*arguments, check=3)
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: "), done.stderr
    for part in said:
        assert part in lines[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random weights."""
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny", sequences=W_SEQUENCES)


@pytest.fixture
def classified(study_folder: Path, model: Path, tmp_path: Path) -> Path:
    """The output folder of one classification."""
    run("classify", study_folder, "--out", tmp_path / "out", "--model", model, *PLAIN)
    return tmp_path / "out"


def test_help_answers_at_once() -> None:
    run_alone("--help")
    start = time.perf_counter()
    done = run_alone("--help")
    assert "classify" in done.stdout
    assert time.perf_counter() - start < 1.5


def test_neither_torch_nor_monai_is_imported_for_help() -> None:
    code = (
        "import sys, LiverLesionAI.cli, LiverLesionAI.pipeline, LiverLesionAI.bundles; "
        "print([m for m in ('torch', 'monai', 'lightning', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments", [(), ("classify",), ("nonsense",), ("classify", "x", "--out", "y", "--device", "z")]
)
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    run(*arguments, check=2)


def test_classify_prints_a_table_tells_its_progress_and_writes_the_contract(
    study_folder: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("classify", study_folder, "--out", out, "--model", model, "--progress", "jsonl")
    assert "lesion 1" in done.stdout and "haemangioma" in done.stdout
    assert "not for clinical use" in done.stdout
    for name in ("results.json", "results.csv", "scene.mrb", "lesions.nii.gz", "lesion_classes.nii.gz"):
        assert (out / name).is_file()
        assert str(out / name) in done.stdout
    assert {p.name for p in (out / "registered").iterdir()} == {f"{s}.nii.gz" for s in SEQUENCES}
    assert {p.name for p in (out / "transforms").iterdir()} == {"DWI.tfm", "LAP.tfm"}
    assert {p.name for p in (out / "figures").glob("registration_*")} == {
        "registration_DWI.png",
        "registration_LAP.png",
    }
    assert (out / "report.html").is_file() and (out / "figures" / "lesion_1.png").is_file()
    assert len(list((out / "saliency").iterdir())) == 2 * len(SEQUENCES)
    assert set(json.loads((out / "results.json").read_text(encoding="utf-8"))["registration"]) == {
        "DWI",
        "LAP",
    }
    assert "Warning" in done.stderr and "missing" in done.stderr and "not registered" not in done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {e["step"] for e in events} >= {"read", "register DWI", "register LAP", "crop", "explain", "write"}
    assert all(0 <= e["fraction"] <= 1 for e in events) and events[-1]["fraction"] == 1


def test_without_the_extras_numbers_and_volumes_are_written_and_the_rest_is_named(
    study_folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("slicer", "matplotlib", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "out"
    done = run("classify", study_folder, "--out", out, "--model", model, *PLAIN)
    assert {"results.json", "results.csv", "lesions.nii.gz"} <= {path.name for path in out.iterdir()}
    assert not (out / "scene.mrb").exists() and not (out / "report.html").exists()
    warnings = json.loads((out / "results.json").read_text(encoding="utf-8"))["warnings"]
    for extra in ("liverlesionai[scene]", "liverlesionai[report]"):
        assert extra in done.stderr and any(extra in warning for warning in warnings)


def test_results_follow_the_schema(classified: Path) -> None:
    content = json.loads((classified / "results.json").read_text(encoding="utf-8"))
    assert content["schema"] == SCHEMA == "liverlesionai.results.v2"
    assert content["study"]["id"] == "S1" and content["study"]["sequences"] == list(SEQUENCES)
    assert content["study"]["missing"] == ["ADC", "T1WI", "PVP", "DP"]
    assert content["models"][0]["intended_use"] == "phantom" and content["models"][0]["members"] == 2
    (lesion,) = content["lesions"]
    assert lesion["crop_mm"] == 64 and 18 < lesion["diameter_mm"] < 24
    for task, taxonomy, primary in (("malignancy", "binary", False), ("type", "W7", True)):
        answer = lesion["tasks"][task]
        assert (answer["taxonomy"], answer["primary"]) == (taxonomy, primary)
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        assert answer["predicted"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert set(content["provenance"]["seconds"]) == {"read", "register", "classify", "explain", "write"}
    rows = list(csv.DictReader((classified / "results.csv").open()))
    assert rows[0]["study_id"] == "S1" and rows[0]["pred_type"] == lesion["tasks"]["type"]["predicted"]


def test_json_is_all_that_stdout_holds(study_folder: Path, model: Path, tmp_path: Path) -> None:
    done = run("classify", study_folder, "--out", tmp_path / "o", "--model", model, *PLAIN, "--json")
    content = json.loads(done.stdout)
    assert content == json.loads((tmp_path / "o" / "results.json").read_text(encoding="utf-8"))
    assert content["registration"] == {}
    assert any("not registered" in warning for warning in content["warnings"])
    assert not (tmp_path / "o" / "transforms").exists()


def test_the_same_input_gives_the_same_output(study_folder: Path, model: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        done = run_alone(
            "classify", study_folder, "--out", tmp_path / name, "--model", model, "--no-register"
        )
        assert done.returncode == 0, done.stderr
        content = json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8"))
        del content["provenance"]
        contents.append((content, (tmp_path / name / "results.csv").read_bytes()))
    assert contents[0] == contents[1]


def test_written_volumes_lie_on_the_mask(classified: Path, study_folder: Path) -> None:
    given = sitk.ReadImage(study_folder / "lesions.nii.gz")
    result = json.loads((classified / "results.json").read_text(encoding="utf-8"))
    predicted = list(result["lesions"][0]["tasks"]["type"]["probabilities"]).index(
        result["lesions"][0]["tasks"]["type"]["predicted"]
    )
    for name, value in (("lesions", 1), ("lesion_classes", predicted + 1)):
        image = sitk.ReadImage(classified / f"{name}.nii.gz")
        assert image.GetSize() == given.GetSize()
        assert np.allclose(image.GetOrigin(), given.GetOrigin(), atol=1e-4)
        assert np.allclose(image.GetDirection(), given.GetDirection(), atol=1e-6)
        assert np.array_equal(sitk.GetArrayFromImage(image), value * (sitk.GetArrayFromImage(given) > 0))


def test_a_second_run_replaces_the_first(classified: Path, study_folder: Path, model: Path) -> None:
    before = sorted(p.name for p in classified.rglob("*"))
    run("classify", study_folder, "--out", classified, "--model", model, *PLAIN)
    assert sorted(p.name for p in classified.rglob("*")) == before


def test_results_of_another_study_are_refused_before_the_work(
    classified: Path, study_folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_args: object, **_kwargs: object) -> None:
        raise AssertionError

    before = {file: file.read_bytes() for file in classified.rglob("*") if file.is_file()}
    for name in SEQUENCES:
        file = study_folder / f"{name}.nii.gz"
        sitk.WriteImage(sitk.ReadImage(file) + 1, file)
    monkeypatch.setattr("LiverLesionAI.pipeline.registered", work)
    monkeypatch.setattr("LiverLesionAI.pipeline.analyse_study", work)
    command = ("classify", study_folder, "--out", classified, "--model", model)
    refused(command, f"{classified} holds the results of another study")
    assert before == {file: file.read_bytes() for file in classified.rglob("*") if file.is_file()}


def test_a_classified_scene_can_be_classified_again(classified: Path, model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    run("classify", classified / "scene.mrb", "--out", again, "--model", model, *PLAIN)
    first, second = (
        json.loads((f / "results.json").read_text(encoding="utf-8")) for f in (classified, again)
    )
    for a, b in zip(first["lesions"], second["lesions"], strict=True):
        assert a["tasks"]["type"]["predicted"] == b["tasks"]["type"]["predicted"]
        for name, p in a["tasks"]["type"]["probabilities"].items():
            assert b["tasks"]["type"]["probabilities"][name] == pytest.approx(p, abs=1e-3)


def test_one_lesion_out_of_reach_is_a_warning(study_folder: Path, model: Path, tmp_path: Path) -> None:
    mask = sitk.ReadImage(study_folder / "lesions.nii.gz")
    wide = sitk.ConstantPad(mask, [0, 0, 30], [0, 0, 30])
    wide[5, 5, 1] = 2
    sitk.WriteImage(wide, tmp_path / "two.nii.gz")
    out = tmp_path / "out"
    done = run(
        "classify", study_folder, "--mask", tmp_path / "two.nii.gz", "--out", out, "--model", model, *PLAIN
    )
    assert "lesion 2 was not classified" in done.stderr
    lesions = json.loads((out / "results.json").read_text(encoding="utf-8"))["lesions"]
    assert lesions[0]["tasks"] and not lesions[1]["tasks"] and lesions[1]["warnings"]


def _nothing_left(out: Path) -> None:
    assert not out.exists()
    assert [p.name for p in out.parent.iterdir() if out.name in p.name] == []


def test_bad_inputs_are_refused_and_leave_nothing(study_folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "out"
    base = ["--out", out, "--model", model]
    image = sitk.ReadImage(study_folder / "LAP.nii.gz")
    with_nan = sitk.GetArrayFromImage(image)
    with_nan[0, 0, 0] = np.nan
    nan_image = sitk.GetImageFromArray(with_nan)
    nan_image.CopyInformation(image)
    whole = (study_folder / "LAP.nii.gz").read_bytes()

    def spoiled(name: str, content: sitk.Image | bytes) -> Path:
        folder = tmp_path / f"spoiled{len(list(tmp_path.iterdir()))}" / "S1"
        shutil.copytree(study_folder, folder)
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            sitk.WriteImage(content, folder / name)
        return folder

    empty = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    empty.CopyInformation(image)
    far = sitk.ReadImage(study_folder / "lesions.nii.gz")
    far.SetOrigin((5000, 0, 0))
    refused(["classify", tmp_path / "nowhere", *base], "nowhere")
    refused(["classify", spoiled("lesions.nii.gz", empty), *base], "lesions.nii.gz", "empty")
    refused(["classify", spoiled("lesions.nii.gz", far), *base], "lesions.nii.gz", "outside")
    refused(["classify", spoiled("LAP.nii.gz", image[:, :, 3]), *base], "LAP.nii.gz", "2 dimensions")
    refused(
        ["classify", spoiled("LAP.nii.gz", sitk.JoinSeries([image] * 2)), *base], "LAP.nii.gz", "4 dimensions"
    )
    refused(["classify", spoiled("LAP.nii.gz", nan_image), *base], "LAP.nii.gz", "not numbers")
    refused(["classify", spoiled("LAP.nii.gz", image * 0 + 7), *base], "LAP.nii.gz", "same value")
    refused(["classify", spoiled("LAP.nii.gz", b"not an image"), *base], "LAP.nii.gz", "cannot be read")
    refused(["classify", spoiled("LAP.nii.gz", whole[: len(whole) // 2]), *base], "LAP.nii.gz", "cut short")
    refused(["classify", spoiled("FLAIR.nii.gz", image), *base], "FLAIR.nii.gz", "named after no sequence")
    refused(
        ["classify", study_folder, "--mask", study_folder / "none.nii", *base], "none.nii", "does not exist"
    )
    refused(["classify", study_folder, "--out", out, "--model", study_folder], "not a model bundle")
    refused(["classify", study_folder, "--out", out, "--model", "no-such-model"], "no-such-model")
    (study_folder / "lesions.nii.gz").unlink()
    refused(["classify", study_folder, *base], "no segmented lesions")
    _nothing_left(out)


def test_a_folder_of_somebody_elses_is_not_overwritten(
    study_folder: Path, model: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.docx").write_text("years of work")
    refused(["classify", study_folder, "--out", own, "--model", model], "own")
    assert (own / "thesis.docx").read_text(encoding="utf-8") == "years of work"


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_ends_with_130_and_leaves_nothing(study_folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "out"
    command = [
        sys.executable,
        "-m",
        "LiverLesionAI",
        "classify",
        study_folder,
        "--out",
        out,
        "--model",
        model,
    ]
    process = subprocess.Popen(
        [*map(str, command), "--progress", "jsonl"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if '"read"' in line:
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "interrupted" in rest and "Traceback" not in rest
    _nothing_left(out)


def test_models_are_listed_shown_and_verified(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(tmp_path / "shelf"))
    name = json.loads((model / "configs" / "metadata.json").read_text(encoding="utf-8"))["name"]
    assert "sound bundle" in run("models", "verify", model).stdout
    assert name in run("models", "add", model).stdout
    listed = json.loads(run("models", "list", "--json").stdout)
    assert name in [entry["name"] for entry in listed]
    assert name in run("models", "list").stdout
    assert "not for clinical use" in run("models", "show", name).stdout.lower()
    refused(["models", "verify", tmp_path], "not a model bundle")


def test_a_system_is_shown_and_named_by_its_name() -> None:
    shown = run("models", "show", "zhen2020").stdout
    assert "7 models that answer together" in shown and "zhen2020-a-phantom  " in shown
    refused(["models", "show", "nothing"], "(at hand: ", "zhen2020, ", "yasaka2018, ", "wang2021-phantom, ")


def test_a_bad_training_configuration_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("name: x\nphantom: {first_seed: 900100, lesions: 10}\n")
    refused(["train", config, "--out", tmp_path / "run"], "config.yaml", "reserved")


def test_our_own_fault_is_1_without_a_traceback(study_folder: Path, model: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from LiverLesionAI import pipeline; from LiverLesionAI.cli import main\n"
        "def fail(*a, **k): raise RuntimeError('spanner in the works')\n"
        "pipeline.analyse_study = fail\n"
        f"sys.argv = ['x', 'classify', {str(study_folder)!r}, '--out', {str(tmp_path / 'o')!r}, "
        f"'--model', {str(model)!r}]\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "spanner in the works" in done.stderr and "Traceback" not in done.stderr
