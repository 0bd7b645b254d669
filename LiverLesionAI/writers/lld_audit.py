"""The audit page of a copy of LLD-MMRI: every phase with its outline, what was mended and doubted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.readers.lld_mmri import ATTRIBUTION, LldPatient
from LiverLesionAI.study import Study
from LiverLesionAI.writers.figures import save_png
from LiverLesionAI.writers.report import html_style, template, write_html
from LiverLesionAI.writers.tables import Table, write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = "audit"
_WINDOW_PERCENTILES = (1.0, 99.5)
_OUTLINE = "#ffd84d"


def write_audit(
    patients: Sequence[LldPatient], failures: Mapping[str, str], folder: Path, source: str
) -> tuple[Path, Path]:
    """Write ``audit.html`` and ``audit.csv``; the pictures of :func:`write_picture` are shown where they are.

    Parameters
    ----------
    patients
        What was read.
    failures
        Case to why it could not be read.
    folder
        Exists.
    source
        What is audited, for people.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    rows: list[tuple[str, ...]] = [
        (case, "", "unreadable", "left out", why) for case, why in failures.items()
    ]
    for each in patients:
        rows += [(each.case, f.sequence, f.trap, f.verdict, f.words) for f in each.findings]
    table = write_csv(
        Table(("case", "sequence", "trap", "verdict", "words"), tuple(rows)), folder / "audit.csv"
    )
    page = template("lld_audit.html").render(
        style=html_style(),
        source=source,
        licence=ATTRIBUTION,
        patients=patients,
        failures=failures,
        counts=_counts(patients),
        pictures=PICTURES,
    )
    write_html(page, folder / "audit.html")
    return folder / "audit.html", table


def write_picture(patient: LldPatient, folder: Path) -> Path:
    """Write a picture of a case's phases, each in the middle slice of its lesion, into ``audit/``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    target = folder / PICTURES / f"{patient.case}.png"
    target.parent.mkdir(exist_ok=True)
    save_png(_figure(patient.study), target, dpi=90)
    return target


def _counts(patients: Sequence[LldPatient]) -> list[tuple[str, str, int]]:
    """Trap, verdict and in how many cases."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in patients:
        for finding in each.findings:
            found.setdefault((finding.trap, finding.verdict), set()).add(each.case)
    return [(*kind, len(cases)) for kind, cases in sorted(found.items())]


def _figure(study: Study) -> Figure:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 7, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(1.35 * len(study.images), 1.55), layout="constrained")
        FigureCanvasAgg(figure)
        for place, (name, sequence) in enumerate(study.images.items(), start=1):
            axes = figure.add_subplot(1, len(study.images), place)
            axes.set_axis_off()
            axes.set_title(name, fontsize=7)
            outline = study.outlined_lesions if name == study.reference else study.outlines[name]
            lesion = sitk.GetArrayViewFromImage(outline) > 0
            index = round(float(np.argwhere(lesion)[:, 0].mean()))
            plane = sitk.GetArrayViewFromImage(sequence.image)[index]
            low, high = np.percentile(plane, _WINDOW_PERCENTILES)
            sides = sequence.image.GetSpacing()
            axes.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1), aspect=sides[1] / sides[0])
            if lesion[index].any() and not lesion[index].all():
                axes.contour(lesion[index], levels=[0.5], colors=_OUTLINE, linewidths=0.8)
    return figure
