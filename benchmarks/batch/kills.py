"""Kill a batch again and again and compare its tables with those of a batch that nobody disturbed.

    python benchmarks/batch/kills.py --out DIR [--studies 200] [--kills 50] [--seed 0] [--model NAME|DIR]

Lesion-centred phantoms are classified by two workers: half of the time a local cluster, half of the time a
scheduler and workers in processes of their own. SIGKILL strikes at random moments: the command itself, a Dask
worker, a study's process, or the separate scheduler; then what is missing is started again. By default the
model has random weights and is small, because it is the bookkeeping that is looked at. Prints a line per
kill, then what was found; ends with 1 where tables differ, a study was finished twice, or something was left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]
MARK = "LIVERLESIONAI_KILLS"
TABLES = ("results.csv", "results.parquet", "failures.csv")


@dataclass
class Processes:
    """The command and, where they are separate, scheduler and workers."""

    command: list[str]
    environment: dict[str, str]
    apart: bool
    port: int = 0
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    batch: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start what does not run."""
        command = list(self.command)
        if self.apart:
            if self.scheduler is None or self.scheduler.poll() is not None:
                self.stop_workers()
                self.port = free_port()
                self.scheduler = self._dask("scheduler", "--port", str(self.port), "--host", "127.0.0.1")
            address = f"tcp://127.0.0.1:{self.port}"
            self.workers = [worker for worker in self.workers if worker.poll() is None]
            while len(self.workers) < 2:
                self.workers.append(
                    self._dask("worker", address, "--nthreads", "1", "--no-nanny", "--memory-limit", "0")
                )
            command += ["--scheduler", address]
        else:
            command += ["--workers", "2"]
        self.batch = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment
        )

    def _dask(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )

    def stop_workers(self) -> None:
        """End the separate workers and scheduler."""
        for process in (*self.workers, *([self.scheduler] if self.scheduler else [])):
            process.kill()
            process.wait()
        self.workers.clear()

    def victim(self, draw: random.Random) -> tuple[str, int]:
        """Choose whom to kill: its role and number."""
        assert self.batch is not None
        below = [(role_of(pid), pid) for pid in marked(self.environment[MARK]) if pid != self.batch.pid]
        roles: dict[str, list[int]] = {"command": [self.batch.pid]}
        for role, pid in below:
            roles.setdefault(role, []).append(pid)
        role = draw.choice(sorted(roles))
        return role, draw.choice(sorted(roles[role]))


def marked(token: str) -> list[int]:
    """Processes of this benchmark's run that are alive."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = f"{MARK}={token}".encode() in (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if is_ours and state != "Z":
            found.append(int(entry.name))
    return found


def role_of(pid: int) -> str:
    """What a process is."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return "gone"
    text = " ".join(words)
    if "batch.child" in text:
        return "study's process"
    if "batch.dask_worker" in text or "dask worker" in text:
        return "worker"
    return "scheduler" if "dask scheduler" in text else "other"


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def main() -> int:
    """Run the two batches and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model")
    given = parser.parse_args()
    cohort, model = prepared(given)
    command = [
        sys.executable, "-m", "LiverLesionAI", "batch", str(cohort), "--model", model, "--outputs", "volumes",
        "--no-register", "--no-saliency", "--progress", "jsonl",
    ]  # fmt: skip
    token = f"{os.getpid()}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: token}
    calm, killed = given.out / "calm", given.out / "killed"
    start = time.monotonic()
    subprocess.run([*command, "--out", str(calm), "--workers", "2"], check=True, env=environment,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    say(f"undisturbed: {given.studies} studies in {time.monotonic() - start:.0f} s")
    start = time.monotonic()
    starts = disturbed([*command, "--out", str(killed)], environment, given.kills, random.Random(given.seed))
    say(f"disturbed: {given.kills} kills, {starts} starts of the command, {time.monotonic() - start:.0f} s")
    return report(calm, killed, token)


def prepared(given: argparse.Namespace) -> tuple[Path, str]:
    """The cohort and the model, made where they are not there."""
    from tiny_bundles import tiny_bundle

    from LiverLesionAI.phantom import write_cohort

    cohort = given.out / "cohort" / "cohort.csv"
    if not cohort.is_file():
        write_cohort(cohort.parent, given.studies, 840000, lesion_centred=True)
    if given.model is None and not (given.out / "tiny").exists():
        tiny_bundle(given.out / "tiny")
    return cohort, given.model or str(given.out / "tiny")


def disturbed(command: list[str], environment: dict[str, str], kills: int, draw: random.Random) -> int:
    """Start, kill, start again, until all kills are made, and then end; returns how often it was started."""
    done, starts = 0, 0
    while True:
        processes = Processes(command, environment, apart=draw.random() < 0.5)
        try:
            while True:
                processes.start()
                starts += 1
                done = watched(processes, done, kills, draw)
                assert processes.batch is not None
                code = processes.batch.wait()
                if code == 0:
                    say(f"ended with 0 after {done} kills")
                    return starts
                if draw.random() < 0.3:
                    break
        finally:
            processes.stop_workers()


def watched(processes: Processes, done: int, kills: int, draw: random.Random) -> int:
    """Kill while studies end, until the command is gone; returns how many kills have been made."""
    assert processes.batch is not None and processes.batch.stderr is not None
    patience, errors = draw.randint(1, 4), []
    for line in processes.batch.stderr:
        if '"step": "batch"' not in line:
            errors.append(line.strip())
            continue
        patience -= 1
        if patience > 0 or done >= kills:
            continue
        time.sleep(draw.uniform(0, 1.5))
        role, pid = processes.victim(draw)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        done += 1
        patience = draw.randint(1, 4)
        where = "apart" if processes.apart else "local"
        say(f"kill {done:2d}: {role} ({where}) after {line.strip()}")
        if processes.apart and role == "worker":
            processes.workers = [worker for worker in processes.workers if worker.poll() is None]
            address = f"tcp://127.0.0.1:{processes.port}"
            processes.workers.append(
                processes._dask("worker", address, "--nthreads", "1", "--no-nanny", "--memory-limit", "0")
            )
    for text in errors[-2:]:
        say(f"   it said: {text}")
    return done


def report(calm: Path, killed: Path, token: str) -> int:
    """Say what was found; 1 where anything is wrong."""
    from LiverLesionAI.batch.ledger import Ledger

    wrong = []
    for name in TABLES:
        same = (calm / name).read_bytes() == (killed / name).read_bytes()
        say(f"{name}: {'the same, byte for byte' if same else 'DIFFERS'}")
        wrong += [] if same else [name]
    with Ledger(killed, read_only=True) as ledger, Ledger(calm, read_only=True) as other:
        attempts = list(ledger.attempts())
        twice = [study for study, n in Counter(s for s, how, _ in attempts if how == "done").items() if n > 1]
        model = ledger.models()[0]
        hashes = ledger.result_hashes(model) == other.result_hashes(model)
        folders = all((killed / each.folder / "results.json").is_file() for each in ledger.finished(model))
        say(f"attempts: {dict(Counter(how for _, how, _ in attempts))}; studies finished twice: {len(twice)}")
    halves = [path for path in killed.rglob(".*") if ".partial" in path.name or path.name.endswith(".old")]
    time.sleep(5)
    left = [pid for pid in marked(token) if pid != os.getpid()]
    say(f"results the same: {hashes}; every folder whole: {folders}; half-written: {len(halves)}; "
        f"processes left: {len(left)}")  # fmt: skip
    return int(bool(wrong or twice or halves or left or not hashes or not folders))


def say(text: str) -> None:
    """Print a line of the log."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
