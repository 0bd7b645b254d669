"""Whether two versions of the program give the same answers, bit for bit, on the same machine.

    python benchmarks/same_answers.py inputs runs/same/inputs
    python benchmarks/same_answers.py record runs/same/inputs runs/same/before --tree ../before
    python benchmarks/same_answers.py record runs/same/inputs runs/same/after
    python benchmarks/same_answers.py compare runs/same/before runs/same/after

Thirty phantom studies (ten study folders, ten DICOM folders, ten scenes) are classified through the command
line; the study folders are explained as well. Compared are probabilities, standard deviations, measurements,
weights, interactions and registration of ``results.json``, every voxel of maps, labels and registered
volumes, transforms, and DICOM objects but for identifiers made for the run and its times.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STUDIES = 10
FIRST_SEEDS = {"nifti": 880_000, "dicom": 880_100, "scene": 880_200}
MISALIGNED_MM = "5,2"
OWN_UID = re.compile(r"2\.25\.\d+")
TIMES = ("Date", "Time", "DateTime")


def liverlesionai(tree: Path, *arguments: object) -> None:
    """Run the command line of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "LiverLesionAI", *map(str, arguments)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, cwd=tree)


def make_inputs(out: Path) -> None:
    """Write the studies."""
    for kind, seed in FIRST_SEEDS.items():
        made = out / kind if kind != "scene" else out / "for_scenes"
        file_format = "dicom" if kind == "dicom" else "nifti"
        liverlesionai(
            ROOT, "phantom", "--out", made, "--studies", STUDIES, "--seed", seed,
            "--misalign", MISALIGNED_MM, "--format", file_format,
        )  # fmt: skip
    (out / "scene").mkdir()
    for study in _studies(out / "for_scenes"):
        with_scene = out / "with_scene"
        liverlesionai(
            ROOT, "classify", study, "--out", with_scene, "--no-saliency", "--no-register", "--model", MODEL
        )
        shutil.copy(with_scene / "scene.mrb", out / "scene" / f"{study.name}.mrb")
        shutil.rmtree(with_scene)


MODEL = ROOT / "Resources" / "Bundles" / "wang2021-phantom"


def _studies(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "truth")


def cases(inputs: Path) -> Iterator[tuple[str, list[object]]]:
    """Name of each case and what ``classify`` is called with."""
    for study in _studies(inputs / "nifti"):
        yield f"nifti-{study.name}", [study]
    for number, study in enumerate(_studies(inputs / "dicom")):
        more = ["--parametric-maps"] if number == 0 else ["--no-saliency"]
        yield f"dicom-{study.name}", [study, "--mask", study / "lesions.nii.gz", *more]
    for scene in sorted((inputs / "scene").glob("*.mrb")):
        yield f"scene-{scene.stem}", [scene, "--no-saliency"]


def record(inputs: Path, out: Path, tree: Path) -> None:
    """Classify every study with a checkout; what is there already is not done again."""
    for name, arguments in cases(inputs):
        if not (out / name / "results.json").exists():
            liverlesionai(tree, "classify", *arguments, "--out", out / name, "--model", MODEL)
            print(name, flush=True)


def answers(folder: Path) -> dict[str, Any]:
    """What the outputs of a study say, name to content."""
    found: dict[str, Any] = dict(_said(json.loads((folder / "results.json").read_text(encoding="utf-8"))))
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if name.endswith(".nii.gz"):
            found[name] = gzip.decompress(file.read_bytes())
        elif name.endswith(".tfm"):
            found[name] = file.read_text(encoding="utf-8")
        elif name.endswith(".dcm"):
            found[name] = _dicom_content(file)
    return found


def _said(results: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Numbers and classes of ``results.json``, of either schema."""
    for lesion in results["lesions"]:
        which = f"lesion {lesion['id']}"
        for task, answer in lesion["tasks"].items():
            yield f"{which} {task} probabilities", answer["probabilities"]
            yield f"{which} {task} std", answer.get("std", answer.get("fold_std"))
            yield f"{which} {task} predicted", answer["predicted"]
        for key in (
            "name", "diameter_mm", "volume_ml", "centroid_lps_mm", "crop_mm", "explained",
            "sequence_weights", "sequence_interactions", "warnings",
        ):  # fmt: skip
            yield f"{which} {key}", lesion[key]
    yield "registration", results["registration"]
    yield "warnings", results["warnings"]
    yield "inputs", results["provenance"]["inputs"]


def _dicom_content(file: Path) -> str:
    """A DICOM object as text, its own identifiers numbered as they come, times left out."""
    import pydicom

    dataset = pydicom.dcmread(file)
    text = json.dumps(_without_times(dataset.to_json_dict()), sort_keys=True)
    uids = dict.fromkeys(OWN_UID.findall(text))
    numbers = {uid: f"uid-{number}" for number, uid in enumerate(uids)}
    return OWN_UID.sub(lambda match: numbers[match.group()], text)


def _without_times(item: Any) -> Any:
    from pydicom.datadict import keyword_for_tag

    if isinstance(item, list):
        return [_without_times(each) for each in item]
    if not isinstance(item, dict):
        return item
    return {
        key: _without_times(value)
        for key, value in item.items()
        if not (re.fullmatch("[0-9A-F]{8}", key) and keyword_for_tag(key).endswith(TIMES))
    }


def compare(before: Path, after: Path) -> int:
    """Print what differs; returns the number of things that do."""
    names = sorted({path.name for folder in (before, after) for path in folder.glob("[!.]*")})
    counts = {"studies": len(names), "lesions": 0, "explained": 0, "maps": 0, "transforms": 0, "dicom": 0}
    differing = 0
    for name in names:
        first, second = answers(before / name), answers(after / name)
        for key in sorted({*first, *second}):
            if first.get(key) != second.get(key):
                differing += 1
                print(f"{name}: {key} differs")
                if isinstance(first.get(key), list | dict | float):
                    print(f"  {first.get(key)}\n  {second.get(key)}")
        counts["lesions"] += sum(key.endswith("diameter_mm") for key in first)
        counts["explained"] += sum(key.endswith("explained") and bool(first[key]) for key in first)
        counts["maps"] += sum(key.startswith("saliency/") for key in first)
        counts["transforms"] += sum(key.endswith(".tfm") for key in first)
        counts["dicom"] += sum(key.endswith(".dcm") for key in first)
    print(", ".join(f"{count} {what}" for what, count in counts.items()), f"- {differing} differences")
    return differing


def main() -> None:
    """Run one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=("inputs", "record", "compare"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout that classifies")
    options = parser.parse_args()
    folders = [folder.resolve() for folder in options.folders]
    if options.step == "inputs":
        make_inputs(*folders)
    elif options.step == "record":
        record(*folders, options.tree.resolve())
    else:
        sys.exit(min(compare(*folders), 1))


if __name__ == "__main__":
    main()
