"""Mutated input, case after case, each in a child process with limits of time and memory.

    python Testing/Python/fuzzing.py --cases 10000 --seed 1 --kind dicom

A finding is a fault of the program (exit code 1), a crash in native code, a hang, something half-written, or
words of a library on standard error. A case is drawn from seed, kind and number alone: ``--only 17`` repeats
it and keeps its files.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

from fuzz_images import OUT, SHELF
from fuzz_kinds import KINDS, Kind

MEMORY_BYTES = 4 << 30
FILE_BYTES = 1 << 29
_ORPHAN_SECONDS = 300
_WAITING = 3
"""A case that waits is given more time than one that computes, for machines that are busy."""
ACCEPTED, REFUSED, FAULT, CRASH, HANG, HALF_WRITTEN, NOISE = (
    "accepted", "refused", "fault", "crash", "hang", "half-written", "noise",
)  # fmt: skip
FINDINGS = (FAULT, CRASH, HANG, HALF_WRITTEN, NOISE)
_INPUT, _REPORT, _WORDS = "input", "report.json", "words.txt"


@dataclass(frozen=True)
class Outcome:
    """What came of a case; `words` tell of a finding, or are the sentence of a refusal."""

    kind: str
    number: int
    outcome: str
    words: str = ""

    @property
    def is_finding(self) -> bool:
        """Whether it is one of :data:`FINDINGS`."""
        return self.outcome in FINDINGS


def run_cases(name: str, numbers: range, seed: int, jobs: int, keep: Path | None = None) -> Iterator[Outcome]:
    """Run cases of a kind, `jobs` at a time; those that are findings leave their input in `keep`."""
    kind = KINDS[name]
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_fast_folder()) as work:
        whole = Path(work, "whole")
        _in_child(kind.make, whole)
        running: dict[int, tuple[int, Path]] = {}
        waiting = iter(numbers)
        while True:
            while len(running) < jobs and (number := next(waiting, None)) is not None:
                folder = Path(work, f"case-{number}")
                running[_start(kind, whole, folder, f"{seed}-{name}-{number}")] = (number, folder)
            if not running:
                return
            pid, status = os.wait()
            number, folder = running.pop(pid)
            outcome = _outcome(name, number, folder, status)
            if outcome.is_finding and keep is not None:
                target = keep / f"{name}-{number}"
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(folder, target, symlinks=True)
            shutil.rmtree(folder, ignore_errors=True)
            yield outcome


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _in_child(make: Callable[[Path], None], folder: Path) -> None:
    """Make files in a child: this process starts no threads, since they do not survive a fork."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            folder.mkdir()
            make(folder)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit(f"{folder} could not be made.")


def _make_shared(folder: Path) -> None:
    KINDS["bundle"].make(folder)
    _write_results(folder / "results.json")


def _write_results(file: Path) -> None:
    from made_studies import made_result, made_study

    file.write_text(made_result(made_study()).to_json(), encoding="utf-8")


def _load(kinds: Iterable[str]) -> None:
    """Import everything once; convert scenes in a fork of this process instead of in a new Python."""
    import torch

    from LiverLesionAI.scenes import file

    for name in kinds:
        KINDS[name].load()
    torch.set_num_threads(1)
    gc.freeze()
    file._in_a_process = _forked


def _forked(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    from LiverLesionAI.scenes import file

    with tempfile.TemporaryFile() as words:
        pid = os.fork()
        if pid == 0:
            for stream in (1, 2):
                os.dup2(words.fileno(), stream)
            code = 1
            signal.alarm(_ORPHAN_SECONDS)
            try:
                code = file.main(*arguments)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        words.seek(0)
        return subprocess.CompletedProcess(arguments, code, b"", words.read())


def _start(kind: Kind, whole: Path, folder: Path, seed: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _carry_out(kind, whole, folder, random.Random(seed))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _carry_out(kind: Kind, whole: Path, folder: Path, rng: random.Random) -> None:
    given = folder / _INPUT
    shutil.copytree(whole, given)
    words = os.open(folder / _WORDS, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(words, stream)
    _limit(kind.seconds)
    kind.mutate(given, rng)
    report = _walked(kind, given, rng)
    (folder / _REPORT).write_text(json.dumps(report))


def _limit(seconds: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_used_address_space() + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    for ending in (signal.SIGALRM, signal.SIGXCPU):
        signal.signal(ending, signal.SIG_DFL)
    signal.alarm(_WAITING * seconds)


def _used_address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _walked(kind: Kind, given: Path, rng: random.Random) -> dict[str, str]:
    from LiverLesionAI.errors import LiverLesionError, told_by_system
    from LiverLesionAI.limits import is_memory_short

    try:
        kind.walk(given, rng)
    except LiverLesionError as error:
        return _refusal(str(error), given)
    except BaseException as error:
        if is_memory_short(error) or told_by_system(error):
            return {"outcome": REFUSED, "words": str(error)}
        return {"outcome": FAULT, "words": _story(error)}
    return {"outcome": ACCEPTED}


def _refusal(sentence: str, given: Path) -> dict[str, str]:
    """A refusal is one sentence that every stream takes, and leaves nothing behind."""
    try:
        sentence.encode()
    except UnicodeEncodeError:
        return {"outcome": FAULT, "words": "the sentence is no UTF-8"}
    out, shelf = given.parent / OUT, given.parent / SHELF
    left = [str(path) for path in (out, *given.parent.glob(".*")) if path.exists()]
    left += [str(path) for path in shelf.glob(".*")] if shelf.exists() else []
    left = [path for path in left if not path.endswith(".lock")]
    if left and not (given / "requests").exists():
        return {"outcome": HALF_WRITTEN, "words": f"{left} after: {sentence}"}
    return {"outcome": REFUSED, "words": sentence}


def _story(error: BaseException) -> str:
    """Where in our own code an error came up, and what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames if "LiverLesionAI" in f.filename]
    return f"{' > '.join(ours)}\n{type(error).__name__}: {error}"


def _outcome(name: str, number: int, folder: Path, status: int) -> Outcome:
    code = os.waitstatus_to_exitcode(status)
    words = _said(folder)
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        return Outcome(name, number, HANG, words)
    if code < 0:
        return Outcome(name, number, CRASH, f"signal {-code}: {words}")
    try:
        report = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Outcome(name, number, CRASH, f"exit {code} without a report: {words}")
    if not report:
        return Outcome(name, number, CRASH, f"no outcome: {words}")
    found = Outcome(name, number, report["outcome"], report.get("words", ""))
    if not found.is_finding and words.strip():
        return Outcome(name, number, NOISE, words)
    return found


def _said(folder: Path) -> str:
    try:
        return (folder / _WORDS).read_text(errors="replace")[-2000:]
    except OSError:
        return ""


def shares(cases: int) -> dict[str, int]:
    """How many cases of a mixture are of each kind."""
    whole = sum(kind.share for kind in KINDS.values())
    return {name: max(1, cases * kind.share // whole) for name, kind in KINDS.items()}


def run_kind(name: str, arguments: argparse.Namespace, cases: int) -> int:
    """Run one kind, tell what came of it, and return the number of findings."""
    begun = time.monotonic()
    first = arguments.only if arguments.only is not None else 0
    numbers = range(first, first + (1 if arguments.only is not None else cases))
    outcomes = list(run_cases(name, numbers, arguments.seed, arguments.jobs, arguments.keep))
    counts = Counter(outcome.outcome for outcome in outcomes)
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"{name:13} {len(outcomes):6} cases in {time.monotonic() - begun:5.0f} s: {told}", flush=True)
    for outcome in outcomes:
        if outcome.is_finding or arguments.verbose:
            print(
                f"  {outcome.outcome} in {name} {outcome.number}:\n{indent(outcome.words, '    ')}",
                flush=True,
            )
    return sum(outcome.is_finding for outcome in outcomes)


def main() -> int:
    """Run the command line; 1 where there is a finding."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=tuple(KINDS), help="by default a mixture of all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, help="run this case of the kind alone")
    parser.add_argument("--keep", type=Path, help="folder for the input of findings")
    parser.add_argument("--verbose", action="store_true", help="print what came of every case")
    arguments = parser.parse_args()
    wanted = {arguments.kind: arguments.cases} if arguments.kind else shares(arguments.cases)
    _load(wanted)
    findings = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        shared = Path(folder, "shared")
        _in_child(_make_shared, shared)
        os.environ["FUZZ_BUNDLE"] = str(shared / "tiny")
        os.environ["FUZZ_RESULTS"] = str(shared / "results.json")
        for name, cases in wanted.items():
            findings += run_kind(name, arguments, cases)
    print(f"{findings} findings")
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
