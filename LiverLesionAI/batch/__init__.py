"""Cohorts: every study of a table or a folder through the whole road, on one machine or many, exactly once.

>>> from LiverLesionAI.batch import run_batch
>>> for done in run_batch("cohort.csv", "run"):  # doctest: +SKIP
...     print(done.study_id, done.status)
"""

from LiverLesionAI.batch.run import BatchRun, run_batch
from LiverLesionAI.batch.settings import BatchOptions

__all__ = ["BatchOptions", "BatchRun", "run_batch"]
