"""Which program runs a network: torch, the reference, or OpenVINO on processors (``docs/engines.md``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.inference.engine import Ran
from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.inference.slopes import MemberSlopes
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.progress import Progress

TORCH, OPENVINO = "torch", "openvino"
ENGINES = ("auto", TORCH, OPENVINO)
KEPT_WEIGHTS_BYTES = 2**30
"""Members that together are no larger on disk stay in memory between calls where that is allowed. Larger
models are read anew for each call, and preparing graphs of them costs more than a call gains by it."""


class Engine(Protocol):
    """Answers with all members of a model in torch's place."""

    def load(self, progress: Progress, /) -> None:
        """Make ready to answer."""

    def run(self, inputs: Sequence[NetworkInput], progress: Progress, /) -> list[Ran]:
        """Run inputs, of which there is one at least, one by one; the answers of each member."""

    def slopes(self) -> MemberSlopes | None:
        """What takes gradients of the members' branches; None where it knows none of such networks."""

    def features(self, part: str, /, *arrays: np.ndarray) -> np.ndarray:
        """Run a part of all members on a batch of its arrays, ``[members, N, F]``.

        Parameters
        ----------
        part
            A sequence whose branch it is; :data:`~LiverLesionAI.inference.engine.FEATURES` of a network
            without branches.
        arrays
            Patches; or slices ``[N, C, H, W]`` and the sequences that they show, ``[N, C]``.
        """


def with_engine(execution: Execution, engine: str, bundle: Bundle) -> Execution:
    """Choose the engine that runs a model's networks.

    ``auto`` takes OpenVINO where it is installed, the device is the processor, it can run the networks, and
    the model is small enough to be kept (:data:`KEPT_WEIGHTS_BYTES`); else torch. Where it is installed and
    cannot be loaded, as where another program's libraries are in its way, a warning says so.

    Parameters
    ----------
    execution
        Device and precision as :func:`LiverLesionAI.inference.execution.resolve_execution` chose them.
    engine
        One of :data:`ENGINES`.
    bundle
        The model.

    Raises
    ------
    ConfigError
        If the name is not known, or what was asked for is not possible.
    """
    if engine not in ENGINES:
        raise ConfigError(f"Engine {engine!r} is not known; choose auto, torch or openvino.")
    if engine == TORCH:
        return execution
    refused = _refused(execution, bundle)
    if engine == "auto" and (refused or weights_bytes(bundle) > KEPT_WEIGHTS_BYTES):
        return execution
    broken = "" if refused else _broken()
    if engine == "auto" and broken:
        return replace(execution, warnings=(*execution.warnings, f"torch answered, since {broken}"))
    if refused or broken:
        raise ConfigError(refused or f"{broken}; install it anew, or choose the engine torch.")
    return replace(execution, engine=OPENVINO)


def engine_of(execution: Execution, bundle: Bundle) -> Engine | None:
    """What answers in torch's place; None where torch itself does."""
    if execution.engine == TORCH:
        return None
    from LiverLesionAI.inference.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(bundle, execution.precision, keep=weights_bytes(bundle) <= KEPT_WEIGHTS_BYTES)


def usable(engine: str) -> str:
    """An engine that once answered, or torch where this machine lacks it or cannot load it."""
    return engine if engine != OPENVINO or can_run() else TORCH


def can_run() -> bool:
    """Whether OpenVINO is installed and can be loaded."""
    return has_openvino() and not _broken()


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def weights_bytes(bundle: Bundle) -> int:
    """How large the weights of all members are on disk."""
    return sum(path.stat().st_size for path in bundle.member_paths)


def _broken() -> str:
    """Why OpenVINO, which is installed, cannot be loaded; empty where it can."""
    try:
        import LiverLesionAI.inference.openvino_runtime  # noqa: F401
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        why, *_ = [*str(error).splitlines(), type(error).__name__]
        return f"OpenVINO cannot be loaded ({why})"
    return ""


def _refused(execution: Execution, bundle: Bundle) -> str:
    """Why OpenVINO cannot run a model; empty where it can."""
    if OPENVINO not in bundle.system.engines(bundle.spec):
        return f"OpenVINO cannot run the networks of model {bundle.name}; choose the engine auto or torch."
    if execution.device != "cpu":
        return f"OpenVINO runs on the processor only, not on {execution.device}; choose the device cpu."
    if not has_openvino():
        return "OpenVINO is not installed; install liverlesionai[fast], or choose the engine auto or torch."
    return ""
