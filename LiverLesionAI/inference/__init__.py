"""Classifying with a bundle: device and precision, weights in memory, predictions."""

from LiverLesionAI.inference.classifier import CPU_BATCH, GPU_BATCH, Classifier, predict
from LiverLesionAI.inference.engine import load_fold
from LiverLesionAI.inference.folder import classify_folder
from LiverLesionAI.inference.predictions import Predictions, TaskPrediction, UnitInputs, UnitPrediction

__all__ = [
    "CPU_BATCH",
    "GPU_BATCH",
    "Classifier",
    "Predictions",
    "TaskPrediction",
    "UnitInputs",
    "UnitPrediction",
    "classify_folder",
    "load_fold",
    "predict",
]
