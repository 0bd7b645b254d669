"""Why the model says so: where it looked and how much each sequence counted.

Others come through :mod:`LiverLesionAI.saliency`.
"""
