"""Handing files to libraries in C++: names that they take, what they print, memory that runs out in them."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from LiverLesionAI.errors import MemoryShortError, StudyError, printable
from LiverLesionAI.limits import is_memory_short

logger = logging.getLogger(__name__)

_STANDARD_ERROR = 2

logging.getLogger("nibabel.global").disabled = True
"""Prints what it finds odd in a header; what matters of it is told by our own sentences."""


@contextmanager
def native_messages_logged() -> Iterator[None]:
    """Send what libraries write to the process's standard error to the log (level debug) instead."""
    with ExitStack() as stack:
        taken = stack.enter_context(tempfile.TemporaryFile())
        try:
            standard_error = os.dup(_STANDARD_ERROR)
        except OSError:
            yield
            return
        os.dup2(taken.fileno(), _STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(standard_error, _STANDARD_ERROR)
            os.close(standard_error)
            taken.seek(0)
            for line in taken.read().decode("utf-8", "replace").splitlines():
                logger.debug("%s", line)


@contextmanager
def native_path(file: Path) -> Iterator[str]:
    """Give a file's path as ITK takes it: a name that is not UTF-8, on which ITK aborts, through a link.

    Yields
    ------
    str
        The path itself, or that of a link of the same suffixes.

    Raises
    ------
    StudyError
        If there can be no link.
    """
    path = str(file)
    if printable(path) == path:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "file" + "".join(map(printable, file.suffixes)))
        try:
            os.symlink(os.path.abspath(path), link)
        except OSError:
            raise StudyError(f"{file} has a name that is not UTF-8; rename it and its folders.") from None
        yield str(link)


def refuse_memory_short(error: BaseException, file: Path) -> None:
    """Say so where an error of a library means that memory ran out; else do nothing.

    Raises
    ------
    MemoryShortError
        If it means that.
    """
    if is_memory_short(error):
        raise MemoryShortError(
            f"{file} needs more memory to be read than is free; close other programs or give a smaller file."
        ) from None
