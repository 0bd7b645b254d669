"""The model card of a bundle, rendered from its metadata and its calibration alone."""

from __future__ import annotations

from collections.abc import Iterable

from LiverLesionAI.bundles.metadata import BundleMetadata
from LiverLesionAI.results import PHANTOM_NOTICE
from LiverLesionAI.systems import known_system
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.uncertainty.calibrated import Calibration
from LiverLesionAI.uncertainty.out_of_distribution import FALSE_ALARMS


def model_card(metadata: BundleMetadata, calibration: Calibration | None = None) -> str:
    """Render ``docs/README.md``.

    Parameters
    ----------
    metadata
        The bundle's metadata.
    calibration
        What its probabilities are worth; None where that was not measured.

    Returns
    -------
    str
        Markdown: what the model is, what it reads, how it was trained, what was measured, what it is not for.
    """
    return "\n\n".join(_sections(metadata, calibration)) + "\n"


def _sections(metadata: BundleMetadata, calibration: Calibration | None) -> Iterable[str]:
    spec, cohort = metadata.liver_lesion, metadata.liver_lesion.training_cohort
    yield f"# {metadata.name} {metadata.version}"
    if spec.intended_use == "phantom":
        warning = PHANTOM_NOTICE.capitalize()
        yield f"> **{warning}.** Its figures were measured on phantoms and say nothing about patients."
    yield metadata.description
    yield "## Use"
    yield metadata.intended_use
    yield "Not intended for:\n\n" + _list(spec.not_intended_for)
    yield "## Input and output"
    yield (
        f"Sequences, in this order: {', '.join(spec.sequences)}. "
        f"It cannot do without {', '.join(spec.required_sequences)}." if spec.required_sequences else
        f"Sequences, in this order: {', '.join(spec.sequences)}. Any of them may be missing; the answer then "
        "rests on the others and says so."
    )  # fmt: skip
    yield _table(
        ("task", "classes"),
        [(name, ", ".join(TAXONOMIES[task.taxonomy].names)) for name, task in spec.tasks.items()],
    )
    members = len(spec.members)
    yield (
        f"The answer is the mean of {members} networks; their standard deviation is reported with it."
        if members > 1
        else "The answer is that of one network; there is no standard deviation to report."
    )
    yield "## Training"
    units = "lesions" if known_system(spec.system).unit == "lesion" else "studies"
    yield f"{cohort.lesions} {units} of {cohort.patients} patients: {cohort.description}. Seed {spec.seed}."
    yield _table(("class", units), [(name, str(count)) for name, count in cohort.classes.items()])
    yield "What the paper leaves open was chosen so:"
    yield _table(("what", "choice"), list(spec.choices.items()))
    yield "The whole configuration is `configs/training.yaml`; `liverlesionai train` repeats the run with it."
    yield "## Results"
    for cohort_name in dict.fromkeys(metric.cohort for metric in spec.metrics):
        yield f"Measured in {cohort_name}:"
        yield _table(
            ("figure", "value", "95% interval", units),
            [
                (
                    m.name.replace("_", " "),
                    f"{m.value:.3f}",
                    f"{m.lower:.3f}–{m.upper:.3f} ({m.method})",
                    str(m.n),
                )
                for m in spec.metrics
                if m.cohort == cohort_name
            ],
        )
    yield "## Calibration"
    yield from _calibrated(calibration)
    yield "## References"
    yield _list(metadata.references)


def _calibrated(calibration: Calibration | None) -> Iterable[str]:
    """How far probabilities and sets may be relied on, and whether the unfamiliar is noticed."""
    if calibration is None:
        yield (
            "Not calibrated: its probabilities need not mean what they say, it gives no prediction sets, and "
            "it does not notice lesions unlike those that it was trained on."
        )
        return
    yield f"Measured on {calibration.cohort}, which no network of it was trained on."
    yield _table(
        (
            "task",
            "cases",
            "temperature",
            "calibration error",
            "with the temperature",
            "sets hold the truth in",
        ),
        [
            (
                name,
                str(task.cases),
                f"{task.temperature:.2f}",
                f"{task.ece:.3f}",
                f"{task.ece_calibrated:.3f}",
                f"{task.sets.coverage:.0%} of the cases of each class (promised)",
            )
            for name, task in calibration.tasks.items()
        ],
    )
    known = calibration.familiarity
    if known is None:
        yield "It does not notice lesions unlike those that it was trained on."
        return
    yield (
        "A case is called unlike the training where its pictures or the network's features lie farther from "
        f"it, or the lesion stands out less, than in {1 - FALSE_ALARMS:.0%} of these cases; compared are "
        f"{', '.join(known.parts)}."
    )


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
