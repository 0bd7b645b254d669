"""The warm background worker: a process that keeps the model loaded and is spoken to in lines of JSON.

:mod:`~LiverLesionAI.worker.client` is what a front end uses, :mod:`~LiverLesionAI.worker.server` what runs in
``liverlesionai worker``; :mod:`~LiverLesionAI.worker.protocol` is what they say to each other, and
:mod:`~LiverLesionAI.worker.exchange` how a study travels between them.
"""
