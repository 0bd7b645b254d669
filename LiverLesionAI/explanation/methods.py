"""The table of methods."""

from __future__ import annotations

from collections.abc import Mapping

from LiverLesionAI.explanation.gradcam import GradCam
from LiverLesionAI.explanation.gradients import IntegratedGradients
from LiverLesionAI.explanation.method import Method
from LiverLesionAI.explanation.parts import LesionParts
from LiverLesionAI.explanation.smoothgrad import SmoothGrad

TABLE: Mapping[str, Method] = {
    "integrated-grad-cam": GradCam(),
    "grad-cam": GradCam(steps=0),
    "lesion-parts": LesionParts(),
    "integrated-gradients": IntegratedGradients(),
    "smoothgrad": SmoothGrad(),
}
"""Name, as in :data:`LiverLesionAI.explanation.settings.METHODS`, to method."""
