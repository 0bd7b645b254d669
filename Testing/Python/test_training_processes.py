"""Training runs that are interrupted, killed, moved or tampered with; real processes."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest
import torch
from made_training import divided, settings, write_config

from LiverLesionAI.bundles import verify_bundle
from LiverLesionAI.errors import ConfigError, OutputError, TrainingError
from LiverLesionAI.training.cache import CaseCache
from LiverLesionAI.training.config import TrainingConfig, read_config
from LiverLesionAI.training.finish import PREDICTIONS, WEIGHTS
from LiverLesionAI.training.fold import train_fold
from LiverLesionAI.training.processes import _without_interrupts, working
from LiverLesionAI.training.train import RUN, train

# --- checkpoints


def interrupt_at(steps: int) -> Callable[[float], None]:
    calls: list[float] = []

    def report(fraction: float) -> None:
        calls.append(fraction)
        if len(calls) == steps:
            raise KeyboardInterrupt

    return report


@pytest.fixture(scope="module")
def interrupted(config: TrainingConfig, cache: CaseCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted") / "half"
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train_fold(config, 0, *divided(cache, config), folder, interrupt_at(7))
    return folder


@pytest.fixture
def half_done(interrupted: Path, tmp_path: Path) -> Path:
    """A fold that was interrupted after some epochs."""
    return shutil.copytree(interrupted, tmp_path / "half")


@pytest.fixture(scope="module")
def whole(config: TrainingConfig, cache: CaseCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same fold, not interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "fold"
    train_fold(config, 0, *divided(cache, config), folder, lambda fraction: None)
    return folder


class Code:
    """What runs when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def as_torch_writes(content: object, file: Path) -> None:
    torch.save(content, file)


def as_torch_wrote(content: object, file: Path) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)


def as_pickle_writes(content: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("write", [as_torch_writes, as_torch_wrote, as_pickle_writes])
@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_nothing_in_a_checkpoint_is_ever_run(
    config: TrainingConfig,
    cache: CaseCache,
    half_done: Path,
    tmp_path: Path,
    write: Callable[[object, Path], None],
    name: str,
) -> None:
    content = torch.load(half_done / "last.ckpt", weights_only=True)
    if name == "best.ckpt":
        longer = config.optimisation.model_copy(update={"epochs": content["epoch"] + 1})
        config = config.model_copy(update={"optimisation": longer})
    write({**content, "more": Code(tmp_path / "was run")}, half_done / name)
    with pytest.raises(TrainingError, match=rf"{name} is damaged or no checkpoint of this program.*remove"):
        train_fold(config, 0, *divided(cache, config), half_done, lambda fraction: None)
    assert not (tmp_path / "was run").exists()


def test_a_checkpoint_that_is_cut_short_is_told(
    config: TrainingConfig, cache: CaseCache, half_done: Path
) -> None:
    content = (half_done / "last.ckpt").read_bytes()
    for length in (0, 100, len(content) // 2):
        (half_done / "last.ckpt").write_bytes(content[:length])
        with pytest.raises(TrainingError, match=r"last\.ckpt is damaged"):
            train_fold(config, 0, *divided(cache, config), half_done, lambda fraction: None)


@pytest.mark.parametrize("original", ["gone", "trained on"])
def test_a_moved_or_copied_fold_goes_on_with_its_own_checkpoints(
    config: TrainingConfig, cache: CaseCache, half_done: Path, whole: Path, tmp_path: Path, original: str
) -> None:
    shutil.copytree(half_done, tmp_path / "copy")
    if original == "gone":
        shutil.rmtree(half_done)
    else:
        other = torch.load(half_done / "best.ckpt", weights_only=True)
        other["state_dict"] = {name: torch.zeros_like(value) for name, value in other["state_dict"].items()}
        torch.save(other, half_done / "best.ckpt")
    train_fold(config, 0, *divided(cache, config), tmp_path / "copy", lambda fraction: None)
    for name in (WEIGHTS, PREDICTIONS, "epochs.csv"):
        assert (tmp_path / "copy" / name).read_bytes() == (whole / name).read_bytes(), name


def test_checkpoints_name_no_folder(interrupted: Path) -> None:
    assert str(interrupted.parent).encode() not in (interrupted / "last.ckpt").read_bytes()


# --- runs that were moved


@pytest.mark.slow
def test_a_run_goes_on_wherever_it_and_its_cohort_have_been_moved(cohort: Path, tmp_path: Path) -> None:
    place, moved = tmp_path / "place", tmp_path / "moved"
    shutil.copytree(cohort.parent, place / "cohort")
    path = write_config(place / "c.yaml", settings(Path("cohort/cohort.csv")))
    before = verify_bundle(train(path, place / "run")).sha256
    place.rename(moved)
    (moved / "run" / "folds" / "fold_0" / PREDICTIONS).unlink()
    assert verify_bundle(train(moved / "c.yaml", moved / "run", resume=True)).sha256 == before
    table = moved / "cohort" / "cohort.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("P3,1,", "P2,1,"))
    with pytest.raises(ConfigError, match="differs"):
        train(moved / "c.yaml", moved / "run", resume=True)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "{", '{"patches": "v2"}'])
def test_a_damaged_record_of_a_run_is_told(cohort: Path, tmp_path: Path, content: str) -> None:
    path = write_config(tmp_path / "c.yaml", settings(cohort))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RUN).write_text(content)
    with pytest.raises(OutputError, match=r"run\.json is damaged"):
        train(path, tmp_path / "run", resume=True)


@pytest.mark.parametrize("name", ["config.yaml", "made", "patches", "notes.txt"])
def test_a_folder_of_somebody_else_is_left_alone(cohort: Path, tmp_path: Path, name: str) -> None:
    path = write_config(tmp_path / "config.yaml", settings(cohort))
    if name != "config.yaml":
        path.rename(tmp_path.with_suffix(".yaml"))
        path = tmp_path.with_suffix(".yaml")
        (tmp_path / name).write_text("mine")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for resume in (False, True):
        with pytest.raises(OutputError, match=rf"holds {name}, which is of no training run"):
            train(path, tmp_path, resume=resume)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


# --- processes


def processes_of(session: int) -> list[int]:
    """Living processes of a session, by Linux' process file system (proc(5))."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state = (
                (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                if folder.name.isdigit()
                else None
            )
        except OSError:
            continue
        if state and int(state[3]) == session and state[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose patches and whose steps take long."""
    folder = tmp_path_factory.mktemp("long")
    changes = {
        "phantom": {"first_seed": 850_000, "lesions": 40},
        "network": {"width": 24},
        "patches": {"size": 64},
        "optimisation": {"epochs": 50, "batch_size": 26},
        "folds": [0, 1],
        "parallel_folds": 2,
    }
    content = settings(folder, **changes)
    del content["cohort"]
    return write_config(folder / "c.yaml", content)


@pytest.fixture(scope="module")
def short_run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {"optimisation": {"epochs": 2000, "patience": 2000, "batch_size": 7}}
    return write_config(tmp_path_factory.mktemp("short") / "c.yaml", settings(cohort, **changes))


class Running:
    """A training in a session of its own, as a terminal would have it."""

    def __init__(self, config: Path, out: Path) -> None:
        arguments = ["train", str(config), "--out", str(out), "--progress", "jsonl"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "LiverLesionAI", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []

    def until(self, step: str) -> None:
        """Wait until a step is under way, with processes for it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if f'"{step}"' in line:
                break
        deadline = time.monotonic() + 60
        while len(processes_of(self.process.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)

    def press(self, times: int) -> None:
        for _ in range(times):
            os.killpg(self.process.pid, signal.SIGINT)
            time.sleep(0.15)

    def seconds_to_end(self) -> float:
        start = time.monotonic()
        assert self.process.stderr is not None
        self.said += self.process.stderr
        self.process.wait(60)
        while processes_of(self.process.pid) and time.monotonic() - start < 60:
            time.sleep(0.02)
        return time.monotonic() - start


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
LONGEST_S = 6.0
"""Two seconds on a quiet machine; tests share theirs."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[Path], Running]]:
    runs: list[Running] = []

    def start(config: Path) -> Running:
        runs.append(Running(config, tmp_path / "run"))
        return runs[-1]

    yield start
    for run in runs:
        for process in processes_of(run.process.pid):
            os.kill(process, signal.SIGKILL)
        run.process.wait()


@linux
@pytest.mark.parametrize(("times", "wait_s"), [(1, 3.0), (2, 3.0), (3, 0.0)])
def test_ctrl_c_ends_the_making_of_patches(
    running: Callable[[Path], Running], long_run: Path, times: int, wait_s: float
) -> None:
    run = running(long_run)
    run.until("patches")
    time.sleep(wait_s)
    run.press(times)
    assert run.seconds_to_end() < LONGEST_S and processes_of(run.process.pid) == []
    assert run.process.returncode == 130
    said = [line for line in run.said if not line.startswith("{")]
    assert said == ["Error: interrupted; nothing half-written was left.\n"], "".join(said)


@linux
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_ends_training(
    running: Callable[[Path], Running], short_run: Path, times: int, tmp_path: Path
) -> None:
    run = running(short_run)
    run.until("training")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("run/folds/*/epochs.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.press(times)
    assert run.seconds_to_end() < LONGEST_S and processes_of(run.process.pid) == []
    assert run.process.returncode == 130 and "Traceback" not in "".join(run.said)


@linux
@pytest.mark.parametrize("step", ["patches", "training"])
def test_no_process_outlives_a_killed_run(
    running: Callable[[Path], Running], long_run: Path, short_run: Path, step: str
) -> None:
    run = running(long_run if step == "patches" else short_run)
    run.until(step)
    time.sleep(1.0)
    run.process.kill()
    assert run.seconds_to_end() < LONGEST_S and processes_of(run.process.pid) == []


@linux
def test_an_interrupt_that_another_thread_hears_waits_too() -> None:
    stop = threading.Event()
    threading.Thread(target=stop.wait, daemon=True).start()
    before, done = signal.signal(signal.SIGINT, signal.default_int_handler), []
    try:
        with pytest.raises(KeyboardInterrupt), _without_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            done.append("started")
    finally:
        signal.signal(signal.SIGINT, before)
        stop.set()
    assert done == ["started"]


def nothing() -> None:
    return None


def die(how: int) -> None:
    os.kill(os.getpid(), how)


@linux
def test_a_killed_process_of_the_training_is_told() -> None:
    with (
        pytest.raises(TrainingError, match=r"was killed, most likely because memory ran out; .*--resume"),
        working(die, [(signal.SIGKILL,)], 1, nothing) as futures,
    ):
        for future in wait(futures).done:
            future.result()


def test_a_configuration_is_the_same_wherever_its_cohort_lies(cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(cohort.parent, tmp_path / "elsewhere")
    first = read_config(write_config(tmp_path / "a.yaml", settings(cohort)))
    second = read_config(write_config(tmp_path / "b.yaml", settings(tmp_path / "elsewhere" / "cohort.csv")))
    assert first.digest() == second.digest() and first.cohort != second.cohort
