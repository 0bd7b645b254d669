"""Standard output that cannot show every letter: letters are replaced, JSON loses none, nothing fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import made_dicom
import pytest
from made_studies import made_study
from tiny_bundles import tiny_bundle

from LiverLesionAI.writers.study_folder import write_study_folder

DESCRIPTION = "t2_tse Schädel→肝"
ENCODINGS = ("ascii", "latin-1", "cp1252", "cp437", "utf-8")


def run(encoding: str, *arguments: str | Path) -> str:
    """Run the command line in an environment of that encoding; returns what it printed."""
    command = [sys.executable, "-m", "LiverLesionAI", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(encoding)


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    said = {**made_dicom.T2, "SeriesDescription": DESCRIPTION, "SpecificCharacterSet": "ISO_IR 192"}
    made_dicom.save(made_dicom.slices(made_dicom.image(), **said), folder)
    return folder


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_series_are_shown_on_any_standard_output(dicom: Path, encoding: str) -> None:
    shown = run(encoding, "identify", dicom)
    assert "T2WI" in shown and "taken for the study" in shown
    assert ("肝" in shown) is (encoding == "utf-8") and ("ä" in shown) is (encoding != "ascii")
    (row,) = json.loads(run(encoding, "identify", dicom, "--json"))
    assert row["description"] == DESCRIPTION


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "show", "wang2021-phantom"),
        ("models", "list", "--json"),
        ("--help",),
        ("classify", "--help"),
    ],
)
def test_texts_are_shown_on_any_standard_output(encoding: str, arguments: tuple[str, ...]) -> None:
    assert run(encoding, *arguments).strip()


@pytest.mark.slow
def test_a_study_whose_name_cannot_be_shown_is_classified(tmp_path: Path) -> None:
    folder = tmp_path / "Fälle→肝"
    folder.mkdir()
    for _file in write_study_folder(made_study(), folder):
        pass
    model = tiny_bundle(tmp_path / "tiny")
    arguments = ("classify", folder, "--model", model, "--no-register", "--no-saliency", "--out")
    assert "lesion 1" in run("ascii", *arguments, tmp_path / "out")
    results = json.loads(run("ascii", *arguments, tmp_path / "again", "--json"))
    assert len(results["lesions"]) == 2
