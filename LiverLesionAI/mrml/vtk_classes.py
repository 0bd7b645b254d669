"""VTK's classes that are used here; ``import vtk`` loads all there are and takes a quarter of a second."""

from vtkmodules.vtkCommonCore import (
    reference,
    vtkDoubleArray,
    vtkIdList,
    vtkIntArray,
    vtkLogger,
    vtkOutputWindow,
    vtkStringArray,
    vtkStringOutputWindow,
)
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform, vtkTransform

__all__ = [
    "reference",
    "vtkDoubleArray",
    "vtkGeneralTransform",
    "vtkIdList",
    "vtkImageData",
    "vtkIntArray",
    "vtkLogger",
    "vtkMatrix4x4",
    "vtkOutputWindow",
    "vtkStringArray",
    "vtkStringOutputWindow",
    "vtkTransform",
]
