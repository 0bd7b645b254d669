"""What may import what: the floors in pyproject.toml, and the walls that an import does not show."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def sources(*folders: str) -> Iterator[tuple[str, str]]:
    """Name and text of every Python file below folders of the checkout, but for those of ``mrml``."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith("LiverLesionAI/mrml/"):
                yield name, file.read_text(encoding="utf-8")


def test_imports_keep_to_the_contracts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    broken = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True)
    assert not broken, capsys.readouterr().out


def negated(node: ast.AST) -> bool:
    """Whether an expression is −1 or the negative of what is not a number in the code."""
    if not (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)):
        return False
    return not isinstance(node.operand, ast.Constant) or node.operand.value == 1


def turns_lps_into_ras(node: ast.AST) -> bool:
    """Whether an expression lists two negated coordinates and a third that is not negated."""
    items = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
    return [negated(item) for item in items[:3]] == [True, True, False]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("view.JumpSliceByCentering(-x, -y, z)", True),
        ("np.diag([-1.0, -1.0, 1.0, 1.0])", True),
        ("p = -point[0], -point[1], point[2]", True),
        ("points * (-1, -1, 1)", True),
        ("axes = (-a, -b, -c)", False),
        ("centre = (-52.0, -34.0, 10.0)", False),
        ("f(-x, -y)", False),
    ],
)
def test_the_look_for_ras_finds_it(code: str, found: bool) -> None:
    assert any(map(turns_lps_into_ras, ast.walk(ast.parse(code)))) == found


def test_only_mrml_turns_lps_into_ras() -> None:
    turning = {
        name
        for name, text in sources("LiverLesionAI", "LiverLesionLib", "scripted_modules")
        if any(map(turns_lps_into_ras, ast.walk(ast.parse(text))))
    }
    assert turning == set()


def test_nothing_of_the_library_but_mrml_speaks_of_ras() -> None:
    word = re.compile(r"(?:\b|_)ras(?:\b|_)", re.IGNORECASE)
    assert [name for name, text in sources("LiverLesionAI") if word.search(text)] == []
