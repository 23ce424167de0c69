"""What is in the store, and where the store is."""
