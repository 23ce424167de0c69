"""Requirements, and the exact wheels that they resolve to."""
