"""On which device and in which precision a network runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

from LiverLesionAI.errors import ConfigError

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
"""Read by OpenMP when torch is loaded, which must come after this module: threads without work sleep after
some microseconds. If they went on spinning, a network would take ten times as long as soon as another program
uses the same cores; if they slept at once, half as long again on idle ones."""


@dataclass(frozen=True)
class Execution:
    """Device, precision and engine that were chosen, and what the user should know about the choice."""

    device: str
    precision: str
    warnings: tuple[str, ...] = ()
    engine: str = "torch"


def resolve_execution(device: str = "auto", precision: str = "auto") -> Execution:
    """Choose device and precision.

    ``auto`` takes a CUDA device where there is one, else the processor; and bfloat16 only where it is faster
    than float32: on CUDA from Ampere on, and on processors with AMX. AVX512-BF16 alone multiplies it too, but
    takes longer than for float32 (``benchmarks/zhen2020/speed.py``).

    Raises
    ------
    ConfigError
        If the device is not there, a name is not known, or the precision is not possible on the device.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = "cuda" if available["cuda"] else "cpu"
    if not available.get(device, False):
        usable = ", ".join(name for name, there in available.items() if there)
        raise ConfigError(f"This machine has no device {device!r}; choose auto or one of {usable}.")
    if precision == "auto":
        return Execution(device, "bf16" if gains_by_bf16(device) else "fp32")
    if precision not in ("fp32", "bf16", "fp16"):
        raise ConfigError(f"Precision {precision!r} is not known; choose auto, fp32, bf16 or fp16.")
    if precision == "fp16" and device == "cpu":
        raise ConfigError("Precision fp16 is not possible on the processor; choose auto, fp32 or bf16.")
    if precision == "bf16" and not has_bf16(device):
        return Execution(device, "bf16", ("bf16 is emulated on this hardware and slower than fp32",))
    return Execution(device, precision)


def resolve_training_execution(precision: str = "auto") -> Execution:
    """Choose device and precision of a training.

    On the processor ``auto`` is float32 and bfloat16 is refused: oneDNN's gradient of a 3×3×3 kernel in
    bfloat16 holds whatever was in memory where the volume has two voxels along an axis, as in the last stage
    of a patch of 64³ (torch 2.13 on processors with AVX512-BF16). Inference is not touched by this.

    Raises
    ------
    ConfigError
        If bfloat16 is asked for on a machine without a GPU.
    """
    execution = resolve_execution("auto", precision)
    if execution.device != "cpu" or execution.precision == "fp32":
        return execution
    if precision == "auto":
        return Execution("cpu", "fp32")
    raise ConfigError(
        "Training in bf16 needs a GPU, since gradients of small volumes are wrong on the processor; "
        "set the precision to auto or fp32."
    )


def has_bf16(device: str) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    if device == "cpu":
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return False


def gains_by_bf16(device: str) -> bool:
    """Whether a device multiplies bfloat16 so that a network is faster in it than in float32."""
    import torch

    if device == "cpu":
        return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
    return has_bf16(device)
