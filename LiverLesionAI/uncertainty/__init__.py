"""What an answer may be relied on for: probabilities that mean what they say, sets, and unfamiliar inputs.

:mod:`calibration` softens or sharpens probabilities by one temperature and measures how well they are
calibrated, :mod:`conformal` turns them into sets that hold the truth as often as promised, class by class,
:mod:`out_of_distribution` tells how far features lie from those of the training. All are fitted on cases that
the networks were not trained on.
"""
