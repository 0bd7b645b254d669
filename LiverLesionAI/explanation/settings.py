"""What to explain, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.explanation.branches import STAGES

if TYPE_CHECKING:
    from LiverLesionAI.taxonomy import Taxonomy

Method = Literal[
    "integrated-grad-cam", "grad-cam", "lesion-parts", "integrated-gradients", "smoothed-gradients"
]


METHODS: tuple[Method, ...] = get_args(Method)


CELL_METHODS: tuple[Method, ...] = ("integrated-grad-cam", "grad-cam")


DEFAULT_METHOD: Method = "integrated-grad-cam"


DEFAULT_STAGE = "stem"


MAP_TASK = "type"
"""The task whose class the maps explain, where a model has it; else its first task."""


@dataclass(frozen=True)
class Settings:
    """What to explain, and how.

    Attributes
    ----------
    method
        ``"integrated-grad-cam"`` or plain ``"grad-cam"`` (:mod:`LiverLesionAI.explanation.gradcam`), at
        `stage`; ``"lesion-parts"``, dark and bright parts of the lesion as wholes
        (:mod:`LiverLesionAI.explanation.parts`); the finer and far slower ``"integrated-gradients"`` or
        ``"smoothed-gradients"`` (:mod:`LiverLesionAI.explanation.gradients`).
    stage
        Stage of the activation maps.
    task
        Task whose class the maps explain; by default that of `target`, else ``type``, else the model's first.
    target
        Class to be explained; by default each lesion's predicted one.
    seed
        Of the noise of smoothed gradients.
    """

    method: Method = DEFAULT_METHOD
    stage: str = DEFAULT_STAGE
    task: str | None = None
    target: str | None = None
    seed: int = 0


def explained_task(settings: Settings, taxonomies: Mapping[str, Taxonomy]) -> str:
    """Find the task whose class the maps explain.

    Parameters
    ----------
    settings
        What to explain, and how.
    taxonomies
        The model's tasks and their classes.

    Raises
    ------
    ConfigError
        If the settings name a method, stage, task or class that there is not.
    """
    if settings.method not in METHODS:
        raise ConfigError(f"Method {settings.method!r} is not known; choose one of {', '.join(METHODS)}.")
    if settings.stage not in STAGES:
        raise ConfigError(f"Stage {settings.stage!r} is not known; choose one of {', '.join(STAGES)}.")
    if settings.task is not None and settings.task not in taxonomies:
        raise ConfigError(f"The model has no task {settings.task!r}; it has {', '.join(taxonomies)}.")
    tasks = list(taxonomies) if settings.task is None else [settings.task]
    if settings.target is not None:
        known = [name for task in tasks for name in taxonomies[task].names]
        tasks = [task for task in tasks if settings.target in taxonomies[task].names]
        if not tasks:
            raise ConfigError(f"The model knows no class {settings.target!r}; it knows {', '.join(known)}.")
    return MAP_TASK if MAP_TASK in tasks else tasks[0]
