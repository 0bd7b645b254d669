"""What systems say and do alike whose networks see images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn


def image_format(
    channels: tuple[str, ...],
    shape: tuple[int, ...],
    *,
    modality: Literal["MR", "CT"] = "MR",
    is_patch: bool = True,
) -> dict[str, Any]:
    """Describe an image in [0, 1] as MONAI does (``network_data_format``).

    Parameters
    ----------
    channels
        What each channel shows.
    shape
        Pixels or voxels along each axis.
    modality
        Magnitudes of MRI, or Hounsfield units of CT.
    is_patch
        Whether it is cut out of a larger one.
    """
    return {
        "type": "image",
        "format": "magnitude" if modality == "MR" else "hounsfield",
        "modality": modality,
        "num_channels": len(channels),
        "spatial_shape": list(shape),
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": is_patch,
        "channel_def": {str(index): name for index, name in enumerate(channels)},
    }


def lay_channels_last(network: nn.Module) -> None:
    """Lay the kernels of a 2D network out channels last, in place."""
    import torch

    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
