"""Python packages that Slicer does not ship: found without loading them, asked for once, on first use."""

from __future__ import annotations

from importlib.util import find_spec

import slicer
from slicer.i18n import tr as _

PACKAGES = {
    "monai": "monai>=1.5",
    "safetensors": "safetensors>=0.4.3",
    "nibabel": "nibabel>=5.2",
    "pydantic": "pydantic>=2.6",
    "filelock": "filelock>=3.13",
    "typer": "typer>=0.19",
    "rich": "rich>=13.7",
}
TORCH = "torch"
TORCH_REQUIREMENT = ">=2.8"


def missing_packages() -> list[str]:
    """Return the packages that are not installed, PyTorch among them; nothing is imported."""
    return [name for name in (TORCH, *PACKAGES) if find_spec(name) is None]


def ensure_packages() -> None:
    """Install what is missing after one question.

    Raises
    ------
    RuntimeError
        If the user declines, PyTorch's extension is missing, or the installation fails; the text says what to
        do on a machine without a network.
    """
    missing = missing_packages()
    if not missing:
        return
    question = _(
        "The classifier needs {names}, which are downloaded from the Python Package Index and installed into "
        "Slicer. This takes some minutes. Install them now?"
    ).format(names=", ".join(missing))
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install Python packages")):
        raise RuntimeError(offline_instructions(missing))
    if TORCH in missing:
        _install_torch()
    wanted = [PACKAGES[name] for name in missing if name != TORCH]
    if wanted:
        slicer.util.pip_install(wanted)
    left = missing_packages()
    if left:
        raise RuntimeError(offline_instructions(left))


def offline_instructions(missing: list[str]) -> str:
    """Say how to install packages by hand."""
    wanted = " ".join(PACKAGES.get(name, f"torch{TORCH_REQUIREMENT}") for name in missing)
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
    logic.installTorch(askConfirmation=False, torchVersionRequirement=TORCH_REQUIREMENT)
