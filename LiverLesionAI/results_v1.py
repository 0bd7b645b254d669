"""``results.json`` of the first schema in the words of the present one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA = "liverlesionai.results.v1"
_PRIMARY_TASK = "type"
_RENAMED_METHODS = {"smoothed-gradients": "smoothgrad"}


def from_first(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content of the present schema of content of the first.

    Raises
    ------
    KeyError, TypeError, AttributeError
        If it is not of the first schema's form.
    """
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
    primary = _PRIMARY_TASK if _PRIMARY_TASK in tasks else next(iter(tasks), None)
    return {
        name: {**_renamed(task, {"fold_std": "std"}), "primary": name == primary}
        for name, task in tasks.items()
    }


def _renamed(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in content.items()}
