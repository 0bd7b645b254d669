"""How large what comes from outside may be: limits of kind, and what the machine has.

Every limit stands here. What a header claims is held against them before anything is allocated.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from LiverLesionAI.errors import ConfigError, MemoryShortError

MAX_VOXELS = 1_000_000_000
"""Voxels of one image or series: a tenth of that is a large liver volume."""

BYTES_PER_VOXEL = 16
"""What a voxel takes at most while an image is read and worked on: as stored, scaled, checked, resampled."""

MAX_DEFLATION = 1032
"""Deflate packs no more than this many bytes into one (zlib's technical details), gzip and zip neither."""

MAX_SCENE_BYTES = 32 << 30
MAX_SCENE_FILES = 20_000
"""What a Slicer scene bundle may unpack to."""

_HARMLESS_BYTES, _LIKELY_DEFLATION = 256 << 20, 100

MAX_TEXT_BYTES = 64 << 20
"""Size of a file of text: a scene, a table, JSON, YAML, a transform."""

MAX_TRANSFORM_BYTES = 1 << 30
"""Size of a transform in text; a dense field of displacements has 70 bytes a voxel."""

MAX_HEADER_BYTES = 1 << 20
"""Size of an image's header in text."""

MAX_BUNDLE_FILES = 100
MAX_BUNDLE_BYTES = 6 << 30
MAX_WEIGHTS_BYTES = 2 << 30
MAX_PICTURE_BYTES = 16 << 20
MAX_BUNDLE_TEXT_BYTES = 4 << 20
"""What a model bundle may hold, and each kind of file in it."""

NO_MEMORY = "There is not enough memory for this; close other programs or use smaller images."

_RESERVE_BYTES = 256 << 20
_MEMORY_WORDS = (
    "bad_alloc",
    "allocate memory",
    "out of memory",
    "not enough memory",
    "memory allocation",
    "failed to map segment",
    "std::length_error",
    "could not create a primitive",
    "could not create a memory",
)


def available_bytes() -> int | None:
    """Memory that this process can still take: the machine's, a container's and the process's own limit.

    Returns
    -------
    int or None
        None where the system does not tell.
    """
    known = [
        size for size in (_machine_bytes(), _container_bytes(), _address_space_bytes()) if size is not None
    ]
    return max(min(known), 0) if known else None


def check_memory(needed: int, what: str) -> None:
    """Refuse work that the machine cannot hold.

    Parameters
    ----------
    needed
        Bytes.
    what
        What needs them, the beginning of a sentence.

    Raises
    ------
    MemoryShortError
        If they are not there, with a little to spare.
    """
    available = available_bytes()
    if available is not None and needed > available - min(_RESERVE_BYTES, available // 4):
        raise MemoryShortError(
            f"{what} needs {needed / 2**30:.1f} GiB of memory, and {available / 2**30:.1f} GiB are free; "
            "close other programs, use a larger machine or give a smaller file."
        )


def check_text_size(file: Path) -> None:
    """Refuse a file of text that is larger than any that is written by hand or by this program.

    Raises
    ------
    ConfigError
        If it is.
    OSError
        If it cannot be looked at.
    """
    status = file.stat()
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise ConfigError(f"{file} is a device; give a file.")
    if status.st_size > MAX_TEXT_BYTES:
        raise ConfigError(f"{file} is larger than such a file may be ({MAX_TEXT_BYTES >> 20} MiB).")


def is_bomb(packed: int, unpacked: int) -> bool:
    """Whether an archive unpacks to more than files of images ever do, both sizes in bytes."""
    return unpacked > _HARMLESS_BYTES and unpacked > packed * _LIKELY_DEFLATION


def is_memory_short(error: BaseException) -> bool:
    """Whether an error, also one of ITK, VTK, torch or the system's loader, means that memory ran out."""
    if isinstance(error, MemoryError | MemoryShortError):
        return True
    return tells_of_memory(str(error)) and not isinstance(error, KeyboardInterrupt)


def tells_of_memory(text: str) -> bool:
    """Whether the words of an error or of a dying process are those of memory that ran out."""
    said = text.lower()
    return any(words in said for words in _MEMORY_WORDS)


def limit_address_space() -> None:
    """Let this process fail, instead of the whole machine, when it takes more than the machine has left."""
    available = available_bytes()
    used = _used_address_space()
    if sys.platform != "linux" or available is None or used is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = used + available
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))


def _machine_bytes() -> int | None:
    if sys.platform == "win32":
        return _windows_bytes()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None


def _windows_bytes() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *(
                (name, ctypes.c_ulonglong)
                for name in ("total", "free", "page", "page_free", "v", "v_free", "x")
            ),
        )

    status = Status(length=ctypes.sizeof(Status))
    told = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.page_free) if told else None


def _container_bytes() -> int | None:
    """What a control group (version 2) leaves; pages of its file cache can be had again."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        current = int((folder / "memory.current").read_text(encoding="ascii"))
        counts = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        cache = sum(int(value) for name, value in counts if name in ("inactive_file", "active_file"))
    except (OSError, ValueError):
        return None
    return limit - current + cache


def _address_space_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _used_address_space()
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _used_address_space() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
