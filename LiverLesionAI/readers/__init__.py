"""Ways in: from files on disk, or a Slicer scene, to a :class:`LiverLesionAI.study.Study`."""
