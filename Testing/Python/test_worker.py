"""The background worker: a real process, spoken to through the client that front ends use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from made_studies import bspline, made_study, rigid, same_study
from tiny_bundles import tiny_bundle

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.errors import LiverLesionError
from LiverLesionAI.manifest import MANIFEST
from LiverLesionAI.options import Options
from LiverLesionAI.pipeline import analyse_study, classify_path, classify_study, read_study
from LiverLesionAI.study import Study
from LiverLesionAI.worker import exchange, protocol
from LiverLesionAI.worker.client import PendingRequest, WorkerClient, WorkerError
from LiverLesionAI.worker.protocol import Done, Failed, ProgressMade, Ready, Request

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc are POSIX")
numbers = st.integers(0, 2**31)
texts = st.text(max_size=30)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random weights for T2WI, DWI and LAP."""
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    """One worker for all tests that leave it alive."""
    with WorkerClient() as client:
        yield client


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A study of two balls, written for the worker."""
    return exchange.send_study(made_study(), tmp_path / "made")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children() -> set[int]:
    """All processes that this one started, zombies included."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(entry.parent.name))
    return found


def eventually(condition: Callable[[], bool], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def outcome(client: WorkerClient, job: PendingRequest) -> Done | Failed:
    assert eventually(lambda: client.poll() or job.is_done, 60)
    assert job.outcome is not None
    return job.outcome


@given(
    numbers, texts, st.dictionaries(texts, st.none() | numbers | st.floats(-9, 9) | texts | st.lists(texts))
)
def test_requests_survive_the_way(number: int, command: str, arguments: dict[str, object]) -> None:
    request = Request(number, command, arguments)
    line = protocol.request_line(request)
    assert line.count("\n") == 1 and line.endswith("\n")
    assert protocol.parse_request(line) == request


@settings(max_examples=25)
@given(numbers, texts, st.floats(0, 1))
def test_events_survive_the_way(number: int, text: str, fraction: float) -> None:
    events = (
        Ready(text, number),
        ProgressMade(number, text, fraction),
        Done(number, {text: fraction}),
        Failed(number, protocol.INPUT, text),
        Failed(None, protocol.USAGE, text),
    )
    for event in events:
        assert protocol.parse_event(protocol.event_line(event)) == event


@given(st.text(max_size=60) | st.recursive(st.none() | numbers, st.lists).map(json.dumps))
@settings(max_examples=25)
def test_other_lines_are_refused(line: str) -> None:
    for parse in (protocol.parse_request, protocol.parse_event):
        with pytest.raises(protocol.ProtocolError):
            parse(line)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_are_none_do_not_travel(number: str) -> None:
    line = f'{{"id": 1, "command": "segment", "arguments": {{"points": [[0, {number}]]}}}}'
    with pytest.raises(protocol.ProtocolError, match="not finite"):
        protocol.parse_request(line)


@pytest.mark.parametrize("transform", [None, rigid((0.1, -0.05, 0.2), (3.0, 1.0, -4.0)), bspline()])
def test_a_study_travels_whole(tmp_path: Path, transform: sitk.Transform | None) -> None:
    study = made_study(transform=transform)
    exchange.send_study(study, tmp_path / "S1")
    same_study(study, exchange.receive_study(tmp_path / "S1"))


def test_the_client_needs_neither_torch_nor_images() -> None:
    heavy = ("torch", "monai", "SimpleITK", "numpy", "scipy", "pydantic")
    code = f"import sys, LiverLesionAI.worker.client; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_answers_are_those_of_the_pipeline(worker: WorkerClient, study_folder: Path, model: Path) -> None:
    told: list[tuple[str, float, threading.Thread]] = []
    done = worker.call(
        "classify",
        study=str(study_folder),
        model=str(model),
        progress=lambda step, fraction: told.append((step, fraction, threading.current_thread())),
    )
    expected = classify_study(read_study(study_folder), load_bundle(model)).to_dict()
    assert done["results"]["lesions"] == json.loads(json.dumps(expected["lesions"]))
    assert done["results"]["models"] == json.loads(json.dumps(expected["models"]))
    assert {step for step, *_ in told} == {"read", "crop", "classify"}
    assert told[-1][:2] == ("classify", 1.0)
    assert {thread for *_, thread in told} == {threading.current_thread()}


def test_a_loaded_model_is_not_read_again(worker: WorkerClient, study_folder: Path, tmp_path: Path) -> None:
    copy = tiny_bundle(tmp_path / "copy", name="copy")
    worker.call("load", model=str(copy))
    for weights in (copy / "models").iterdir():
        weights.write_bytes(bytes(weights.stat().st_size))
    done = worker.call("classify", study=str(study_folder), model=str(copy))
    assert done["results"]["lesions"][0]["tasks"]


def _classified(worker: WorkerClient, study: Path, model: Path) -> dict[str, Any]:
    return worker.call("classify", study=str(study), model=str(model))["results"]


def test_explanations_follow_as_a_second_answer(
    worker: WorkerClient, study_folder: Path, model: Path, tmp_path: Path
) -> None:
    results, out = _classified(worker, study_folder, model), tmp_path / "saliency"
    results["lesions"][0]["name"] = "renamed meanwhile"
    told: set[str] = set()
    done = worker.call(
        "explain",
        study=str(study_folder),
        results=results,
        out=str(out),
        progress=lambda step, fraction: told.add(step),
    )
    assert sorted(each["file"] for each in done["saliency"]) == sorted(str(file) for file in out.iterdir())
    maps = [(each["lesion"], each["sequence"], each["weighted"]) for each in done["saliency"]]
    assert maps == [(1, name, weighted) for name in ("T2WI", "DWI", "LAP") for weighted in (False, True)]
    lesion = done["results"]["lesions"][0]
    assert set(lesion["sequence_weights"]["type"]) == {"T2WI", "DWI", "LAP"}
    assert lesion["name"] == "renamed meanwhile"
    assert done["places"]["1"] == pytest.approx(lesion["centroid_lps_mm"], abs=6.0)
    assert told == {"explain"}
    expected = analyse_study(read_study(study_folder), load_bundle(model)).result
    weights = json.loads(expected.to_json())["lesions"][0]["sequence_weights"]
    assert lesion["sequence_weights"] == weights


def test_another_class_is_explained_and_saved_as_it_was(
    worker: WorkerClient, study_folder: Path, model: Path, tmp_path: Path
) -> None:
    results = _classified(worker, study_folder, model)
    arguments = {"study": str(study_folder), "results": results, "out": str(tmp_path / "maps")}
    predicted = worker.call("explain", **arguments)["results"]
    cyst = worker.call("explain", **arguments, target="cyst", method="grad-cam")["results"]
    assert cyst["lesions"][0]["explained"]["type"] == "cyst"
    arguments |= {"results": cyst, "out": str(tmp_path / "out")}
    worker.call("save", **arguments)
    saved = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert saved["lesions"][0]["sequence_weights"] == cyst["lesions"][0]["sequence_weights"]
    assert saved["provenance"]["parameters"]["saliency"]["method"] == "grad-cam"
    again = worker.call("explain", study=str(study_folder), results=cyst, out=str(tmp_path / "maps"))
    assert again["results"]["lesions"] == predicted["lesions"]
    with pytest.raises(WorkerError, match="knows no class 'sarcoma'"):
        worker.call("explain", study=str(study_folder), results=cyst, out=str(tmp_path), target="sarcoma")


def test_another_process_explains_the_same(
    worker: WorkerClient, study_folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(model.parent))
    results = _classified(worker, study_folder, model)
    arguments = {"study": str(study_folder), "results": results, "out": str(tmp_path)}
    first = worker.call("explain", **arguments)["results"]
    with WorkerClient() as fresh:
        again = fresh.call("explain", **arguments)["results"]
        assert again["lesions"] == first["lesions"]
        results["lesions"][0]["tasks"]["type"]["probabilities"]["HCC"] += 0.5
        with pytest.raises(WorkerError, match="changed since it was classified"):
            results["provenance"]["started"] = "earlier"
            fresh.call("explain", **arguments)


def test_a_result_is_saved_as_classify_saves_it(
    worker: WorkerClient, study_folder: Path, model: Path, tmp_path: Path
) -> None:
    results = _classified(worker, study_folder, model)
    arguments = {"study": str(study_folder), "out": str(tmp_path / "maps"), "results": results}
    results = worker.call("explain", **arguments)["results"]
    done = worker.call("save", study=str(study_folder), results=results, out=str(tmp_path / "out"))
    classify_path(study_folder, tmp_path / "line", Options(model=model, register=False))
    written = {str(file.relative_to(tmp_path / "line")) for file in files_in(tmp_path / "line")}
    assert sorted(done["files"]) == sorted(written - {MANIFEST})
    assert not any("changed" in warning for warning in done["warnings"])

    changed = sitk.ReadImage(study_folder / "lesions.nii.gz")
    sitk.WriteImage(sitk.BinaryDilate(changed), study_folder / "lesions.nii.gz")
    again = worker.call("save", study=str(study_folder), results=results, out=str(tmp_path / "out"))
    assert any(warning.startswith("lesions changed") for warning in again["warnings"])
    assert "figures/lesion_1.png" in again["files"]


def files_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def test_a_click_becomes_a_mask(worker: WorkerClient, made: Path, tmp_path: Path) -> None:
    mask = tmp_path / "masks" / "lesion.nrrd"
    done = worker.call("segment", study=str(made), point_lps_mm=[-28.0, -9.0, 9.0], out=str(mask))
    found = sitk.GetArrayFromImage(sitk.ReadImage(mask)) == 1
    truth = sitk.GetArrayFromImage(made_study().outlined_lesions) == 1
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    assert 20 < done["diameter_mm"] < 36


@pytest.mark.parametrize(
    ("command", "arguments", "kind", "said"),
    [
        ("diagnose", {}, protocol.USAGE, "diagnose"),
        ("classify", {}, protocol.USAGE, "study"),
        ("classify", {"study": "x", "colour": 1}, protocol.USAGE, "colour"),
        ("classify", {"study": 0}, protocol.USAGE, "study: Input should be a valid string"),
        ("load", {"model": None}, protocol.USAGE, "model: Input should be a valid string"),
        ("identify", {"path": [[]]}, protocol.USAGE, "path: Input should be a valid string"),
        ("segment", {"study": "x", "point_lps_mm": "0", "out": "m"}, protocol.USAGE, "point_lps_mm: "),
        ("explain", {"study": "x", "results": {}, "out": "m", "method": "guess"}, protocol.USAGE, "method: "),
        ("classify", {"study": "/nowhere"}, protocol.INPUT, "/nowhere"),
        ("identify", {"path": "/nowhere"}, protocol.INPUT, "/nowhere"),
        ("segment", {"study": "/nowhere", "point_lps_mm": [0, 0, 0], "out": "m"}, protocol.INPUT, "/nowhere"),
        ("load", {"model": "no such model"}, protocol.INPUT, "no such model"),
    ],
)
def test_errors_are_one_sentence(
    worker: WorkerClient, command: str, arguments: dict[str, object], kind: str, said: str
) -> None:
    with pytest.raises(WorkerError) as caught:
        worker.call(command, **arguments)
    assert isinstance(caught.value, LiverLesionError)
    assert caught.value.kind == kind
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert worker.call("ping")["busy"] is False


STRAY = """
import os, threading, time
def speak():
    while os.fstat(1).st_ino != os.fstat(2).st_ino:
        time.sleep(0.01)
    print("stray", flush=True)
    os.system("echo stray")
threading.Thread(target=speak, daemon=True).start()
"""


def test_nothing_but_events_on_standard_output(study_folder: Path) -> None:
    """Not even what a compiled library prints: a thread does so as soon as the worker listens."""
    (study_folder.parent / "sitecustomize.py").write_text(STRAY)
    process = subprocess.Popen(
        [sys.executable, "-m", "LiverLesionAI", "worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(study_folder.parent)},
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write("no request\n")
    process.stdin.write(
        protocol.request_line(Request(1, "identify", {"path": str(study_folder / "nothing")}))
    )
    process.stdin.flush()
    lines = [process.stdout.readline() for _ in range(3)]
    assert "stray" in process.stderr.readline() + process.stderr.readline()
    process.stdin.write(protocol.request_line(Request(2, "shutdown")))
    process.stdin.flush()
    rest, _ = process.communicate(timeout=60)
    events = [protocol.parse_event(line) for line in (*lines, *rest.splitlines())]
    assert isinstance(events[0], Ready)
    assert {event.id for event in events[1:] if not isinstance(event, Ready)} == {None, 1, 2}
    assert process.returncode == 0


@posix
def test_fifty_rounds_of_classify_and_cancel(worker: WorkerClient, study_folder: Path, model: Path) -> None:
    arguments = {"study": str(study_folder), "model": str(model)}
    worker.call("classify", **arguments)
    process, before = worker.pid, children()
    kinds, waits = [], []
    for turn in range(50):
        job = worker.submit("classify", **arguments)
        time.sleep(0.004 * (turn % 10))
        asked = time.monotonic()
        worker.cancel(job)
        answer = outcome(worker, job)
        waits.append(time.monotonic() - asked)
        kinds.append(answer.kind if isinstance(answer, Failed) else "done")
    assert set(kinds) == {protocol.CANCELLED}
    assert max(waits) < 1.0
    assert children() - {worker.pid} == before - {process}
    assert worker.call("classify", **arguments)["results"]["lesions"][0]["tasks"]
    assert worker.jobs == ()


@posix
def test_a_worker_that_hangs_is_ended(made: Path, tmp_path: Path) -> None:
    arguments = {"study": str(made), "point_lps_mm": [-28.0, -9.0, 9.0], "out": str(tmp_path / "m.nrrd")}
    with WorkerClient() as client:
        client.call("ping")
        hung = client.pid
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        job = client.submit("segment", **arguments)
        behind = client.submit("segment", **arguments)
        asked = time.monotonic()
        client.cancel(job)
        answer = outcome(client, job)
        assert time.monotonic() - asked < 1.0
        assert isinstance(answer, Failed) and answer.kind == protocol.CANCELLED
        assert not alive(hung)
        assert isinstance(outcome(client, behind), Done)
        assert client.pid != hung


def stopped(client: WorkerClient) -> int:
    """Number of a worker's process that hears no more."""
    client.call("ping")
    assert client.pid is not None
    os.kill(client.pid, signal.SIGSTOP)
    return client.pid


@posix
def test_a_crash_is_reported_and_survived(made: Path, tmp_path: Path) -> None:
    arguments = {"study": str(made), "point_lps_mm": [-28.0, -9.0, 9.0], "out": str(tmp_path / "m.nrrd")}
    ended: list[Done | Failed] = []
    with WorkerClient() as client:
        first = stopped(client)
        job = client.submit("segment", on_end=ended.append, **arguments)
        os.kill(first, signal.SIGKILL)
        answer = outcome(client, job)
        assert ended == [answer]
        assert isinstance(answer, Failed) and answer.kind == protocol.CRASHED
        assert "signal 9" in answer.message and "try again" in answer.message
        assert not client.is_running
        assert client.call("segment", **arguments)["mask"]
        assert client.pid != first
    assert not client.is_running


@posix
def test_a_request_after_a_crash_that_nobody_heard_of_loses_none(made: Path) -> None:
    ended: list[Done | Failed] = []
    with WorkerClient() as client:
        first = stopped(client)
        lost = client.submit("ping", on_end=ended.append)
        os.kill(first, signal.SIGKILL)
        while client.is_running:
            time.sleep(0.01)
        second = client.submit("ping")
        assert len(ended) == 1 and lost not in client.jobs
        assert isinstance(ended[0], Failed) and ended[0].kind == protocol.CRASHED
        assert isinstance(outcome(client, second), Done)


FAKE = """
import json, os, subprocess, sys
child = subprocess.Popen(["sleep", "300"])
print(json.dumps({"event": "ready", "software": "fake", "pid": child.pid, "protocol": 1}), flush=True)
for line in sys.stdin:
    pass
"""


@posix
def test_ending_the_worker_ends_what_it_started() -> None:
    for end in ("cancel", "close"):
        client = WorkerClient([sys.executable, "-c", FAKE])
        job = client.submit("classify")
        assert eventually(lambda client=client: client.poll() or client.ready is not None, 30)
        assert client.ready is not None and alive(client.ready.pid)
        child, parent = client.ready.pid, client.pid
        assert parent is not None
        if end == "cancel":
            client.cancel(job)
            assert isinstance(outcome(client, job), Failed)
        client.close()
        assert job.is_done
        assert eventually(lambda child=child: not alive(child), 1)
        assert parent not in children()


@posix
def test_the_worker_does_not_outlive_its_front_end() -> None:
    code = (
        "import os; from LiverLesionAI.worker.client import WorkerClient; "
        "client = WorkerClient(); client.call('ping'); print(client.pid, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert eventually(lambda: not alive(int(done.stdout)), 5)


def test_a_worker_that_cannot_start_says_so() -> None:
    with pytest.raises(WorkerError, match="cannot be started"):
        WorkerClient(["/no/such/python"]).call("ping")
    client = WorkerClient([sys.executable, "-c", "raise SystemExit(7)"])
    with pytest.raises(WorkerError, match="exit code 7"):
        client.call("ping")


def test_progress_that_raises_cancels(worker: WorkerClient, study_folder: Path, model: Path) -> None:
    def refuse(step: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.call("classify", study=str(study_folder), model=str(model), progress=refuse)
    assert worker.jobs == ()
    assert worker.call("ping")["busy"] is False


def test_registration_returns_transforms(worker: WorkerClient, made: Path, tmp_path: Path) -> None:
    done = worker.call("register", study=str(made), out=str(tmp_path / "reg"), transform="rigid")
    assert set(done["registration"]) == {"T1WI", "LAP"}
    for file in done["transforms"].values():
        assert np.isfinite(sitk.ReadTransform(file).TransformPoint((0.0, 0.0, 0.0))).all()
    moved = {name: sitk.ReadTransform(file) for name, file in done["transforms"].items()}
    study: Study = exchange.receive_study(made).with_transforms(moved)
    assert study.sequences == ("T2WI", "T1WI", "LAP")
