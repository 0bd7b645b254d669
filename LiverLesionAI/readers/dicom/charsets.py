"""Names whose character set is missing or wrong (DICOM PS3.5 6.1, PS3.3 C.12.1.1.2).

Scanners and anonymisers drop SpecificCharacterSet, or write one that is not that of the bytes. A name is
then tried in the sets in common use. A reading counts where it is possible and plausible: the characters of
Chinese and Japanese ones must be common, those of European ones single letters within words. Where none
counts, what cannot be read becomes U+FFFD, and nothing is concluded from such a name.
"""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from LiverLesionAI.readers.dicom.vocabulary import UNREADABLE, read_words

if TYPE_CHECKING:
    from pydicom import Dataset

_ESCAPE = b"\x1b"
_ISO_2022 = ("ISO 2022 IR 6", "ISO 2022 IR 13", "ISO 2022 IR 87", "ISO 2022 IR 159", "ISO 2022 IR 149",
             "ISO 2022 IR 58")  # fmt: skip
_ASCII = ("", "ISO_IR 6", "ISO 2022 IR 6")
_LATIN = ("iso8859-1", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-9")
_EAST_ASIAN = {"gb18030": "gb2312", "cp932": "cp932", "euc_jp": "euc_jp"}
"""Sets that are tried where another one is declared, and the set that has their common characters."""

_SIGNS = "µ°²³±·–—"
_PAIRED = "äöüßéèêëàâáíîóôúñçåøæ"
_RARE_JIS_FROM = 0x9890
"""JIS X 0208 level 2, rare kanji, in Shift-JIS."""


def text_of(dataset: Dataset, keyword: str) -> str:
    """Text of an attribute on one line, in whatever set it is written; U+FFFD for what cannot be read."""
    try:
        value = dataset.get_item(keyword).value
        if isinstance(value, bytes):
            value = decoded(value, _encodings(dataset))
    except Exception:
        return ""
    return "" if value is None else " ".join(str(value).replace("\0", " ").split())


def decoded(value: bytes, declared: Sequence[str] = ()) -> str:
    """Decode a name.

    Parameters
    ----------
    value
        Its bytes.
    declared
        Names of the character sets that the object declares, as :mod:`codecs` has them; empty where it
        declares none.

    Examples
    --------
    >>> decoded("动脉期".encode("gb18030")), decoded("動脈相".encode("cp932"), ["iso8859-1"])
    ('动脉期', '動脈相')
    """
    if _ESCAPE in value:
        return _by_escape_sequences(value)
    if value.isascii():
        return value.decode("ascii")
    readings = list(dict.fromkeys(_readings(value, declared)))
    understood = next((text for _, text in readings if _is_understood(text)), None)
    if understood is not None:
        return understood
    stated = [text for encoding, text in readings if encoding in (*declared, "utf-8")]
    plausible = {text for _, text in readings}
    if stated or len(plausible) == 1:
        return stated[0] if stated else plausible.pop()
    return value.decode("ascii", errors="replace")


def _readings(value: bytes, declared: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Plausible readings with their encodings; sets that nearly any bytes fit come last."""
    european = [encoding for encoding in declared if encoding in _LATIN] or ["iso8859-1"]
    others = [encoding for encoding in declared if encoding not in _LATIN]
    for encoding in (*others, "utf-8", *_EAST_ASIAN, *european):
        try:
            text = value.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if _is_plausible(text, encoding):
            yield encoding, text


def _is_plausible(text: str, encoding: str) -> bool:
    if not text.isprintable():
        return False
    if encoding in _LATIN:
        return _is_european(text)
    common = _EAST_ASIAN.get(encoding)
    return common is None or all(_is_common(letter, common) for letter in text if not letter.isascii())


def _is_common(letter: str, encoding: str) -> bool:
    try:
        coded = letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return encoding != "cp932" or int.from_bytes(coded, "big") < _RARE_JIS_FROM


def _is_european(text: str) -> bool:
    """Whether letters beyond ASCII stand as they do in words: alone, or two small ones side by side."""
    for beyond, letters in itertools.groupby(text, lambda letter: not letter.isascii()):
        run = "".join(letters)
        if not beyond:
            continue
        if not all(letter.isalpha() or letter in _SIGNS for letter in run):
            return False
        if len(run) > 2 or (len(run) == 2 and not set(run) <= set(_PAIRED)):
            return False
    return True


def _is_understood(text: str) -> bool:
    """Whether what is not ASCII is, or is part of, a word of the vocabulary."""
    return any(not word.isascii() for word in read_words(text).meanings.values())


def _by_escape_sequences(value: bytes) -> str:
    """ISO 2022 says by itself which sets it uses (DICOM PS3.5 6.1.2.5)."""
    from pydicom.charset import convert_encodings, decode_bytes

    try:
        text = decode_bytes(value, convert_encodings(list(_ISO_2022)), {0x0D, 0x0A, 0x09, 0x0C})
    except (UnicodeError, LookupError, ValueError):
        text = ""
    if text and text.isprintable() and UNREADABLE not in text:
        return text
    return value.decode("ascii", errors="replace").replace("\x1b", UNREADABLE)


def _encodings(dataset: Dataset) -> tuple[str, ...]:
    """Names of the declared sets beyond ASCII; what is no known set counts as not declared."""
    from pydicom.charset import python_encoding

    said = dataset.get("SpecificCharacterSet") or ()
    terms = (said,) if isinstance(said, str) else tuple(said)
    known = (python_encoding[term] for term in terms if term in python_encoding and term not in _ASCII)
    return tuple(codecs.lookup(encoding).name for encoding in known)
