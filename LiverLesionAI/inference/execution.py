"""On which device and in which precision a network runs."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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
    if device == "auto":
        device = "cuda" if has_cuda() else "cpu"
    if device != "cpu":
        _check_device(device)
    if precision == "auto":
        return Execution(device, "bf16" if gains_by_bf16(device) else "fp32")
    if precision not in ("fp32", "bf16", "fp16"):
        raise ConfigError(f"Precision {precision!r} is not known; choose auto, fp32, bf16 or fp16.")
    if precision == "fp16" and device == "cpu":
        raise ConfigError("Precision fp16 is not possible on the processor; choose auto, fp32 or bf16.")
    if precision == "bf16" and not has_bf16(device):
        return Execution(device, "bf16", ("bf16 is emulated on this hardware and slower than fp32",))
    return Execution(device, precision)


def _check_device(device: str) -> None:
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device, False):
        usable = ", ".join(name for name, there in available.items() if there)
        raise ConfigError(f"This machine has no device {device!r}; choose auto or one of {usable}.")


def has_cuda() -> bool:
    """Whether there is a CUDA device; torch, which takes seconds to be imported, is asked if there may be."""
    if "torch" not in sys.modules and not _may_have_cuda():
        return False
    import torch

    return torch.cuda.is_available()


def _may_have_cuda() -> bool:
    """Whether the torch that is installed may find a GPU, as its version and NVIDIA's driver say."""
    try:
        build = version("torch").partition("+")[2]
    except PackageNotFoundError:
        return True
    if sys.platform == "darwin" or build == "cpu":
        return False
    if build.startswith("rocm"):
        return True
    with suppress(OSError):
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        return True
    return False


def thread_count() -> int | None:
    """How many threads a network may take: as torch was told, or ``OMP_NUM_THREADS`` says, else None."""
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(told) if told.isdecimal() and int(told) > 0 else None


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
    return _has_amx() if device == "cpu" else has_bf16(device)


def _has_amx() -> bool:
    """Whether the processor has tiles that the system lets programs use.

    Linux says so itself, Macs have none, elsewhere torch is asked.
    """
    if sys.platform == "darwin":
        return False
    if sys.platform == "linux":
        with suppress(OSError):
            return "amx_tile" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").split()
    import torch

    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
