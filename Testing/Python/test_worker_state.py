"""What the worker keeps between requests."""

from __future__ import annotations

from pathlib import Path

from tiny_bundles import tiny_bundle

from LiverLesionAI.explanation.settings import Settings
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.progress import silent
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.worker.state import WorkerState


def test_what_was_explained_last_is_not_explained_again(study_folder: Path, tmp_path: Path) -> None:
    state = WorkerState()
    classifier = state.classifier(str(tiny_bundle(tmp_path / "tiny")), "cpu", "fp32")
    result = state.classify(read_study(study_folder), classifier, silent, Stopwatch())
    first = state.explain(result, study_folder, silent, Settings())
    for given, settings in ((result, Settings()), (first.result, None), (first.result, Settings())):
        assert state.explain(given, study_folder, silent, settings).explanations is first.explanations
    other = state.explain(first.result, study_folder, silent, Settings(method="grad-cam"))
    assert other.explanations is not first.explanations
    assert other.explanations[0].method == "grad-cam"
