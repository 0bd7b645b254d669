"""Python packages that Slicer does not ship: found without loading them, asked for when first needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Literal

import slicer
from slicer.i18n import tr as _

Action = Literal["sample", "register", "classify", "export", "read", "batch"]
"""What packages are needed for; explaining and saving need those of classifying, asked for all at once."""

TORCH = "torch"

REQUIREMENTS: Mapping[str, str] = {
    TORCH: "torch>=2.8",
    "monai": "monai>=1.5.1",
    "safetensors": "safetensors>=0.4.3",
    "nibabel": "nibabel>=5.2",
    "isal": "isal>=1.7",
    "pydantic": "pydantic>=2.6",
    "filelock": "filelock>=3.13",
    "typer": "typer>=0.19",
    "rich": "rich>=13.7",
    "matplotlib": "matplotlib>=3.8",
    "jinja2": "jinja2>=3.1",
    "highdicom": "highdicom>=0.28",
    "distributed": "distributed>=2024.8",
    "pyarrow": "pyarrow>=16",
}
"""Package to what pip is asked for."""

PACKAGES_OF: Mapping[Action, tuple[str, ...]] = {
    "sample": ("nibabel",),
    "register": ("typer",),
    "classify": tuple(name for name in REQUIREMENTS if name not in ("distributed", "pyarrow")),
    "export": ("filelock", "isal"),
    "read": ("nibabel", "pydantic", "filelock"),
    "batch": tuple(REQUIREMENTS),
}
"""What each action imports, here or in the worker; what these packages need themselves comes with them."""


def missing_packages(action: Action) -> list[str]:
    """Return the packages of an action that are not installed; nothing is imported."""
    return [name for name in PACKAGES_OF[action] if find_spec(name) is None]


def ensure_packages(action: Action) -> None:
    """Install what an action needs and is missing, after one question.

    Parameters
    ----------
    action
        What the reader wants to do.

    Raises
    ------
    RuntimeError
        If the user declines, PyTorch's extension is missing, or the installation fails; the text says what to
        do on a machine without a network.
    """
    missing = missing_packages(action)
    if not missing:
        return
    question = _(
        "This needs {names}, to be downloaded from the Python Package Index and installed into Slicer. "
        "It takes some minutes. Install now?"
    ).format(names=", ".join(missing))
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install Python packages")):
        raise RuntimeError(offline_instructions(missing))
    if TORCH in missing:
        _install_torch()
    wanted = [REQUIREMENTS[name] for name in missing if name != TORCH]
    if wanted:
        slicer.util.pip_install(wanted)
    left = missing_packages(action)
    if left:
        raise RuntimeError(offline_instructions(left))


def offline_instructions(missing: Sequence[str]) -> str:
    """Say how to install packages by hand."""
    wanted = " ".join(REQUIREMENTS[name] for name in missing)
    return _(
        "Not installed: {names}. Without a network, download the packages elsewhere with "
        "'pip download {wanted}' for the same Python version and install them in the Python console with "
        "slicer.util.pip_install('--no-index --find-links FOLDER {wanted}')."
    ).format(names=", ".join(missing), wanted=wanted)


def _install_torch() -> None:
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        raise RuntimeError(
            _(
                "PyTorch comes through the extension PyTorch; install it in the Extensions Manager, "
                "then restart Slicer."
            )
        ) from None
    logic = PyTorchUtils.PyTorchUtilsLogic()
    version = REQUIREMENTS[TORCH].removeprefix(TORCH)
    logic.installTorch(askConfirmation=False, torchVersionRequirement=version)
