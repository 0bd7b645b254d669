"""The foldable steps of the panels, each with its own job for the worker; they know no panel."""
