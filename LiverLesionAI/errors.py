"""Errors that a user can cause. Each message names the file, what is wrong and what to do."""

from __future__ import annotations

import errno


def printable(text: str) -> str:
    """Return a text that every UTF-8 stream, file and C++ library takes.

    Names of files that are not UTF-8 come from the operating system with surrogates in place of their bytes
    (PEP 383), on which ITK and VTK abort the process; a question mark stands for each.
    """
    return text.encode("utf-8", "replace").decode() if _has_surrogates(text) else text


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def told_by_system(error: BaseException) -> str | None:
    """Say in a sentence what the operating system refused, where that is no mistake of the program's.

    Names that no file can have, missing rights, a full disk, a device that fails and too many open files are
    such; a file that the program itself should have made is not.
    """
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "The name of a file holds a NUL character, which none may; mend it where it is given."
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return None
    name = str(error.filename or error.filename2 or "A file")
    shown = name if len(name) <= _SHOWN_NAME else f"…{name[-_SHOWN_NAME:]}"
    return printable(f"{shown} cannot be used: {error.strerror or error}.")


_SHOWN_NAME = 200
_REFUSALS = {
    getattr(errno, name, None)
    for name in (
        "EACCES", "EBUSY", "EDQUOT", "EFBIG", "EIO", "ELOOP", "EMFILE", "ENAMETOOLONG", "ENFILE", "ENODEV",
        "ENOSPC", "ENOTCONN", "EPERM", "EROFS", "ESTALE", "ETIMEDOUT",
    )
} - {None}  # fmt: skip


class LiverLesionError(Exception):
    """Base of every error that a user can cause; its text is one sentence fit to be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class StudyError(LiverLesionError):
    """A study, one of its images or its lesion mask cannot be used."""


class DicomError(StudyError):
    """A DICOM folder or file cannot be read, or it is not clear what it holds."""


class BundleError(LiverLesionError):
    """A model bundle is incomplete, damaged, unsafe, or does not fit the study."""


class ConfigError(LiverLesionError):
    """A configuration file or a parameter has a value that cannot be used."""


class OutputError(LiverLesionError):
    """The output folder is in use or cannot be written."""


class InUseError(OutputError):
    """Another process has the output folder."""


class TrainingError(LiverLesionError):
    """A training run cannot go on; what it has finished stands."""


class BatchError(LiverLesionError):
    """A batch cannot go on; what it has finished stands."""


class PatchError(LiverLesionError):
    """One lesion cannot be cropped; the other lesions of the study are unaffected."""


class DecisionError(LiverLesionError):
    """A reader's decision cannot be taken as it was given."""


class MemoryShortError(LiverLesionError):
    """The work needs more memory than the machine has left."""
