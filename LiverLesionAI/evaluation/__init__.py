"""How good a model is: figures of a validation and their confidence intervals."""
