"""Errors that a user can cause. Each message names the file, what is wrong and what to do."""

from __future__ import annotations


class LiverLesionError(Exception):
    """Base of every error that a user can cause; its text is one sentence fit to be shown."""


class StudyError(LiverLesionError):
    """A study, one of its images or its lesion mask cannot be used."""


class DicomError(StudyError):
    """A DICOM folder or file cannot be read, or it is not clear what it holds."""


class BundleError(LiverLesionError):
    """A model bundle is incomplete, damaged, unsafe, or does not fit the study."""


class ConfigError(LiverLesionError):
    """A configuration file or a parameter has a value that cannot be used."""


class OutputError(LiverLesionError):
    """The output folder is in use or cannot be written."""


class TrainingError(LiverLesionError):
    """A training run cannot go on; what it has finished stands."""


class PatchError(LiverLesionError):
    """One lesion cannot be cropped; the other lesions of the study are unaffected."""


class DecisionError(LiverLesionError):
    """A reader's decision cannot be taken as it was given."""
