"""OpenVINO in torch's place: the same answers, and nothing written or sent beside them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save
from test_inference import SEQUENCES, all_probabilities, unit
from tiny_bundles import tiny_bundle

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.errors import BundleError, ConfigError
from LiverLesionAI.explanation.explain import explain
from LiverLesionAI.explanation.settings import Settings
from LiverLesionAI.explanation.slices import explain_slices
from LiverLesionAI.inference import Classifier, Predictions, UnitInputs, engines, predict, prepared
from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.phantom import generate_lesion, write_phantom

needs_openvino = pytest.mark.skipif(not engines.has_openvino(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("made") / "tiny"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that no other test has written to."""
    monkeypatch.setenv("LIVERLESIONAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def both(bundle: Bundle, units: list[UnitInputs]) -> tuple[Predictions, Predictions]:
    exact, found = (
        predict(bundle, units, device="cpu", precision="fp32", engine=engine)
        for engine in ("torch", "openvino")
    )
    return exact, found


def assert_same_answers(exact: Predictions, found: Predictions, tolerance: float) -> None:
    assert (exact.execution.engine, found.execution.engine) == ("torch", "openvino")
    np.testing.assert_allclose(all_probabilities(found), all_probabilities(exact), rtol=0, atol=tolerance)
    for first, second in zip(exact, found, strict=True):
        assert (first.lesion_id, first.warnings) == (second.lesion_id, second.warnings)
        assert [task.predicted for task in first.tasks.values()] == [
            task.predicted for task in second.tasks.values()
        ]
        np.testing.assert_allclose(second.features, first.features, rtol=0, atol=tolerance)


@needs_openvino
def test_several_lesions_with_and_without_sequences_are_answered_as_by_torch(bundle: Bundle) -> None:
    units = [unit(1), unit(2, present=(True, False, True)), unit(3, present=(False, False, True))]
    exact, found = both(bundle, units)
    assert_same_answers(exact, found, 2e-6)
    assert np.abs(np.diff(all_probabilities(exact), axis=0)).max() > 1e-3
    alone = np.concatenate([all_probabilities(predict(bundle, [one], engine="openvino")) for one in units])
    np.testing.assert_array_equal(alone, all_probabilities(found))


@needs_openvino
def test_the_demo_bundle_answers_as_by_torch_in_both_precisions() -> None:
    demo = load_bundle("wang2021-phantom")
    study = demo.system.prepared(generate_lesion(890_000, "HCC").study, demo.spec)
    (lesion,) = demo.system.inputs(study, 1, demo.spec)
    without = replace(lesion, present=(True, False, *lesion.present[2:]))
    units = [UnitInputs(1, (each,)) for each in (lesion, without)]
    exact = predict(demo, units, device="cpu", precision="fp32", engine="torch")
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 0.01)):
        found = predict(demo, units, device="cpu", precision=precision, engine="openvino")
        assert (found.execution.precision, found.execution.engine) == (precision, "openvino")
        for first, second in zip(exact, found, strict=True):
            for task, answer in first.tasks.items():
                np.testing.assert_allclose(second.tasks[task].mean, answer.mean, rtol=0, atol=tolerance)
                assert second.tasks[task].predicted == answer.predicted


@needs_openvino
def test_members_one_by_one_answer_as_members_abreast(
    bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abreast = predict(bundle, [unit(1)], engine="openvino")
    monkeypatch.setattr(type(bundle.system), "members_abreast", lambda *_: 1)
    apart = predict(bundle, [unit(1)], engine="openvino")
    assert len(list(cache.iterdir())) == 1 + bundle.member_count
    np.testing.assert_allclose(all_probabilities(apart), all_probabilities(abreast), rtol=0, atol=2e-6)


@needs_openvino
def test_auto_takes_openvino_for_small_models_on_the_processor(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(engine: str, device: str = "cpu") -> str:
        return engines.with_engine(Execution(device, "fp32"), engine, bundle).engine

    assert [chosen(each) for each in engines.ENGINES] == ["openvino", "torch", "openvino"]
    assert chosen("auto", "cuda") == "torch"
    with pytest.raises(ConfigError, match="runs on the processor only, not on cuda"):
        chosen("openvino", "cuda")
    monkeypatch.setattr(engines, "KEPT_WEIGHTS_BYTES", 10)
    assert [chosen(each) for each in engines.ENGINES] == ["torch", "torch", "openvino"]
    with pytest.raises(ConfigError, match="Engine 'tpu' is not known"):
        chosen("tpu")


@needs_openvino
def test_a_network_that_it_cannot_run_stays_with_torch_and_is_refused_by_name() -> None:
    detector = load_bundle("kim2020-phantom")
    assert Classifier(detector, device="cpu").execution.engine == "torch"
    with pytest.raises(ConfigError, match="cannot run the networks of model kim2020-phantom"):
        Classifier(detector, device="cpu", engine="openvino")


def test_without_openvino_torch_answers(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert not engines.has_openvino()
    assert predict(bundle, [unit(1)], device="cpu").execution.engine == "torch"
    assert engines.usable("openvino") == "torch"
    with pytest.raises(ConfigError, match=r"OpenVINO is not installed; install liverlesionai\[fast\]"):
        predict(bundle, [unit(1)], device="cpu", engine="openvino")


@needs_openvino
def test_where_openvino_cannot_be_loaded_torch_answers_and_says_so(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "LiverLesionAI.inference.openvino_runtime", None)
    found = predict(bundle, [unit(1)], device="cpu")
    assert found.execution.engine == "torch"
    assert any(
        "torch answered, since OpenVINO cannot be loaded (" in each for each in found.execution.warnings
    )
    with pytest.raises(ConfigError, match=r"cannot be loaded \(.*\); install it anew, or choose the engine"):
        predict(bundle, [unit(1)], device="cpu", engine="openvino")
    assert not predict(bundle, [unit(1)], device="cpu", engine="torch").execution.warnings


@needs_openvino
def test_graphs_are_kept_and_what_is_damaged_is_prepared_anew(bundle: Bundle, cache: Path) -> None:
    def answered() -> np.ndarray:
        return all_probabilities(predict(bundle, [unit(1)], engine="openvino"))

    first = answered()
    (file,) = cache.iterdir()
    whole, stamp = file.read_bytes(), file.stat().st_mtime_ns
    np.testing.assert_array_equal(answered(), first)
    assert file.stat().st_mtime_ns == stamp
    no_graph = hashlib.sha256(b"no graphs").digest() + b"no graphs"
    no_model = save({"heads": np.zeros(99, np.uint8)})
    for damaged in (
        whole[:-1] + bytes([whole[-1] ^ 1]),
        whole[:1000],
        b"",
        no_graph,
        hashlib.sha256(no_model).digest() + no_model,
    ):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(answered(), first)
        digest, graphs = file.read_bytes()[:32], file.read_bytes()[32:]
        assert hashlib.sha256(graphs).digest() == digest and load(graphs).keys() == load(whole[32:]).keys()
    assert [each.name for each in cache.iterdir()] == [file.name]


@needs_openvino
def test_kept_graphs_do_not_hide_damaged_weights(tmp_path: Path, cache: Path) -> None:
    path = tiny_bundle(tmp_path / "tiny")
    predict(load_bundle(path), [unit(1)], engine="openvino")
    fold = path / "models/fold_1.safetensors"
    fold.write_bytes(fold.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(BundleError, match=r"fold_1\.safetensors"):
        predict(load_bundle(path), [unit(1)], engine="openvino")


@needs_openvino
def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LIVERLESIONAI_CACHE", str(tmp_path / "file"))
    exact, found = both(bundle, [unit(1)])
    assert_same_answers(exact, found, 2e-6)


def test_writers_at_once_leave_one_whole_file(cache: Path) -> None:
    graphs = {"heads": bytes(range(256)) * 4000}
    stop = threading.Event()
    seen: list[dict[str, bytes]] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(prepared.kept_graphs("key"))

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=prepared.keep_graphs, args=("key", graphs)) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert all(each in ({}, graphs) for each in seen)
    assert prepared.kept_graphs("key") == graphs
    assert len(list(cache.iterdir())) == 1


SILENT = """
import sys
from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.inference import classify_folder

study, bundle, out = sys.argv[1:]
classify_folder(load_bundle(bundle), study, out, device="cpu", engine="openvino")
strange = ("openvino.tools", "openvino_telemetry", "ovc")
print([name for name in sys.modules if name == "openvino" or name.startswith(strange)])
print([name for name in ("torch", "monai") if name in sys.modules])
"""
CALLS = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,symlink,socket,connect"
NAMES = re.compile(r'"([^"]*)"')


def changing(line: str) -> bool:
    """Whether a line of strace tells of a file that was written, made or renamed."""
    reading = re.search(r" open(at)?\(", line) and not re.search("O_WRONLY|O_RDWR|O_CREAT", line)
    return not reading and "AF_UNIX" not in line and " = -1 " not in line and bool(NAMES.search(line))


@needs_openvino
def test_it_sends_nothing_and_writes_nothing_but_cache_and_output(
    tmp_path: Path, bundle: Bundle, cache: Path
) -> None:
    """Where it is permitted there is no network; where there is strace, system calls are read."""
    write_phantom(generate_lesion(890_002, "HCC", sequences=SEQUENCES), tmp_path / "in", with_truth=False)
    (study,) = (path for path in (tmp_path / "in").iterdir() if path.is_dir())
    home, trace, out = (tmp_path / name for name in ("home", "trace", "out.json"))
    tries = tmp_path / ".tries"  # Python tries whether it can write to the folder of temporary files
    home.mkdir()
    tries.mkdir()
    command = [sys.executable, "-c", SILENT, str(study), str(bundle.path), str(out)]
    no_network = ["unshare", "--user", "--net"]
    if shutil.which("unshare") and not subprocess.run([*no_network, "true"], capture_output=True).returncode:
        command = [*no_network, *command]
    if shutil.which("strace"):
        command = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace), *command]
    changed = {"HOME": str(home), "TMPDIR": str(tries), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = {**os.environ, **changed, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("XDG_CACHE_HOME", None)
    environment["MPLCONFIGDIR"] = str(tmp_path / ".matplotlib")  # MONAI imports it, and it lists the fonts
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "['openvino']\n['torch', 'monai']\n"
    assert out.is_file() and len(list(cache.iterdir())) == 1
    assert [*home.rglob("*"), *tries.rglob("*")] == []
    if trace.exists():
        lines = trace.read_text().splitlines()
        assert not [line for line in lines if "AF_INET" in line]
        named = {name for line in lines if changing(line) for name in NAMES.findall(line)}
        assert str(cache) in {os.path.dirname(name) for name in named}
        allowed = (f"{cache}", f"{tmp_path}/.", f"{out}", "/dev/", "/proc/self/", "/sys/")
        assert [name for name in named if not name.startswith(allowed)] == []
    again = subprocess.run(
        [sys.executable, "-c", SILENT, str(study), str(bundle.path), str(tmp_path / "again.json")],
        capture_output=True, text=True, env=environment, cwd=home,
    )  # fmt: skip
    assert again.stdout == "['openvino']\n[]\n", "graphs that were kept need neither torch nor MONAI"
    first, second = (json.loads(file.read_text()) for file in (out, tmp_path / "again.json"))
    assert first["lesions"] == second["lesions"]


@needs_openvino
@pytest.mark.parametrize("model", ["zhen2020-f-phantom", "yasaka2018-triphasic-phantom"])
def test_slices_are_answered_and_explained_as_by_torch(model: str) -> None:
    given = load_bundle(model)
    study = generate_lesion(890_003, "HCC", sequences=given.spec.sequences).study
    study = given.system.prepared(study, given.spec)
    lesion = 1 if given.system.unit == "lesion" else None
    units = [UnitInputs(lesion, given.system.inputs(study, lesion, given.spec)[:2])]
    exact, found = both(given, units)
    assert_same_answers(exact, found, 1e-5)
    (task,) = given.taxonomies
    weights = [
        explain_slices(
            Classifier(given, precision="fp32", engine=engine),
            units[0].groups,
            task,
            answer.predicted,
            None,
        )[0].weights.shapley
        for engine, answer in (("torch", exact[0].tasks[task]), ("openvino", exact[0].tasks[task]))
    ]
    np.testing.assert_allclose(weights[1], weights[0], rtol=0, atol=1e-4)
    assert np.abs(weights[0]).max() > 1e-2


@needs_openvino
def test_parts_of_a_lesion_are_weighed_as_by_torch(bundle: Bundle) -> None:
    given = unit(3, present=(True, False, True)).groups[0]
    given.patches[0, 0, 14:18] *= 0.2
    given.patches[:, 1] = 0
    given.patches[:, 1, 10:20, 10:20, 10:20] = 1
    maps = []
    for engine in ("torch", "openvino"):
        classifier = Classifier(bundle, device="cpu", precision="fp32", engine=engine, keep_loaded=True)
        predictions = classifier.predict([UnitInputs(3, (given,))])
        (found,) = explain(classifier, [given], predictions, Settings(method="lesion-parts"))
        maps.append(found.maps)
    np.testing.assert_allclose(maps[1], maps[0], rtol=0, atol=1e-4)
    assert maps[0].max() == 1


@needs_openvino
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lesions_are_mapped_and_weighed_as_by_torch(precision: str) -> None:
    """Several lesions, one without a sequence; maps of torch in bfloat16 are as far from those in float32."""
    demo = load_bundle("wang2021-phantom")
    study = demo.system.prepared(generate_lesion(890_004, "metastasis").study, demo.spec)
    (lesion,) = demo.system.inputs(study, 1, demo.spec)
    given = [lesion, replace(lesion, lesion_id=2, present=(True, False, *lesion.present[2:]))]
    units = [UnitInputs(each.lesion_id, (each,)) for each in given]
    found = []
    for engine, exactly in (("torch", "fp32"), ("openvino", precision)):
        classifier = Classifier(demo, device="cpu", precision=exactly, engine=engine, keep_loaded=True)
        found.append(explain(classifier, given, classifier.predict(units)))
    for first, second in zip(*found, strict=True):
        assert (first.lesion, first.task, first.target) == (second.lesion, second.task, second.target)
        apart = np.abs(second.maps - first.maps)
        assert apart.max() < (0.02 if precision == "fp32" else 0.5)
        assert apart.mean() < (1e-4 if precision == "fp32" else 0.02)
        assert first.maps.max() == second.maps.max() == 1
        for task, weights in first.weights.items():
            tolerance = 1e-4 if precision == "fp32" else 0.3
            np.testing.assert_allclose(second.weights[task].worth, weights.worth, rtol=0, atol=tolerance)
    assert not found[1][1].maps[1].any() and found[1][0].maps[1].any()


@needs_openvino
@pytest.mark.parametrize("settings", [Settings(stage="layer1"), Settings(method="grad-cam")])
def test_what_the_engine_has_no_gradients_for_is_mapped_by_torch(bundle: Bundle, settings: Settings) -> None:
    given, maps = unit(3).groups[0], []
    for engine in ("torch", "openvino"):
        classifier = Classifier(bundle, device="cpu", precision="fp32", engine=engine, keep_loaded=True)
        predictions = classifier.predict([UnitInputs(3, (given,))])
        (found,) = explain(classifier, [given], predictions, settings)
        maps.append(found.maps)
    np.testing.assert_allclose(maps[1], maps[0], rtol=0, atol=1e-3)


WITHOUT_TORCH = """
import sys
from pathlib import Path
from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.options import Options
from LiverLesionAI.pipeline import analyse_study, read_study

study, bundle = sys.argv[1:]
analysis = analyse_study(read_study(study), load_bundle(bundle), Options(device="auto", engine="openvino"))
print(len(analysis.explanations), [name for name in ("torch", "monai") if name in sys.modules])
"""


@needs_openvino
@pytest.mark.skipif(not version("torch").endswith("+cpu"), reason="torch is asked whether there is a GPU")
def test_kept_graphs_classify_and_explain_without_torch(tmp_path: Path, bundle: Bundle, cache: Path) -> None:
    write_phantom(generate_lesion(890_002, "HCC", sequences=SEQUENCES), tmp_path / "in", with_truth=False)
    (study,) = (path for path in (tmp_path / "in").iterdir() if path.is_dir())
    predict(bundle, [unit(1)], device="cpu", precision="fp32", engine="openvino")
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(study), str(bundle.path)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "1 []\n"


@needs_openvino
def test_maps_of_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "tiny")
    classifier = Classifier(load_bundle(path), device="cpu", engine="openvino")
    given = unit(1).groups[0]
    predictions = classifier.predict([UnitInputs(1, (given,))])
    fold = path / "models/fold_1.safetensors"
    fold.write_bytes(fold.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(BundleError, match=r"fold_1\.safetensors"):
        explain(classifier, [given], predictions)
