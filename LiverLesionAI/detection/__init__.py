"""Detection: from a study without outlines to candidates, and on to segments and their classes."""

from LiverLesionAI.detection.detect import Detection, detect_path, detect_study

__all__ = ["Detection", "detect_path", "detect_study"]
