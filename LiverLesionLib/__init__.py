"""What the panels of the Slicer modules share: their steps, parameters and tables.

Runs inside Slicer only; everything that does not need Slicer's windows is in the library ``LiverLesionAI``.
"""
