"""A function with more than six parameters says why."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST = 6
REASON = "More than six parameters:"


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many values a caller may give."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(each.arg not in ("self", "cls") for each in named)


def unexplained(text: str) -> list[str]:
    """Functions of a module with too many parameters, unless they or the module say why."""
    module = ast.parse(text)
    if REASON in " ".join((ast.get_docstring(module) or "").split()):
        return []
    functions = [
        each for each in ast.walk(module) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        each.name
        for each in functions
        if parameters(each) > MOST and REASON not in " ".join((ast.get_docstring(each) or "").split())
    ]


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(a, b, c, /, d, *, e, g): ...", []),
        ("def f(a, b, c, /, d, *, e, g, h): ...", ["f"]),
        ("class A:\n def f(self, a, b, c, d, e, g): ...", []),
        ("def f(a, b, c, d, e, g, h):\n '''Do. More than six\n parameters: they are.'''", []),
        ("'''More than six parameters: all are.'''\ndef f(a, b, c, d, e, g, h): ...", []),
    ],
)
def test_the_count_is_right(code: str, names: list[str]) -> None:
    assert unexplained(code) == names


def test_long_signatures_are_explained() -> None:
    folders = ("LiverLesionAI", "LiverLesionLib", "scripted_modules")
    files = [
        *(file for folder in folders for file in (ROOT / folder).rglob("*.py")),
        ROOT / "LiverLesionAI.py",
    ]
    found = {file.name: unexplained(file.read_text(encoding="utf-8")) for file in files}
    assert {name: names for name, names in found.items() if names} == {}
