"""Files and folders written aside and put in place at the end, so that nothing half-written is ever seen.

This is the only place where the program renames anything.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from LiverLesionAI.errors import InUseError, OutputError
from LiverLesionAI.manifest import CLUTTER, entries, write_manifest, written_by_us
from LiverLesionAI.results import EVALUATION_SCHEMA, FEATURES_SCHEMA, REGISTRATION_SCHEMA, SCHEMA
from LiverLesionAI.results_v1 import SCHEMA as FIRST_SCHEMA
from LiverLesionAI.written import refuse_odd_name

RESULTS_FILE = "results.json"

OUTPUT_NAMES: frozenset[str] = frozenset(
    {
        RESULTS_FILE,
        "results.csv",
        "scene.mrb",
        "report.html",
        "lesions.nii.gz",
        "lesion_classes.nii.gz",
        "candidates.csv",
        "candidates.nii.gz",
        "activation.nii.gz",
        "registered",
        "transforms",
        "figures",
        "saliency",
        "dicom",
    }
)
"""What `classify` and `detect` write at the top of its output folder."""

_HEX_DIGIT = "[0-9a-f]"
_ABANDONED_S = 600.0
"""A hidden file of ours that nobody has written to for so long was left by a writer that was killed."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_WRITING = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENODEV, errno.ESTALE)
_REPORT_SCHEMAS = {
    RESULTS_FILE: (SCHEMA, FIRST_SCHEMA),
    "registration.json": (REGISTRATION_SCHEMA,),
    "evaluation.json": (EVALUATION_SCHEMA,),
    "features.json": (FEATURES_SCHEMA,),
}


@contextmanager
def whole_file(target: str | Path) -> Iterator[Path]:
    """Give a path to write a file to, which becomes `target` when the block ends well.

    The path lies beside the target, hidden, and ends on the target's name, so that writers which go by a
    file's suffix take the right one. The file is on the disk before it takes the target's place. After an
    error or Ctrl-C it is removed and the target is as it was. Of a link, the file that it points to is the
    target.

    Parameters
    ----------
    target
        The file; its folder exists already.

    Yields
    ------
    pathlib.Path
        Where to write; the block does nothing else.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(target)
    file_itself = Path(os.path.realpath(target))
    partial = file_itself.with_name(f".{secrets.token_hex(8)}.{file_itself.name}")
    try:
        with errors_of_disk(target):
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(file_itself)
            _flush_names(file_itself.parent)
    finally:
        with suppress(OSError):
            partial.unlink()


def remove_abandoned(folder: Path) -> None:
    """Remove what writers that were killed left in a folder: their hidden files, untouched for a while."""
    for partial in folder.glob(f".{_HEX_DIGIT * 16}.*"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_S:
                partial.unlink()


def write_text_whole(target: str | Path, text: str) -> None:
    """Write a text in UTF-8, its line ends as they are, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with whole_file(target) as partial:
        partial.write_bytes(text.encode())


def write_json(target: str | Path, content: Any) -> None:
    """Write what JSON can say, in UTF-8, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If a number is not finite, which JSON cannot say.
    """
    write_text_whole(target, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def folder_aside(parent: Path) -> Iterator[Path]:
    """Give an empty hidden folder in `parent`, to be filled and given to :func:`put_in_place`.

    What has not been put in place when the block ends is removed.

    Raises
    ------
    OutputError
        If there can be no folder in `parent`, or it cannot be written to.
    """
    with errors_of_disk(parent):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
        folder.chmod(0o755)
    try:
        with errors_of_disk(parent, folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(
    folder: Path, target: Path, ours: Callable[[Path], Collection[PurePosixPath]] | None = None
) -> None:
    """Rename a complete folder to `target`; what we wrote of an earlier folder there goes after that.

    Its files are on the disk before. Files of an earlier folder that are not `ours`, put there or changed by
    somebody, move into the new one, under another name where theirs is taken.

    Parameters
    ----------
    folder
        The new folder.
    target
        Its place.
    ours
        Told a folder, says which files below it we wrote and may go; by default those of an output.

    Raises
    ------
    OutputError
        If the target cannot be replaced; it is as it was then.
    """
    _refuse_mount_point(target)
    old = _old(target)
    with errors_of_disk(target):
        _flush(folder)
        try:
            if target.is_dir():
                _give_up(old, target, ours or _ours)
                target.rename(old)
            folder.rename(target)
            _flush_names(target.parent)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
        _give_up(old, target, ours or _ours)


def _give_up(old: Path, target: Path, ours: Callable[[Path], Collection[PurePosixPath]]) -> None:
    """Remove what we wrote of a folder and keep the rest in `target`; the list of ours goes last."""
    if not old.exists():
        return
    for name in ours(old):
        (old / name).unlink()
    for name in list(entries(old)):
        kept = free_path(target / name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        (old / name).rename(kept)
    shutil.rmtree(old)


def free_path(path: Path) -> Path:
    """The path, with a number where it is taken."""
    number, free = 2, path
    while os.path.lexists(free):
        number, free = number + 1, path.with_name(f"{path.stem} ({number}){path.suffix}")
    return free


@contextmanager
def output_folder(target: str | Path, names: Collection[str] = OUTPUT_NAMES) -> Iterator[Path]:
    """Give an empty folder to write into, which becomes `target` when the block ends well.

    The folder lies beside the target, hidden. After an error or Ctrl-C it is removed and the target is as it
    was; an earlier output stays until the new one is complete and on the disk. A killed run leaves at most
    the hidden folder, which the next run removes. One process at a time may have a target: the lock is the
    operating system's, so it dies with its process.

    Only files that the program wrote itself are ever replaced (:mod:`LiverLesionAI.manifest`): an earlier
    output with any other, or with one that was changed, is refused; what appears in it meanwhile is kept.

    Parameters
    ----------
    target
        A folder that does not exist, is empty, or is an earlier output.
    names
        What an earlier output may hold at its top.

    Yields
    ------
    pathlib.Path
        The folder to write into.

    Raises
    ------
    OutputError
        If the target is in use, is a mount point, holds anything that is not an earlier output as it was
        written, or cannot be written.
    """
    target = Path(target).resolve()
    if not target.name:
        raise OutputError(f"{target} cannot be an output folder; name a folder inside it.")
    refuse_odd_name(target)
    _refuse_mount_point(target)
    partial = target.with_name(f".{target.name}.partial")
    with _locked(target):
        with errors_of_disk(target):
            _recover(target)
            _check_replaceable(target, names)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with errors_of_disk(target):
                partial.mkdir()
            with errors_of_disk(target, partial):
                yield partial
                if _has_report(partial, names):
                    write_manifest(partial)
            put_in_place(partial, target)
        except OutputError as error:
            raise OutputError(str(error).replace(str(partial), str(target))) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def refuse_other_study(target: str | Path, inputs: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse to replace the results of another study.

    Parameters
    ----------
    target
        Output folder of `classify`, which need not exist.
    inputs
        What identifies the images of the study to be written (:mod:`LiverLesionAI.fingerprint`). A study that
        has one of its images in common is the same one, classified again.

    Raises
    ------
    OutputError
        If the folder holds the results of other images.
    """
    provenance = _content_of(Path(target) / RESULTS_FILE).get("provenance")
    before = provenance.get("inputs") if isinstance(provenance, dict) else None
    if not isinstance(before, dict) or not before:
        return
    images = [(name, each) for name, each in inputs.items() if name != "lesions"]
    if images and not any(before.get(name) == each for name, each in images):
        raise OutputError(f"{target} holds the results of another study; name another folder for this one.")


def _ours(folder: Path) -> Collection[PurePosixPath]:
    """Files that we wrote of an output folder; by their names only where a report of ours is among them."""
    return written_by_us(folder, by_name=_has_report(folder))


def is_output(folder: Path) -> bool:
    """Whether a folder is an output of ours: a report that we write lies in it."""
    return _has_report(folder)


def _has_report(folder: Path, names: Collection[str] = _REPORT_SCHEMAS) -> bool:
    return any(
        name in names and _schema_of(folder / name) in schemas for name, schemas in _REPORT_SCHEMAS.items()
    )


def _first_foreign(folder: Path, names: Collection[str]) -> PurePosixPath | None:
    """The first file below a folder that is not an earlier output's as it was written."""
    ours = {name for name in _ours(folder) if name.parts[0] in names or name.name in CLUTTER}
    return min((name for name in entries(folder) if name not in ours), default=None)


def _flush(folder: Path) -> None:
    """See that every file below a folder is on the disk, which may refuse what it took before."""
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        elif file.is_dir() and not file.is_symlink():
            _flush_names(file)
    _flush_names(folder)


def _flush_names(folder: Path) -> None:
    """See that names and renames in a folder are on the disk, where the system can be asked for that."""
    if os.name != "posix":
        return
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _schema_of(report: Path) -> object:
    return _content_of(report).get("schema")


def _content_of(report: Path) -> dict[str, Any]:
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock_file = target.with_name(f".{target.name}.lock")
    lock = FileLock(lock_file, timeout=0)
    with errors_of_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise InUseError(
                f"Output folder {target} is in use by another run; wait for it or name another."
            ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock_file.unlink()
        lock.release()


@contextmanager
def errors_of_disk(target: Path, below: Path | None = None) -> Iterator[None]:
    """Say what the operating system refused; with `below` only if it concerns that folder or a full disk.

    Raises
    ------
    OutputError
        In the place of OSError.
    """
    try:
        yield
    except OSError as error:
        elsewhere = below is not None and str(below) not in str(error.filename)
        if elsewhere and error.errno not in _NO_SPACE:
            raise
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error


def is_disk_refusal(error: BaseException) -> bool:
    """Whether an error began with a disk that is full, read-only, gone or not ours to write to."""
    while error.__cause__ is not None:
        error = error.__cause__
    return isinstance(error, OSError) and error.errno in (*_NO_SPACE, *_NO_WRITING)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _recover(target: Path) -> None:
    """Undo what a run left that was killed while it put its output in place."""
    old = _old(target)
    if old.exists() and not target.exists():
        old.rename(target)
    _give_up(old, target, _ours)


def _refuse_mount_point(target: Path) -> None:
    if os.path.ismount(target):
        raise OutputError(f"{target} is a mount point, which cannot be replaced; give a folder inside it.")


def _check_replaceable(target: Path, names: Collection[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target} is a file; name a folder for the output.")
    if not any(target.iterdir()):
        return
    if not _has_report(target, names):
        raise OutputError(
            f"{target} holds files that are no earlier output of this program; empty it or name another."
        )
    if foreign := _first_foreign(target, names):
        raise OutputError(
            f"{target / foreign} is no earlier output of this program, or was changed since; move it or name "
            "another folder."
        )


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, relative to it, in order."""
    return sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
