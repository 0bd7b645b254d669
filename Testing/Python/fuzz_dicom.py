"""Fuzzed DICOM: classic objects with a segmentation and a report, multi-frame objects, structure sets."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fuzz_images import load_studies
from fuzz_mutations import mutate_folder, mutated_bytes, mutated_text


def make_dicom(folder: Path) -> None:
    from dataclasses import replace

    import made_dicom
    import numpy as np
    from made_studies import filled, made_result

    from LiverLesionAI.pipeline import read_study
    from LiverLesionAI.writers.dicom import write_dicom

    made_dicom.write_study(folder)
    made_dicom.save(made_dicom.slices(made_dicom.image(seed=8), 8, **made_dicom.T2), folder / "again")
    study = read_study(folder)
    image = study.images[study.reference].image
    voxels = np.zeros(image.GetSize()[::-1], np.uint16)
    voxels[1:3, 3:7, 3:8], voxels[3:5, 7:11, 9:14] = 1, 2
    outlined = replace(study, lesions=filled(image, voxels))
    write_dicom(outlined, made_result(outlined), folder)


def make_multi_frame(folder: Path) -> None:
    from dicom_phantoms import phantom

    from LiverLesionAI.phantom.dicom import write_dicom_study

    write_dicom_study(phantom(), folder, vendor="siemens", layout="enhanced", distractors=False)


def make_structure_set(folder: Path) -> None:
    import made_dicom
    import numpy as np
    from made_outlines import structure_set

    image = made_dicom.write_study(folder)
    (series_uid,) = {ds.SeriesInstanceUID for ds in made_dicom.slices(image, 1, **made_dicom.T2)}
    corners = np.array([(3.5, 2.5), (9.5, 2.5), (9.5, 8.5), (3.5, 8.5)])
    contours = [
        np.array([image.TransformContinuousIndexToPhysicalPoint((x, y, z)) for x, y in corners.tolist()])
        for z in (1.0, 2.0, 3.0)
    ]
    drawn = {"HCC": contours, "Liver": contours[:1], "cyst": [contours[2] + (6.0, 3.0, 0.0)]}
    structure_set(drawn, series_uid=series_uid).save_as(folder / "rt.dcm", enforce_file_format=True)


def mutate_dicom(folder: Path, rng: random.Random) -> None:
    if rng.random() < 0.4:
        mutate_folder(folder, rng)
        return
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    some = rng.sample(files, rng.choice((1, 3, len(files))))
    change = _element_change(rng)
    for file in some:
        _change_elements(file, change)


def mutate_nested(folder: Path, rng: random.Random) -> None:
    """Change elements of the objects, those in sequences too."""
    if rng.random() < 0.2:
        mutate_folder(folder, rng)
        return
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for _ in range(rng.choice((1, 2, 4))):
        change = _content_change(rng) if rng.random() < 0.4 else _element_change(rng)
        _change_elements(rng.choice(files), _in_depth(change, rng))


def _in_depth(change: Callable[..., None], rng: random.Random) -> Callable[[Any], None]:
    """The change made to an element at any depth, once or wherever it stands."""
    pick, everywhere = rng.random(), rng.random() < 0.5

    def change_nested(dataset: Any) -> None:
        places = list(_places(dataset))
        owner, tag = places[int(pick * len(places))]
        owners = [other for other, its in places if its == tag] if everywhere else [owner]
        for each in owners:
            change(each, tag)

    return change_nested


def mutate_structure_set(folder: Path, rng: random.Random) -> None:
    """Most often change the structure set, now and then the images."""
    if rng.random() < 0.2:
        mutate_dicom(folder, rng)
        return
    alone = folder / "alone"
    alone.mkdir()
    (folder / "rt.dcm").rename(alone / "rt.dcm")
    mutate_nested(alone, rng)


def _places(dataset: Any) -> Iterator[tuple[Any, Any]]:
    """Every element of a data set and of the items in it, with the data set that holds it."""
    for tag in [tag for tag in dataset.keys() if tag.group > 2]:  # noqa: SIM118
        yield dataset, tag
        if dataset.get_item(tag).VR == "SQ":
            for item in dataset[tag].value:
                yield from _places(item)


def _element_change(rng: random.Random) -> Callable[..., None]:
    """A change of an element, the same for every object that it is made to; which, unless that is said."""
    position, what, extra = rng.random(), rng.randrange(5), rng.randbytes(8)
    kind = rng.choice(("SQ", "OB", "UN", "DS", "IS", "US", "FD", "UI", "LO", "DA", "TM", "CS", "AT"))
    values = (b"", b"\\", b"nan", b"inf", b"-1", b"1e999", b"9" * 40, b"1\\2\\3", bytes(8), extra, b"\xe9")
    value = rng.choice(values)

    def change(dataset: Any, chosen: Any = None) -> None:
        from pydicom.dataelem import RawDataElement

        tags = [tag for tag in dataset.keys() if tag.group > 2]  # noqa: SIM118
        tag = chosen or tags[int(position * len(tags))]
        if what == 0:
            del dataset[tag]
        elif what == 1:
            padded = value + b" " * (len(value) % 2)
            own = dataset.get_item(tag).VR
            dataset._dict[tag] = RawDataElement(tag, own, len(padded), padded, 0, False, True)
        elif what == 2:
            raw = dataset.get_item(tag)
            content = raw.value if isinstance(raw.value, bytes) else b""
            dataset._dict[tag] = RawDataElement(tag, kind, len(content), content, 0, False, True)
        else:
            other = tags[int(position * 7919) % len(tags)]
            raw = dataset.get_item(other)
            dataset._dict[tag] = raw._replace(tag=tag) if isinstance(raw, RawDataElement) else raw

    return change


def _content_change(rng: random.Random) -> Callable[..., None]:
    """A change of some characters or bytes of an element."""
    seed = rng.random()

    def change(dataset: Any, tag: Any) -> None:
        from pydicom.dataelem import RawDataElement

        raw = dataset.get_item(tag)
        if not isinstance(raw.value, bytes):
            return
        mutated = mutated_text if raw.VR in ("DS", "IS", "CS", "DA", "TM", "DT", "UI") else mutated_bytes
        content = mutated(raw.value, random.Random(seed))
        content += b" " * (len(content) % 2)
        dataset._dict[tag] = RawDataElement(tag, raw.VR, len(content), content, 0, False, True)

    return change


def _change_elements(file: Path, change: Callable[[Any], None]) -> None:
    import pydicom

    try:
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file, enforce_file_format=False)
    except Exception:  # pydicom does not read and write every damage; the file stays as it is then
        return


def walk_dicom(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.pipeline import read_study
    from LiverLesionAI.readers.dicom.identify import identify

    for item in identify(folder):
        json.dumps(item.row(), allow_nan=False)
    read_study(folder)


def load_dicom() -> None:
    import highdicom  # noqa: F401
    import pydicom.pixels  # noqa: F401

    load_studies()
