"""``evaluate --embed``: the features of the last hidden layer in a plane."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from LiverLesionAI.cli import app
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.embedding import embed, read_features
from LiverLesionAI.evaluation.predictions import read_predictions


def _made(folder: Path, count: int, features: int = 12) -> Path:
    """Two classes whose features lie apart."""
    random = np.random.default_rng(1)
    answers, table = [], []
    for number in range(count):
        of_second = number % 2
        case = {"study_id": f"S{number}", "lesion": "1"}
        answers.append(case | {"truth": ("cyst", "HCC")[of_second], "pred": "HCC"})
        values = random.normal(8 * of_second, 1, features)
        table.append(case | {f"feature_{place}": f"{value:.5f}" for place, value in enumerate(values)})
    _write(folder / "features.csv", table)
    return _write(folder / "answers.csv", answers)


def _write(file: Path, rows: Sequence[dict[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_classes_that_lie_apart_lie_apart_in_the_picture(tmp_path: Path) -> None:
    file = _made(tmp_path, 110)
    done = CliRunner().invoke(app, ["evaluate", str(file), "--out", str(tmp_path / "out"), "--embed"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "figures" / "embedding.png").stat().st_size > 5000
    with (tmp_path / "out" / "tables" / "embedding.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 110
    points = {
        name: np.array([(float(r["x"]), float(r["y"])) for r in rows if r["truth"] == name])
        for name in ("cyst", "HCC")
    }
    between = np.linalg.norm(points["cyst"].mean(axis=0) - points["HCC"].mean(axis=0))
    within = np.linalg.norm(points["cyst"] - points["cyst"].mean(axis=0), axis=1).max()
    assert between > within
    again = embed(read_predictions(file)).points
    assert np.allclose(again, [(float(row["x"]), float(row["y"])) for row in rows], atol=1e-6)


def test_too_few_cases_are_refused_in_a_sentence(tmp_path: Path) -> None:
    file = _made(tmp_path, 50)
    with pytest.raises(ConfigError, match="perplexity of 50 needs 51 at least"):
        embed(read_predictions(file))
    embed(read_predictions(_made(tmp_path, 51)))


def test_without_features_the_file_is_named(tmp_path: Path) -> None:
    file = _made(tmp_path, 60)
    (tmp_path / "features.csv").unlink()
    done = CliRunner().invoke(app, ["evaluate", str(file), "--out", str(tmp_path / "out"), "--embed"])
    assert done.exit_code == 3 and "features.csv" in done.stderr and not (tmp_path / "out").exists()


def test_a_feature_that_is_none_is_named(tmp_path: Path) -> None:
    _made(tmp_path, 3)
    file = tmp_path / "features.csv"
    file.write_text(file.read_text().replace("\nS1,1,", "\nS1,1,nan#", 1))
    with pytest.raises(ConfigError, match="line 3: a feature is no finite number"):
        read_features(file)
