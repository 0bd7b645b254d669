"""A few hundred mutations of every kind of input in every run; tens of thousands where there is time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_kinds import KINDS

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks and limits as on Linux")

FUZZING = Path(__file__).with_name("fuzzing.py")


def _findings(cases: int, seed: int, *more: str) -> str:
    """What the harness prints, in a process of its own, which starts no thread before it forks."""
    command = [sys.executable, str(FUZZING), "--cases", str(cases), "--seed", str(seed), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mutated_input_gives_answers_or_sentences() -> None:
    told = _findings(200, 1)
    for kind in KINDS:
        assert f"{kind} " in told
    assert "accepted" in told and "refused" in told


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_ten_thousand_mutations() -> None:
    _findings(10_000, 2)


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("raise KeyError('x')", "fault"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crash"),
        ("import time; time.sleep(60)", "hang"),
        ("(given.parent / 'out').mkdir(); raise StudyError('refused')", "half-written"),
        ("import os; os.write(2, b'ITK: something')", "noise"),
    ],
)
def test_every_kind_of_finding_is_found(fault: str, finding: str) -> None:
    """A walk that fails on purpose."""
    code = f"""
import sys; sys.path[:0] = [{str(FUZZING.parent)!r}, {str(FUZZING.parents[2])!r}]
from dataclasses import replace
import fuzzing
from LiverLesionAI.errors import StudyError
def walk(given, rng):
    {fault}
kinds = fuzzing.KINDS
kinds["transform"] = replace(kinds["transform"], walk=walk, seconds=1)
print([outcome.outcome for outcome in fuzzing.run_cases("transform", range(1), 1, 1)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([finding])
