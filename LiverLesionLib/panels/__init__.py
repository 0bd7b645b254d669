"""The panels of the modules: steps put together, with the worker and the scene's events."""
