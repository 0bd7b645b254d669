"""The configuration of a training run, checked by pydantic: every choice stands in one YAML file."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from LiverLesionAI.bundles.metadata import BUNDLE_NAME
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.limits import check_text_size
from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.systems import DEFAULT, System, SystemName, known_system, system_named
from LiverLesionAI.systems.recipe import Recipe
from LiverLesionAI.systems.spec import Part, Task, checked_settings
from LiverLesionAI.taxonomy import TAXONOMIES

RESERVED_SEEDS = range(900_000, 912_000)
"""Phantoms that published evaluations are measured on; nothing is ever trained or tuned on them."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[NonNegativeInt, Field(lt=2**63)]


class PhantomSource(Part):
    """Lesions made by the phantom, one study each, the classes in turn.

    Attributes
    ----------
    first_seed, lesions
        Lesion *i* has the seed ``first_seed + i`` and the class ``classes[i mod len(classes)]``; by default
        the classes are those that the system's cohorts have.
    atypical_fraction
        Share of atypical presentations.
    misalign_mm
        Bounds of the rigid and of the smooth displacement between sequences.
    """

    first_seed: Seed
    lesions: Annotated[PositiveInt, Field(le=5_000_000)]
    classes: tuple[str, ...] = Field(min_length=1)
    atypical_fraction: Fraction = 0.25
    misalign_mm: tuple[NonNegativeFloat, NonNegativeFloat] = (2.0, 1.0)

    @property
    def seeds(self) -> range:
        """Of its phantoms."""
        return range(self.first_seed, self.first_seed + self.lesions)

    @model_validator(mode="after")
    def _leave_reserved_seeds(self) -> PhantomSource:
        used = self.seeds
        if _overlap(used, RESERVED_SEEDS):
            raise ValueError(
                f"seeds {used.start}–{used.stop - 1} touch {RESERVED_SEEDS.start}–{RESERVED_SEEDS.stop - 1}, "
                "which are reserved for the final evaluation; choose another first_seed"
            )
        return self


class CalibrationCases(Part):
    """Cases that no network of the run learns from, which tell what its probabilities are worth.

    Exactly one of ``phantom`` and ``cohort``, as in :class:`TrainingConfig`.
    """

    phantom: PhantomSource | None = None
    cohort: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> CalibrationCases:
        if (self.phantom is None) == (self.cohort is None):
            raise ValueError("give either phantom or cohort as the source of cases to calibrate with")
        return self


class Variants(Part):
    """Geometric variants of each lesion, made once and kept on disk beside the unvaried one.

    Rotations about the patch's x, y and z axis, the logarithm of the scale and the shifts along each axis are
    drawn uniformly from the symmetric ranges given; large lesions draw the margin of
    ``patches.training_margin_mm``.
    """

    count: Annotated[PositiveInt, Field(le=1000)] = 4
    rotation_deg: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = (8.0, 8.0, 20.0)
    scale: Annotated[float, Field(ge=1, lt=2)] = 1.1
    shift_mm: NonNegativeFloat = 4.0


class Optimisation(Part):
    """An optimiser with a schedule, the losses of all tasks 1:1.

    Attributes
    ----------
    epochs, batch_size, learning_rate, weight_decay, label_smoothing
        As usual.
    optimiser, momentum
        ``"adamw"``, ``"adam"``, ``"adagrad"``, ``"rmsprop"``, or ``"sgd"`` with its momentum.
    schedule, step_epochs, step_factor
        ``"one_cycle"`` or ``"cosine"``, or ``"step"``: the learning rate is multiplied with `step_factor`
        every `step_epochs` epochs.
    central_epochs
        How many of the epochs, the first ones, see only the central cube of the patches, three quarters of
        their side, for less than half the cost. Only later epochs are candidates for the best one.
    class_weights
        ``"balanced"`` weighs classes by the inverse of their frequency.
    patience
        Epochs without a better validation score after which a fold stops.
    average_epochs
        The weights of so many epochs, those with the best validation scores or the last ones where no case is
        held out, are averaged; 1 takes the best alone.
    shared_kernels
        Train all branches with the same kernels, each with its own normalisation. What one sequence teaches
        about edges and rims then serves all; a start for a run in which they part (``start_from``).
    micro_batches
        Each batch goes through the network in so many parts, whose gradients are averaged before the step:
        less memory, and batch normalisation sees a part at a time. Processes that train together
        (:mod:`LiverLesionAI.training.together`) share each batch in the same way.
    recompute
        Compute activations inside of branches or blocks again instead of keeping them: less memory still, a
        third more time, the same weights.
    precision
        ``"auto"`` takes bfloat16 on GPUs that multiply it, else float32.
    """

    epochs: Annotated[PositiveInt, Field(le=100_000)] = 12
    central_epochs: NonNegativeInt = 0
    batch_size: Annotated[PositiveInt, Field(le=65_536)] = 16
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.05
    optimiser: Literal["adamw", "adam", "adagrad", "rmsprop", "sgd"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["one_cycle", "cosine", "step"] = "one_cycle"
    step_epochs: PositiveInt = 20
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["balanced"] | None = None
    patience: Annotated[PositiveInt, Field(le=100_000)] = 6
    average_epochs: Annotated[PositiveInt, Field(le=100)] = 1
    shared_kernels: bool = False
    micro_batches: Annotated[PositiveInt, Field(le=1024)] = 1
    recompute: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _end_with_whole_patches(self) -> Optimisation:
        if self.central_epochs >= self.epochs:
            raise ValueError("central_epochs must be fewer than epochs")
        if self.average_epochs > self.epochs - self.central_epochs:
            raise ValueError("average_epochs must be no more than there are epochs on whole patches")
        return self


class TrainingConfig(Part):
    """Everything that determines a trained bundle.

    ``system`` names the paper's system (:mod:`LiverLesionAI.systems`), which says what ``network``,
    ``patches`` and ``augmentation`` may hold and which sequences are the default. Exactly one of ``phantom``
    and ``cohort`` names the lesions; ``cohort`` is a CSV with the columns ``study_id,path,lesion,truth`` and
    optionally ``patient_id``, paths relative to the CSV. ``start_from`` is the folder, relative to the
    configuration, or the name of a bundle: fold k starts with the weights of its fold k, modulo their number;
    it should have seen no lesion that the run validates on. Some systems start from published weights too: a
    ``.safetensors`` or ``.pth`` file. ``folds`` selects folds to train (all by default). With ``final`` one
    more network learns from all cases, for all epochs, and it alone becomes the bundle's: the folds, if any,
    then only tell how good the settings are. ``repeat`` numbers trainings of one configuration on the same
    cases and variants, from other first weights and in another order. ``parallel_folds`` trains that many at
    once, sharing the cores; by default as many as there are GPUs, without any as many as cores.
    ``calibration`` names cases that none of the networks learns from; without it the folds' own held-out
    cases calibrate a cross-validated bundle.
    """

    name: Annotated[str, Field(pattern=BUNDLE_NAME)]
    version: str = "0.1.0"
    seed: Seed = 0
    system: SystemName = DEFAULT
    sequences: tuple[str, ...] = Field(default=None, validate_default=True)
    required_sequences: tuple[str, ...] = ()
    network: Any = Field(default_factory=dict, validate_default=True)
    patches: Any = Field(default_factory=dict, validate_default=True)
    phantom: PhantomSource | None = None
    cohort: Path | None = None
    calibration: CalibrationCases | None = None
    start_from: str | None = None
    variants: Variants = Variants()
    augmentation: Any = Field(default_factory=dict, validate_default=True)
    optimisation: Optimisation = Optimisation()
    fold_count: Annotated[int, Field(ge=2, le=1000)] = 5
    folds: tuple[NonNegativeInt, ...] | None = None
    final: bool = False
    repeat: Annotated[NonNegativeInt, Field(lt=2**31)] = 0
    parallel_folds: PositiveInt | None = None

    @field_validator("sequences", mode="before")
    @classmethod
    def _sequences_of_the_paper(cls, sequences: Any, info: ValidationInfo) -> Any:
        return _system_of(info).sequences if sequences is None else sequences

    @field_validator("phantom", mode="before")
    @classmethod
    def _classes_of_its_system(cls, value: Any, info: ValidationInfo) -> Any:
        return _with_classes(value, info)

    @field_validator("calibration", mode="before")
    @classmethod
    def _calibrated_with_its_classes(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict) or "phantom" not in value:
            return value
        return {**value, "phantom": _with_classes(value["phantom"], info)}

    @field_validator("network", "patches", "augmentation", mode="before")
    @classmethod
    def _settings_of_its_system(cls, value: Any, info: ValidationInfo) -> Any:
        system = _system_of(info)
        kinds = {
            "network": system.network_settings,
            "patches": system.patch_settings,
            "augmentation": system.recipe.augmentation_settings,
        }
        return checked_settings(kinds[str(info.field_name)], value)

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if (self.phantom is None) == (self.cohort is None):
            raise ValueError("give either phantom or cohort as the source of lesions")
        apart = self.calibration and self.calibration.phantom
        if self.phantom is not None and apart and _overlap(self.phantom.seeds, apart.seeds):
            raise ValueError("the phantoms of calibration are among those of the training")
        unknown = [name for name in self.sequences if name not in SEQUENCES]
        if unknown or len(set(self.sequences)) != len(self.sequences) or not self.sequences:
            raise ValueError(f"sequences must be different ones of {', '.join(SEQUENCES)}")
        if not set(self.required_sequences) <= set(self.sequences):
            raise ValueError("required_sequences must be among sequences")
        if self.folds == () and not self.final:
            raise ValueError("folds selects none; select one, or ask for final")
        if self.folds is not None and not all(fold < self.fold_count for fold in self.folds):
            raise ValueError(f"folds must be among 0–{self.fold_count - 1}")
        asked = {name for name in ("central_epochs", "shared_kernels") if getattr(self.optimisation, name)}
        refused = sorted(asked - self.recipe.options)
        if refused:
            raise ValueError(f"{', '.join(refused)} cannot be had with system {self.system}; leave it out")
        return self

    @property
    def answers(self) -> System:
        """The system that is trained."""
        return system_named(self.system)

    @property
    def recipe(self) -> Recipe:
        """How its networks learn."""
        return self.answers.recipe

    @property
    def tasks(self) -> dict[str, Task]:
        """Its tasks."""
        return self.answers.tasks(self.sequences, self.network)

    @property
    def primary_task(self) -> str:
        """The task that is asked first: the system's, where the network is asked it."""
        tasks, first = self.tasks, self.answers.primary_task
        return first if first in tasks else next(iter(tasks))

    @property
    def selected_folds(self) -> tuple[int, ...]:
        """Folds to train, ascending."""
        return tuple(range(self.fold_count)) if self.folds is None else tuple(sorted(set(self.folds)))

    def seeds(self, fold: int) -> list[int]:
        """What every random draw of a fold's training comes from."""
        return [self.seed, fold, *([self.repeat] if self.repeat else [])]

    def to_yaml(self) -> str:
        """Return the configuration as YAML, defaults written out."""
        import yaml

        content = self.model_dump(mode="json", exclude_none=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def digest(self) -> str:
        """SHA-256 of all that shapes the weights but the bundle to start from, wherever the files lie.

        How the folds are run and what calibrates them do not count; a cohort counts by what its table says.

        Raises
        ------
        ConfigError
            If the cohort's table cannot be read.
        """
        left_out = {"folds", "parallel_folds", "cohort", "start_from", "calibration"}
        content = self.model_dump(mode="json", exclude=left_out)
        return _digest({**content, "table": _table_hash(self.cohort) if self.cohort else ""})

    def patches_digest(self) -> str:
        """SHA-256 of what shapes a lesion's cached patches, the code that makes them included.

        How many phantoms there are does not count: a larger run finds those of a smaller one. A cohort's
        table counts with all that it says, since its rows name and describe the cases.

        Raises
        ------
        ConfigError
            If the cohort's table cannot be read.
        """
        parts = {"system", "seed", "sequences", "patches", "phantom", "cohort", "variants"}
        content = self.model_dump(mode="json", include=parts, exclude={"phantom": {"lesions"}})
        package = Path(__file__).resolve().parents[1]
        sources = [
            package / "geometry.py",
            Path(inspect.getfile(type(self.answers))),
            *sorted((package / "inputs").glob("*.py")),
            *sorted((package / "phantom").glob("*.py")),
        ]
        code = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
        table = _table_hash(self.cohort) if self.cohort else ""
        return _digest({"content": content, "code": code, "table": table})


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _with_classes(source: Any, info: ValidationInfo) -> Any:
    """A source of phantoms with the classes of the system's cohorts where it names none."""
    if not isinstance(source, dict):
        return source
    names = TAXONOMIES[_system_of(info).recipe.truths].names
    asked = source.get("classes", names)
    if not isinstance(asked, list | tuple) or not set(map(str, asked)) <= set(names):
        raise ValueError(f"classes must be among {', '.join(names)}")
    return {**source, "classes": asked}


def _system_of(info: ValidationInfo) -> System:
    """The system of the configuration that a field belongs to; Wang's where the system itself was refused."""
    return known_system(info.data.get("system", DEFAULT))


def _table_hash(table: Path) -> str:
    try:
        return hashlib.sha256(table.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{table} cannot be read as a cohort ({error.strerror}); give a CSV file."
        ) from None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_config(path: Path) -> TrainingConfig:
    """Read and check a training configuration.

    Parameters
    ----------
    path
        YAML file; a relative ``cohort`` or ``start_from`` is taken relative to it.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, or a value cannot be used.
    """
    import yaml

    try:
        check_text_size(path)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror
        raise ConfigError(f"{path} cannot be read ({reason}); give a training configuration.") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{path} is not YAML ({reason}); see docs/training.md for an example.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no configuration; see docs/training.md for an example.")
    try:
        config = TrainingConfig.model_validate(content)
    except RecursionError:
        raise ConfigError(f"{path} is nested deeper than any configuration.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the configuration"
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {where}: {reason}.") from None
    return _with_absolute_paths(config, path.parent)


def _with_absolute_paths(config: TrainingConfig, folder: Path) -> TrainingConfig:
    changes: dict[str, Path | str | CalibrationCases] = {}
    if config.cohort is not None:
        changes["cohort"] = (folder / config.cohort).resolve()
    if config.calibration is not None and config.calibration.cohort is not None:
        table = (folder / config.calibration.cohort).resolve()
        changes["calibration"] = CalibrationCases(cohort=table)
    if config.start_from is not None and (folder / config.start_from).exists():
        changes["start_from"] = str((folder / config.start_from).resolve())
    return config.model_copy(update=changes)
