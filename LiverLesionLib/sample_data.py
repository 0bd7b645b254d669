"""Sample data: phantom studies made on the spot, so that no network is needed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.dependencies import ensure_packages

SEED = 800_012
CLASSES = ("HCC", "cyst", "metastasis")
MISALIGNED_MM = (12.0, 3.0)
"""Bounds of the rigid and of the smooth displacement between sequences: something is left to align."""
HEPATOBILIARY_SEED = 860_011
HEPATOBILIARY_CLASSES = ("HCC", "HCC", "metastasis")
_INTERVAL_MS = 100
_MAKE = """
import sys
from LiverLesionAI.phantom import generate_study
from LiverLesionAI.worker.exchange import send_study
send_study(generate_study({seed}, **{options}).study, sys.argv[1])
"""


@dataclass(frozen=True)
class Sample:
    """A phantom study of the samples.

    Attributes
    ----------
    seed, classes
        What it is made from.
    misaligned_mm
        Bounds of the rigid and of the smooth displacement between its sequences.
    hepatobiliary
        Whether it has the hepatobiliary phase besides the seven sequences.
    """

    seed: int
    classes: tuple[str, ...]
    misaligned_mm: tuple[float, float] = (0.0, 0.0)
    hepatobiliary: bool = False

    @property
    def study_id(self) -> str:
        """Name of the study."""
        return f"phantom-{self.seed}"

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of ``generate_study`` beside the seed."""
        from LiverLesionAI.sequences import W_SEQUENCES

        sequences = (*W_SEQUENCES, "HBP") if self.hepatobiliary else W_SEQUENCES
        return {"classes": self.classes, "sequences": sequences, "misalign_mm": self.misaligned_mm}


def sample(hepatobiliary: bool = False) -> Sample:
    """Return the sample with or without the hepatobiliary phase."""
    if hepatobiliary:
        return Sample(HEPATOBILIARY_SEED, HEPATOBILIARY_CLASSES, hepatobiliary=True)
    return Sample(SEED, CLASSES, MISALIGNED_MM)


def register_sample_data() -> None:
    """Offer the phantoms in Slicer's module Sample Data, under a heading of our own."""
    import SampleData

    icon = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / "LiverLesionPhantom.png"
    hepatobiliary = PhantomLoader(sample(hepatobiliary=True), segmented=False)
    samples = {
        _("Liver phantom, lesions segmented"): PhantomLoader(sample(), segmented=True),
        _("Liver phantom, nothing segmented"): PhantomLoader(sample(), segmented=False),
        _("Liver phantom with hepatobiliary phase"): hepatobiliary,
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


def load_phantom(segmented: bool = True, hepatobiliary: bool = False) -> list[Any]:
    """Make a phantom study of three lesions, show it, and return its volume nodes; waits some seconds.

    Where it is in the scene already, it stays as it is, with all that was made of it. It is a digital
    phantom, no patient; what is learned from it holds for phantoms.

    Parameters
    ----------
    segmented
        Whether the lesions come as segments.
    hepatobiliary
        Whether it is the study with the hepatobiliary phase.
    """
    wanted = sample(hepatobiliary)
    if present := _in_scene(wanted):
        return present
    ensure_packages("sample")
    from LiverLesionAI.phantom import generate_study

    return _show(generate_study(wanted.seed, **wanted.options).study, segmented)


class PhantomLoader:
    """Makes the phantom of :func:`load_phantom` in a process of its own, so that the window stays alive.

    Parameters
    ----------
    wanted
        The phantom.
    segmented
        Whether the lesions come as segments.
    """

    def __init__(self, wanted: Sample, segmented: bool) -> None:
        self._sample, self._segmented = wanted, segmented
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
        if _in_scene(self._sample):
            slicer.util.showStatusMessage(_("The liver phantom is in the scene already."), 3000)
            return
        ensure_packages("sample")
        slicer.util.showStatusMessage(_("Making a liver phantom; this takes some seconds…"))
        self._folder = tempfile.TemporaryDirectory(prefix="LiverLesionAI-")
        code = _MAKE.format(seed=self._sample.seed, options=self._sample.options)
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


def _in_scene(wanted: Sample) -> list[Any]:
    """Volume nodes of a phantom's sequences, where the scene has them."""
    from LiverLesionAI.mrml import attributes
    from LiverLesionAI.scenes.nodes import study_nodes

    nodes = study_nodes(slicer.mrmlScene, wanted.study_id)
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
