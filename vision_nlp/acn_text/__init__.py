"""Auto-compressing text encoder that names the emotions in a text."""
