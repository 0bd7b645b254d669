"""Why the model says so: where it looked and how much each sequence counted.

:func:`LiverLesionAI.explanation.explain.explain` answers two questions about a classified lesion. *Where did
the network look?* A map per sequence, averaged over the members. *How much did each sequence count?* The
exact Shapley value of each sequence in the log-odds of the class, and the exact interaction of each pair.
Methods, definitions and limits: ``docs/explanation.md``.
"""
