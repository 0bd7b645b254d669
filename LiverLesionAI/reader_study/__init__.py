"""Reader studies: what readers name a lesion, with and without the model's answer, and how long it takes.

:mod:`design` says who reads which case when and how, :mod:`folder` writes that down and reads it again,
:mod:`journal` keeps answers as they are given, :mod:`session` leads one reader from case to case,
:mod:`answers` makes of the journals the table that :mod:`LiverLesionAI.evaluation.reader_study` judges. No
Qt, no scene.
"""
