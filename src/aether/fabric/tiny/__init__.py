"""aether-tiny: a small model of Python text, trained by this project and served without torch; a demonstration."""
