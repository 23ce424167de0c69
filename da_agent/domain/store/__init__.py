"""The contents of the store, and its location."""
