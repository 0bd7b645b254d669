"""Files that are written whole or not at all, and folders that are put in place."""

from __future__ import annotations

import ast
import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from tiny_bundles import tiny_bundle

from LiverLesionAI.bundles import verify_bundle
from LiverLesionAI.errors import OutputError
from LiverLesionAI.files import (
    folder_aside,
    output_folder,
    put_in_place,
    refuse_other_study,
    whole_file,
    write_text_whole,
)
from LiverLesionAI.manifest import MANIFEST, sha256_of
from LiverLesionAI.results import SCHEMA
from LiverLesionAI.results_v1 import SCHEMA as FIRST_SCHEMA
from LiverLesionAI.writers.report import write_html

ROOT = Path(__file__).resolve().parents[2]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A file that stands there already."""
    write_text_whole(tmp_path / "table.csv", "old")
    return tmp_path / "table.csv"


def test_a_file_appears_only_when_complete(earlier: Path) -> None:
    with whole_file(earlier) as partial:
        partial.write_text("new")
        assert earlier.read_text(encoding="utf-8") == "old"
        assert partial.parent == earlier.parent and partial.name.startswith(".")
        assert partial.suffix == ".csv"
    assert earlier.read_text(encoding="utf-8") == "new" and names_in(earlier.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_or_interrupt_the_file_is_as_before(earlier: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), whole_file(earlier) as partial:
        partial.write_text("half")
        raise error
    assert earlier.read_text(encoding="utf-8") == "old" and names_in(earlier.parent) == ["table.csv"]


def test_what_the_disk_refuses_is_told_in_one_sentence(earlier: Path) -> None:
    for target in (earlier.parent / "none" / "file.txt", earlier / "file.txt"):
        with pytest.raises(OutputError, match=r"file\.txt cannot be written: .*\.") as refusal:
            write_text_whole(target, "text")
        assert "\n" not in str(refusal.value)
    with (
        pytest.raises(OutputError, match=r"table\.csv cannot be written: No space left"),
        whole_file(earlier),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match=r"table\.csv cannot be written"), whole_file(earlier):
        pass
    assert earlier.read_text(encoding="utf-8") == "old" and names_in(earlier.parent) == ["table.csv"]


def test_a_text_keeps_its_letters_and_line_ends(tmp_path: Path) -> None:
    write_text_whole(tmp_path / "text", "Häm\r\nangiom\n")
    assert (tmp_path / "text").read_bytes() == "Häm\r\nangiom\n".encode()


def test_a_folder_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with folder_aside(tmp_path) as folder:
            (folder / "file").write_text(content)
            put_in_place(folder, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "file").read_text(encoding="utf-8") == "new" and names_in(tmp_path) == [
        "bundle"
    ]
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o755


def test_a_folder_that_is_not_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder_aside(tmp_path) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert names_in(tmp_path) == []


def test_a_full_disk_below_a_folder_aside_is_told_and_other_errors_are_not(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No space left"), folder_aside(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), folder_aside(tmp_path):
        (tmp_path / "weights").read_bytes()
    assert names_in(tmp_path) == []


def test_somebody_s_file_is_not_replaced_by_a_folder(earlier: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"table\.csv cannot be written"),
        folder_aside(earlier.parent) as folder,
    ):
        put_in_place(folder, earlier)
    with pytest.raises(OutputError, match=r"table\.csv cannot be written"), folder_aside(earlier):
        pytest.fail("the block must not run")
    assert earlier.read_text(encoding="utf-8") == "old" and names_in(earlier.parent) == ["table.csv"]


def test_a_link_stays_and_the_file_behind_it_is_written(earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "table.txt"
    try:
        link.symlink_to(earlier)
    except OSError:
        pytest.skip("links cannot be made here")
    write_text_whole(link, "new")
    assert link.is_symlink() and earlier.read_text(encoding="utf-8") == "new"
    assert names_in(link.parent) == ["table.txt"] and names_in(tmp_path) == ["links", "table.csv"]


def test_two_writers_of_one_file_do_not_meet(earlier: Path) -> None:
    """Not even where both have the same process id, as in two containers."""
    with whole_file(earlier) as first, whole_file(earlier) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert earlier.read_text(encoding="utf-8") == "first" and names_in(earlier.parent) == ["table.csv"]


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    page = write_html("<p>Häm\n</p>", tmp_path / "report.html")
    assert page.read_bytes() == "<p>Häm\n</p>".encode() and names_in(tmp_path) == ["report.html"]
    with pytest.raises(OutputError, match=r"report\.html cannot be written"):
        write_html("", tmp_path / "none" / "report.html")


@pytest.mark.parametrize(
    ("content", "ours"),
    [
        (json.dumps({"schema": SCHEMA}), True),
        (json.dumps({"schema": FIRST_SCHEMA}), True),
        (json.dumps({"schema": "somebody's"}), False),
        (json.dumps({"schema": [SCHEMA]}), False),
        ("[" * 100_000, False),
    ],
)
def test_an_output_of_either_schema_may_be_replaced(tmp_path: Path, content: str, ours: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text(content)
    refused = nullcontext() if ours else pytest.raises(OutputError, match="no earlier output of this program")
    with refused, output_folder(out) as folder:
        (folder / "results.csv").touch()
    assert names_in(out) == ["results.csv" if ours else "results.json"]


def test_a_mount_point_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "mounted"
    target.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == target)
    said = r"mounted is a mount point.*give a folder inside it\."
    with pytest.raises(OutputError, match=said), output_folder(target):
        pytest.fail("the block must not run")
    with pytest.raises(OutputError, match="mount point"), folder_aside(tmp_path) as folder:
        put_in_place(folder, target)
    with output_folder(target / "out") as folder:
        (folder / "file").touch()
    assert names_in(tmp_path) == ["mounted"] and names_in(target) == ["out"]


def renames(file: Path) -> Iterator[ast.Call]:
    """Calls that rename a file; ``replace`` is a path's own where it has one argument, else a text's."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, module = node.func.attr, getattr(node.func.value, "id", "")
            of_a_path = name == "rename" or (name == "replace" and len(node.args) == 1 and not node.keywords)
            if of_a_path or (module, name) in {("os", "replace"), ("os", "renames"), ("shutil", "move")}:
                yield node


def test_only_one_place_renames() -> None:
    files = [file for folder in ("LiverLesionAI", "LiverLesionLib") for file in (ROOT / folder).rglob("*.py")]
    renaming = {file.relative_to(ROOT).as_posix() for file in files if any(renames(file))}
    assert renaming == {"LiverLesionAI/files.py"}


# --- files of other people


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An earlier output with its list of files."""
    with output_folder(tmp_path / "out") as folder:
        write_output(folder, "old")
    return tmp_path / "out"


def write_output(folder: Path, text: str) -> None:
    (folder / "figures").mkdir()
    (folder / "figures" / "lesion_1.png").write_text(text)
    (folder / "results.json").write_text(json.dumps({"schema": SCHEMA, "text": text}))


def test_an_output_lists_its_files_for_other_programs(output: Path) -> None:
    listed = dict(
        line.split("  ")[::-1] for line in (output / MANIFEST).read_text(encoding="utf-8").splitlines()
    )
    assert listed == {name: sha256_of(output / name) for name in ("figures/lesion_1.png", "results.json")}


def link(path: Path) -> None:
    path.symlink_to(path.parent)


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("notes.txt", Path.touch),
        ("figures/slides.pptx", Path.touch),
        ("figures/lesion_2.png", Path.touch),
        ("figures/lesion_1.png", lambda path: path.write_text("annotated")),
        ("saliency/deep/down.txt", Path.touch),
        ("registered", link),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_an_output_with_files_of_others_is_refused(
    output: Path, name: str, put: Callable[[Path], object], listed: bool
) -> None:
    if not listed:
        (output / MANIFEST).unlink()
        if name.endswith(".png"):
            pytest.skip("such a name is one of ours")
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    put(output / name)
    before = {path: path.is_file() and path.read_bytes() for path in output.rglob("*")}
    first = name.replace(".", r"\.")
    with pytest.raises(OutputError, match=rf"{first} is no earlier output"), output_folder(output):
        pytest.fail("the block must not run")
    assert {path: path.is_file() and path.read_bytes() for path in output.rglob("*")} == before


def test_what_an_operating_system_puts_in_hinders_nobody(output: Path) -> None:
    (output / "figures" / ".DS_Store").touch()
    with output_folder(output) as folder:
        write_output(folder, "new")
    assert names_in(output / "figures") == ["lesion_1.png"]


def test_files_that_are_put_in_during_the_run_are_kept(output: Path) -> None:
    with output_folder(output) as folder:
        write_output(folder, "new")
        (output / "figures" / "slides.pptx").write_text("mine")
        (output / "figures" / "lesion_1.png").write_text("annotated")
        (output / "own").mkdir()
        (output / "own" / "notes.txt").write_text("mine")
    assert names_in(output.parent) == ["out"]
    assert names_in(output / "figures") == ["lesion_1 (2).png", "lesion_1.png", "slides.pptx"]
    assert (output / "figures" / "lesion_1.png").read_text(encoding="utf-8") == "new"
    assert (output / "figures" / "lesion_1 (2).png").read_text(encoding="utf-8") == "annotated"
    assert (output / "own" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_files_in_a_folder_that_somebody_made_during_the_run_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with output_folder(target) as folder:
        write_output(folder, "new")
        target.mkdir()
        (target / "results.json").write_text("mine")
    assert (target / "results (2).json").read_text(encoding="utf-8") == "mine"
    assert json.loads((target / "results.json").read_text(encoding="utf-8"))["text"] == "new"


def test_a_run_that_was_killed_while_it_cleared_up_loses_nothing(output: Path) -> None:
    """The new output stands, of the earlier one a file of somebody's and one of ours are left."""
    old = output.with_name(".out.old")
    shutil.copytree(output, old)
    (old / "results.json").unlink()
    (old / "figures" / "slides.pptx").write_text("mine")
    with pytest.raises(OutputError, match=r"slides\.pptx"), output_folder(output):
        pytest.fail("the block must not run")
    assert (
        names_in(output.parent) == ["out"]
        and (output / "figures" / "slides.pptx").read_text(encoding="utf-8") == "mine"
    )
    assert names_in(output / "figures") == ["lesion_1.png", "slides.pptx"]


def test_a_file_that_somebody_put_into_a_bundle_is_kept(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    (bundle / "docs" / "my notes.txt").write_text("mine")
    assert tiny_bundle(tmp_path / "tiny", version="2.0.0") == bundle
    assert (bundle / "docs" / "my notes.txt").read_text(encoding="utf-8") == "mine"
    assert names_in(bundle / "models") == ["fold_0.safetensors", "fold_1.safetensors"]
    (bundle / "docs" / "my notes.txt").unlink()
    assert verify_bundle(bundle).metadata.version == "2.0.0"


def test_results_of_another_study_are_not_replaced(tmp_path: Path) -> None:
    first = {"T2WI": {"sha256": "a"}, "LAP": {"sha256": "b"}, "lesions": {"sha256": "c"}}
    (tmp_path / "out").mkdir()
    refuse_other_study(tmp_path / "out", first)
    report = {"schema": SCHEMA, "provenance": {"inputs": first}}
    (tmp_path / "out" / "results.json").write_text(json.dumps(report), encoding="utf-8")
    for again in (
        first,
        {"T2WI": {"sha256": "a"}},
        {**first, "LAP": {"sha256": "x"}, "lesions": {"sha256": "y"}},
    ):
        refuse_other_study(tmp_path / "out", again)
    for other in ({"T2WI": {"sha256": "x"}}, {**first, "T2WI": {"sha256": "x"}, "LAP": {"sha256": "y"}}):
        with pytest.raises(OutputError, match="results of another study"):
            refuse_other_study(tmp_path / "out", other)
