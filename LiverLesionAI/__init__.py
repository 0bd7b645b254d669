"""Focal liver lesion classification on multisequence MRI (see ``README.md``)."""

__version__ = "0.1.0"
