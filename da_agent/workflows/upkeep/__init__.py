"""Checking the store, and removing what is no longer needed."""
