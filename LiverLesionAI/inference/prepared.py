"""Graphs that were prepared for a processor, kept in the user's cache folder for later processes.

A file holds the graphs of some members of a model behind the SHA-256 of its content. It is written whole or
not at all, so that several processes may write the same one; what is damaged counts as missing and is written
anew. Nothing breaks if the folder is deleted, or cannot be written to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from LiverLesionAI.errors import OutputError
from LiverLesionAI.files import whole_file

ENVIRONMENT_VARIABLE = "LIVERLESIONAI_CACHE"
_DIGEST_BYTES = 32


def cache_folder() -> Path | None:
    """Folder of prepared graphs: ``$LIVERLESIONAI_CACHE``, else a part of the user's cache folder."""
    if chosen := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "LiverLesionAI"
    except RuntimeError:
        return None


def kept_graphs(key: str) -> dict[str, bytes]:
    """Graphs by name, as they were kept under a key; empty where there are none or they are damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder = cache_folder()
    try:
        content = b"" if folder is None else _file(folder, key).read_bytes()
    except OSError:
        return {}
    digest, graphs = content[:_DIGEST_BYTES], memoryview(content)[_DIGEST_BYTES:]
    if hashlib.sha256(graphs).digest() != digest:
        return {}
    with suppress(SafetensorError):
        return {name: array.tobytes() for name, array in load(bytes(graphs)).items()}
    return {}


def keep_graphs(key: str, graphs: Mapping[str, bytes]) -> None:
    """Keep graphs under a key; where the disk refuses them they are prepared anew next time."""
    from safetensors.numpy import save

    folder = cache_folder()
    if folder is None:
        return
    content = save({name: np.frombuffer(graph, np.uint8) for name, graph in graphs.items()})
    with suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(_file(folder, key)) as partial:
            partial.write_bytes(hashlib.sha256(content).digest() + content)


def _file(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.graphs"
