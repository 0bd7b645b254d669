"""Readers' answers beside a model's: columns ``reader_<name>`` of a table of answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from LiverLesionAI.evaluation.agreement import Kappa, cohen_kappa, confusion_table, fleiss_kappa
from LiverLesionAI.evaluation.predictions import Predictions, TaskAnswers, label_in

FEWEST_OF_SEVERAL = 3


def readers_answers(predictions: Predictions, task: str) -> dict[str, TaskAnswers]:
    """What each reader answered to a question; readers who named none of its classes are left out."""
    answers = predictions.tasks[task]
    found = {}
    for reader, said in predictions.readers.items():
        labels = [label_in(answers.classes, name) if name else None for name in said]
        predicted = np.array([-1 if label is None else label for label in labels])
        if (predicted >= 0).any():
            found[reader] = replace(answers, predicted=predicted, probabilities=None)
    return found


def pairs_kappa(readers: Mapping[str, TaskAnswers]) -> dict[str, Kappa]:
    """Kappa of each pair of readers, over the cases that both answered."""
    result = {}
    for (a, first), (b, second) in combinations(readers.items(), 2):
        both = (first.predicted >= 0) & (second.predicted >= 0)
        table = confusion_table(first.predicted[both], second.predicted[both], len(first.classes))
        kappa = cohen_kappa(table)
        if kappa is not None:
            result[f"{a} – {b}"] = kappa
    return result


def all_readers_kappa(readers: Mapping[str, TaskAnswers]) -> float | None:
    """Fleiss's kappa over the cases that three or more readers all answered; None with fewer readers."""
    if len(readers) < FEWEST_OF_SEVERAL:
        return None
    table = np.stack([each.predicted for each in readers.values()], axis=1)
    complete = table[(table >= 0).all(axis=1)]
    return fleiss_kappa(complete) if len(np.unique(complete)) > 1 else None
