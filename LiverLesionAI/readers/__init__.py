"""Ways in: from files on disk to a :class:`LiverLesionAI.study.Study`."""
