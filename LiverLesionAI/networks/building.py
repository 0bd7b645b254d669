"""Networks built without numbers, for weights that are read from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWING = (Tensor.normal_, Tensor.uniform_)


class _Undrawn(TorchFunctionMode):
    """Leaves random numbers out: on device ``"meta"`` torch imports its compiler (2 s) to draw none."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return args[0] if func in _DRAWING else func(*args, **(kwargs or {}))


@contextmanager
def built_on(device: str) -> Iterator[None]:
    """Build modules on a device; on ``"meta"`` without memory, and no random numbers are drawn for them."""
    with torch.device(device):
        if device == "meta":
            with _Undrawn():
                yield
        else:
            yield
