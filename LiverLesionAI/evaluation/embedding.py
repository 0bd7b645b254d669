"""What the last hidden layer sees, laid out in a plane: t-SNE as in Zhen et al. 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.predictions import Predictions, Unit
from LiverLesionAI.spreadsheet import UNREADABLE, read_table

FEATURES_FILE = "features.csv"
FEATURE = "feature_"
PERPLEXITY, ANGLE, ITERATIONS = 50, 0.5, 10_000
"""Of Zhen et al. 2020, who call the angle theta."""

MISSING = "The picture of features needs scikit-learn, which is missing; install liverlesionai[evaluate]."
_SEED = 20200508


@dataclass(frozen=True)
class Embedding:
    """Cases in a plane; those close together look alike to the network.

    Attributes
    ----------
    units
        The cases.
    points
        ``[N, 2]``, without a unit.
    truth
        Their classes; empty where none is known.
    """

    units: tuple[Unit, ...]
    points: np.ndarray
    truth: tuple[str, ...]


def embed(predictions: Predictions) -> Embedding:
    """Lay the cases out by the features in ``features.csv`` beside the table of answers.

    The layout (van der Maaten and Hinton 2008) is the same in every run on one machine.

    Parameters
    ----------
    predictions
        Answers; cases without features are left out. The truth is that of the question with most classes.

    Raises
    ------
    ConfigError
        If the file of features cannot be read or used, has features of too few of the cases, or scikit-learn
        is missing.
    """
    file = predictions.file.with_name(FEATURES_FILE)
    features = read_features(file)
    rows = [row for row, unit in enumerate(predictions.units) if unit in features]
    if len(rows) <= PERPLEXITY:
        raise ConfigError(
            f"{file} has features of {len(rows)} cases of {predictions.file.name}; t-SNE at a perplexity of "
            f"{PERPLEXITY} needs {PERPLEXITY + 1} at least. Add cases, or leave --embed away."
        )
    units = tuple(predictions.units[row] for row in rows)
    answers = next(iter(predictions.tasks.values()))
    truth = tuple(answers.classes[index] if index >= 0 else "" for index in answers.truth[rows])
    return Embedding(units, _laid_out(np.stack([features[unit] for unit in units])), truth)


def read_features(file: Path) -> Mapping[Unit, np.ndarray]:
    """Read features: ``study_id``, where wanted ``lesion`` and ``slice``, and ``feature_0`` and so on.

    Returns
    -------
    Mapping
        Case to features ``[F]``.

    Raises
    ------
    ConfigError
        If the file cannot be read, lacks columns, has a case twice or a feature that is no finite number.
    """
    try:
        table = read_table(file)
    except UNREADABLE as error:
        raise ConfigError(
            f"{file} cannot be read ({error}); --embed takes the last hidden layer's features from there."
        ) from None
    columns = [name for name in table.columns if name.startswith(FEATURE)]
    if not columns or "study_id" not in table.columns:
        raise ConfigError(f"{file} lacks columns; give study_id, lesion, {FEATURE}0, {FEATURE}1 and so on.")
    found: dict[Unit, np.ndarray] = {}
    for line, row in table.rows:
        study, lesion, place = (row.get(name, "").strip() for name in ("study_id", "lesion", "slice"))
        if (study, lesion, place) in found:
            raise ConfigError(f"{file}, line {line}: the case stands there twice; remove one row.")
        found[study, lesion, place] = _numbers(file, line, [row[name] for name in columns])
    return found


def _numbers(file: Path, line: int, cells: Sequence[str]) -> np.ndarray:
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise ConfigError(f"{file}, line {line}: a feature is no finite number; correct it.")
    return values


def _laid_out(features: np.ndarray) -> np.ndarray:
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise ConfigError(MISSING) from None
    method = TSNE(
        perplexity=PERPLEXITY, angle=ANGLE, max_iter=ITERATIONS, init="pca", random_state=_SEED, n_jobs=1
    )
    return np.asarray(method.fit_transform(features), float)
