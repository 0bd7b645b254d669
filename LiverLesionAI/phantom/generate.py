"""Phantom studies from a seed: whole abdomens, or only the surroundings of one lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.study import ClinicalValue, SequenceImage, Study

from .acquisition import Scanner, Scene, draw_shading
from .anatomy import LABELS, LIVER_LABELS, Anatomy, Background
from .attenuation import FIELD_TESLA
from .clinical import draw_clinical
from .ct import CTScanner, draw_ct_scanner
from .fields import Grid, Lattice, stream, triple
from .lesions import Lesion, Mottle, Painted, Shape, draw_diameter, mixing, paint_lesions
from .modality import CT, MR, Modality, modality_of
from .motion import Displacement, draw_displacements
from .protocol import FIELD_OF_VIEW_Z, draw_protocol
from .regions import Setting
from .tissues import Tissue
from .truth import LesionTruth, Truth, outline

CLASSES = MR.classes
"""Classes of MRI that are drawn from where none is asked for; there are those of Zhen et al. too."""
ATYPICAL_SHARE = 0.3
SURVEILLED = "HCC"
"""Patients without a lesion have the livers of those with one of this class, whom surveillance is for."""
BODY_LOW, BODY_HIGH = (-215.0, -215.0, FIELD_OF_VIEW_Z[0]), (215.0, 215.0, FIELD_OF_VIEW_Z[1])
FULL_FINE_MM = (1.5, 1.5, 2.0)
COARSE = Grid.covering(BODY_LOW, BODY_HIGH, (8.0, 8.0, 4.0))
"""Whole-body grid that statistics of the whole volume and places for lesions are taken from."""
_CIRRHOSIS = {"HCC": 0.5, "ICC": 0.2, "other_benign": 0.85, "other_primary": 0.2, "indeterminate": 0.45}
_ROOM = (
    "liver",
    "liver nodule",
    "fibrosis",
    "hepatic vein",
    "portal vein",
    "fat",
    "ascites",
    "bowel wall",
    "bile",
)


@dataclass(frozen=True)
class PhantomStudy:
    """A study and, apart from it, the truth.

    Attributes
    ----------
    study : what a reader gets: sequences on their own grids and an outline on the reference sequence.
    truth : what only a test may look at.
    """

    study: Study
    truth: Truth


@dataclass(frozen=True)
class Patient:
    """Everything random about a study, before anything is rendered."""

    seed: int
    anatomy: Anatomy
    coarse_labels: NDArray[np.uint8]
    tissues: tuple[Tissue, ...]
    mixture: NDArray[np.float64]
    lesions: tuple[Lesion, ...]
    scanner: Scanner | CTScanner
    texture: Lattice
    displacements: Mapping[str, Displacement]
    reference: str

    def scene(self, grid: Grid, labels: NDArray[np.uint8] | None = None) -> tuple[Scene, Painted]:
        """Tissues and lesions on a grid of the reference frame; `labels`: the anatomy's, if known."""
        labels = self.anatomy.labels_on(grid) if labels is None else labels.copy()
        texture = 1 + np.float32(0.03) * self.texture.on(grid)
        host = np.isin(labels, [LABELS.index(n) for n in LIVER_LABELS])
        room = np.isin(labels, [LABELS.index(n) for n in _ROOM]) & (self.anatomy.depth_on(grid) > -4)
        painted = paint_lesions(labels, texture, grid, self.lesions, host, room, len(LABELS))
        return Scene(grid, labels, self.tissues, self.mixture, texture, LABELS.index("liver")), painted


def generate_lesion(
    seed: int,
    lesion_class: str,
    *,
    atypical: bool | None = None,
    misalign_mm: tuple[float, float] = (0.0, 0.0),
    sequences: Sequence[str] = W_SEQUENCES,
    field_tesla: float | None = None,
    vendor: str | None = None,
) -> PhantomStudy:
    """Phantom of one lesion: every sequence on its native grid, but only a box around the lesion.

    More than six parameters: each is something of the patient or the scanner that can be chosen.

    The box holds any crop of the training (rotation by 20°, scaling by 10 %); each MRI sequence carries the
    0.5 and 99.5 percentile that the whole volume would have, estimated on a coarse whole-body rendering.

    Parameters
    ----------
    seed : same seed and arguments, same voxels.
    lesion_class : one that the modality has (:mod:`modality`).
    atypical : typical or atypical form; None draws it (`ATYPICAL_SHARE`).
    misalign_mm : bounds of the rigid and of the smooth displacement, mm.
    sequences : names out of T2WI, DWI, ADC, T1WI, LAP, PVP, DP, HBP, with T2WI among them; or phases of CT,
        with CT_ART among them.
    field_tesla : 1.5 or 3; None draws it. Of MRI alone.
    vendor : of the scanner (:data:`LiverLesionAI.phantom.protocol.VENDORS`); None draws it.

    Raises
    ------
    ConfigError
        If a class, sequence or bound is not known or not possible.
    """
    patient = draw_patient(seed, (lesion_class,), atypical, misalign_mm, sequences, field_tesla, vendor)
    lesion = patient.lesions[0]
    low, high = _training_box(lesion)
    margin = sum(misalign_mm) + 4.0
    step = float(np.clip((high - low)[:2].max() / 105, 1.1, 2.2))
    scene, painted = patient.scene(Grid.covering(low - margin, high + margin, (step, step, 1.4 * step)))
    acquisitions = patient.scanner.protocol.acquisitions
    grids = {name: a.grid.cropped(a.grid.window(low, high)) for name, a in acquisitions.items()}
    return _examine(patient, scene, painted, grids, _whole_volume_limits(patient))


def generate_study(
    seed: int,
    *,
    classes: Sequence[str] | None = None,
    n_lesions: int | None = None,
    atypical: bool | None = None,
    misalign_mm: tuple[float, float] = (0.0, 0.0),
    sequences: Sequence[str] = W_SEQUENCES,
    omit: Sequence[str] = (),
    field_tesla: float | None = None,
    vendor: str | None = None,
    reference: str | None = None,
) -> PhantomStudy:
    """Phantom of a whole abdomen.

    More than six parameters: each is a choice of its own, drawn from the seed where it is not made.

    Parameters
    ----------
    seed : same seed and arguments, same voxels.
    classes : class of each lesion; None draws one class of the modality's for the patient and one to six
        lesions, as in Wang et al. An empty sequence is a patient without lesions, whose liver is as often
        cirrhotic as with HCC.
    n_lesions : number of lesions when `classes` is None or holds one class.
    atypical : typical or atypical form of every lesion; None draws each.
    misalign_mm : bounds of the rigid and of the smooth displacement, mm.
    sequences, omit : sequences of the protocol, and those among them that are missing from the study.
    field_tesla, vendor : 1.5 or 3; siemens, ge or philips; None draws them.
    reference : the sequence that the lesions are segmented on and that the others are displaced against;
        T2WI or CT_ART where none is named.

    Raises
    ------
    ConfigError
        If an argument is not known or not possible.
    """
    rng = stream(seed, "lesion count")
    if classes is None:
        of_modality = modality_of(sequences, reference).classes
        classes = (of_modality[int(rng.integers(len(of_modality)))],)
    if not classes:
        n_lesions = 0
    elif n_lesions is None:
        n_lesions = (
            len(classes) if len(classes) > 1 else int(rng.choice(6, p=(0.55, 0.2, 0.1, 0.07, 0.05, 0.03))) + 1
        )
    wanted = tuple(classes) if len(classes) > 1 else tuple(classes) * n_lesions
    if not bool(classes) <= n_lesions <= 6 or len(wanted) != n_lesions:
        raise ConfigError(f"A phantom holds 1 to 6 lesions, one per class given; {n_lesions} were asked for.")
    patient = draw_patient(seed, wanted, atypical, misalign_mm, sequences, field_tesla, vendor, reference)
    scene, painted = patient.scene(Grid.covering(BODY_LOW, BODY_HIGH, FULL_FINE_MM))
    acquisitions = patient.scanner.protocol.acquisitions
    kept = [name for name in acquisitions if name not in omit]
    if unknown := sorted(set(omit) - set(acquisitions)):
        raise ConfigError(f"The phantom has no sequence {', '.join(unknown)} to omit.")
    return _examine(patient, scene, painted, {name: acquisitions[name].grid for name in kept}, {})


def draw_patient(
    seed: int,
    classes: Sequence[str],
    atypical: bool | None,
    misalign_mm: tuple[float, float],
    sequences: Sequence[str],
    field_tesla: float | None,
    vendor: str | None,
    reference: str | None = None,
) -> Patient:
    """Draw everything random about a study.

    More than six parameters: those of :func:`generate_study`, which make the patient.

    Raises
    ------
    ConfigError
        If an argument is not known or not possible.
    """
    modality = modality_of(sequences, reference)
    reference = reference or modality.reference
    _check(modality, classes, misalign_mm, field_tesla)
    background = draw_background(seed, classes[0] if classes else SURVEILLED)
    anatomy = Anatomy.draw(stream(seed, "anatomy"), background)
    scanner: Scanner | CTScanner
    if modality is CT:
        scanner = draw_ct_scanner(stream(seed, "protocol"), sequences, vendor, seed)
        tissues = anatomy.tissues(FIELD_TESLA, stream(seed, "tissues"))
    else:
        protocol = draw_protocol(stream(seed, "protocol"), sequences, field_tesla, vendor)
        shading = draw_shading(stream(seed, "shading"), sequences, BODY_LOW, BODY_HIGH)
        scanner = Scanner(protocol, shading, seed)
        tissues = anatomy.tissues(protocol.field_tesla, stream(seed, "tissues"))
    table = tuple(tissues[name] for name in LABELS)
    displacements = draw_displacements(
        stream(seed, "motion"), sequences, reference, misalign_mm, BODY_LOW, BODY_HIGH
    )
    texture = Lattice.noise(stream(seed, "texture"), BODY_LOW, BODY_HIGH, 6.0)
    coarse = anatomy.labels_on(COARSE)
    places = _LiverPlaces.of(anatomy, coarse)
    lesions = _draw_lesions(seed, modality, classes, atypical, tissues["liver"], places)
    table += tuple(t for lesion in lesions for t in lesion.tissues)
    mixture = mixing(lesions, LABELS.index("liver"), len(LABELS))
    return Patient(seed, anatomy, coarse, table, mixture, lesions, scanner, texture, displacements, reference)


def _whole_volume_limits(patient: Patient) -> Mapping[str, tuple[float, float]]:
    """Percentiles of each MRI sequence's whole volume; CT has a scale of its own."""
    if isinstance(patient.scanner, CTScanner):
        return {}
    coarse, _ = patient.scene(COARSE, patient.coarse_labels)
    return patient.scanner.whole_volume_limits(coarse)


def _check(
    modality: Modality,
    classes: Sequence[str],
    misalign_mm: tuple[float, float],
    field_tesla: float | None,
) -> None:
    if unknown := [c for c in classes if c not in modality.patterns]:
        known = ", ".join(modality.patterns)
        raise ConfigError(f"The phantom has no lesion class {unknown[0]!r}; it has {known}.")
    if len(misalign_mm) != 2 or not all(0 <= bound <= 30 for bound in misalign_mm):
        raise ConfigError("The phantom's displacement bounds are two numbers from 0 to 30 mm: rigid, smooth.")
    if field_tesla not in (None, 1.5, 3, 3.0):
        raise ConfigError(f"The phantom knows 1.5 and 3 T, not {field_tesla}.")


def draw_background(seed: int, lesion_class: str) -> Background:
    """Draw whether a patient with a class of lesion has a healthy, fatty or cirrhotic liver."""
    cirrhosis = _CIRRHOSIS.get(lesion_class, 0.12)
    draw = stream(seed, "background").random()
    if draw < cirrhosis:
        return "cirrhotic"
    return "fatty" if draw < cirrhosis + 0.22 else "healthy"


def _draw_lesions(
    seed: int,
    modality: Modality,
    classes: Sequence[str],
    atypical: bool | None,
    liver: Tissue,
    places: _LiverPlaces,
) -> tuple[Lesion, ...]:
    lesions: list[Lesion] = []
    for number, name in enumerate(classes):
        rng = stream(seed, "lesion", number)
        odd = bool(rng.random() < ATYPICAL_SHARE) if atypical is None else atypical
        diameter = draw_diameter(rng, name)
        if number:
            diameter = min(diameter, 45.0)
        pattern = modality.patterns[name](Setting.draw(rng, liver, diameter), odd)
        shape = _draw_shape(rng, diameter, pattern.irregularity, pattern.coarseness, int(rng.integers(2**31)))
        shape = replace(shape, centre=places.draw(rng, shape.radius, lesions))
        lesions.append(
            Lesion(
                lesion_class=name,
                variant=pattern.variant,
                atypical=odd,
                shape=shape,
                layers=pattern.layers,
                texture=pattern.texture,
                mottle=Mottle.draw(rng, pattern.mottle),
                purity=1.0 if name == "cyst" else float(rng.uniform(0.5, 1.0)),
                infiltration=0.0 if name == "cyst" else float(rng.uniform(0.0, 0.3)),
            )
        )
    return tuple(lesions)


def _draw_shape(
    rng: np.random.Generator, diameter: float, irregularity: float, coarseness: float, seed: int
) -> Shape:
    turn, tilt = rng.uniform(0, np.pi), rng.normal(0, 0.15)
    about_z = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    axes = (1.0, float(rng.uniform(0.78, 1.0)), float(rng.uniform(0.78, 1.05)))
    return Shape((0.0, 0.0, 0.0), diameter / 2, axes, about_x @ about_z, irregularity, coarseness, seed)


@dataclass(frozen=True)
class _LiverPlaces:
    """Points in the liver parenchyma [n, 3] (LPS mm) and their depth below its surface [n] (mm)."""

    points: NDArray[np.float64]
    depths: NDArray[np.float32]

    @classmethod
    def of(cls, anatomy: Anatomy, coarse_labels: NDArray[np.uint8]) -> _LiverPlaces:
        depth = anatomy.depth_on(COARSE)
        liver = np.isin(coarse_labels, [LABELS.index(n) for n in LIVER_LABELS])
        nodes = np.argwhere((depth > 3) & liver)
        points = nodes[:, ::-1] * np.asarray(COARSE.spacing) + np.asarray(COARSE.origin)
        covered = np.abs(points[:, 2]) < 0.8 * FIELD_OF_VIEW_Z[1]
        return cls(points[covered], depth[tuple(nodes.T)][covered])

    def draw(
        self, rng: np.random.Generator, radius: float, others: Sequence[Lesion]
    ) -> tuple[float, float, float]:
        """Random place deep enough for most of a lesion and clear of the other lesions, LPS mm."""
        free = np.ones(len(self.points), bool)
        for other in others:
            gap = (
                np.linalg.norm(self.points - np.asarray(other.shape.centre), axis=1)
                - other.shape.radius
                - radius
            )
            free &= gap > 6
        if not free.any():
            raise ConfigError(
                "The phantom's liver has no room for so many lesions of this size; ask for fewer."
            )
        points, depths = self.points[free], self.depths[free]
        wanted = min(0.75 * radius * rng.uniform(0.6, 1.6), float(np.percentile(depths, 90)))
        eligible = points[depths >= wanted]
        x, y, z = eligible[rng.integers(len(eligible))] + rng.uniform(-2, 2, 3)
        return float(x), float(y), float(z)


def _training_box(lesion: Lesion) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Box around a lesion that holds every crop of the training, LPS mm."""
    diameter = 2 * lesion.shape.radius
    crop = 32.0 if diameter < 14 else 64.0 if diameter < 30 else 1.2 * diameter + 32
    half = np.array([max(1.75 * crop, 112.0)] * 2 + [max(1.75 * crop, 72.0)]) / 2
    centre = np.asarray(lesion.shape.centre)
    return centre - half, centre + half


def _examine(
    patient: Patient,
    scene: Scene,
    painted: Painted,
    grids: Mapping[str, Grid],
    limits: Mapping[str, tuple[float, float]],
) -> PhantomStudy:
    scanner = patient.scanner
    arrays = scanner.acquire(scene, grids, patient.displacements)
    images = {
        name: SequenceImage(grids[name].image(array), intensity_limits=limits.get(name))
        for name, array in arrays.items()
    }
    reference_grid = grids.get(patient.reference, scanner.protocol.acquisitions[patient.reference].grid)
    study = Study(
        id=f"phantom-{patient.seed:06d}",
        source=f"digital phantom, seed {patient.seed}",
        images=MappingProxyType(images),
        lesions=outline(painted, scene.grid, reference_grid, Displacement()) if patient.lesions else None,
        reference=patient.reference,
        clinical=_clinical_data(patient),
    )
    lesions = tuple(_lesion_truth(patient, scene, painted, n) for n in range(1, len(patient.lesions) + 1))
    truth = Truth(
        patient.seed,
        patient.anatomy.background,
        lesions,
        scanner.protocol,
        MappingProxyType(dict(grids)),
        patient.displacements,
        scene,
        painted,
    )
    return PhantomStudy(study, truth)


def _clinical_data(patient: Patient) -> Mapping[str, ClinicalValue]:
    """Clinical data, which hang on the class of the first lesion; none without one."""
    if not patient.lesions:
        return {}
    return draw_clinical(patient.seed, patient.lesions[0].lesion_class, patient.anatomy.background)


def _lesion_truth(patient: Patient, scene: Scene, painted: Painted, number: int) -> LesionTruth:
    from LiverLesionAI.geometry import lesion_geometry

    lesion = patient.lesions[number - 1]
    window = scene.grid.window(*lesion.box)
    geometry = lesion_geometry(scene.grid.cropped(window).image(painted.masks[window]), number)
    centre = lesion.shape.centre
    moves = {name: triple(d.of(np.array([centre]))[0]) for name, d in patient.displacements.items()}
    return LesionTruth(
        number,
        lesion.lesion_class,
        lesion.atypical,
        lesion.variant,
        centre,
        geometry.diameter_mm,
        MappingProxyType(moves),
    )
