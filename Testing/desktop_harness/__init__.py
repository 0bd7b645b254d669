"""Slicer's desktop without Slicer: real Qt widgets, the real MRML scene, and the names that Slicer has.

:func:`~desktop_harness.desktop.desktop` loads the project's module files unchanged. Widgets are PySide6's
under PythonQt's manners, Slicer's own widget classes are small stand-ins, ``slicer.util`` and the scene are
those of slicer-core. Whatever a module uses that a running Slicer does not have raises
:class:`~desktop_harness.api.NotInSlicer`; what Slicer has but the harness does not imitate raises
:class:`~desktop_harness.api.NotImitated`.
"""
