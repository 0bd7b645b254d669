"""What a reader sees goes through the translator."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    ROOT / "LiverLesionAI.py",
    *sorted((ROOT / "LiverLesionLib").rglob("*.py")),
    *sorted((ROOT / "scripted_modules").glob("*.py")),
]
SHOWING_CALLS = {"say", "fail", "setText", "addItem", "addItems", "setHorizontalHeaderLabels", "prepare"}
SHOWN_ATTRIBUTES = {"text", "toolTip", "title", "helpText", "acknowledgementText", "placeholderText"}
TRANSLATORS = {"_", "translate"}


def shown_expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """What is handed to a widget or to a step's state."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in SHOWING_CALLS:
                yield from node.args
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Attribute) and target.attr in SHOWN_ATTRIBUTES for target in node.targets
        ):
            yield node.value


def untranslated(expression: ast.expr) -> Iterator[str]:
    """Words in an expression that no translator has seen; format strings without words do not count."""
    if isinstance(expression, ast.Call) and getattr(expression.func, "id", "") in TRANSLATORS:
        return
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        if any(word.isalpha() and len(word) > 2 for word in expression.value.split()):
            yield expression.value
        return
    for child in ast.iter_child_nodes(expression):
        if isinstance(child, ast.expr):
            yield from untranslated(child)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_words_go_through_the_translator(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [words for shown in shown_expressions(tree) for words in untranslated(shown)] == []


def test_words_that_do_not_are_found() -> None:
    tree = ast.parse("step.say(TODO, 'Choose a folder.')\nlabel.text = _('fine') + f'{x:.2f} done'")
    found = [words for shown in shown_expressions(tree) for words in untranslated(shown)]
    assert sorted(found) == [" done", "Choose a folder."]
