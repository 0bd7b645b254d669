"""Systems that other packages bring, whatever may be wrong with them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_bundles import tiny_bundle

from LiverLesionAI.analysis import classify_with, explain_with
from LiverLesionAI.bundles import list_bundles, load_bundle
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.inference import Classifier
from LiverLesionAI.inference.predictions import UnitInputs
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.systems import system_named, system_names


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages whose entry points lead nowhere, and to a system of another name."""
    described = tmp_path / "broken2027-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: broken2027\nVersion: 1.0\n")
    points = ("broken2027 = no_such_module:SYSTEM", "other2027 = LiverLesionAI.systems.wang2021:SYSTEM")
    (described / "entry_points.txt").write_text("\n".join(("[liverlesionai.systems]", *points)))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()


def test_a_broken_package_is_told_in_a_sentence(broken: None) -> None:
    assert {"broken2027", "other2027"} <= set(system_names())
    with pytest.raises(ConfigError, match=r"'broken2027' cannot be loaded .*no_such_module"):
        system_named("broken2027")
    with pytest.raises(ConfigError, match="no system of the name 'other2027'"):
        system_named("other2027")


def test_its_bundles_are_passed_over(broken: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    folder = tiny_bundle(tmp_path / "models" / "tiny")
    metadata = folder / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace('"wang2021"', '"broken2027"'))
    tiny_bundle(tmp_path / "models" / "sound")
    monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(tmp_path / "models"))
    names = [bundle.path.name for bundle in list_bundles()]
    assert "sound" in names and "tiny" not in names


def test_what_is_no_single_set_of_patches_is_not_explained(study_folder: Path, tmp_path: Path) -> None:
    classifier = Classifier(load_bundle(tiny_bundle(tmp_path / "tiny")))
    done = classify_with(classifier, read_study(study_folder))
    (answers,) = done.answers
    (unit,) = answers.units
    twice = UnitInputs(unit.lesion_id, (unit.groups[0], unit.groups[0]))
    done = replace(done, answers=(replace(answers, units=(twice,)),))
    with pytest.raises(ConfigError, match="cannot be explained"):
        explain_with(classifier, done)


@pytest.mark.parametrize("name", [3, True, None])
def test_names_of_settings_that_are_no_texts_are_told(name: object) -> None:
    from LiverLesionAI.systems import system_named
    from LiverLesionAI.systems.spec import checked_settings

    with pytest.raises(ValueError, match=f"patch parameter {name}"):
        checked_settings(system_named("wang2021").patch_settings, {name: 1})
