"""Seeded changes to files: bits, numbers, texts, members, names."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LATIN_1 = os.fsdecode(b"Z\xfcrich \xe9")
ODD_NAMES = (LATIN_1, "line\nbreak", "x" * 200, "肝臓", "=1+1", "-rf", " ", "a%20b", "..x", "'quoted\"")
NUMBERS = (
    0, 1, -1, 2, 255, 256, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, 10**30,
)  # fmt: skip
REALS = (
    0.0, -0.0, 1e-300, -1.0, 1e38, 3.4e38, 1e308, float("nan"), float("inf"), float("-inf"), 0.5, 1e9,
)  # fmt: skip
WORDS = (
    "", "nan", "inf", "-1", "0", "1e999", "9" * 40, "0x10", "NULL", "é", "\0", "a\tb", "../../x", "%s%n",
    "[]", "true", "1 2 3", "-1e308", "2026-13-45",
)  # fmt: skip
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_HEAD_BYTES = 420


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes, most often near the beginning, where headers are."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        change = rng.choice((_flip, _flip, _overwrite, _overwrite, _cut, _insert, _remove, _repeat))
        change(changed, rng)
    return bytes(changed)


def _place(content: bytearray, rng: random.Random) -> int:
    end = min(len(content), _HEAD_BYTES) if rng.random() < 0.7 else len(content)
    return rng.randrange(end) if end else 0


def _flip(content: bytearray, rng: random.Random) -> None:
    if content:
        content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _overwrite(content: bytearray, rng: random.Random) -> None:
    """Put a number of some width and order over what is there."""
    at = _place(content, rng) & ~1
    kind = rng.choice(("h", "i", "q", "f", "d", "B"))
    value = rng.choice(REALS) if kind in "fd" else rng.choice(NUMBERS)
    if kind in "hiqB":
        bits = 8 * struct.calcsize(kind)
        value = int(value) & ((1 << bits) - 1)
        kind = kind.upper()
    try:
        packed = struct.pack(rng.choice("<>") + kind, value)
    except OverflowError:
        packed = b"\xff" * 4
    content[at : at + len(packed)] = packed


def _cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _insert(content: bytearray, rng: random.Random) -> None:
    at = _place(content, rng)
    content[at:at] = rng.randbytes(rng.choice((1, 4, 64)))


def _remove(content: bytearray, rng: random.Random) -> None:
    at = _place(content, rng)
    del content[at : at + rng.choice((1, 2, 8, 100))]


def _repeat(content: bytearray, rng: random.Random) -> None:
    at = _place(content, rng)
    piece = content[at : at + rng.choice((2, 16, 200))]
    content[at:at] = piece * rng.choice((1, 2, 50))


def mutated_gzip(content: bytes, rng: random.Random) -> bytes:
    """Change what a gzip file holds, or the file itself."""
    if rng.random() < 0.2:
        return mutated_bytes(content, rng)
    return gzip.compress(mutated_bytes(gzip.decompress(content), rng), 1, mtime=0)


def mutated_text(content: bytes, rng: random.Random) -> bytes:
    """Change numbers, words and lines of a text."""
    if rng.random() < 0.1:
        return mutated_bytes(content, rng)
    text = content.decode("latin-1")
    for _ in range(rng.choice((1, 1, 2))):
        text = rng.choice((_other_number, _other_number, _other_word, _other_lines))(text, rng)
    return text.encode("utf-8", "surrogatepass")


def _other_number(text: str, rng: random.Random) -> str:
    found = list(_NUMBER.finditer(text[:20_000]))
    if not found:
        return text
    hit = rng.choice(found)
    new = rng.choice(WORDS) if rng.random() < 0.5 else str(rng.choice((*NUMBERS, *REALS)))
    return text[: hit.start()] + new + text[hit.end() :]


def _other_word(text: str, rng: random.Random) -> str:
    words = list(re.finditer(r"\w+", text[:20_000]))
    if not words:
        return text
    hit = rng.choice(words)
    new = rng.choice((*WORDS, rng.choice(words).group()))
    return text[: hit.start()] + new + text[hit.end() :]


def _other_lines(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    at = rng.randrange(len(lines))
    what = rng.randrange(3)
    if what == 0:
        del lines[at]
    else:
        lines.insert(at, lines[at] if what == 1 else rng.choice(lines))
    return "".join(lines)


def mutated_json(content: bytes, rng: random.Random) -> bytes:
    """Change a value, a key or the text of a JSON document."""
    if rng.random() < 0.15:
        return mutated_text(content, rng)
    document = json.loads(content)
    return json.dumps(mutated_value(document, rng), ensure_ascii=False).encode("utf-8", "surrogatepass")


def mutated_value(document: Any, rng: random.Random) -> Any:
    """Change one value somewhere in what JSON or YAML can say."""
    if isinstance(document, dict | list) and document and rng.random() < 0.85:
        keys = list(document) if isinstance(document, dict) else range(len(document))
        key = rng.choice(list(keys))
        changed = dict(document) if isinstance(document, dict) else list(document)
        what = rng.random()
        if what < 0.12:
            del changed[key]  # type: ignore[arg-type]
        elif what < 0.2 and isinstance(changed, dict):
            changed[rng.choice((*WORDS, "unknown"))] = changed.pop(key)
        else:
            changed[key] = mutated_value(document[key], rng)  # type: ignore[index]
        return changed
    return _another(document, rng)


def _another(value: Any, rng: random.Random) -> Any:
    nested: Any = []
    for _ in range(rng.choice((3, 900))):
        nested = [nested]
    if isinstance(value, int | float) and rng.random() < 0.6:
        return rng.choice((*NUMBERS, *REALS))
    others = (None, True, -1, 0, 1e308, float("nan"), 10**30, "", [], {}, [[]], {"a": None}, nested)
    return rng.choice((*others, rng.choice(WORDS)))


def mutated_zip(content: bytes, rng: random.Random, inner: Callable[[str, bytes], bytes]) -> bytes:
    """Change one of a zip's members by `inner`, its list of members, or its bytes."""
    if rng.random() < 0.15:
        return mutated_bytes(content, rng)
    members = zip_members(content)
    name = rng.choice(sorted(members))
    extra: list[tuple[str, bytes]] = []
    what = rng.random()
    if what < 0.75:
        members[name] = inner(name, members[name])
    elif what < 0.82:
        del members[name]
    elif what < 0.9:
        extra.append((name, mutated_bytes(members[name], rng)))
    elif what < 0.96:
        odd = rng.choice(ODD_NAMES).encode("utf-8", "replace").decode()
        members[f"{name.rpartition('/')[0]}/{odd}"] = members.pop(name)
    else:
        extra.append((f"{name}/below", b"x"))
    return _zip_of([*members.items(), *extra], encrypted=rng.random() < 0.03)


def zip_members(content: bytes) -> dict[str, bytes]:
    """Name to content of the files in a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}


def _zip_of(members: list[tuple[str, bytes]], *, encrypted: bool) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(name, content)
    packed = bytearray(target.getvalue())
    if encrypted:
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            packed[packed.find(mark) + offset] |= 1
    return bytes(packed)


def mutate_names(folder: Path, rng: random.Random) -> None:
    """Rename, remove, double, empty or link away a file or the folder's own members."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    file = rng.choice(files)
    odd = file.with_name(rng.choice(ODD_NAMES) + "".join(file.suffixes))
    what = rng.randrange(8)
    if what == 0:
        file.unlink()
    elif what == 1:
        file.rename(odd)
    elif what == 2:
        shutil.copyfile(file, odd)
    elif what == 3:
        file.write_bytes(rng.choice(files).read_bytes())
    elif what == 4:
        file.write_bytes(b"")
    elif what == 5:
        file.unlink()
        file.mkdir()
    elif what == 6:
        file.unlink()
        file.symlink_to(rng.choice((file, "/dev/null", "/nowhere", "..", "/dev/zero")))
    else:
        file.rename(file.with_name(file.stem))


def mutate_file(file: Path, rng: random.Random) -> None:
    """Change a file as its name says what it is."""
    content = file.read_bytes()
    name = file.name.lower()
    if name.endswith(".gz"):
        changed = mutated_gzip(content, rng)
    elif name.endswith(".json"):
        changed = mutated_json(content, rng)
    elif name.endswith((".tfm", ".csv", ".yaml", ".md", ".mrml", ".tsv")):
        changed = mutated_text(content, rng)
    else:
        changed = mutated_bytes(content, rng)
    file.write_bytes(changed)


def mutate_folder(folder: Path, rng: random.Random) -> None:
    """Change one file or two of a folder, now and then their names."""
    if rng.random() < 0.12:
        mutate_names(folder, rng)
        return
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for file in rng.sample(files, min(len(files), rng.choice((1, 1, 1, 2)))):
        mutate_file(file, rng)
