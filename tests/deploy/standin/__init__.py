"""A system that learns nothing: it records what it was called with."""
