"""Read what a hospital delivers: a folder of DICOM files, recognised, sorted and assembled to a study.

The road runs through the rooms in this order: :mod:`scan` (find files, read headers) → :mod:`split` (series
to stacks) → :mod:`rules` and :mod:`phases` (what each stack is) → :mod:`choose` (one stack a sequence) →
:mod:`volumes` (stack to image) → :mod:`study`. Nothing here is imported before it is needed.
"""
