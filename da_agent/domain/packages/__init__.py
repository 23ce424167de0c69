"""Requirements, and the exact wheels they resolve to."""
