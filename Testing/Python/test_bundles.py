"""Bundles: layout, metadata, hashes, and what `add` refuses."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_bundles import tiny_bundle

from LiverLesionAI.bundles import install as bundle_install
from LiverLesionAI.bundles.install import add_bundle
from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.bundles.store import (
    ENVIRONMENT_VARIABLE,
    METADATA,
    find_bundle,
    list_bundles,
    load_bundle,
    sha256_of,
    user_bundle_folder,
    verify_bundle,
)
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.errors import BundleError
from LiverLesionAI.limits import MAX_BUNDLE_TEXT_BYTES
from LiverLesionAI.options import DEFAULT_MODEL

FOLD = "models/fold_0.safetensors"
CARD = "docs/README.md"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def bundle(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "tiny")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def edit_metadata(bundle: Path, change: Callable[[dict], None]) -> None:
    content = json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    change(content)
    (bundle / METADATA).write_text(json.dumps(content))


def list_file(bundle: Path, name: str) -> None:
    """Put a file's true hash into the metadata, as a careful attacker would."""
    edit_metadata(bundle, lambda m: m["liver_lesion"]["files"].update({name: sha256_of(bundle / name)}))


def zipped(bundle: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(bundle.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(bundle).as_posix())
    return target


def test_bundle_says_what_it_is(bundle: Path) -> None:
    opened = verify_bundle(bundle)
    assert opened.name == "tiny"
    assert opened.sha256 == sha256_of(bundle / METADATA)
    assert opened.spec.sequences == ("T2WI", "DWI", "LAP")
    assert opened.spec.tasks["malignancy"].fused == ("T2WI", "DWI")
    assert opened.taxonomies["type"].name == "W7"
    assert opened.summary.members == opened.member_count == 2
    assert "not for clinical use" in (bundle / CARD).read_text(encoding="utf-8")
    assert {p.name for p in bundle.iterdir()} == {"LICENSE", "configs", "docs", "models"}


def test_metadata_has_what_monais_schema_asks_for(bundle: Path) -> None:
    content = json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    strings = {
        "schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description",
        "authors", "copyright", "intended_use",
    }  # fmt: skip
    assert all(isinstance(content[key], str) for key in strings)
    assert all(isinstance(content[key], dict) for key in ("changelog", "required_packages_version"))
    tensors = {**content["network_data_format"]["inputs"], **content["network_data_format"]["outputs"]}
    assert list(tensors) == ["T2WI", "DWI", "LAP", "malignancy", "type"]
    for tensor in tensors.values():
        assert isinstance(tensor["type"], str) and isinstance(tensor["format"], str)
        assert isinstance(tensor["num_channels"], int) and isinstance(tensor["dtype"], str)
        assert all(isinstance(side, int) for side in tensor["spatial_shape"])
        assert tensor["value_range"] == [0, 1]


def test_found_by_name_and_listed(bundle: Path, shelf: Path) -> None:
    added = add_bundle(bundle)
    assert added.path == shelf / "tiny" == find_bundle("tiny")
    assert load_bundle("tiny").sha256 == load_bundle(bundle).sha256
    (shelf / "rubbish").mkdir()
    assert "tiny" in [b.name for b in list_bundles()]


def test_hidden_folders_are_not_listed(bundle: Path, shelf: Path) -> None:
    """Such as one that a killed run left half made."""
    shutil.copytree(bundle, shelf / ".partial-tiny")
    edit_metadata(shelf / ".partial-tiny", lambda content: content.update(name="half-made"))
    assert {b.path.parent for b in list_bundles()}.isdisjoint({shelf})


@pytest.mark.parametrize("name", ["nothing-of-the-kind", "../tiny", ""])
def test_unknown_names_say_what_is_at_hand(
    name: str, bundle: Path, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_bundle(bundle)
    (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere" / "empty")
    with pytest.raises(BundleError, match=r"tiny|metadata"):
        load_bundle(name)


def test_what_is_no_bundle_is_refused_in_one_sentence(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "file.txt").write_text("hello")
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / METADATA).write_text("{")
    unlike = shutil.copytree(bundle, tmp_path / "unlike")
    edit_metadata(unlike, lambda m: m.pop("liver_lesion"))
    for path in (tmp_path, tmp_path / "file.txt", broken, unlike):
        with pytest.raises(BundleError) as refusal:
            load_bundle(path)
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(sequences=["T2WI", "FLAIR", "LAP"]),
        lambda s: s.update(required_sequences=["HBP"]),
        lambda s: s.update(members=[]),
        lambda s: s.update(members=["../../weights.safetensors"]),
        lambda s: s["tasks"]["type"].update(taxonomy="W8"),
        lambda s: s["patches"].update(colour="red"),
        lambda s: s["network"].update(width=0),
        lambda s: s.update(intended_use="clinical"),
        lambda s: s.update(system="nobody2031"),
        lambda s: s.update(primary_task="grade"),
        lambda s: s.update(primary_task={"a": None}),
        lambda s: s.update(primary_task=["type"]),
    ],
)
def test_metadata_is_checked(bundle: Path, change: Callable[[dict], None]) -> None:
    edit_metadata(bundle, lambda m: change(m["liver_lesion"]))
    with pytest.raises(BundleError, match=r"metadata\.json"):
        load_bundle(bundle)


def test_bundles_of_the_first_kind_are_wangs_and_call_their_members_folds(bundle: Path) -> None:
    def as_of_the_first_kind(spec: dict) -> None:
        spec["folds"] = spec.pop("members")
        del spec["system"], spec["primary_task"]

    expected = load_bundle(bundle).spec
    edit_metadata(bundle, lambda m: as_of_the_first_kind(m["liver_lesion"]))
    opened = verify_bundle(bundle)
    assert opened.spec == expected and opened.system.name == "wang2021"
    assert opened.spec.members == ("models/fold_0.safetensors", "models/fold_1.safetensors")
    assert opened.spec.primary_task == "type"


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def unlist(bundle: Path) -> None:
    edit_metadata(bundle, lambda m: m["liver_lesion"]["files"].pop(FOLD))


def swap_network(bundle: Path) -> None:
    edit_metadata(bundle, lambda m: m["liver_lesion"]["network"].update(width=2))


def slip_in_code(bundle: Path) -> None:
    (bundle / "configs/inference.json").write_text("{\"run\": [\"$__import__('os').system('id')\"]}")
    list_file(bundle, "configs/inference.json")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda b: damage(b / FOLD), "SHA-256"),
        (lambda b: damage(b / CARD), "SHA-256"),
        (lambda b: (b / FOLD).unlink(), "missing"),
        (lambda b: (b / "LICENSE").unlink(), "missing"),
        (lambda b: (b / "notes.txt").write_text("hello"), "not listed"),
        (unlist, "does not list"),
        (swap_network, "does not fit"),
        (slip_in_code, "can run any code"),
    ],
)
def test_verify_finds(bundle: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(bundle)
    with pytest.raises(BundleError, match=said):
        verify_bundle(bundle)


def test_the_name_of_a_shipped_model_is_taken(bundle: Path, shelf: Path) -> None:
    edit_metadata(bundle, lambda content: content.update(name=DEFAULT_MODEL))
    with pytest.raises(BundleError, match=rf"named {DEFAULT_MODEL} as a model that comes with the program"):
        add_bundle(bundle)
    assert list(shelf.iterdir()) == []
    shipped = load_bundle(DEFAULT_MODEL)
    assert add_bundle(shipped.path) == shipped and list(shelf.iterdir()) == []


@pytest.mark.parametrize("prefix", ["", "tiny-1.0/"])
def test_add_takes_zips_once(bundle: Path, shelf: Path, tmp_path: Path, prefix: str) -> None:
    archive = zipped(bundle, tmp_path / "tiny.zip", prefix)
    first = add_bundle(archive, sha256=load_bundle(bundle).sha256)
    again = add_bundle(bundle)
    assert first == again == verify_bundle(shelf / "tiny")
    assert [p.name for p in shelf.iterdir()] == ["tiny"]


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("echo executed > executed.txt",)


def add_pickle(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(pickle.dumps(Evil()))
    list_file(bundle, name)


def add_torch_file(bundle: Path, name: str) -> None:
    torch.save({"weight": torch.zeros(2)}, bundle / name)
    list_file(bundle, name)


def add_link(bundle: Path) -> None:
    (bundle / "docs/passwd.txt").symlink_to("/etc/passwd")


def add_linked_folder(bundle: Path) -> None:
    shutil.move(bundle / "docs", bundle.parent / "docs")
    (bundle / "docs").symlink_to(bundle.parent / "docs")


MALICIOUS: list[tuple[Callable[[Path], None], str]] = [
    (lambda b: add_pickle(b, "models/model.pt"), "can run code"),
    (lambda b: add_pickle(b, "models/fold_0.safetensors"), "not what its name says"),
    (lambda b: add_pickle(b, "docs/notes.txt"), "not what its name says"),
    (lambda b: add_torch_file(b, "models/model.ckpt"), "can run code"),
    (lambda b: add_torch_file(b, "models/final.safetensors"), "not what its name says"),
    (lambda b: (b / "hook.py").write_text("print()"), "kind of file"),
    (
        lambda b: (b / "docs/long.txt").write_bytes(b"x" * (MAX_BUNDLE_TEXT_BYTES + 1)),
        "larger",
    ),
    (lambda b: [(b / f"docs/{i}.txt").write_text("x") for i in range(101)], "more than"),
    (add_link, "link"),
    (add_linked_folder, "link"),
    (slip_in_code, "can run any code"),
    (lambda b: damage(b / FOLD), "SHA-256"),
]


@pytest.mark.parametrize(("spoil", "said"), MALICIOUS)
def test_add_refuses(bundle: Path, shelf: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(bundle)
    with pytest.raises(BundleError, match=said) as refusal:
        add_bundle(bundle)
    assert str(bundle) in str(refusal.value) and ".incoming" not in str(refusal.value)
    assert list(shelf.iterdir()) == []


def hostile_zip(bundle: Path, target: Path, name: str, content: bytes, mode: int = 0) -> Path:
    zipped(bundle, target)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, content)
    return target


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../escaped.txt", 0),
        ("docs/../../escaped.txt", 0),
        ("/escaped.txt", 0),
        ("C:\\escaped.txt", 0),
        ("..\\escaped.txt", 0),
        ("docs/link.txt", stat.S_IFLNK | 0o777),
    ],
)
def test_zip_members_stay_inside(bundle: Path, shelf: Path, tmp_path: Path, name: str, mode: int) -> None:
    archive = hostile_zip(bundle, tmp_path / "hostile.zip", name, b"/etc/passwd", mode)
    with pytest.raises(BundleError, match=r"outside|link"):
        add_bundle(archive)
    assert list(shelf.iterdir()) == []
    assert not list(tmp_path.rglob("escaped.txt"))


def test_zip_that_lies_about_its_size_is_stopped(bundle: Path, shelf: Path, tmp_path: Path) -> None:
    archive = hostile_zip(bundle, tmp_path / "bomb.zip", "docs/bomb.txt", b"0" * (64 << 20))
    with pytest.raises(BundleError, match="larger"):
        add_bundle(archive)
    content = bytearray(archive.read_bytes())
    entry = content.rindex(b"docs/bomb.txt") - 46
    content[entry + 24 : entry + 28] = (1000).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(BundleError, match=r"larger|unpacked"):
        add_bundle(archive)
    assert list(shelf.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("docs/README.md", b"again"), ("docs", b"a file"), ("docs/README.md/x.txt", b"below")],
)
def test_zip_members_of_one_name_are_refused(
    bundle: Path, shelf: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    archive = zipped(bundle, tmp_path / "twice.zip")
    with zipfile.ZipFile(archive, "a") as changed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changed.writestr(name, content)
    with pytest.raises(BundleError, match=r"twice\.zip holds .* twice|kind of file"):
        add_bundle(archive)
    assert list(shelf.iterdir()) == []


@pytest.mark.parametrize("text", ["[1", "\udcff", "[" * 100_000])
def test_a_run_that_is_no_json_is_refused(bundle: Path, text: str) -> None:
    (bundle / "configs/inference.json").write_text(text, errors="surrogateescape")
    list_file(bundle, "configs/inference.json")
    with pytest.raises(BundleError, match="not the one that this software writes"):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("spacing_mm", 0), ("spacing_mm", -1), ("size", 10**9), ("size", 0), ("percentiles", [90, 10])],
)
def test_patches_that_cannot_be_are_refused(bundle: Path, setting: str, value: object) -> None:
    edit_metadata(bundle, lambda m: m["liver_lesion"]["patches"].update({setting: value}))
    with pytest.raises(BundleError, match=setting):
        load_bundle(bundle)


def test_without_a_home_the_shipped_bundles_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert [bundle.name for bundle in list_bundles()]
    with pytest.raises(BundleError, match=f"set {ENVIRONMENT_VARIABLE}"):
        user_bundle_folder()


def test_total_size_is_limited(bundle: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_install, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(BundleError, match="larger than any bundle"):
        add_bundle(bundle)


def test_add_refuses_wrong_hash_and_taken_name(bundle: Path, shelf: Path) -> None:
    with pytest.raises(BundleError, match="SHA-256"):
        add_bundle(bundle, sha256="0" * 64)
    add_bundle(bundle)
    (bundle / "docs/more.txt").write_text("another")
    list_file(bundle, "docs/more.txt")
    with pytest.raises(BundleError, match="remove it before"):
        add_bundle(bundle)


def test_add_refuses_other_files(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "truncated.zip").write_bytes(b"PK\x03\x04 and no more")
    for source in (tmp_path / "absent", tmp_path / "truncated.zip"):
        with pytest.raises(BundleError, match="neither a folder nor a zip"):
            add_bundle(source)


def test_opening_a_bundle_imports_no_torch(bundle: Path) -> None:
    code = (
        "import sys; import LiverLesionAI.inference; from LiverLesionAI.bundles import *;"
        "load_bundle(sys.argv[1]); list_bundles(); print('torch' in sys.modules or 'monai' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_recorded_figures_stand_in_metadata_and_card(bundle: Path) -> None:
    first, second = (
        Metric(
            name="type_accuracy", value=v, lower=0.1, upper=0.9, n=20, method="Wilson", cohort="test cohort"
        )
        for v in (0.25, 0.75)
    )
    for metric in (first, second):
        record_metrics(load_bundle(bundle), [metric])
    assert verify_bundle(bundle).spec.metrics == (second,)
    card = (bundle / CARD).read_text(encoding="utf-8")
    assert "test cohort" in card and "0.750" in card and "0.250" not in card
