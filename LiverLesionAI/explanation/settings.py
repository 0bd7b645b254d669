"""What to explain, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast, get_args

from LiverLesionAI.errors import ConfigError

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.taxonomy import Taxonomy

Method = Literal[
    "integrated-grad-cam", "grad-cam", "input-gradient", "lesion-parts", "integrated-gradients", "smoothgrad"
]
METHODS: tuple[Method, ...] = get_args(Method)
"""Names of all methods, the faster ones first.

:data:`LiverLesionAI.explanation.methods.TABLE` has the methods themselves, and a bundle's system says which
of them it offers."""


@dataclass(frozen=True)
class Settings:
    """What to explain, and how.

    Attributes
    ----------
    method
        ``"integrated-grad-cam"`` or plain ``"grad-cam"`` (:mod:`LiverLesionAI.explanation.gradcam`), at
        `stage`; ``"lesion-parts"``, dark and bright parts of the lesion as wholes
        (:mod:`LiverLesionAI.explanation.parts`); ``"input-gradient"``, for models of slices
        (:mod:`LiverLesionAI.explanation.slices`); the finer and far slower ``"integrated-gradients"`` or
        ``"smoothgrad"`` (:mod:`LiverLesionAI.explanation.gradients`). By default the model's first.
    stage
        Stage of the activation maps; by default the model's first.
    task
        Task whose class the maps explain; by default that of `target`, else the model's primary task.
    target
        Class to be explained; by default each lesion's predicted one.
    seed
        Of the noise of SmoothGrad.
    """

    method: Method | None = None
    stage: str | None = None
    task: str | None = None
    target: str | None = None
    seed: int = 0


def resolved(settings: Settings, bundle: Bundle) -> Settings:
    """Return settings with the model's method and stage where none were asked for.

    Raises
    ------
    ConfigError
        If the model offers no explanation, or not that method, stage, task or class.
    """
    system = bundle.system
    if not system.explanations:
        raise ConfigError(f"Model {bundle.name} offers no explanations; classify without them.")
    settings = replace(
        settings,
        method=settings.method or cast(Method, system.explanations[0]),
        stage=settings.stage or next(iter(system.stages), None),
    )
    if settings.method not in system.explanations:
        offered = ", ".join(system.explanations)
        raise ConfigError(f"Method {settings.method!r} is not known; choose one of {offered}.")
    if settings.stage is not None and settings.stage not in system.stages:
        raise ConfigError(f"Stage {settings.stage!r} is not known; choose one of {', '.join(system.stages)}.")
    explained_task(settings, bundle.taxonomies, bundle.spec.primary_task)
    return settings


def explained_task(settings: Settings, taxonomies: Mapping[str, Taxonomy], primary: str) -> str:
    """Find the task whose class the maps explain.

    Parameters
    ----------
    settings
        What to explain, and how.
    taxonomies
        The model's tasks and their classes.
    primary
        The model's primary task.

    Raises
    ------
    ConfigError
        If the settings name a task or class that there is not.
    """
    if settings.task is not None and settings.task not in taxonomies:
        raise ConfigError(f"The model has no task {settings.task!r}; it has {', '.join(taxonomies)}.")
    tasks = list(taxonomies) if settings.task is None else [settings.task]
    if settings.target is not None:
        known = [name for task in tasks for name in taxonomies[task].names]
        tasks = [task for task in tasks if settings.target in taxonomies[task].names]
        if not tasks:
            raise ConfigError(f"The model knows no class {settings.target!r}; it knows {', '.join(known)}.")
    return primary if primary in tasks else tasks[0]
