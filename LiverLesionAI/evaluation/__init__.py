"""How good a model is: figures of a validation and of a comparison, with the statistics of the papers.

The road: :mod:`predictions` (a table of answers is read) → :mod:`evaluate` (what is said of it), made of
:mod:`figures` (one question's answers), :mod:`paired` (two tables, or a table and a reader) and
:mod:`readers`. Below them: :mod:`intervals` (proportions, likelihood ratios), :mod:`roc` (areas, curves,
thresholds), :mod:`agreement` (kappa), :mod:`comparison` (McNemar, subgroups). By itself stands
:mod:`multireader` (several readers, several ways of reading); :mod:`metrics` is the short form for model
cards.
"""
