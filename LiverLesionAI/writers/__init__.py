"""Ways out: from a :class:`LiverLesionAI.results.StudyResult` to files and scenes."""
