"""Names in a missing or wrong character set are read in the usual ones, or nothing is concluded from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_dicom import T2, VIBE, image, save, slices
from made_frames import made_volume, sequences

from LiverLesionAI.readers.dicom.charsets import decoded
from LiverLesionAI.readers.dicom.identify import identify
from LiverLesionAI.readers.dicom.vocabulary import UNREADABLE, WORDS, read_words

NAMES = [
    ("T1 VIBE 动脉期", "gb18030"),
    ("轴位门脉期", "gb18030"),
    ("增强前", "gb18030"),
    ("延迟期 C+", "gb18030"),
    ("動脈相", "cp932"),
    ("門脈相 T1", "cp932"),
    ("肝細胞相", "euc_jp"),
    ("動脈相", "iso2022_jp"),
    ("動脈相", "utf-8"),
    ("Leber spät", "latin_1"),
    ("Größe Füße", "latin_1"),
    ("T1 précoce", "latin_1"),
    ("T1 précoce", "utf-8"),
]


@pytest.mark.parametrize(("name", "encoding"), NAMES)
@pytest.mark.parametrize("declared", [(), ("iso8859-1",), ("utf-8",)], ids=["none", "Latin-1", "UTF-8"])
def test_names_are_read_whatever_set_is_declared(name: str, encoding: str, declared: tuple[str, ...]) -> None:
    assert decoded(name.encode(encoding), declared) == name


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("АРТЕРИАЛЬНАЯ ФАЗА", "iso8859-5"),
        ("동맥기", "euc_kr"),
        ("ύστερη φάση", "iso8859-7"),
        ("术后", "gb18030"),
    ],
)
def test_a_declared_set_is_believed_where_it_fits(name: str, encoding: str) -> None:
    assert decoded(name.encode(encoding), (encoding,)) == name


@pytest.mark.parametrize("value", [b"T1 \xff\xfe\xfd ART", "АРТЕРИАЛЬНАЯ".encode("cp1251"), b"\x1b$)Zx\x81"])
def test_what_fits_no_set_is_marked_and_says_nothing(value: bytes) -> None:
    name = decoded(value)
    assert UNREADABLE in name
    assert not read_words(name).meanings and read_words(name).unreadable


@given(st.binary(max_size=40))
def test_any_bytes_have_a_reading(value: bytes) -> None:
    assert isinstance(decoded(value, ("gb18030",)), str)
    assert decoded(value.decode("latin_1").encode("ascii", "ignore").replace(b"\x1b", b"")).isascii()


ASIAN = [
    pattern
    for word in WORDS
    for pattern in word.patterns
    if not pattern.isascii()
    and pattern.isalpha()
    and all("\u4e00" <= letter < "\ua000" for letter in pattern)
]


@given(st.sampled_from(ASIAN), st.sampled_from(["gb18030", "cp932", "utf-8"]))
def test_every_word_of_the_vocabulary_is_read_back(word: str, encoding: str) -> None:
    common = {"gb18030": "gb2312"}.get(encoding, encoding)
    try:
        word.encode(common)
    except UnicodeEncodeError:
        return
    read = read_words(decoded(word.encode(encoding), ("iso8859-1",)))
    if encoding == "cp932" and read.unreadable:
        return
    assert read_words(word).meanings.keys() <= read.meanings.keys()


def _written(folder: Path, charset: str | None, names: dict[str, bytes], **said: Any) -> list[str | None]:
    """What a series is whose names are written in bytes that the charset does not tell."""
    stand_ins = {keyword: chr(ord("A") + n) * len(name) for n, (keyword, name) in enumerate(names.items())}
    said = {**said, **stand_ins}
    if charset is not None:
        said["SpecificCharacterSet"] = charset
    for file in save(slices(image(), **said), folder):
        content = file.read_bytes()
        for keyword, name in names.items():
            content = content.replace(stand_ins[keyword].encode(), name)
        file.write_bytes(content)
    return [item.sequence for item in identify(folder)]


@pytest.mark.parametrize("charset", [None, "ISO_IR 100", "ISO_IR 192", "GB18030", "nonsense"])
def test_phases_with_names_in_a_wrong_set_are_found(tmp_path: Path, charset: str | None) -> None:
    arterial = "T1 动脉期".encode("gb18030")
    assert _written(tmp_path, charset, {"SeriesDescription": arterial}, **VIBE) == ["LAP"]


def test_an_agent_in_a_wrong_set_is_understood(tmp_path: Path) -> None:
    times = {"AcquisitionTime": "102000", "ContrastBolusStartTime": "100000"}
    agent = {"ContrastBolusAgent": "普美显".encode("gb18030")}
    assert _written(tmp_path, None, agent, **VIBE, **times, SeriesDescription="t1 vibe") == ["HBP"]


def test_the_silence_of_an_unreadable_name_is_no_evidence(tmp_path: Path) -> None:
    unreadable = {"SeriesDescription": b"\xff\xfe\xfd\xff"}
    assert _written(tmp_path / "t1", None, unreadable, **VIBE) == [None]
    assert _written(tmp_path / "t2", None, unreadable, **T2) == ["T2WI"]
    assert sequences(*made_volume(description="Ax LAVA")) == ["T1WI"]
    assert sequences(*made_volume(description=f"Ax LAVA {UNREADABLE}")) == [None]
