"""What is fuzzed: the kinds of input."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_dicom import (
    load_dicom,
    make_dicom,
    make_multi_frame,
    make_structure_set,
    mutate_dicom,
    mutate_nested,
    mutate_structure_set,
    walk_dicom,
)
from fuzz_images import (
    load_scenes,
    load_studies,
    make_loose_scene,
    make_scene,
    make_study,
    make_transform,
    mutate_scene,
    walk_loose_scene,
    walk_scene,
    walk_study,
    walk_transforms,
)
from fuzz_models import (
    load_bundles,
    load_training,
    load_worker,
    make_bundle,
    make_config,
    make_worker,
    mutate_bundle,
    mutate_config,
    mutate_worker,
    walk_bundle,
    walk_config,
    walk_worker,
)
from fuzz_mutations import mutate_folder


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes
    ----------
    make
        Writes a whole example into an empty folder.
    mutate
        Changes a copy of it in place.
    walk
        Reads it from the folder, as a front would; raises what the front would have to say.
    load
        Imports what the walk needs, before it is timed.
    seconds
        How long a case may compute.
    share
        How many of the cases of a mixture are of this kind.
    """

    make: Callable[[Path], None]
    mutate: Callable[[Path, random.Random], None]
    walk: Callable[[Path, random.Random], None]
    load: Callable[[], None]
    seconds: int = 60
    share: int = 10


KINDS: dict[str, Kind] = {
    "study": Kind(make_study, mutate_folder, walk_study, load_studies, share=25),
    "transform": Kind(make_transform, mutate_folder, walk_transforms, load_studies, share=15),
    "dicom": Kind(make_dicom, mutate_dicom, walk_dicom, load_dicom, share=18),
    "scene": Kind(make_scene, mutate_scene, walk_scene, load_scenes, share=12),
    "bundle": Kind(make_bundle, mutate_bundle, walk_bundle, load_bundles, share=10),
    "config": Kind(make_config, mutate_config, walk_config, load_training, share=12),
    "worker": Kind(make_worker, mutate_worker, walk_worker, load_worker, share=8),
    "multi-frame": Kind(make_multi_frame, mutate_nested, walk_dicom, load_dicom, share=5),
    "structure-set": Kind(make_structure_set, mutate_structure_set, walk_dicom, load_dicom, share=5),
    "loose-scene": Kind(make_loose_scene, mutate_folder, walk_loose_scene, load_scenes, share=5),
}
