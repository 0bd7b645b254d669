"""``results.json`` as a schema: checked on the way in, files of the first one read, JSON Schema written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from LiverLesionAI.errors import StudyError
from LiverLesionAI.results import SCHEMA, StudyResult

FIRST_SCHEMA = "liverlesionai.results.v1"
_FIRST_PRIMARY_TASK = "type"
_RENAMED_METHODS = {"smoothed-gradients": "smoothgrad"}


def parse(content: Mapping[str, Any]) -> StudyResult:
    """Read the content of a ``results.json``.

    Raises
    ------
    StudyError
        If the content is of another schema or does not fit it.
    """
    found = content.get("schema")
    if found not in (SCHEMA, FIRST_SCHEMA):
        raise StudyError(f"The results are of schema {found!r}, not {SCHEMA!r}; classify the study again.")
    rest = {key: value for key, value in content.items() if key != "schema"}
    try:
        return TypeAdapter(StudyResult).validate_python(_from_first(rest) if found == FIRST_SCHEMA else rest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StudyError(f"The results do not fit {found}: {where}: {first['msg']}.") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(f"The results do not fit {found} ({error}); classify the study again.") from None


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``results.json``, made from :mod:`LiverLesionAI.results`."""
    schema = TypeAdapter(StudyResult).json_schema()
    properties = {"schema": {"const": SCHEMA}, **schema["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": SCHEMA,
        "properties": properties,
        "required": ["schema", *schema["required"]],
    }


def _from_first(content: dict[str, Any]) -> dict[str, Any]:
    """Content of the first schema in the words of this one."""
    provenance = dict(content["provenance"])
    parameters = dict(provenance.get("parameters", {}))
    if "saliency" in parameters:
        settings = dict(parameters["saliency"])
        settings["method"] = _RENAMED_METHODS.get(settings["method"], settings["method"])
        parameters["saliency"] = settings
    return {
        **content,
        "models": [_renamed(model, {"folds": "members"}) for model in content["models"]],
        "lesions": [_first_lesion(lesion) for lesion in content["lesions"]],
        "study_tasks": _first_tasks(content.get("study_tasks", {})),
        "provenance": {**provenance, "parameters": parameters},
    }


def _first_lesion(lesion: Mapping[str, Any]) -> dict[str, Any]:
    renamed = _renamed(lesion, {"reader": "reading"})
    if renamed.get("reading") is not None:
        renamed["reading"] = _renamed(renamed["reading"], {"settled": "consensus"})
    return {**renamed, "tasks": _first_tasks(lesion.get("tasks", {}))}


def _first_tasks(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """In the first schema task ``type`` was the primary one where there was one, else the first."""
    primary = _FIRST_PRIMARY_TASK if _FIRST_PRIMARY_TASK in tasks else next(iter(tasks), None)
    return {
        name: {**_renamed(task, {"fold_std": "std"}), "primary": name == primary}
        for name, task in tasks.items()
    }


def _renamed(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in content.items()}
