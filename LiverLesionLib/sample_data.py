"""Sample data: phantom studies made on the spot, so that no network is needed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.dependencies import ensure_packages

SEED = 800_012
STUDY_ID = f"phantom-{SEED}"
CLASSES = ("HCC", "cyst", "metastasis")
MISALIGNED_MM = (12.0, 3.0)
"""Bounds of the rigid and of the smooth displacement between sequences: something is left to align."""
_INTERVAL_MS = 100
_MAKE = """
import sys
from LiverLesionAI.phantom import generate_study
from LiverLesionAI.worker.exchange import send_study
send_study(generate_study({seed}, classes={classes}, misalign_mm={misaligned}).study, sys.argv[1])
"""


def register_sample_data() -> None:
    """Offer the phantoms in Slicer's module Sample Data, under a heading of our own."""
    import SampleData

    icon = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / "LiverLesionPhantom.png"
    samples = {
        _("Liver phantom, lesions segmented"): PhantomLoader(segmented=True),
        _("Liver phantom, nothing segmented"): PhantomLoader(segmented=False),
    }
    for name, loader in samples.items():
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=_("Liver Lesion AI"),
            sampleName=name,
            uris="",
            fileNames="",
            nodeNames="",
            thumbnailFileName=icon.as_posix(),
            customDownloader=loader.start,
        )


def load_phantom(segmented: bool = True) -> list[Any]:
    """Make a phantom study of three lesions, show it, and return its volume nodes; waits some seconds.

    Where it is in the scene already, it stays as it is, with all that was made of it. It is a digital
    phantom, no patient; what is learned from it holds for phantoms.

    Parameters
    ----------
    segmented
        Whether the lesions come as segments.
    """
    if present := _in_scene():
        return present
    ensure_packages("sample")
    from LiverLesionAI.phantom import generate_study

    return _show(generate_study(SEED, classes=CLASSES, misalign_mm=MISALIGNED_MM).study, segmented)


class PhantomLoader:
    """Makes the phantom of :func:`load_phantom` in a process of its own, so that the window stays alive.

    Parameters
    ----------
    segmented
        Whether the lesions come as segments.
    """

    def __init__(self, segmented: bool) -> None:
        self._segmented = segmented
        self._process: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    def start(self, source: Any = None) -> None:
        """Begin, unless it is being made already."""
        from LiverLesionAI.worker.client import worker_command
        from LiverLesionAI.worker.process import start_process

        if self._process is not None:
            return
        if _in_scene():
            slicer.util.showStatusMessage(_("The liver phantom is in the scene already."), 3000)
            return
        ensure_packages("sample")
        slicer.util.showStatusMessage(_("Making a liver phantom; this takes some seconds…"))
        self._folder = tempfile.TemporaryDirectory(prefix="LiverLesionAI-")
        code = _MAKE.format(seed=SEED, classes=CLASSES, misaligned=MISALIGNED_MM)
        self._process = start_process([worker_command()[0], "-c", code, self._folder.name])
        self._timer.start()

    def _poll(self) -> None:
        from LiverLesionAI.worker.exchange import receive_study
        from LiverLesionAI.worker.process import end_process_tree

        process, folder = self._process, self._folder
        if process is None or folder is None or process.poll() is None:
            return
        self._timer.stop()
        self._process, self._folder = None, None
        with folder, slicer.util.tryWithErrorDisplay(_("The liver phantom could not be made.")):
            end_process_tree(process)
            if process.returncode != 0:
                raise RuntimeError(process.stderr.read().strip().rpartition("\n")[2])
            _show(receive_study(folder.name), self._segmented)
            slicer.util.showStatusMessage(_("A liver phantom was made."), 3000)


def _in_scene() -> list[Any]:
    """Volume nodes of the phantom's sequences, where the scene has them."""
    from LiverLesionAI.mrml import attributes
    from LiverLesionAI.scenes.nodes import study_nodes

    nodes = study_nodes(slicer.mrmlScene, STUDY_ID)
    return [
        node for node in nodes if node.GetAttribute(attributes.SEQUENCE) and node.IsA("vtkMRMLVolumeNode")
    ]


def _show(study: Any, segmented: bool) -> list[Any]:
    from dataclasses import replace

    from LiverLesionAI.scenes.show import arrange_views, show_study

    study = study if segmented else replace(study, lesions=None)
    nodes = show_study(slicer.mrmlScene, study)
    arrange_views(slicer.mrmlScene, study, nodes)
    return list(nodes.volumes.values())
