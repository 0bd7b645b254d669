"""Model bundles: folders in MONAI Bundle layout, found, opened, verified and added.

A bundle holds ``configs/metadata.json`` (:mod:`LiverLesionAI.bundles.metadata`), ``configs/inference.json``,
``models/*.safetensors``, ``docs/README.md`` and ``LICENSE``. The metadata lists the SHA-256 of every other
file, so that the SHA-256 of the metadata stands for the whole bundle. Nothing in a bundle is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from LiverLesionAI.bundles.calibration import read_calibration
from LiverLesionAI.bundles.metadata import BundleMetadata, LiverLesion
from LiverLesionAI.errors import BundleError
from LiverLesionAI.limits import MAX_BUNDLE_TEXT_BYTES
from LiverLesionAI.manifest import sha256_of
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.results import ModelSummary
from LiverLesionAI.systems import System
from LiverLesionAI.taxonomy import TAXONOMIES, Taxonomy
from LiverLesionAI.uncertainty.calibrated import Calibration

METADATA = PurePosixPath("configs/metadata.json")
INFERENCE = PurePosixPath("configs/inference.json")
CARD = PurePosixPath("docs/README.md")
LICENCE = PurePosixPath("LICENSE")
REQUIRED_FILES = (METADATA, INFERENCE, CARD, LICENCE)

ENVIRONMENT_VARIABLE = "LIVERLESIONAI_BUNDLES"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose metadata has been checked.

    Attributes
    ----------
    path
        The folder.
    metadata
        Content of ``configs/metadata.json``.
    sha256
        SHA-256 of that file.
    """

    path: Path
    metadata: BundleMetadata
    sha256: str

    @property
    def name(self) -> str:
        """Name, as in ``--model NAME``."""
        return self.metadata.name

    @property
    def spec(self) -> LiverLesion:
        """This project's part of the metadata: system, sequences, patches, tasks, network, members."""
        return self.metadata.liver_lesion

    @property
    def hashes(self) -> tuple[str, ...]:
        """Its hash: what changes when it does."""
        return (self.sha256,)

    @property
    def sequences(self) -> tuple[str, ...]:
        """The sequences that it reads."""
        return self.spec.sequences

    @property
    def description(self) -> str:
        """What it is, and what it is for, in two sentences."""
        return f"{self.metadata.description} {self.metadata.intended_use}"

    @property
    def reads_clinical(self) -> bool:
        """Whether it reads clinical data beside images."""
        return self.system.reads_clinical(self.spec)

    @property
    def intended_use(self) -> str:
        """``"phantom"`` (trained on phantoms: not for clinical use) or ``"research"``."""
        return self.spec.intended_use

    @property
    def system(self) -> System:
        """What its paper does between a study and its answer."""
        return self.spec.answers

    @property
    def member_count(self) -> int:
        """Number of networks whose answers are joined."""
        return len(self.spec.members)

    @cached_property
    def taxonomies(self) -> dict[str, Taxonomy]:
        """Task to taxonomy."""
        return {name: TAXONOMIES[task.taxonomy] for name, task in self.spec.tasks.items()}

    @cached_property
    def calibration(self) -> Calibration | None:
        """What its probabilities are worth; None where it has not been calibrated.

        Raises
        ------
        BundleError
            If its files are damaged.
        """
        return read_calibration(self.path, self.spec, lambda name: check_file(self, name))

    @property
    def member_paths(self) -> tuple[Path, ...]:
        """Files of weights, one per member."""
        return tuple(self.path / member for member in self.spec.members)

    @property
    def summary(self) -> ModelSummary:
        """What a result says about the model."""
        return ModelSummary(
            name=self.name,
            version=self.metadata.version,
            sha256=self.sha256,
            intended_use=self.spec.intended_use,
            members=self.member_count,
            system=self.spec.system,
            unit=self.system.unit,
        )


def load_bundle(path_or_name: str | Path, also: Iterable[str] = ()) -> Bundle:
    """Open a bundle by its folder or by its name.

    Only the metadata is read; weights are checked against their hashes when they are loaded.

    Parameters
    ----------
    path_or_name
        A folder, or the name of a bundle in one of :func:`bundle_folders`.
    also
        See :func:`find_bundle`.

    Raises
    ------
    BundleError
        If there is no such bundle, or the folder is not one.
    """
    path = Path(path_or_name)
    if not path.exists():
        path = find_bundle(str(path_or_name), also)
    return _open(path)


def find_bundle(name: str, also: Iterable[str] = ()) -> Path:
    """Return the folder of a bundle by name.

    Parameters
    ----------
    name
        The name.
    also
        What else the user may name, told beside the bundles where there is no such one.

    Raises
    ------
    BundleError
        If no folder of bundles holds one of that name.
    """
    for folder in bundle_folders() if PurePosixPath(name).name == name else ():
        if (folder / name / METADATA).is_file():
            return folder / name
    known = ", ".join([*also, *(bundle.name for bundle in list_bundles())]) or "none"
    raise BundleError(
        f"There is no model {name!r}, neither as a folder nor by name (at hand: {known}); "
        "add one with `liverlesionai models add`."
    )


def list_bundles(folders: Iterable[Path] | None = None) -> tuple[Bundle, ...]:
    """List the usable bundles of folders, by default all; others and hidden folders are passed over."""
    found: dict[str, Bundle] = {}
    for folder in bundle_folders() if folders is None else folders:
        for candidate in sorted(folder.iterdir()) if folder.is_dir() else []:
            if candidate.name.startswith("."):
                continue
            try:
                bundle = _open(candidate)
            except BundleError:
                continue
            found.setdefault(bundle.name, bundle)
    return tuple(found.values())


def bundle_folders() -> tuple[Path, ...]:
    """Folders that bundles are looked for in: those shipped with the software, then the user's if any."""
    try:
        return BUNDLES, user_bundle_folder()
    except BundleError:
        return (BUNDLES,)


def user_bundle_folder() -> Path:
    """Folder that bundles are added to: ``$LIVERLESIONAI_BUNDLES``, else the user's data folder.

    Raises
    ------
    BundleError
        If the user has no home folder and none was chosen.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    try:
        return Path(chosen) if chosen else Path.home() / ".local" / "share" / "LiverLesionAI" / "bundles"
    except RuntimeError:
        raise BundleError(
            f"There is no home folder to keep bundles in; set {ENVIRONMENT_VARIABLE} to a folder."
        ) from None


def verify_bundle(path: str | Path) -> Bundle:
    """Check everything about a bundle: metadata, files, hashes, and the tensors of every member.

    Returns
    -------
    Bundle
        The bundle, if all is well.

    Raises
    ------
    BundleError
        Naming the first thing that is wrong.
    """
    bundle = _open(Path(path))
    listed = {*bundle.spec.files, str(METADATA)}
    for required in (*REQUIRED_FILES, *bundle.spec.members):
        if str(required) not in listed:
            raise BundleError(
                f"The metadata of {bundle.path} does not list {required}; get the bundle again."
            )
    for file in bundle_files(bundle.path):
        if str(file) not in listed:
            raise BundleError(f"{bundle.path / file} is not listed in the bundle's metadata; remove it.")
    for name in bundle.spec.files:
        check_file(bundle, name)
    if _json_in(bundle.path / INFERENCE) != inference_config():
        raise BundleError(
            f"{bundle.path / INFERENCE} is not the one that this software writes, and such a file can run "
            "any code; do not use this bundle."
        )
    for weights in bundle.member_paths:
        _check_tensors(bundle, weights)
    _ = bundle.calibration
    return bundle


def _json_in(file: Path) -> object:
    """Content of a file of JSON; None where it is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def check_file(bundle: Bundle, name: str) -> None:
    """Compare a bundle's file with the hash in its metadata.

    Raises
    ------
    BundleError
        If the file is missing or is not the one that the metadata describes.
    """
    expected = bundle.spec.files.get(name)
    file = bundle.path / name
    if expected is None or not file.is_file() or file.is_symlink():
        raise BundleError(f"{file} is missing from the bundle {bundle.name}; get the bundle again.")
    if sha256_of(file) != expected:
        raise BundleError(f"{file} is damaged or was changed (its SHA-256 is wrong); get the bundle again.")


def model_card_of(bundle: Bundle) -> str:
    """Text of a bundle's model card.

    Raises
    ------
    BundleError
        If it has none.
    """
    file = bundle.path / CARD
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error.strerror}); get the bundle again.") from None


def bundle_files(path: Path) -> Iterator[PurePosixPath]:
    """All files below a folder, links included, relative to it and in order."""
    for file in sorted(path.rglob("*")):
        if file.is_symlink() or not file.is_dir():
            yield PurePosixPath(file.relative_to(path).as_posix())


def inference_config() -> dict[str, object]:
    """Content of ``configs/inference.json``: MONAI's runner classifies a study folder with the bundle.

    From the bundle's folder: ``python -m monai.bundle run --config_file configs/inference.json --study DIR``,
    with ``--output FILE`` for a JSON file instead of standard output.
    """
    return {
        "bundle_root": ".",
        "study": "study",
        "output": None,
        "device": "auto",
        "precision": "auto",
        "bundle": {"_target_": "LiverLesionAI.bundles.load_bundle", "path_or_name": "@bundle_root"},
        "network_def": {"_target_": "LiverLesionAI.inference.load_fold", "bundle": "@bundle", "fold": 0},
        "classify": {
            "_target_": "LiverLesionAI.inference.classify_folder",
            "_mode_": "callable",
            "bundle": "@bundle",
            "study": "@study",
            "output": "@output",
            "device": "@device",
            "precision": "@precision",
        },
        "run": ["$@classify()"],
    }


def _open(path: Path) -> Bundle:
    file = path / METADATA
    if not file.is_file():
        raise BundleError(
            f"{path} is not a model bundle (it has no {METADATA}); give a bundle's folder or name."
        )
    try:
        if file.stat().st_size > MAX_BUNDLE_TEXT_BYTES:
            raise BundleError(
                f"{file} is larger than a description of a bundle may be; do not use this bundle."
            )
        content = file.read_bytes()
        metadata = BundleMetadata.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{file} does not describe a bundle: {where or 'it'}: {first['msg']}.") from None
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error.strerror}).") from None
    for name in (*metadata.liver_lesion.files, *metadata.liver_lesion.members):
        if not is_safe(name):
            raise BundleError(
                f"{file} names {name!r}, which lies outside the bundle; do not use this bundle."
            )
    missing = [name for name in metadata.liver_lesion.members if not (path / name).is_file()]
    if missing:
        raise BundleError(f"{path / missing[0]} is missing from the bundle; get the bundle again.")
    return Bundle(path, metadata, hashlib.sha256(content).hexdigest())


def is_safe(name: str) -> bool:
    """Whether a name in a bundle or archive stays inside: relative, no ``..``, no drive, no backslash."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and not set(name) & set("\\:\0")


def _check_tensors(bundle: Bundle, weights: Path) -> None:
    from LiverLesionAI.networks.weights import checked_tensors

    network = bundle.system.network(bundle.spec, device="meta")
    for _name, _tensor in checked_tensors(network, weights):
        pass
