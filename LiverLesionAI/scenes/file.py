"""Read a study from a scene file.

Slicer's readers trust their files: some of those that are cut short or changed make the process abort. They
work in a process of its own, therefore, which leaves the study as a folder; what comes back is checked like
every study folder.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from LiverLesionAI.errors import LiverLesionError, MemoryShortError, StudyError, told_by_system
from LiverLesionAI.limits import is_memory_short, limit_address_space, tells_of_memory
from LiverLesionAI.processes import library_environment, python_executable
from LiverLesionAI.scenes.exchange import read_sent_study, send_study
from LiverLesionAI.scenes.read import open_scene
from LiverLesionAI.study import Study

logger = logging.getLogger(__name__)

SCENE_SUFFIXES = (".mrml", ".mrb")
REFUSAL = "refusal.json"
_DONE, _FAULT, _REFUSED = 0, 1, 3
_KINDS: dict[str, type[LiverLesionError]] = {
    kind.__name__: kind for kind in (StudyError, MemoryShortError, LiverLesionError)
}


def read_scene(path: str | Path, reference: str | None = None) -> Study:
    """Read a scene file as a study.

    Parameters
    ----------
    path
        ``.mrml`` or ``.mrb``.
    reference
        As for :func:`LiverLesionAI.scenes.read.study_from_scene`.

    Returns
    -------
    Study
        Named after the study that our own writer put into the scene, else after the file where
        its name reads as a code (:mod:`LiverLesionAI.pseudonyms`).

    Raises
    ------
    StudyError
        If the file is no scene, the scene is no study, or Slicer's readers break down over it.
    MemoryShortError
        If it needs more memory than there is.
    LiverLesionError
        If slicer-core is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        _convert(Path(path), Path(folder), reference)
        return read_sent_study(Path(folder))


def _in_a_process(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Call :func:`main` in a new Python."""
    return subprocess.run(
        [python_executable(), "-m", "LiverLesionAI.scenes.file", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=library_environment(),
        check=False,
    )


def _convert(path: Path, folder: Path, reference: str | None) -> None:
    """Write a scene file's study into an empty folder."""
    done = _in_a_process(str(path), str(folder), reference or "")
    words = done.stderr.decode("utf-8", "replace")
    for line in words.splitlines():
        logger.debug("%s", line)
    if done.returncode == _REFUSED:
        refusal = json.loads((folder / REFUSAL).read_text(encoding="utf-8"))
        raise _KINDS[refusal["kind"]](refusal["message"])
    if done.returncode == _FAULT:
        raise RuntimeError(f"reading {path.name}: {words.strip().splitlines()[-1]}")
    if done.returncode != _DONE:
        raise _broken_down(path, done.returncode, words)


def _broken_down(path: Path, code: int, words: str) -> LiverLesionError:
    if code == -getattr(signal, "SIGKILL", 9) or tells_of_memory(words):
        return MemoryShortError(
            f"{path} needs more memory to be read than is free; close other programs or use a larger machine."
        )
    return StudyError(
        f"{path} is damaged: Slicer's own reader breaks down over one of its files; save the scene again, or "
        "export its volumes into a study folder."
    )


def main(path: str, folder: str, reference: str) -> int:
    """Carry out a conversion in this process; return its exit code."""
    limit_address_space()
    try:
        send_study(open_scene(Path(path), reference or None), folder)
    except LiverLesionError as error:
        return _refuse(folder, error)
    except Exception as error:
        if is_memory_short(error):
            return _refuse(folder, MemoryShortError(f"{path} needs more memory to be read than is free."))
        if (refused := told_by_system(error)) is not None:
            return _refuse(folder, StudyError(refused))
        raise
    return _DONE


def _refuse(folder: str, error: LiverLesionError) -> int:
    kind = next(name for name, kind in _KINDS.items() if isinstance(error, kind))
    refusal = {"kind": kind, "message": str(error)}
    Path(folder, REFUSAL).write_text(json.dumps(refusal), encoding="utf-8")
    return _REFUSED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
