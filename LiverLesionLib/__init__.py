"""What the panels of the Slicer modules are made of: Slicer's Qt, and nothing else.

Runs inside Slicer only, in three layers: ``panels`` put ``steps`` together, steps use ``controls``, and no
import runs the other way. What needs no window is in the library ``LiverLesionAI``; ``console`` has it in
blocking form.
"""
