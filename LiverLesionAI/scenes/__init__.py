"""A study in a scene, the same for panel, console and browser; the scene is handed in."""
