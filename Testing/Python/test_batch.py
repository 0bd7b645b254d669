"""Batches: exactly once whatever happens. Studies' answers are made (``made_batch``), all else is real."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from made_batch import made_run, made_studies
from typer.testing import CliRunner

from LiverLesionAI.batch import BatchOptions, dask_engine, engines
from LiverLesionAI.batch import ledger as ledgers
from LiverLesionAI.batch.feedback import export_cohort, give_feedback
from LiverLesionAI.batch.ledger import Ledger
from LiverLesionAI.batch.merge import merge_runs
from LiverLesionAI.batch.schema import VERSION
from LiverLesionAI.batch.settings import LEDGER_FILE
from LiverLesionAI.batch.supervise import Limits
from LiverLesionAI.batch.task import pack
from LiverLesionAI.cli.commands import app
from LiverLesionAI.cohort import read_rows
from LiverLesionAI.errors import BatchError, ConfigError, OutputError
from LiverLesionAI.options import Options

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
TABLES = ("results.csv", "results.parquet", "failures.csv")


def finished(cohort: Path, out: Path, **options: object) -> dict[str, str]:
    """Work a cohort through; returns what came of each study that was not passed over."""
    with made_run(cohort, out, **options) as run:
        return {answer.study_id: answer.status for answer in run}


def tables(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in TABLES]


def outcomes(out: Path) -> Counter[str]:
    with Ledger(out, read_only=True) as ledger:
        return Counter(outcome for _, outcome, _ in ledger.attempts())


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_studies(tmp_path_factory.mktemp("cohort"), [f"S{number}" for number in range(6)])


@pytest.fixture(scope="module")
def undisturbed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the cohort by one process."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert set(finished(cohort, out, outputs="volumes").values()) == {"done"}
    return out


@pytest.fixture
def run(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to go on with."""
    return Path(shutil.copytree(undisturbed, tmp_path / "run"))


def test_a_run_ends_in_tables_and_folders(undisturbed: Path) -> None:
    with (undisturbed / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["study_id"] for row in rows] == [f"S{number}" for number in range(6)]
    assert {row["truth"] for row in rows} == {"HCC", "cyst"} and rows[2]["patient_id"] == "P1"
    assert all(row["group_site"] == "north" and row["pred_type"] and row["lesion"] == "1" for row in rows)
    folders = sorted(path.relative_to(undisturbed) for path in undisturbed.glob("studies/*/*/results.json"))
    assert [folder.parts[1:3] for folder in folders] == [(f"S{n}", "wang2021-phantom") for n in range(6)]
    assert not list(undisturbed.glob("**/.*partial*"))
    page = (undisturbed / "cohort.html").read_text(encoding="utf-8")
    assert "6 studies · 6 lesions" in page and "differs from the truth" in page and "Phantom-trained" in page


def test_parquet_says_what_the_csv_says(undisturbed: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(undisturbed / "results.parquet")
    with (undisturbed / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == list(rows[0]) and table.num_rows == len(rows)
    assert table["prob_type_HCC"].to_pylist() == pytest.approx(
        [float(row["prob_type_HCC"]) for row in rows], abs=1e-6
    )


def test_what_is_finished_is_not_done_again(cohort: Path, run: Path) -> None:
    before = tables(run)
    assert finished(cohort, run, outputs="volumes") == {}
    assert tables(run) == before and outcomes(run) == {"done": 6}


def test_only_what_changed_is_done_again(cohort: Path, run: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(cohort.parent, tmp_path / "cohort")) / "cohort.csv"
    (own.parent / "S1" / "T2WI.nii.gz").write_text("other")
    os.utime(own.parent / "S2" / "T2WI.nii.gz", (4e9, 4e9))
    shutil.rmtree(run / "studies" / "S3")
    came = finished(own, run, outputs="volumes")
    assert came.pop("S1") == came.pop("S3") == "done"
    assert set(came.values()) <= {"same"} and "S2" in came
    assert (run / "studies" / "S3" / "wang2021-phantom" / "results.json").is_file()
    assert set(finished(own, run, outputs="volumes", study=Options(register=False)).values()) == {"done"}
    assert finished(own, run, outputs="table", study=Options(register=False)) == {}


def test_the_clock_decides_nothing(cohort: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables(run)
    monkeypatch.setattr(ledgers, "_now", lambda: "1999-12-31T23:59:59+00:00")
    assert set(finished(cohort, run, outputs="volumes", study=Options(register=False)).values()) == {"done"}
    assert finished(cohort, run, outputs="volumes", study=Options(register=False)) == {}
    assert tables(run) == before


def test_a_cohort_that_lost_and_won_studies(cohort: Path, run: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(cohort.parent, tmp_path / "cohort")) / "cohort.csv"
    lines = own.read_text().splitlines()
    (own.parent / "T1").mkdir()
    (own.parent / "T1" / "T2WI.nii.gz").write_text("T1")
    own.write_text("\n".join([lines[0], *lines[3:], "T1,T1,P9,1,ICC,north"]))
    assert finished(own, run, outputs="volumes")["T1"] == "done"
    text = (run / "results.csv").read_text()
    assert "S0," not in text and "T1,P9,1,ICC" in text and text.count("\n") == 6


def test_a_lesion_that_no_mask_has_is_not_passed_over(tmp_path: Path) -> None:
    """Its truth counts in an evaluation, as that of a lesion without an answer."""
    cohort = made_studies(tmp_path / "cohort", ["S0", "S1"])
    cohort.write_text(cohort.read_text() + "S0,S0,P0,3,ICC,south\n")
    with made_run(cohort, tmp_path / "run", outputs="table") as run:
        list(run)
    assert run.counts["done"] == 2 and "not in the study's mask: 1" in run.warnings[-1]
    with (run.out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["study_id"], row["lesion"]) for row in rows] == [("S0", "1"), ("S0", "3"), ("S1", "1")]
    assert (rows[1]["truth"], rows[1]["pred_type"], rows[1]["group_site"]) == ("ICC", "", "south")
    assert 'S0,wang2021-phantom,input,"Lesion 3: It stands in' in (run.out / "failures.csv").read_text()
    page = (run.out / "cohort.html").read_text(encoding="utf-8")
    assert "lesion 3" in page and "It stands in the cohort" in page
    told = CliRunner().invoke(app, ["evaluate", str(run.out), "--out", str(tmp_path / "e"), "--json"])
    judged = json.loads(told.stdout)["tasks"]["type"]
    assert judged["n"] == 2 and judged["left_out"] == 1


@posix
def test_studies_that_misbehave_cost_themselves_only(tmp_path: Path) -> None:
    names = ["S0", "S1-crash", "S2-once", "S3-fault", "S4-hang", "S5-memory", "S6"]
    cohort = made_studies(tmp_path / "cohort", names)
    shutil.rmtree(tmp_path / "cohort" / "S6")
    limits = {"time_limit_s": 5.0, "memory_limit_bytes": 1 << 29}
    came = finished(cohort, tmp_path / "run", outputs="table", workers=2, **limits)
    assert {name for name, status in came.items() if status == "done"} == {"S0", "S2-once"}
    with (tmp_path / "run" / "failures.csv").open(newline="") as file:
        why = {row["study_id"]: (row["kind"], row["reason"]) for row in csv.DictReader(file)}
    assert {name: kind for name, (kind, _) in why.items()} == {
        "S1-crash": "crash", "S3-fault": "fault", "S4-hang": "time", "S5-memory": "memory", "S6": "input",
    }  # fmt: skip
    assert (
        "signal 11" in why["S1-crash"][1] and "5 s" in why["S4-hang"][1] and "0.5 GiB" in why["S5-memory"][1]
    )
    assert "nothing works in S3-fault" in why["S3-fault"][1] and str(tmp_path) not in str(why)
    with (tmp_path / "run" / "results.csv").open(newline="") as file:
        rows = {row["study_id"]: row for row in csv.DictReader(file)}
    page = (tmp_path / "run" / "cohort.html").read_text(encoding="utf-8")
    assert "5 studies failed" in page and "nothing works in S3-fault" in page
    assert rows["S6"]["truth"] and not rows["S6"]["pred_type"] and len(rows) == 7
    (tmp_path / "cohort" / "S6").mkdir()
    (tmp_path / "cohort" / "S6" / "T2WI.nii.gz").write_text("S6")
    assert finished(cohort, tmp_path / "run", outputs="table", **limits) == {"S6": "done"}
    (tmp_path / "cohort" / "S1-crash").rename(tmp_path / "cohort" / "mended")
    cohort.write_text(cohort.read_text().replace("S1-crash,S1-crash", "S1-crash,mended"))
    retried = finished(cohort, tmp_path / "run", outputs="table", time_limit_s=3.0, retry_failed=True)
    assert retried["S1-crash"] == "done" and retried["S4-hang"] == "failed" and "S0" not in retried


@posix
def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    """Parents and Dask's workers are killed; the tables are those of a run that nobody disturbed."""
    cohort = made_studies(tmp_path / "cohort", [f"S{number:02d}-slow" for number in range(12)])
    finished(cohort, tmp_path / "calm", outputs="volumes")
    draw, kills = random.Random(3), 0
    for attempt in range(9):
        process = subprocess.Popen(
            [sys.executable, "-m", "made_batch", str(cohort), str(tmp_path / "run"), "2"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        if attempt < 2:
            for _ in range(draw.randint(1, 3)):
                process.stdout.readline()
            time.sleep(draw.uniform(0, 0.2))
            victims = [pid for pid in _children(process.pid) if draw.random() < 0.5] or [process.pid]
            victims += [process.pid] if attempt % 2 == 0 else []
            for victim in dict.fromkeys(victims):
                os.kill(victim, signal.SIGKILL)
                kills += 1
            if process.pid not in victims:
                time.sleep(0.5)
                process.kill()
                kills += 1
        process.stdout.read()
        if process.wait() == 0:
            break
    assert kills >= 3 and attempt == 2
    assert tables(tmp_path / "run") == tables(tmp_path / "calm")
    with Ledger(tmp_path / "run", read_only=True) as ledger:
        done = Counter(study for study, outcome, _ in ledger.attempts() if outcome == "done")
        assert ledger.result_hashes("wang2021-phantom") == _hashes(tmp_path / "calm")
    assert set(done.values()) == {1} and len(done) == 12


def _hashes(out: Path) -> dict[str, str]:
    with Ledger(out, read_only=True) as ledger:
        return ledger.result_hashes("wang2021-phantom")


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


def test_two_runs_do_not_share_a_folder(cohort: Path, run: Path) -> None:
    with made_run(cohort, run), pytest.raises(OutputError, match="in use by another run"):
        made_run(cohort, run)
    with pytest.raises(OutputError, match="no run of a batch"):
        made_run(cohort, cohort.parent)


@posix
def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    cohort = made_studies(tmp_path / "cohort", ["S0", "S1-full", "S2"])
    with pytest.raises(OutputError, match=r"No space left.*make room"):
        finished(cohort, tmp_path / "run", outputs="volumes")
    with Ledger(tmp_path / "run", read_only=True) as ledger:
        assert ledger.counts() == {"done": 1, "failed": 0, "left": 2, "running": 0}
    (tmp_path / "run" / "room").touch()
    assert set(finished(cohort, tmp_path / "run", outputs="volumes")) == {"S1-full", "S2"}


def test_a_ledger_that_cannot_grow_stops_the_run(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Ledger._prepare

    def without_room(self: Ledger) -> None:
        prepare(self)
        self._db.execute("PRAGMA max_page_count = 12")

    monkeypatch.setattr(Ledger, "_prepare", without_room)
    with pytest.raises(OutputError, match="full"):
        finished(cohort, tmp_path / "run", outputs="table")
    monkeypatch.undo()
    finished(cohort, tmp_path / "run", outputs="table")
    assert (tmp_path / "run" / "results.csv").read_text().count("\n") == 7


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="/proc is a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_is_refused(cohort: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        made_run(cohort, Path("/proc/liver"))


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), ("study_id\n", "lacks columns"), ("study_id,path\n", "no study")],
)
def test_nothing_is_made_for_a_cohort_that_cannot_be_used(
    tmp_path: Path, content: str | None, said: str
) -> None:
    table = tmp_path / "cohort.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(ConfigError, match=said):
        made_run(table, tmp_path / "new" / "run", outputs="table")
    assert not (tmp_path / "new").exists()


def test_a_cohort_that_vanishes_stops_the_run(tmp_path: Path) -> None:
    cohort = made_studies(tmp_path / "cohort", ["S0", "S1", "S2"])
    with pytest.raises(BatchError, match="is gone; bring it back"), made_run(cohort, tmp_path / "run") as run:
        assert next(run).status == "done"
        cohort.parent.rename(tmp_path / "away")
        list(run)
    (tmp_path / "away").rename(cohort.parent)
    assert finished(cohort, tmp_path / "run", outputs="table").keys() <= {"S1", "S2", "S0"}


def test_ledgers_of_other_versions(cohort: Path, run: Path, tmp_path: Path) -> None:
    before = tables(run)
    with sqlite3.connect(run / LEDGER_FILE) as database:
        database.executescript("DROP TABLE feedback; PRAGMA user_version = 1;")
    database.close()
    assert finished(cohort, run, outputs="volumes") == {} and tables(run) == before
    give_feedback(run, "S0", 1, "HCC")
    with sqlite3.connect(run / LEDGER_FILE) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(BatchError, match="later version"):
        made_run(cohort, run)
    (run / LEDGER_FILE).write_bytes(b"SQLite format 3\0" + b"rubbish" * 900)
    with pytest.raises(OutputError, match="damaged"):
        made_run(cohort, run)


def test_shards_joined_are_the_run(cohort: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "array"
    for number in (1, 2):
        finished(cohort, out, outputs="volumes", shard=(number, 2))
    shards = sorted(out.glob("shard-*"))
    lacking = merge_runs(shards[:1], out)
    assert lacking.warnings == ("Shard 2 of 2 was not given.",) and lacking.counts["done"] == 3
    assert merge_runs(shards, out).counts["done"] == 6
    assert tables(out) == tables(undisturbed)
    with Ledger(out, read_only=True) as ledger:
        assert all(
            (out / each.folder / "results.json").is_file() for each in ledger.finished("wang2021-phantom")
        )
    give_feedback(out, "S3", 1, "ICC")
    merge_runs(shards, out)
    assert "S3,P1,1,ICC" in (out / "results.csv").read_text()
    with pytest.raises(ConfigError, match="merged from shards"):
        made_run(cohort, out)
    with pytest.raises(ConfigError, match="a study that another shard has"):
        merge_runs([shards[0], shutil.copytree(shards[0], tmp_path / "twin")], tmp_path / "two")


@pytest.mark.slow
def test_a_scheduler_and_workers_of_their_own(cohort: Path, undisturbed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    start = [sys.executable, "-m", "dask"]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
    given = (
        ["scheduler", "--host", address, "--no-dashboard"],
        ["worker", address, "--nthreads", "2", "--no-dashboard"],
    )
    processes = [subprocess.Popen([*start, *each], env=environment) for each in given]
    try:
        assert set(finished(cohort, tmp_path / "run", outputs="volumes", scheduler=address).values()) == {
            "done"
        }
        assert tables(tmp_path / "run") == tables(undisturbed)
        slow = made_studies(tmp_path / "cohort", [f"S{number:02d}-slow" for number in range(40)])
        with made_run(slow, tmp_path / "slow", outputs="table", scheduler=address) as run:
            next(run)
            processes[0].kill()
            with pytest.raises(BatchError, match="is gone; start the run again"):
                list(run)
        assert 0 < len(finished(slow, tmp_path / "slow", outputs="table")) < 40
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)
    with pytest.raises(BatchError, match="no Dask scheduler"):
        made_run(cohort, tmp_path / "other", scheduler="tcp://127.0.0.1:1")


class Kept:
    """A process that waits for its run's next study."""

    is_free = True

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_a_worker_ends_what_it_keeps_for_killed_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    used = {("killed", 7): now - 700, ("other", 7): now - 5, ("killed", 8): now - 700}
    kept = {key: Kept() for key in used}
    monkeypatch.setattr(dask_engine, "_processes", dict(kept))
    monkeypatch.setattr(dask_engine, "_last_used", used)
    dask_engine._end_idle(7)
    assert [key for key, each in kept.items() if each.is_closed] == [("killed", 7)]


def test_feedback_becomes_truth_and_a_cohort(run: Path, tmp_path: Path) -> None:
    give_feedback(run, "S0", 1, "ICC", "follow-up", "2026-07-31")
    give_feedback(run, "S0", None, "FNH")
    assert "S0,P0,1,FNH" in (run / "results.csv").read_text(), (
        "a study's diagnosis is that of its only lesion"
    )
    give_feedback(run, "S0", 1, "HCC")
    assert "S0,P0,1,HCC" in (run / "results.csv").read_text()
    table, count = export_cohort(run, tmp_path / "train")
    rows = read_rows(table)
    assert count == 6 and rows[0].truth == "HCC" and (table.parent / rows[0].path / "T2WI.nii.gz").is_file()
    for wrong, said in (
        (("S9", 1, "HCC"), "no study 'S9'"),
        (("S0", 2, "HCC"), "no lesion 2"),
        (("S0", 1, "cancer"), "choose one of"),
        (("S0", 1, "HCC", "rumour"), "choose one of"),
        (("S0", 1, "HCC", "imaging", "yesterday"), "2026-07-31"),
    ):
        with pytest.raises(ConfigError, match=said):
            give_feedback(run, *wrong)  # type: ignore[arg-type]
    done = CliRunner().invoke(app, ["evaluate", str(run), "--out", str(tmp_path / "e"), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["tasks"]["type"]["n"] == 6


def test_a_study_s_diagnosis_is_exported_for_what_models_answer_for(tmp_path: Path) -> None:
    """A row per lesion, which a model of lesions is trained on; a row for the study where it is the unit."""
    given = made_studies(tmp_path / "cohort", ["S0", "S1-fault"])
    finished(given, tmp_path / "run", outputs="table")
    for study in ("S0", "S1-fault"):
        give_feedback(tmp_path / "run", study, None, "FNH")
    rows = read_rows(export_cohort(tmp_path / "run", tmp_path / "lesions")[0])
    assert [(row.study_id, row.lesion, row.truth) for row in rows] == [
        ("S0", 1, "FNH"),
        ("S1-fault", 1, "FNH"),
    ]
    with Ledger(tmp_path / "run") as ledger:
        result = ledger.result("S0", "wang2021-phantom")
        assert result is not None
        (lesion,) = result.lesions
        two = replace(result, lesions=(lesion, replace(lesion, id=2)))
        ledger._db.execute("UPDATE answers SET result = ? WHERE study = 'S0'", (b64decode(pack(two)),))
    with pytest.raises(ConfigError, match=r"Study S0 has 2 lesions and one diagnosis of the whole"):
        export_cohort(tmp_path / "run", tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    with Ledger(tmp_path / "run") as ledger:
        result = ledger.result("S0", "wang2021-phantom")
        assert result is not None
        blob = b64decode(pack(replace(result, unit="study", study_tasks=result.lesions[0].tasks)))
        ledger._db.execute("UPDATE answers SET result = ? WHERE study = 'S0'", (blob,))
    rows = read_rows(export_cohort(tmp_path / "run", tmp_path / "studies")[0])
    assert [(row.study_id, row.lesion, row.truth) for row in rows] == [
        ("S0", None, "FNH"),
        ("S1-fault", None, "FNH"),
    ]


def test_paused_polled_and_cancelled(cohort: Path, tmp_path: Path) -> None:
    with made_run(cohort, tmp_path / "run", outputs="table") as run:
        run.pause()
        assert run.poll() == [] and run.progress.done == 0
        run.resume()
        deadline = time.monotonic() + 20
        while run.progress.done < 2 and time.monotonic() < deadline:
            run.poll()
            time.sleep(0.01)
        run.cancel()
        assert run.is_over and list(run) == []
    done = (tmp_path / "run" / "results.csv").read_text().count("\n") - 1
    assert done == run.counts["done"] < 6 and run.counts["running"] == 0
    assert len(finished(cohort, tmp_path / "run", outputs="table")) == 6 - done


def test_the_command_tells_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engines, "limits_of", lambda options: Limits(options.time_limit_s, child="made_batch")
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    cohort = made_studies(tmp_path / "cohort", ["S0", "S1-fault"])
    given = ["batch", str(cohort), "--out", str(tmp_path / "run"), "--outputs", "table"]
    first = CliRunner().invoke(app, [*given, "--json", "--progress", "jsonl"])
    assert first.exit_code == 4, first.output
    said = json.loads(first.stdout)
    assert said["studies"] == {"done": 1, "failed": 1, "left": 0, "running": 0}
    assert said["failures"][0]["study"] == "S1-fault" and said["failures"][0]["kind"] == "fault"
    last = json.loads([line for line in first.stderr.splitlines() if line.startswith("{")][-1])
    assert last["fraction"] == 1.0 and last["failed"] == 1 and last["total"] == 2
    second = CliRunner().invoke(app, given)
    assert second.exit_code == 4 and "2 studies: 1 done, 1 failed (2 of them before)" in second.stdout
    assert "phantom-trained" in second.stdout
    wrong = CliRunner().invoke(app, ["batch", str(cohort), "--out", str(tmp_path / "o"), "--shard", "5/4"])
    assert wrong.exit_code == 3 and "no shard 5 of 4" in wrong.output
    with pytest.raises(ConfigError):
        BatchOptions(models=())
