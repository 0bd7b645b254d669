"""The JSON Schema of ``results.json``, made from the value objects."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from LiverLesionAI.results import SCHEMA, StudyResult


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``results.json``."""
    schema = TypeAdapter(StudyResult).json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": SCHEMA,
        "properties": {"schema": {"const": SCHEMA}, **schema["properties"]},
        "required": ["schema", *schema["required"]],
    }
